/* test_cuda_cupti.c: recordings through a libcupti that the tests bring: order of set-up, causes, bounds,
 * refusals, warnings. */
#include "records.h"

#include "clock.h"
#include "fake_cupti.h"
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define KINDS 6 /* kernels, copies, sets, causes, calls of the runtime and of the driver */

static struct fake_cupti *fake;

static struct rs__cupti *begin(void)
{
    struct rs__cupti *c;
    struct rs_error err = {0};
    if (rs__cupti_begin(&c, &err) < 0)
        fail_msg("%s", err.message);
    return c;
}

struct taken {
    uint64_t count, causes[3], kernels, copies, first_ns, last_ns;
    char name[128]; /* of the kernel of cause 5 */
};

static void take(void *arg, const struct rs__trace_record *r)
{
    struct taken *t = arg;
    t->count++;
    t->copies += r->copies;
    t->kernels += !r->copies;
    t->first_ns = t->first_ns && t->first_ns < r->begin_ns ? t->first_ns : r->begin_ns;
    t->last_ns = t->last_ns > r->end_ns ? t->last_ns : r->end_ns;
    t->causes[r->cause == 5 ? 1 : r->cause == 6 ? 2 : 0]++;
    assert_true(r->cause == 0 || r->cause == 5 || r->cause == 6);
    if (r->cause == 5 && !r->copies)
        snprintf(t->name, sizeof(t->name), "%s", r->name);
    if (r->copies)
        assert_string_equal(r->name, "copy to device");
}

static void test_records(void **state)
{
    uint64_t lost;
    struct taken t = {.count = 0};
    (void)state;
    for (int again = 0; again < 2; again++) { /* a process may trace one run after another */
        memset(&t, 0, sizeof(t));
        const uint64_t before = rs_now_ns();
        struct rs__cupti *c = begin();
        assert_int_equal(fake->kinds, KINDS);
        fake->launch("before");
        rs__cupti_cause(c, 5);
        fake->launch(NULL);
        fake->launch("_Z12apply_kernelILi1EEv9rs__apply"); /* as nvcc names apply_kernel<1> */
        rs__cupti_cause(c, 6);                             /* without a 0 between */
        for (int i = 0; i < 10; i++)
            fake->launch("step");
        fake->poll(); /* its records would fill buffers for nothing */
        rs__cupti_cause(c, 0);
        fake->launch("after");
        fake->poll();
        assert_int_equal(fake->calls, 14);
        rs__cupti_end(c, take, &t, &lost);
        assert_int_equal(lost, 0);
        assert_int_equal(t.count, 14);
        assert_int_equal(t.copies, 1);
        assert_int_equal(t.causes[0], 2);
        assert_int_equal(t.causes[1], 2);
        assert_int_equal(t.causes[2], 10);
        assert_string_equal(t.name, "apply_kernel<1>");
        assert_true(t.first_ns >= before && t.last_ns <= rs_now_ns() + 1);
        assert_int_equal(fake->kinds + fake->wrong, 0);
    }
}

/* Calls that can't be switched off, and a call of the runtime that tells of the driver's call inside. */
static void test_talkative(void **state)
{
    uint64_t lost;
    struct taken t = {.count = 0};
    (void)state;
    fake->fail_calls = fake->twice = 1;
    struct rs__cupti *c = begin();
    for (uint64_t cause = 5; cause < 7; cause++) {
        rs__cupti_cause(c, cause);
        for (uint32_t i = 0; i < RS__CUPTI_RECORDS / 4 + 9; i++)
            fake->launch("step");
        fake->poll();
        rs__cupti_cause(c, 0);
    }
    assert_int_equal(fake->calls, 2 * (RS__CUPTI_RECORDS / 4 + 9 + 2));
    rs__cupti_end(c, take, &t, &lost);
    fake->fail_calls = fake->twice = 0;
    assert_int_equal(lost, 0);
    assert_int_equal(t.causes[0], 0);
    assert_int_equal(t.causes[1], RS__CUPTI_RECORDS / 4 + 9);
    assert_int_equal(t.causes[2], RS__CUPTI_RECORDS / 4 + 9);
}

/* What a recording writes to stderr, of one kernel, with or without a cause. */
static void hear(uint64_t cause, char *text, size_t size)
{
    uint64_t lost;
    struct taken t = {.count = 0};
    FILE *file = tmpfile();
    const int before = dup(STDERR_FILENO);
    assert_non_null(file);
    dup2(fileno(file), STDERR_FILENO);
    struct rs__cupti *c = begin();
    rs__cupti_cause(c, cause);
    fake->launch("step");
    rs__cupti_cause(c, 0);
    rs__cupti_cause(c, cause);
    rs__cupti_cause(c, 0);
    rs__cupti_end(c, take, &t, &lost);
    dup2(before, STDERR_FILENO);
    close(before);
    rewind(file);
    text[fread(text, 1, size - 1, file)] = 0;
    fclose(file);
    assert_int_equal(t.count, 1);
}

/* Records and not one cause: there is a warning, and the records are there all the same. */
static void test_warning(void **state)
{
    char text[400];
    (void)state;
    hear(5, text, sizeof(text));
    assert_string_equal(text, "");
    fake->no_causes = 1;
    hear(0, text, sizeof(text)); /* none was told */
    assert_string_equal(text, "");
    hear(5, text, sizeof(text));
    assert_non_null(strstr(text, "warning: cuda: the device's 1 records can't be tied to batches"));
    assert_null(strstr(text, "made to fail"));
    assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1); /* one line */
    fake->fail_push = 1;
    hear(5, text, sizeof(text));
    assert_non_null(strstr(text, "it says: made to fail"));
    fake->fail_push = fake->no_causes = 0;
    assert_int_equal(fake->wrong, 0); /* what was refused isn't taken back */
}

/* More names and records than there is room for: the rest is counted, or goes by a common name. */
static void test_bounds(void **state)
{
    static char names[RS__CUPTI_NAMES + 20][160];
    uint64_t lost;
    struct taken t = {.count = 0};
    (void)state;
    struct rs__cupti *c = begin();
    rs__cupti_cause(c, 5);
    for (uint32_t i = 0; i < RS__CUPTI_NAMES + 20; i++) {
        snprintf(names[i], sizeof(names[i]), "kernel %u %0130u", i, 1u);
        fake->launch(names[i]);
    }
    rs__cupti_end(c, take, &t, &lost);
    assert_int_equal(t.count, RS__CUPTI_NAMES + 20);
    assert_int_equal(lost, 0);
    assert_string_equal(t.name, "kernel");

    memset(&t, 0, sizeof(t));
    c = begin();
    rs__cupti_cause(c, 0);
    fake->work((int)RS__CUPTI_RECORDS + 9);
    rs__cupti_end(c, take, &t, &lost);
    assert_int_equal(t.count, RS__CUPTI_RECORDS);
    assert_int_equal(lost, 9);
}

/* No more buffers than agreed, however late they come back; then records are lost, and counted. */
static void test_buffers(void **state)
{
    uint64_t lost;
    struct taken t = {.count = 0};
    (void)state;
    struct rs__cupti *c = begin();
    fake->buffers_refused = 0;
    for (uint32_t i = 0; i < RS__CUPTI_BUFFERS; i++)
        fake->request();
    assert_int_equal(fake->buffers_refused, 0);
    fake->request();
    assert_int_equal(fake->buffers_refused, 1);
    fake->work(3);
    rs__cupti_end(c, take, &t, &lost);
    assert_int_equal(t.count, 0);
    assert_int_equal(lost, 3);
}

static void test_refusals(void **state)
{
    struct rs__cupti *c, *second;
    struct rs_error err = {0};
    uint64_t lost;
    (void)state;
    c = begin();
    assert_int_equal(rs__cupti_begin(&second, &err), RS_E_UNSUPPORTED);
    assert_non_null(strstr(err.message, "records already"));
    assert_int_equal(fake->kinds, KINDS); /* the first one's still */
    rs__cupti_end(c, NULL, NULL, &lost);

    fake->fail_enable = 1;
    assert_int_equal(rs__cupti_begin(&c, &err), RS_E_UNSUPPORTED);
    assert_non_null(strstr(err.message, "made to fail"));
    assert_non_null(strstr(err.message, "another profiler"));
    assert_null(c);
    fake->fail_enable = 0;
    rs__cupti_end(begin(), NULL, NULL, &lost);

    setenv("RSTREAM_CUPTI", "libm.so.6", 1); /* a library, and not that one */
    assert_int_equal(rs__cupti_begin(&c, &err), RS_E_UNSUPPORTED);
    assert_non_null(strstr(err.message, "cuptiActivityRegisterCallbacks"));
    setenv("RSTREAM_CUPTI", RS_FAKE_CUPTI, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_records), cmocka_unit_test(test_talkative), cmocka_unit_test(test_warning),
        cmocka_unit_test(test_bounds),  cmocka_unit_test(test_buffers),   cmocka_unit_test(test_refusals),
    };
    void *library = dlopen(RS_FAKE_CUPTI, RTLD_NOW | RTLD_LOCAL);
    void *function = library ? dlsym(library, "fake_cupti") : NULL;
    fake_cupti_fn find;
    if (!function)
        return 1;
    memcpy(&find, &function, sizeof(find));
    fake = find();
    setenv("RSTREAM_CUPTI", RS_FAKE_CUPTI, 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
