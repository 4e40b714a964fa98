/* test_errors.c: codes, sentences and their borders. */
#include "errors.h"
#include "support.h"
#include <errno.h>

static void test_names_and_texts(void **state)
{
    (void)state;
#define CHECK(name, value, text)                                                                             \
    assert_int_equal(name, value);                                                                           \
    assert_string_equal(rs_error_name(name), #name);                                                         \
    assert_string_equal(rs_error_text(name), text);
    RS_ERROR_TABLE(CHECK)
#undef CHECK
    assert_string_equal(rs_error_name(-12345), "unknown");
    assert_string_equal(rs_error_name(RS_AGAIN), "RS_AGAIN");
    assert_string_equal(rs_error_name(RS_END), "RS_END");
    assert_non_null(rs_error_text(-12345));
}

/* Codes are in scripts and in other people's programs: their numbers stay. Each has a sentence of its own. */
static void test_numbers_are_pinned(void **state)
{
    (void)state;
    static const int codes[] = {RS_E_NOMEM,    RS_E_IO,         RS_E_NOT_FOUND,   RS_E_PERMISSION,
                                RS_E_NO_SPACE, RS_E_CORRUPT,    RS_E_UNSUPPORTED, RS_E_LIMIT,
                                RS_E_SHAPE,    RS_E_USAGE,      RS_E_CANCELLED,   RS_E_BACKEND,
                                RS_E_DEVICE,   RS_E_NOT_FINITE, RS_E_THREAD,      RS_E_NO_SPLIT};
    const int count = sizeof codes / sizeof codes[0];
    for (int i = 0; i < count; i++) {
        assert_int_equal(codes[i], -1 - i);
        assert_memory_equal(rs_error_name(codes[i]), "RS_E_", 5);
        assert_true(strlen(rs_error_text(codes[i])) > 4);
        for (int k = 0; k < i; k++)
            assert_string_not_equal(rs_error_text(codes[i]), rs_error_text(codes[k]));
    }
    assert_string_equal(rs_error_name(-1 - count), "unknown");
    assert_string_equal(rs_error_text(-1 - count), "unknown error");
    assert_int_equal(RS_OK, 0);
    assert_true(RS_AGAIN > 0 && RS_END > 0 && RS_AGAIN != RS_END);
    assert_string_equal(rs_error_name(RS_OK), "RS_OK");
    assert_string_equal(rs_error_text(RS_OK), "no error");
    assert_string_equal(rs_error_text(RS_END), "the stream is over");
}

static void test_set(void **state)
{
    (void)state;
    struct rs_error err = {0};
    assert_int_equal(rs_error_set(&err, RS_E_CORRUPT, "%s: byte %d", "a.png", 7), RS_E_CORRUPT);
    assert_int_equal(err.code, RS_E_CORRUPT);
    assert_string_equal(err.message, "a.png: byte 7");
    assert_int_equal(rs_error_set(NULL, RS_E_USAGE, "nobody listens"), RS_E_USAGE);
    assert_int_equal(rs_error_set_errno(NULL, ENOENT, "nobody listens"), RS_E_NOT_FOUND);
}

static void test_one_line_of_bounded_length(void **state)
{
    (void)state;
    struct rs_error err;
    char longer[2 * sizeof err.message];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    rs_error_set(&err, RS_E_IO, "%s", longer);
    assert_int_equal(strlen(err.message), sizeof err.message - 1);
    rs_error_set_errno(&err, EIO, "%s", longer);
    assert_int_equal(strlen(err.message), sizeof err.message - 1);
    rs_error_set(&err, RS_E_IO, "a\nb");
    assert_string_equal(err.message, "a b");
    assert_int_equal(rs_error_set_errno(&err, ENOENT, "%s", "\na\n\nb\n"), RS_E_NOT_FOUND);
    assert_string_equal(err.message, " a  b : No such file or directory");
    assert_int_equal(err.code, RS_E_NOT_FOUND);
}

/* Around the length that fits: nothing is lost below it, and above it the front stays. */
static void test_cut_at_the_border(void **state)
{
    (void)state;
    enum { FITS = sizeof((struct rs_error *)0)->message - 1 };
    char text[FITS + 3], wanted[FITS + 64];
    for (size_t length = FITS - 2; length <= FITS + 1; length++) {
        struct rs_error err;
        for (size_t i = 0; i < length; i++)
            text[i] = (char)('a' + i % 26);
        text[length] = '\0';
        rs_error_set(&err, RS_E_IO, "%s", text);
        assert_int_equal(strlen(err.message), length < FITS ? length : FITS);
        assert_memory_equal(err.message, text, strlen(err.message));
        for (size_t cut = 0; cut <= 40; cut += 8) { /* the system's words are cut, or left out */
            snprintf(wanted, sizeof wanted, "%s: %s", text + cut, strerror(EIO));
            rs_error_set_errno(&err, EIO, "%s", text + cut);
            assert_int_equal(strlen(err.message), strlen(wanted) < FITS ? strlen(wanted) : FITS);
            assert_memory_equal(err.message, wanted, strlen(err.message));
        }
    }
}

static void test_errno(void **state)
{
    (void)state;
    static const struct {
        int errnum, code;
    } cases[] = {
        {ENOENT, RS_E_NOT_FOUND}, {EACCES, RS_E_PERMISSION}, {EPERM, RS_E_PERMISSION},
        {ENOSPC, RS_E_NO_SPACE},  {EDQUOT, RS_E_NO_SPACE},   {ENOMEM, RS_E_NOMEM},
        {EIO, RS_E_IO},           {EMFILE, RS_E_IO},         {EISDIR, RS_E_IO},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct rs_error err;
        assert_int_equal(rs_error_set_errno(&err, cases[i].errnum, "f"), cases[i].code);
        char wanted[160];
        snprintf(wanted, sizeof wanted, "f: %s", strerror(cases[i].errnum));
        assert_string_equal(err.message, wanted);
    }
}

static int forward(int code)
{
    RS_TRY(code);
    return 42;
}

static void test_try_forwards_failures_only(void **state)
{
    (void)state;
    assert_int_equal(forward(RS_E_IO), RS_E_IO);
    assert_int_equal(forward(RS_OK), 42);
    assert_int_equal(forward(RS_END), 42);
}

static void assert_nothing(void)
{
    RS_ASSERT(1 + 1 == 3);
}

static void test_assert_says_where(void **state)
{
    (void)state;
    static const char *const words[] = {"1 + 1 == 3", "test_errors.c", NULL};
    assert_true(aborts_saying(assert_nothing, words));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_and_texts),
        cmocka_unit_test(test_numbers_are_pinned),
        cmocka_unit_test(test_set),
        cmocka_unit_test(test_one_line_of_bounded_length),
        cmocka_unit_test(test_cut_at_the_border),
        cmocka_unit_test(test_errno),
        cmocka_unit_test(test_try_forwards_failures_only),
        cmocka_unit_test(test_assert_says_where),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
