/* run.c: see run.h.
 *
 * Stopping is rare and may be slow, so one mutex orders it all. Only "is it stopped?" is asked on hot paths,
 * and that is one atomic load.
 */
#include "run.h"
#include "alloc.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#define WAKERS_MAX 32

struct waker {
    void (*wake)(void *arg);
    void *arg;
};

struct rs_run {
    /* Shared. The store (release, in stop) pairs with the loads (acquire) in rs_run_stopped and rs_run_error:
     * who sees true sees the error as well, which doesn't change any more. */
    atomic_bool stopped;
    struct rs_error error;

    /* shared, protected by mutex; also keeps a waker alive while it is called */
    pthread_mutex_t mutex;
    struct waker wakers[WAKERS_MAX];
    int waker_count;
};

int rs_run_create(struct rs_run **out, struct rs_error *err)
{
    struct rs_run *run = rs_calloc(1, sizeof *run);
    if (!run)
        return rs_error_set(err, RS_E_NOMEM, "no memory for a run");
    atomic_init(&run->stopped, false);
    pthread_mutex_init(&run->mutex, NULL);
    *out = run;
    return 0;
}

void rs_run_destroy(struct rs_run *run)
{
    if (!run)
        return;
    pthread_mutex_destroy(&run->mutex);
    rs_free(run);
}

void rs_run_add_waker(struct rs_run *run, void (*wake)(void *arg), void *arg)
{
    pthread_mutex_lock(&run->mutex);
    RS_ASSERT(run->waker_count < WAKERS_MAX);
    run->wakers[run->waker_count++] = (struct waker){wake, arg};
    pthread_mutex_unlock(&run->mutex);
}

void rs_run_remove_waker(struct rs_run *run, void (*wake)(void *arg), void *arg)
{
    pthread_mutex_lock(&run->mutex);
    for (int i = 0; i < run->waker_count; i++) {
        if (run->wakers[i].wake == wake && run->wakers[i].arg == arg) {
            run->wakers[i] = run->wakers[--run->waker_count];
            break;
        }
    }
    pthread_mutex_unlock(&run->mutex);
}

/* The first caller stops the run, with error stage and cause where cause is given. */
static void stop(struct rs_run *run, const char *stage, const struct rs_error *cause)
{
    pthread_mutex_lock(&run->mutex);
    if (!atomic_load_explicit(&run->stopped, memory_order_relaxed)) {
        if (cause)
            rs_error_set(&run->error, cause->code, "%s: %s", stage, cause->message);
        atomic_store_explicit(&run->stopped, true, memory_order_release);
        for (int i = 0; i < run->waker_count; i++)
            run->wakers[i].wake(run->wakers[i].arg);
    }
    pthread_mutex_unlock(&run->mutex);
}

int rs_run_fail(struct rs_run *run, const char *stage, const struct rs_error *cause)
{
    RS_ASSERT(cause->code < 0);
    stop(run, stage, cause);
    return cause->code;
}

void rs_run_cancel(struct rs_run *run)
{
    stop(run, NULL, NULL);
}

bool rs_run_stopped(const struct rs_run *run)
{
    return atomic_load_explicit(&run->stopped, memory_order_acquire);
}

int rs_run_error(const struct rs_run *run, struct rs_error *err)
{
    if (!rs_run_stopped(run) || !run->error.code)
        return 0;
    if (err)
        *err = run->error;
    return run->error.code;
}
