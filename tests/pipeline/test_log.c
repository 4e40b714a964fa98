/* test_log.c: lines, levels and the clock. */
#include "clock.h"
#include "log.h"
#include "support.h"
#include <time.h>

/* What is written to stderr between the two calls. */
static int saved_stderr = -1;
static FILE *captured;

static void capture_begin(void)
{
    captured = tmpfile();
    assert_non_null(captured);
    saved_stderr = dup(STDERR_FILENO);
    dup2(fileno(captured), STDERR_FILENO);
}

static void capture_end(char *text, size_t size)
{
    dup2(saved_stderr, STDERR_FILENO);
    close(saved_stderr);
    rewind(captured);
    size_t n = fread(text, 1, size - 1, captured);
    text[n] = '\0';
    fclose(captured);
}

static void test_lines_and_levels(void **state)
{
    (void)state;
    char text[4096];
    capture_begin();
    rs_log(RS_LOG_ERROR, "e%d", 1);
    rs_log(RS_LOG_WARN, "w");
    rs_log(RS_LOG_INFO, "i");
    rs_log(RS_LOG_DEBUG, "dropped");
    rs_log_set_level(RS_LOG_DEBUG);
    rs_log(RS_LOG_DEBUG, "d");
    rs_log_set_level(RS_LOG_ERROR);
    rs_log(RS_LOG_WARN, "dropped");
    rs_log_set_level(RS_LOG_INFO);
    capture_end(text, sizeof text);
    assert_string_equal(text, "rstream: error: e1\nrstream: warning: w\nrstream: i\nrstream: debug: d\n");
}

static void test_long_line_is_cut_and_ends(void **state)
{
    (void)state;
    char longer[3000], text[4096];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    capture_begin();
    rs_log(RS_LOG_INFO, "%s", longer);
    capture_end(text, sizeof text);
    size_t length = strlen(text);
    assert_in_range(length, 1000, 1024);
    assert_int_equal(text[length - 1], '\n');
    assert_int_equal(text[length - 2], 'x');
}

static void test_clock(void **state)
{
    (void)state;
    uint64_t a = rs_now_ns();
    nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    uint64_t b = rs_now_ns();
    assert_true(b - a >= 2000000 && b - a < UINT64_C(10000000000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines_and_levels),
        cmocka_unit_test(test_long_line_is_cut_and_ends),
        cmocka_unit_test(test_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
