/* consumer.c: one loop of poll, take, handle; the only sleep is between two looks at a busy device. */
#include "consumer.h"

#include "alloc.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

/* Between two looks at a device that is at work; a step on one takes milliseconds. */
#define POLL_NS 20000

struct rs_consumer {
    struct rs_consumer_options o;
    pthread_t thread;
    bool started;
    /* the thread's own */
    struct rs_lane *lane;
    uint32_t wait_name, ready_name; /* of a span and a counter */

    atomic_bool done; /* release by the thread after finish; acquire by the loop's watcher */
};

/* What the thread holds between two rounds. */
struct offer {
    bool held;
    uint32_t index; /* or RS_TOKEN_END */
    uint64_t waited_ns;
};

/* Blocks only when nothing is under way; else RS_AGAIN when there is nothing to take. */
static int next_offer(struct rs_consumer *c, bool busy, struct offer *offer)
{
    offer->waited_ns = 0;
    rs_lane_counter(c->lane, c->ready_name, rs_channel_length(c->o.ready));
    int code = rs_channel_try_pop(c->o.ready, &offer->index);
    if (code == RS_AGAIN && !busy) {
        rs_lane_begin(c->lane, c->wait_name, 0);
        code = rs_channel_pop(c->o.ready, &offer->index, &offer->waited_ns);
        rs_lane_end(c->lane);
    }
    offer->held = code == 0;
    return code;
}

/* One round: work under way moves on, a slot is taken or offered again. RS_END when all is done, RS_AGAIN
 * when nothing moved. */
static int round_of(struct rs_consumer *c, struct offer *offer, struct rs_error *err)
{
    int busy = c->o.poll ? c->o.poll(c->o.self, err) : 0;
    RS_TRY(busy);
    if (rs_run_stopped(c->o.run))
        return RS_E_CANCELLED;
    if (!offer->held) {
        int code = next_offer(c, busy == RS_AGAIN, offer);
        if (code)
            return code;
    }
    if (offer->index == RS_TOKEN_END)
        return busy == RS_AGAIN ? RS_AGAIN : RS_END;
    int code = c->o.batch(c->o.self, rs_pool_slot(c->o.slots, offer->index), offer->waited_ns, err);
    offer->held = code == RS_AGAIN;
    return code;
}

static int consume(struct rs_consumer *c, struct rs_error *err)
{
    const struct timespec pause = {.tv_nsec = POLL_NS};
    struct offer offer = {0};
    for (;;) {
        int code = round_of(c, &offer, err);
        if (code < 0 || code == RS_END)
            return code;
        if (code == RS_AGAIN)
            nanosleep(&pause, NULL);
    }
}

static void *consumer_main(void *arg)
{
    struct rs_consumer *c = arg;
    struct rs_error error = {0};
    c->lane = rs_spans_lane(c->o.spans, c->o.name);
    if (c->o.enter)
        c->o.enter(c->o.self, c->lane);
    int code = consume(c, &error);
    if (code < 0) { /* in a run that was stopped already this does nothing */
        if (!error.code)
            rs_error_set(&error, code, "%s", rs_error_text(code));
        rs_run_fail(c->o.run, c->o.name, &error);
    }
    if (c->o.finish)
        c->o.finish(c->o.self);
    atomic_store_explicit(&c->done, true, memory_order_release);
    rs_loop_wake(c->o.loop);
    return NULL;
}

static void quit_when_done(void *arg)
{
    struct rs_consumer *c = arg;
    if (atomic_load_explicit(&c->done, memory_order_acquire))
        rs_loop_quit(c->o.loop);
}

int rs_consumer_create(struct rs_consumer **out, const struct rs_consumer_options *options,
                       struct rs_error *err)
{
    struct rs_consumer *c = rs_calloc(1, sizeof *c);
    if (!c)
        return rs_error_set(err, RS_E_NOMEM, "no memory for the %s stage", options->name);
    c->o = *options;
    c->wait_name = rs_spans_name(options->spans, "wait for data");
    c->ready_name = rs_spans_name(options->spans, "ready batches");
    atomic_init(&c->done, false);
    rs_loop_watch(options->loop, quit_when_done, c);
    *out = c;
    return 0;
}

int rs_consumer_start(struct rs_consumer *c, struct rs_error *err)
{
    int code = pthread_create(&c->thread, NULL, consumer_main, c);
    if (code)
        return rs_error_set(err, RS_E_THREAD, "the %s thread can't be started (errno %d); check ulimit -u",
                            c->o.name, code);
    c->started = true;
    pthread_setname_np(c->thread, c->o.name);
    return 0;
}

bool rs_consumer_started(const struct rs_consumer *c)
{
    return c->started;
}

void rs_consumer_join(struct rs_consumer *c)
{
    if (c->started)
        pthread_join(c->thread, NULL);
    c->started = false;
}

void rs_consumer_destroy(struct rs_consumer *c)
{
    rs_free(c);
}
