/* loop.c: see loop.h.
 *
 * A read goes open, read until the length is there, close, each a uv_fs request whose callback starts the
 * next. One request object serves all three in turn. What fails keeps its first error and closes.
 */
#include "loop.h"
#include "alloc.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#define WATCHERS_MAX 8
/* A read is done in pieces of at most this size: a stopped run waits for one piece, not for a whole file. */
#define PIECE_MAX ((size_t)16 << 20)
/* Reads between open and close. libuv's queue is first in, first out, so without a bound all opens would come
 * before the first read, and a process may have 1024 descriptors or fewer. */
#define STARTED_MAX 64u

struct watcher {
    void (*fn)(void *arg);
    void *arg;
};

struct rs_loop {
    /* set once */
    struct rs_run *run;

    /* owned by the loop's thread; uv_async_send on async is for any thread */
    uv_loop_t uv;
    uv_async_t async;
    uv_timer_t timer;
    uv_signal_t signals[2];
    struct watcher watchers[WATCHERS_MAX];
    int watcher_count;
    void (*on_interrupt)(void *arg, int n);
    void *interrupt_arg;
    int interrupts;
    void (*on_timer)(void *arg);
    void *timer_arg;
    struct rs_file_read *failed;                 /* reads that could not even be queued; done is due */
    struct rs_file_read *waiting, *last_waiting; /* not opened yet, first in first out */
    uint32_t reads;                              /* started and waiting */
    uint32_t started;                            /* of reads: at most STARTED_MAX, so are their descriptors */
    bool quit;
    bool closing;
};

/* libuv's codes are negated errno values on every system that we build for. */
static int uv_error(struct rs_error *err, int code, const char *what)
{
    return rs_error_set_errno(err, -code, "the event loop: %s", what);
}

static void start_read(struct rs_file_read *read);

/* Reads that wait take the places of those that ended; in a stopped run they end at once. */
static void start_waiting(struct rs_loop *loop)
{
    while (loop->waiting && loop->started < STARTED_MAX) {
        struct rs_file_read *read = loop->waiting;
        loop->waiting = read->next;
        if (!rs_run_stopped(loop->run) && !loop->closing) {
            start_read(read);
            continue;
        }
        loop->reads--;
        rs_error_set(&read->error, RS_E_CANCELLED, "%s: reading was cancelled", read->path);
        read->done(read, RS_E_CANCELLED, &read->error);
    }
}

static void finish_read(struct rs_file_read *read)
{
    struct rs_loop *loop = read->loop;
    loop->reads--;
    loop->started--;
    read->done(read, read->code, &read->error); /* the read is its owner's again */
    start_waiting(loop);
}

/* Calls done for what could not be queued. A done may start reads that fail again: these wait for the next
 * wake-up. */
static void finish_failed(struct rs_loop *loop)
{
    struct rs_file_read *list = loop->failed;
    loop->failed = NULL;
    while (list) {
        struct rs_file_read *read = list;
        list = read->next;
        finish_read(read);
    }
}

static void on_async(uv_async_t *async)
{
    struct rs_loop *loop = async->data;
    finish_failed(loop);
    if (loop->closing)
        return;
    for (int i = 0; i < loop->watcher_count; i++)
        loop->watchers[i].fn(loop->watchers[i].arg);
}

int rs_loop_create(struct rs_loop **out, struct rs_run *run, struct rs_error *err)
{
    struct rs_loop *loop = rs_calloc(1, sizeof *loop);
    if (!loop)
        return rs_error_set(err, RS_E_NOMEM, "no memory for the event loop");
    loop->run = run;
    int code = uv_loop_init(&loop->uv);
    if (code < 0)
        goto fail_init;
    code = uv_async_init(&loop->uv, &loop->async, on_async);
    if (code < 0)
        goto fail_async;
    loop->async.data = loop;
    rs_run_add_waker(run, rs_loop_notify, loop);
    *out = loop;
    return 0;

fail_async:
    uv_loop_close(&loop->uv);
fail_init:
    rs_free(loop);
    return uv_error(err, code, "can't be created");
}

static void close_handle(uv_handle_t *handle, void *arg)
{
    (void)arg;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

void rs_loop_destroy(struct rs_loop *loop)
{
    if (!loop)
        return;
    rs_run_remove_waker(loop->run, rs_loop_notify, loop);
    loop->closing = true;
    while (loop->reads)
        uv_run(&loop->uv, UV_RUN_ONCE);
    uv_walk(&loop->uv, close_handle, NULL);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    RS_ASSERT(uv_loop_close(&loop->uv) == 0);
    rs_free(loop);
}

int rs_loop_run(struct rs_loop *loop, struct rs_error *err)
{
    (void)err;
    /* the async handle keeps the loop alive, so each round waits for something to do */
    while (!loop->quit || loop->reads)
        uv_run(&loop->uv, UV_RUN_ONCE);
    loop->quit = false;
    return 0;
}

void rs_loop_quit(struct rs_loop *loop)
{
    loop->quit = true;
}

void rs_loop_wake(struct rs_loop *loop)
{
    uv_async_send(&loop->async);
}

void rs_loop_notify(void *loop)
{
    rs_loop_wake(loop);
}

void rs_loop_watch(struct rs_loop *loop, void (*fn)(void *arg), void *arg)
{
    RS_ASSERT(loop->watcher_count < WATCHERS_MAX);
    loop->watchers[loop->watcher_count++] = (struct watcher){fn, arg};
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct rs_loop *loop = handle->data;
    (void)number;
    loop->on_interrupt(loop->interrupt_arg, ++loop->interrupts);
}

int rs_loop_on_interrupt(struct rs_loop *loop, void (*fn)(void *arg, int n), void *arg, struct rs_error *err)
{
    static const int numbers[2] = {SIGINT, SIGTERM};
    RS_ASSERT(!loop->on_interrupt);
    loop->on_interrupt = fn;
    loop->interrupt_arg = arg;
    for (int i = 0; i < 2; i++) {
        uv_signal_t *handle = &loop->signals[i];
        int code = uv_signal_init(&loop->uv, handle);
        if (code < 0)
            return uv_error(err, code, "signals can't be caught");
        handle->data = loop;
        code = uv_signal_start(handle, on_signal, numbers[i]);
        if (code < 0)
            return uv_error(err, code, "signals can't be caught");
    }
    return 0;
}

static void on_tick(uv_timer_t *timer)
{
    struct rs_loop *loop = timer->data;
    loop->on_timer(loop->timer_arg);
}

int rs_loop_every(struct rs_loop *loop, uint64_t period_ms, void (*fn)(void *arg), void *arg,
                  struct rs_error *err)
{
    RS_ASSERT(!loop->on_timer && period_ms > 0);
    loop->on_timer = fn;
    loop->timer_arg = arg;
    int code = uv_timer_init(&loop->uv, &loop->timer);
    if (code < 0)
        return uv_error(err, code, "no timer");
    loop->timer.data = loop;
    code = uv_timer_start(&loop->timer, on_tick, period_ms, period_ms);
    return code < 0 ? uv_error(err, code, "no timer") : 0;
}

/* The first failure is kept. */
static void set_read_error(struct rs_file_read *read, int uv_code, const char *what)
{
    unsigned long long at = read->offset + read->got;
    if (!read->code)
        read->code =
            rs_error_set_errno(&read->error, -uv_code, "%s: can't %s at byte %llu", read->path, what, at);
}

static void finish_later(struct rs_file_read *read)
{
    struct rs_loop *loop = read->loop;
    read->next = loop->failed;
    loop->failed = read;
    uv_async_send(&loop->async);
}

static void on_closed(uv_fs_t *request)
{
    struct rs_file_read *read = request->data;
    /* nothing was written, so a failing close loses nothing */
    uv_fs_req_cleanup(request);
    finish_read(read);
}

static void close_file(struct rs_file_read *read)
{
    read->request.data = read;
    if (uv_fs_close(&read->loop->uv, &read->request, read->file, on_closed) < 0)
        finish_later(read);
}

static void read_piece(struct rs_file_read *read);

static void set_short_error(struct rs_file_read *read)
{
    unsigned long long first = read->offset, end = first + read->got, last = first + read->length;
    read->code =
        rs_error_set(&read->error, RS_E_CORRUPT,
                     "%s: ends at byte %llu, bytes %llu to %llu were expected; the file has become shorter, "
                     "or was indexed as another",
                     read->path, end, first, last);
}

static void set_grown_error(struct rs_file_read *read)
{
    unsigned long long end = read->offset + read->length, size = end + 1;
    struct stat info;
    if (fstat(read->file, &info) == 0)
        size = (unsigned long long)info.st_size;
    read->code = rs_error_set(&read->error, RS_E_CORRUPT,
                              "%s: has %llu bytes, %llu were expected; the file has become longer, or was "
                              "indexed as another",
                              read->path, size, end);
}

static void on_piece(uv_fs_t *request)
{
    struct rs_file_read *read = request->data;
    ssize_t n = request->result;
    uv_fs_req_cleanup(request);
    if (n > 0 && (size_t)n > read->length - read->got)
        set_grown_error(read);
    else if (n > 0)
        read->got += (size_t)n;
    else if (n == 0)
        set_short_error(read);
    else if (n != UV_EINTR) /* a signal that came first means: the same piece again */
        set_read_error(read, (int)n, "read");
    read_piece(read);
}

/* Reads on, or closes when all is there, something failed, or nobody wants the rest. */
static void read_piece(struct rs_file_read *read)
{
    size_t left = read->length - read->got;
    if (left && !read->code && (rs_run_stopped(read->loop->run) || read->loop->closing))
        read->code = rs_error_set(&read->error, RS_E_CANCELLED, "%s: reading was cancelled", read->path);
    if (!left || read->code) {
        close_file(read);
        return;
    }
    /* libuv copies the description of the buffers; asking for one byte more costs nothing, looking at the
     * size would cost a turn of libuv's pool */
    uv_buf_t pieces[2] = {
        uv_buf_init((char *)read->data + read->got, (unsigned)(left < PIECE_MAX ? left : PIECE_MAX)),
        uv_buf_init(&read->beyond, 1)};
    unsigned count = read->to_end && left <= PIECE_MAX ? 2 : 1;
    read->request.data = read;
    int code = uv_fs_read(&read->loop->uv, &read->request, read->file, pieces, count,
                          (int64_t)(read->offset + read->got), on_piece);
    if (code < 0) {
        set_read_error(read, code, "read");
        close_file(read);
    }
}

static void on_opened(uv_fs_t *request)
{
    struct rs_file_read *read = request->data;
    ssize_t result = request->result;
    uv_fs_req_cleanup(request);
    if (result < 0) {
        read->code =
            rs_error_set_errno(&read->error, (int)-result, "%s: can't open it to read %zu bytes at byte %llu",
                               read->path, read->length, (unsigned long long)read->offset);
        finish_read(read);
        return;
    }
    read->file = (int)result;
    read_piece(read);
}

void rs_loop_read(struct rs_loop *loop, struct rs_file_read *read)
{
    read->loop = loop;
    read->file = -1;
    read->got = 0;
    read->code = 0;
    read->error = (struct rs_error){0};
    read->next = NULL;
    loop->reads++;
    /* from within a done there may be room, and reads that came before */
    if (loop->started < STARTED_MAX && !loop->waiting) {
        start_read(read);
        return;
    }
    if (loop->waiting)
        loop->last_waiting->next = read;
    else
        loop->waiting = read;
    loop->last_waiting = read;
}

static void start_read(struct rs_file_read *read)
{
    struct rs_loop *loop = read->loop;
    read->request.data = read;
    loop->started++;
    /* O_NONBLOCK: a named pipe in place of a file would hold a thread of libuv's pool for ever */
    int code = uv_fs_open(&loop->uv, &read->request, read->path, O_RDONLY | O_NONBLOCK, 0, on_opened);
    if (code < 0) {
        set_read_error(read, code, "open it to read");
        finish_later(read);
    }
}

uint32_t rs_loop_reads(const struct rs_loop *loop)
{
    return loop->reads;
}
