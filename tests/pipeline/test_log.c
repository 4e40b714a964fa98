/* test_log.c: lines, levels and the clock. */
#include "clock.h"
#include "log.h"
#include "support.h"
#include <sys/socket.h>
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

/* A line is one write, so that lines of several threads don't mix: a socket that keeps writes apart tells. */
static void test_a_line_is_one_write(void **state)
{
    (void)state;
    int ends[2];
    char line[2048];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
    saved_stderr = dup(STDERR_FILENO);
    dup2(ends[1], STDERR_FILENO);
    rs_log(RS_LOG_WARN, "%d and %s", 7, "eight");
    rs_log(RS_LOG_INFO, "%s", "");
    dup2(saved_stderr, STDERR_FILENO);
    close(saved_stderr);
    ssize_t length = recv(ends[0], line, sizeof line, MSG_DONTWAIT);
    assert_int_equal(length, strlen("rstream: warning: 7 and eight\n"));
    assert_memory_equal(line, "rstream: warning: 7 and eight\n", (size_t)length);
    length = recv(ends[0], line, sizeof line, MSG_DONTWAIT);
    assert_int_equal(length, strlen("rstream: \n"));
    close(ends[0]);
    close(ends[1]);
}

/* Around 1023 bytes, the newline among them. */
static void test_border_of_the_cut(void **state)
{
    (void)state;
    enum { ROOM = 1022 - 9 }; /* less "rstream: " */
    for (int length = ROOM - 2; length <= ROOM + 2; length++) {
        char wanted[2048], text[2048];
        int kept = length < ROOM ? length : ROOM;
        capture_begin();
        rs_log(RS_LOG_INFO, "%0*d", length, 7);
        capture_end(text, sizeof text);
        snprintf(wanted, sizeof wanted, "rstream: %0*d", length, 7);
        assert_int_equal(strlen(text), 9 + kept + 1);
        assert_memory_equal(text, wanted, 9 + (size_t)kept);
        assert_int_equal(text[9 + kept], '\n');
    }
}

static uint64_t monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Between two looks at the same clock of the system's. */
static void test_clock_is_the_monotonic_one(void **state)
{
    (void)state;
    for (int i = 0; i < 1000; i++) {
        uint64_t before = monotonic_ns(), now = rs_now_ns();
        assert_true(before <= now && now <= monotonic_ns());
    }
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
        cmocka_unit_test(test_a_line_is_one_write),
        cmocka_unit_test(test_border_of_the_cut),
        cmocka_unit_test(test_clock),
        cmocka_unit_test(test_clock_is_the_monotonic_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
