/* test_cuda_reasons.c: every code of cudaGetDeviceCount that people meet has its own sentence, with the
 * remedy. */
#include "reasons.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void reason(int code, int driver, char text[400])
{
    rs__cuda_reason(code, driver, 13000, "some words", text, 400);
    assert_true(strlen(text) < 399);
    assert_null(strchr(text, '\n'));
}

static void test_sentences(void **state)
{
    char none[400], old[400], stub[400], hidden[400], other[400];
    (void)state;
    reason(35, 0, none);
    assert_non_null(strstr(none, "no NVIDIA driver"));
    assert_non_null(strstr(none, "CUDA 13.0"));
    assert_non_null(strstr(none, "install"));
    reason(35, 12040, old);
    assert_non_null(strstr(old, "12.4"));
    assert_non_null(strstr(old, "13.0"));
    assert_non_null(strstr(old, "update the driver"));
    reason(34, 0, stub);
    assert_non_null(strstr(stub, "stub"));
    assert_non_null(strstr(stub, "LD_LIBRARY_PATH"));
    reason(100, 13000, hidden);
    assert_non_null(strstr(hidden, "no GPU"));
    assert_non_null(strstr(hidden, "CUDA_VISIBLE_DEVICES"));
    reason(999, 13000, other);
    assert_non_null(strstr(other, "999"));
    assert_non_null(strstr(other, "some words"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sentences)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
