/* loop.h: the event loop of a run, on one thread: wake-ups from other threads, signals, timers, file reads.
 *
 * How it works: a thin skin over libuv. Wake-ups coalesce, so a watcher's callback must drain its channel.
 * Reads are uv_fs_ requests, up to 64 files open at a time and the rest queued; a read is open, read until
 * the length is there, close, as one request object that the caller owns and may use again, so steady state
 * allocates nothing of ours.
 *
 * Owner: the creator; everything here but rs_loop_wake runs on the loop's thread. @thread loop, but where
 * said.
 */
#ifndef RS_LOOP_H
#define RS_LOOP_H

#include "run.h"
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct rs_loop;

/* Adds a waker to the run, so that a stopped run wakes the loop. */
int rs_loop_create(struct rs_loop **out, struct rs_run *run, struct rs_error *err);
/* Closes what is open, waits for reads in flight. */
void rs_loop_destroy(struct rs_loop *loop);
/* Runs until rs_loop_quit (also one before it); returns 0 when reads in flight have ended. */
int rs_loop_run(struct rs_loop *loop, struct rs_error *err);
void rs_loop_quit(struct rs_loop *loop);
/* Has the loop call every watcher soon. @thread any */
void rs_loop_wake(struct rs_loop *loop);
/* For rs_channel_listen and rs_pool_listen: arg is the loop. @thread any */
void rs_loop_notify(void *loop);

/* fn(arg) is called after every wake-up; at most 8. */
void rs_loop_watch(struct rs_loop *loop, void (*fn)(void *arg), void *arg);
/* fn(arg, n) at SIGINT and SIGTERM, n counting from 1. */
int rs_loop_on_interrupt(struct rs_loop *loop, void (*fn)(void *arg, int n), void *arg, struct rs_error *err);
/* fn(arg) every period_ms; one timer. */
int rs_loop_every(struct rs_loop *loop, uint64_t period_ms, void (*fn)(void *arg), void *arg,
                  struct rs_error *err);

/* One read of [offset, offset+length) of a file into memory of the caller. */
struct rs_file_read {
    /* set by the caller, kept until done is called */
    const char *path;
    uint64_t offset;
    size_t length;
    void *data; /* at least length bytes */
    /* called once, on the loop; code is 0 or an error with file and offset in error->message
     * (RS_E_CORRUPT when the file is shorter than it was, or longer and to_end) */
    void (*done)(struct rs_file_read *read, int code, const struct rs_error *error);
    void *arg;
    bool to_end; /* the file ends there, too: one that has become longer is an error */
    /* owned by the loop while in flight */
    char beyond; /* the byte after the end, which isn't there */
    int file;
    int code;
    struct rs_error error;
    struct rs_loop *loop;
    struct rs_file_read *next;
    uv_fs_t request;
    size_t got;
};
/* Starts it; failures come through done, never from within this call. Once the run is stopped, or the loop
 * being destroyed, what is not read yet ends with RS_E_CANCELLED. */
void rs_loop_read(struct rs_loop *loop, struct rs_file_read *read);
/* Reads in flight. */
uint32_t rs_loop_reads(const struct rs_loop *loop);

#endif
