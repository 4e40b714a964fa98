/* test_loop.c: wake-ups, timers, signals, and reads with all that can go wrong with a file. */
#include "clock.h"
#include "loop.h"
#include "support.h"
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <time.h>

#define PIECES_BYTES (((size_t)40 << 20) + 123) /* several pieces, see PIECE_MAX in loop.c */

struct fixture {
    struct rs_run *run;
    struct rs_loop *loop;
    char folder[64];
    char path[96];
    int calls;
    int last_interrupt;
    int want; /* calls until quit */
    /* of the last read */
    int code;
    struct rs_error error;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    *state = f;
    if (!f)
        return 1;
    snprintf(f->folder, sizeof f->folder, "/tmp/rs_test_loop_XXXXXX");
    if (!mkdtemp(f->folder))
        return 1;
    snprintf(f->path, sizeof f->path, "%s/data", f->folder);
    return rs_run_create(&f->run, NULL) < 0 || rs_loop_create(&f->loop, f->run, NULL) < 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    rs_loop_destroy(f->loop);
    rs_run_destroy(f->run);
    unlink(f->path);
    rmdir(f->folder);
    free(f);
    return 0;
}

static void write_file(const char *path, const void *data, size_t size)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static void quit_when_enough(struct fixture *f)
{
    if (++f->calls >= f->want)
        rs_loop_quit(f->loop);
}

static void on_call(void *arg)
{
    quit_when_enough(arg);
}

static void on_read(struct rs_file_read *read, int code, const struct rs_error *error)
{
    struct fixture *f = read->arg;
    f->code = code;
    f->error = *error;
    quit_when_enough(f);
}

static void *wake_later(void *arg)
{
    struct fixture *f = arg;
    nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    rs_loop_notify(f->loop);
    return NULL;
}

static void test_wake_calls_watchers(void **state)
{
    struct fixture *f = *state;
    pthread_t thread;
    f->want = 2; /* two watchers, one wake-up */
    rs_loop_watch(f->loop, on_call, f);
    rs_loop_watch(f->loop, on_call, f);
    assert_int_equal(pthread_create(&thread, NULL, wake_later, f), 0);
    assert_int_equal(rs_loop_run(f->loop, NULL), 0);
    pthread_join(thread, NULL);
    assert_int_equal(f->calls, 2);
}

static void *cancel_later(void *arg)
{
    struct fixture *f = arg;
    nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    rs_run_cancel(f->run);
    return NULL;
}

static void test_stopped_run_wakes(void **state)
{
    struct fixture *f = *state;
    pthread_t thread;
    f->want = 1;
    rs_loop_watch(f->loop, on_call, f);
    assert_int_equal(pthread_create(&thread, NULL, cancel_later, f), 0);
    assert_int_equal(rs_loop_run(f->loop, NULL), 0);
    pthread_join(thread, NULL);
    assert_true(rs_run_stopped(f->run));
}

static void test_timer(void **state)
{
    struct fixture *f = *state;
    f->want = 3;
    uint64_t began = rs_now_ns();
    assert_int_equal(rs_loop_every(f->loop, 5, on_call, f, NULL), 0);
    assert_int_equal(rs_loop_run(f->loop, NULL), 0);
    assert_int_equal(f->calls, 3);
    assert_true(rs_now_ns() - began >= 13000000); /* libuv's clock has whole milliseconds */
}

static void on_interrupt(void *arg, int n)
{
    struct fixture *f = arg;
    assert_int_equal(n, f->last_interrupt + 1);
    f->last_interrupt = n;
    if (n == 1)
        kill(getpid(), SIGTERM);
    else
        rs_loop_quit(f->loop);
}

static void test_interrupts_are_counted(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(rs_loop_on_interrupt(f->loop, on_interrupt, f, NULL), 0);
    kill(getpid(), SIGINT);
    assert_int_equal(rs_loop_run(f->loop, NULL), 0);
    assert_int_equal(f->last_interrupt, 2);
}

/* Runs a read to its end; path, offset, length, data and to_end are set. */
static int run_read(struct fixture *f, struct rs_file_read read)
{
    read.done = on_read;
    read.arg = f;
    f->calls = 0;
    f->want = 1;
    rs_loop_read(f->loop, &read);
    assert_int_equal(f->calls, 0); /* never from within the call */
    assert_int_equal(rs_loop_reads(f->loop), 1);
    assert_int_equal(rs_loop_run(f->loop, NULL), 0);
    assert_int_equal(f->calls, 1);
    assert_int_equal(rs_loop_reads(f->loop), 0);
    return f->code;
}

static int read_one(struct fixture *f, const char *path, uint64_t offset, size_t length, void *data)
{
    return run_read(f, (struct rs_file_read){.path = path, .offset = offset, .length = length, .data = data});
}

static void test_read(void **state)
{
    struct fixture *f = *state;
    uint8_t bytes[1000], got[1000];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 7);
    write_file(f->path, bytes, sizeof bytes);
    assert_int_equal(read_one(f, f->path, 0, 1000, got), 0);
    assert_memory_equal(got, bytes, 1000);
    assert_int_equal(read_one(f, f->path, 990, 10, got), 0);
    assert_memory_equal(got, bytes + 990, 10);
    assert_int_equal(read_one(f, f->path, 1000, 0, got), 0);
}

static void test_read_in_pieces(void **state)
{
    struct fixture *f = *state;
    uint32_t *bytes = malloc(PIECES_BYTES + 4), *got = malloc(PIECES_BYTES + 4);
    for (size_t i = 0; i < PIECES_BYTES / 4 + 1; i++)
        bytes[i] = (uint32_t)i * 2654435761u;
    write_file(f->path, bytes, PIECES_BYTES);
    assert_int_equal(read_one(f, f->path, 0, PIECES_BYTES, got), 0);
    assert_memory_equal(got, bytes, PIECES_BYTES);
    free(bytes);
    free(got);
}

static void test_many_reads(void **state)
{
    struct fixture *f = *state;
    enum { READS = 500 };
    uint32_t numbers[READS], got[READS];
    static struct rs_file_read reads[READS];
    for (uint32_t i = 0; i < READS; i++)
        numbers[i] = i * 3;
    write_file(f->path, numbers, sizeof numbers);
    for (int round = 0; round < 3; round++) { /* the objects serve again */
        memset(got, 0, sizeof got);
        f->calls = 0;
        f->want = READS;
        for (uint32_t i = 0; i < READS; i++) {
            reads[i].path = f->path;
            reads[i].offset = (uint64_t)i * 4;
            reads[i].length = 4;
            reads[i].data = &got[i];
            reads[i].done = on_read;
            reads[i].arg = f;
            rs_loop_read(f->loop, &reads[i]);
        }
        assert_int_equal(rs_loop_run(f->loop, NULL), 0);
        assert_memory_equal(got, numbers, sizeof numbers);
    }
}

static void test_file_too_short(void **state)
{
    struct fixture *f = *state;
    char got[100], wanted[256];
    write_file(f->path, "0123456789", 10);
    assert_int_equal(read_one(f, f->path, 4, 100, got), RS_E_CORRUPT);
    snprintf(wanted, sizeof wanted, "%s: ends at byte 10, bytes 4 to 104", f->path);
    assert_non_null(strstr(f->error.message, wanted));
    assert_int_equal(f->error.code, RS_E_CORRUPT);
    assert_memory_equal(got, "456789", 6);
    assert_int_equal(read_one(f, f->path, 50, 1, got), RS_E_CORRUPT); /* begins beyond the end */
}

/* A read that goes to the file's end finds that the file has grown, and writes nothing behind its place. */
static void test_file_too_long(void **state)
{
    struct fixture *f = *state;
    char got[12], wanted[256];
    struct rs_file_read read = {.path = f->path, .offset = 4, .length = 6, .data = got, .to_end = true};
    memset(got, '-', sizeof got);
    write_file(f->path, "0123456789", 10);
    assert_int_equal(run_read(f, read), 0);
    assert_memory_equal(got, "456789------", 12);
    write_file(f->path, "0123456789ABC", 13);
    assert_int_equal(run_read(f, read), RS_E_CORRUPT);
    snprintf(wanted, sizeof wanted, "%s: has 13 bytes, 10 were expected", f->path);
    assert_non_null(strstr(f->error.message, wanted));
    assert_memory_equal(got, "456789------", 12);
    read.to_end = false;
    assert_int_equal(run_read(f, read), 0);
    write_file(f->path, "01234567", 8);
    read.to_end = true;
    assert_int_equal(run_read(f, read), RS_E_CORRUPT);
    assert_non_null(strstr(f->error.message, "ends at byte 8"));
}

static void test_file_missing(void **state)
{
    struct fixture *f = *state;
    char got[10];
    assert_int_equal(read_one(f, f->path, 3, 10, got), RS_E_NOT_FOUND);
    assert_non_null(strstr(f->error.message, f->path));
    assert_non_null(strstr(f->error.message, "at byte 3"));
}

static void test_not_a_file(void **state)
{
    struct fixture *f = *state;
    char got[10];
    assert_int_equal(read_one(f, f->folder, 0, 10, got), RS_E_IO);
    assert_non_null(strstr(f->error.message, f->folder));
    /* a named pipe that nobody writes must not hold the loop for ever */
    assert_int_equal(mkfifo(f->path, 0600), 0);
    assert_true(read_one(f, f->path, 0, 10, got) < 0);
}

static void test_no_permission(void **state)
{
    struct fixture *f = *state;
    write_file(f->path, "x", 1);
    assert_int_equal(chmod(f->path, 0), 0);
    /* root may read it all the same, so for this one read the process is somebody else */
    uid_t self = geteuid();
    char got[1];
    if (self == 0)
        assert_int_equal(seteuid(65534), 0);
    int code = read_one(f, f->path, 0, 1, got);
    if (self == 0)
        assert_int_equal(seteuid(self), 0);
    assert_int_equal(code, RS_E_PERMISSION);
    assert_non_null(strstr(f->error.message, f->path));
}

static void test_cancelled_run_ends_reads(void **state)
{
    struct fixture *f = *state;
    char got[4];
    write_file(f->path, "abcd", 4);
    rs_run_cancel(f->run);
    assert_int_equal(read_one(f, f->path, 0, 4, got), RS_E_CANCELLED);
}

/* Quit waits for what is in flight, and so does destroy without any run. */
static void test_reads_end_before_leaving(void **state)
{
    struct fixture *f = *state;
    enum { READS = 40 };
    char got[READS];
    static struct rs_file_read reads[2][READS];
    write_file(f->path, "z", 1);
    f->want = 1000;
    for (int way = 0; way < 2; way++) {
        for (int i = 0; i < READS; i++) {
            reads[way][i] = (struct rs_file_read){
                .path = f->path, .length = 1, .data = &got[i], .done = on_read, .arg = f};
            rs_loop_read(f->loop, &reads[way][i]);
        }
        if (way == 0) {
            rs_loop_quit(f->loop);
            assert_int_equal(rs_loop_run(f->loop, NULL), 0);
        } else {
            rs_loop_destroy(f->loop);
            f->loop = NULL;
        }
        assert_int_equal(f->calls, READS * (way + 1));
    }
}

int main(void)
{
#define LOOP_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        LOOP_TEST(test_wake_calls_watchers),
        LOOP_TEST(test_stopped_run_wakes),
        LOOP_TEST(test_timer),
        LOOP_TEST(test_interrupts_are_counted),
        LOOP_TEST(test_read),
        LOOP_TEST(test_read_in_pieces),
        LOOP_TEST(test_many_reads),
        LOOP_TEST(test_file_too_short),
        LOOP_TEST(test_file_too_long),
        LOOP_TEST(test_file_missing),
        LOOP_TEST(test_not_a_file),
        LOOP_TEST(test_no_permission),
        LOOP_TEST(test_cancelled_run_ends_reads),
        LOOP_TEST(test_reads_end_before_leaving),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
