/* test_loop_reads.c: file reads at libuv's border: pieces, order, how many are open, and everything that can
 * fail.
 *
 * The linker hands over the calls of uv_fs_open, uv_fs_read and uv_fs_close (--wrap), so the test sees each,
 * can make it fail, give less than it was asked for or be interrupted, and can stop the run between two
 * pieces.
 */
#include "loop.h"
#include "support.h"
#include <fcntl.h>

#define PIECE ((size_t)16 << 20) /* PIECE_MAX in loop.c */
#define OPEN_MAX 64
#define READS 300
#define CALLS_MAX 16

struct fixture {
    struct rs_run *run;
    struct rs_loop *loop;
    char path[64];
    uint8_t *bytes, *got; /* the file's, and what was read */
    struct rs_file_read reads[READS];
    int done[READS], codes[READS]; /* calls, and the last one's code */
    struct rs_error error;
    int started, finished; /* of reads */
    int more;              /* reads that are started by the first ones' done */
    int cancel_after;      /* done calls; 0: never */
};

/* What libuv was asked, and what it is to answer; the loop's thread alone has to do with it. */
static struct {
    struct fixture *f;
    int open_order[READS], opens, closes, open_now, open_most;
    int reads;
    size_t sizes[CALLS_MAX];
    int64_t offsets[CALLS_MAX];
    uv_fs_cb on_read;
    /* the so-many-th call, from 1, answers with an error; 0: none */
    int fail_open, fail_read, fail_close, error;
    int break_read;     /* its result is error instead */
    int cancel_at_read; /* before it the run is cancelled */
    size_t short_read;  /* gives so much at most; 0: what there is */
} uv;

int __real_uv_fs_open(uv_loop_t *loop, uv_fs_t *request, const char *path, int flags, int mode, uv_fs_cb cb);
int __wrap_uv_fs_open(uv_loop_t *loop, uv_fs_t *request, const char *path, int flags, int mode, uv_fs_cb cb);
int __real_uv_fs_read(uv_loop_t *loop, uv_fs_t *request, uv_file file, const uv_buf_t bufs[], unsigned count,
                      int64_t offset, uv_fs_cb cb);
int __wrap_uv_fs_read(uv_loop_t *loop, uv_fs_t *request, uv_file file, const uv_buf_t bufs[], unsigned count,
                      int64_t offset, uv_fs_cb cb);
int __real_uv_fs_close(uv_loop_t *loop, uv_fs_t *request, uv_file file, uv_fs_cb cb);
int __wrap_uv_fs_close(uv_loop_t *loop, uv_fs_t *request, uv_file file, uv_fs_cb cb);

int __wrap_uv_fs_open(uv_loop_t *loop, uv_fs_t *request, const char *path, int flags, int mode, uv_fs_cb cb)
{
    const struct rs_file_read *read = request->data;
    uv.open_order[uv.opens++] = (int)(read - uv.f->reads);
    if (uv.opens == uv.fail_open)
        return uv.error;
    uv.open_now++;
    uv.open_most = uv.open_now > uv.open_most ? uv.open_now : uv.open_most;
    return __real_uv_fs_open(loop, request, path, flags, mode, cb);
}

static void broken_read(uv_fs_t *request)
{
    request->result = uv.error;
    uv.on_read(request);
}

int __wrap_uv_fs_read(uv_loop_t *loop, uv_fs_t *request, uv_file file, const uv_buf_t bufs[], unsigned count,
                      int64_t offset, uv_fs_cb cb)
{
    uv_buf_t buf = bufs[0];
    assert_int_equal(count, 1);
    if (uv.reads < CALLS_MAX) {
        uv.sizes[uv.reads] = buf.len;
        uv.offsets[uv.reads] = offset;
    }
    uv.reads++;
    if (uv.reads == uv.fail_read)
        return uv.error;
    if (uv.reads == uv.cancel_at_read)
        rs_run_cancel(uv.f->run);
    if (uv.short_read && buf.len > uv.short_read)
        buf.len = uv.short_read;
    uv.on_read = cb;
    return __real_uv_fs_read(loop, request, file, &buf, 1, offset,
                             uv.reads == uv.break_read ? broken_read : cb);
}

int __wrap_uv_fs_close(uv_loop_t *loop, uv_fs_t *request, uv_file file, uv_fs_cb cb)
{
    uv.closes++;
    uv.open_now--;
    if (uv.closes == uv.fail_close)
        return uv.error;
    return __real_uv_fs_close(loop, request, file, cb);
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    *state = f;
    memset(&uv, 0, sizeof uv);
    uv.f = f;
    if (!f)
        return 1;
    snprintf(f->path, sizeof f->path, "/tmp/rs_test_loop_reads_XXXXXX");
    int file = mkstemp(f->path);
    if (file < 0)
        return 1;
    close(file);
    return rs_run_create(&f->run, NULL) < 0 || rs_loop_create(&f->loop, f->run, NULL) < 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    rs_loop_destroy(f->loop);
    rs_run_destroy(f->run);
    unlink(f->path);
    free(f->bytes);
    free(f->got);
    free(f);
    return 0;
}

static void make_file(struct fixture *f, size_t size)
{
    FILE *file = fopen(f->path, "wb");
    f->bytes = malloc(size);
    f->got = malloc(size);
    assert_true(file && f->bytes && f->got);
    for (size_t i = 0; i < size; i++)
        f->bytes[i] = (uint8_t)(i * 167 + (i >> 8) * 13 + (i >> 16));
    assert_int_equal(fwrite(f->bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static void start(struct fixture *f, uint64_t offset, size_t length, void *data);

static void on_done(struct rs_file_read *read, int code, const struct rs_error *error)
{
    struct fixture *f = read->arg;
    int number = (int)(read - f->reads);
    f->done[number]++;
    f->codes[number] = code;
    f->error = *error;
    assert_int_equal(error->code, code);
    f->finished++;
    if (f->finished == f->cancel_after)
        rs_run_cancel(f->run);
    if (f->more > 0) {
        f->more--;
        start(f, 0, 1, f->got + f->started);
    }
    if (f->finished == f->started)
        rs_loop_quit(f->loop);
}

static void start(struct fixture *f, uint64_t offset, size_t length, void *data)
{
    struct rs_file_read *read = &f->reads[f->started++];
    *read = (struct rs_file_read){
        .path = f->path, .offset = offset, .length = length, .data = data, .done = on_done, .arg = f};
    int finished = f->finished;
    rs_loop_read(f->loop, read);
    assert_int_equal(f->finished, finished); /* never from within the call */
}

/* Until all that was started has ended, each once. */
static void finish(struct fixture *f)
{
    assert_int_equal(rs_loop_run(f->loop, NULL), 0);
    assert_int_equal(f->finished, f->started);
    assert_int_equal(rs_loop_reads(f->loop), 0);
    for (int i = 0; i < f->started; i++)
        assert_int_equal(f->done[i], 1);
}

/* One read alone, with libuv's calls counted from 0. */
static int read_alone(struct fixture *f, uint64_t offset, size_t length)
{
    uv.reads = uv.opens = uv.closes = 0;
    f->started = f->finished = 0;
    memset(f->done, 0, sizeof f->done);
    memset(f->got, 0xee, length);
    start(f, offset, length, f->got);
    finish(f);
    return f->codes[0];
}

static void test_pieces(void **state)
{
    struct fixture *f = *state;
    static const size_t lengths[] = {0, 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 2 * PIECE + 1};
    static const uint64_t offsets[] = {0, 4097};
    make_file(f, 2 * PIECE + 8192);
    for (size_t k = 0; k < sizeof lengths / sizeof lengths[0]; k++) {
        for (size_t o = 0; o < 2; o++) {
            size_t length = lengths[k];
            assert_int_equal(read_alone(f, offsets[o], length), 0);
            assert_memory_equal(f->got, f->bytes + offsets[o], length);
            assert_int_equal(uv.reads, (length + PIECE - 1) / PIECE);
            for (int i = 0; i < uv.reads; i++) {
                size_t at = (size_t)i * PIECE, left = length - at;
                assert_int_equal(uv.sizes[i], left < PIECE ? left : PIECE);
                assert_int_equal(uv.offsets[i], offsets[o] + at);
            }
            assert_int_equal(uv.closes, 1);
        }
    }
}

/* The system may give less than it was asked for. */
static void test_short_answers(void **state)
{
    struct fixture *f = *state;
    make_file(f, 10000);
    uv.short_read = 999;
    assert_int_equal(read_alone(f, 5, 9000), 0);
    assert_memory_equal(f->got, f->bytes + 5, 9000);
    assert_int_equal(uv.reads, 10);
    assert_int_equal(uv.offsets[9], 5 + 9 * 999);
}

/* A signal came before any byte: the same piece again. */
static void test_interrupted_piece(void **state)
{
    struct fixture *f = *state;
    make_file(f, 10000);
    uv.short_read = 4000;
    uv.break_read = 2;
    uv.error = UV_EINTR;
    assert_int_equal(read_alone(f, 0, 10000), 0);
    assert_memory_equal(f->got, f->bytes, 10000);
    assert_int_equal(uv.reads, 4);
    assert_int_equal(uv.offsets[1], uv.offsets[2]);
}

static void expect_error(struct fixture *f, int code, const char *words)
{
    assert_int_equal(f->codes[0], code);
    assert_int_equal(f->error.code, code);
    assert_non_null(strstr(f->error.message, f->path));
    if (!strstr(f->error.message, words))
        fail_msg("'%s' has no '%s'", f->error.message, words);
}

static void test_failures(void **state)
{
    struct fixture *f = *state;
    make_file(f, 10000);
    uv.short_read = 3000;
    uv.error = UV_ENOMEM;
    uv.fail_open = 1; /* libuv refuses the request */
    read_alone(f, 7, 9000);
    expect_error(f, RS_E_NOMEM, "open it to read at byte 7");
    assert_int_equal(uv.closes, 0);
    uv.fail_open = 0;
    uv.fail_read = 2;
    read_alone(f, 7, 9000);
    expect_error(f, RS_E_NOMEM, "read at byte 3007");
    assert_int_equal(uv.closes, 1);
    uv.fail_read = 0;
    uv.error = UV_EIO;
    uv.break_read = 3; /* the disk refuses */
    read_alone(f, 7, 9000);
    expect_error(f, RS_E_IO, "read at byte 6007");
    assert_int_equal(uv.reads, 3);
    assert_int_equal(uv.closes, 1);
    uv.break_read = 0;
    uv.fail_close = 1; /* nothing was written, so nothing is lost */
    assert_int_equal(read_alone(f, 7, 9000), 0);
    assert_memory_equal(f->got, f->bytes + 7, 9000);
    uv.break_read = 1; /* the first error is kept */
    read_alone(f, 7, 9000);
    expect_error(f, RS_E_IO, "read at byte 7");
}

static void test_stop_between_pieces(void **state)
{
    struct fixture *f = *state;
    make_file(f, 10000);
    uv.short_read = 3000;
    uv.cancel_at_read = 2;
    read_alone(f, 0, 10000);
    expect_error(f, RS_E_CANCELLED, "cancelled");
    assert_int_equal(uv.reads, 2);
    assert_int_equal(uv.closes, 1);
    assert_memory_equal(f->got, f->bytes, 6000);
}

/* What is complete when the run stops is given as it is. */
static void test_stop_at_the_last_piece(void **state)
{
    struct fixture *f = *state;
    make_file(f, 100);
    uv.cancel_at_read = 1;
    assert_int_equal(read_alone(f, 0, 100), 0);
    assert_memory_equal(f->got, f->bytes, 100);
}

static void test_few_are_open_in_order(void **state)
{
    struct fixture *f = *state;
    make_file(f, READS);
    for (int i = 0; i < READS; i++)
        start(f, (uint64_t)i, 1, f->got + i);
    assert_int_equal(rs_loop_reads(f->loop), READS);
    assert_int_equal(uv.opens, OPEN_MAX);
    finish(f);
    assert_memory_equal(f->got, f->bytes, READS);
    assert_int_equal(uv.open_most, OPEN_MAX);
    assert_int_equal(uv.closes, READS);
    for (int i = 0; i < READS; i++)
        assert_int_equal(uv.open_order[i], i);
}

/* A read that a done starts waits behind those that were there before. */
static void test_order_of_reads_from_done(void **state)
{
    struct fixture *f = *state;
    make_file(f, READS);
    f->more = 100;
    for (int i = 0; i < OPEN_MAX + 50; i++)
        start(f, 0, 1, f->got + f->started);
    finish(f);
    assert_int_equal(f->started, OPEN_MAX + 150);
    assert_int_equal(uv.open_most, OPEN_MAX);
    for (int i = 0; i < f->started; i++)
        assert_int_equal(uv.open_order[i], i);
}

/* What waits when the run stops is never opened. */
static void test_stop_with_reads_waiting(void **state)
{
    struct fixture *f = *state;
    make_file(f, READS);
    f->cancel_after = 10;
    for (int i = 0; i < READS; i++)
        start(f, 0, 1, f->got + f->started);
    finish(f);
    assert_in_range(uv.opens, OPEN_MAX, OPEN_MAX + 10);
    assert_int_equal(uv.closes, uv.opens);
    for (int i = 0; i < 10; i++)
        assert_int_equal(f->codes[uv.open_order[i]], 0);
    for (int i = OPEN_MAX + 10; i < READS; i++)
        assert_int_equal(f->codes[i], RS_E_CANCELLED);
}

static void quit_on_call(void *arg)
{
    struct fixture *f = arg;
    f->finished++;
    rs_loop_quit(f->loop);
}

/* A quit ends one run, also one that begins later. */
static void test_quit_before_run(void **state)
{
    struct fixture *f = *state;
    rs_loop_quit(f->loop);
    assert_int_equal(rs_loop_run(f->loop, NULL), 0);
    assert_int_equal(f->finished, 0);
    assert_int_equal(rs_loop_every(f->loop, 1, quit_on_call, f, NULL), 0);
    assert_int_equal(rs_loop_run(f->loop, NULL), 0);
    assert_true(f->finished > 0);
}

static void count_up(void *arg)
{
    ++*(int *)arg;
}

static void test_every_watcher_is_called(void **state)
{
    struct fixture *f = *state;
    int calls[7] = {0};
    for (int i = 0; i < 7; i++)
        rs_loop_watch(f->loop, count_up, &calls[i]);
    rs_loop_watch(f->loop, quit_on_call, f); /* the eighth */
    for (int i = 0; i < 5; i++)
        rs_loop_wake(f->loop);
    assert_int_equal(rs_loop_run(f->loop, NULL), 0);
    for (int i = 0; i < 7; i++)
        assert_int_equal(calls[i], 1); /* five wake-ups before the loop looks are one */
}

static void watch_too_many(void)
{
    struct rs_run *run;
    struct rs_loop *loop;
    static int calls;
    if (rs_run_create(&run, NULL) < 0 || rs_loop_create(&loop, run, NULL) < 0)
        return;
    for (int i = 0; i < 9; i++)
        rs_loop_watch(loop, count_up, &calls);
}

static void test_nine_watchers_are_a_mistake(void **state)
{
    (void)state;
    static const char *const words[] = {"loop.c", NULL};
    assert_true(aborts_saying(watch_too_many, words));
}

int main(void)
{
#define LOOP_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        LOOP_TEST(test_pieces),
        LOOP_TEST(test_short_answers),
        LOOP_TEST(test_interrupted_piece),
        LOOP_TEST(test_failures),
        LOOP_TEST(test_stop_between_pieces),
        LOOP_TEST(test_stop_at_the_last_piece),
        LOOP_TEST(test_few_are_open_in_order),
        LOOP_TEST(test_order_of_reads_from_done),
        LOOP_TEST(test_stop_with_reads_waiting),
        LOOP_TEST(test_quit_before_run),
        LOOP_TEST(test_every_watcher_is_called),
        cmocka_unit_test(test_nine_watchers_are_a_mistake),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
