/* channel.c: see channel.h.
 *
 * A push stores into the ring, then notifies gate and listener; a pop looks, takes a key, looks again, waits.
 * gate.c says why no wake-up is lost; two things are this file's.
 *
 * An MPMC push can find its cell still held by a pop that was preempted half-way (see ring_pvt.h), though
 * there are fewer things than cells. It waits for that pop, by giving the core away.
 *
 * An MPMC value can be hidden behind a push that was preempted half-way, and the wake-up for the hidden one
 * be used up by a waiter that found nothing. Therefore a waiter that was woken and has taken a value wakes
 * the next one if more is there.
 */
#include "channel.h"
#include "alloc.h"
#include "clock.h"
#include "gate.h"
#include <sched.h>
#include <time.h>

#define YIELDS_BEFORE_SLEEP 16
#define SLEEP_NS 50000

struct rs_channel {
    /* set once */
    struct rs_run *run;
    struct rs_ring *ring;
    struct rs_gate *gate;
    void (*notify)(void *arg);
    void *notify_arg;
};

int rs_channel_create(struct rs_channel **out, struct rs_run *run, enum rs_ring_kind kind, uint32_t capacity,
                      uint64_t first, struct rs_error *err)
{
    struct rs_channel *channel = rs_calloc(1, sizeof *channel);
    if (!channel)
        return rs_error_set(err, RS_E_NOMEM, "no memory for a channel");
    channel->run = run;
    int code = rs_ring_create(&channel->ring, kind, capacity, first, err);
    if (code < 0)
        goto fail_ring;
    code = rs_gate_create(&channel->gate, run, err);
    if (code < 0)
        goto fail_gate;
    *out = channel;
    return 0;

fail_gate:
    rs_ring_destroy(channel->ring);
fail_ring:
    rs_free(channel);
    return code;
}

void rs_channel_destroy(struct rs_channel *channel)
{
    if (!channel)
        return;
    rs_gate_destroy(channel->gate);
    rs_ring_destroy(channel->ring);
    rs_free(channel);
}

void rs_channel_listen(struct rs_channel *channel, void (*notify)(void *arg), void *arg)
{
    channel->notify = notify;
    channel->notify_arg = arg;
}

static void notify(struct rs_channel *channel)
{
    rs_gate_notify(channel->gate);
    if (channel->notify)
        channel->notify(channel->notify_arg);
}

/* True when there are as many values inside as cells. head only grows after tail was read, which makes the
 * difference smaller, so a ring that says so was full at the first load. The difference is below 0 when
 * others pushed and popped that much between the two. */
static bool is_full(const struct rs_ring *ring)
{
    uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_acquire);
    int32_t length = (int32_t)(tail - atomic_load_explicit(&ring->head, memory_order_relaxed));
    return length > (int32_t)ring->mask;
}

/* The ring said full. Waits a little for a pop that is half-way; more things than cells is a mistake. */
static void wait_for_cell(const struct rs_ring *ring, unsigned tries)
{
    RS_ASSERT(ring->kind == RS_RING_MPMC);
    if (tries < YIELDS_BEFORE_SLEEP) {
        sched_yield();
        return;
    }
    RS_ASSERT(!is_full(ring));
    /* the popper may be of a priority that yielding does not serve */
    nanosleep(&(struct timespec){.tv_nsec = SLEEP_NS}, NULL);
}

void rs_channel_push(struct rs_channel *channel, uint32_t value)
{
    struct rs_ring *ring = channel->ring;
    for (unsigned tries = 0; rs_ring_push(ring, value) == RS_AGAIN; tries++)
        wait_for_cell(ring, tries);
    notify(channel);
}

void rs_channel_publish(struct rs_channel *channel, uint64_t seq, uint32_t value)
{
    int code = rs_ring_publish(channel->ring, seq, value);
    RS_ASSERT(code == 0);
    notify(channel);
}

/* The waiting part of a pop. */
static int pop_waiting(struct rs_channel *channel, uint32_t *value)
{
    for (;;) {
        uint32_t key = rs_gate_prepare(channel->gate);
        if (rs_run_stopped(channel->run))
            return RS_E_CANCELLED;
        if (rs_ring_pop(channel->ring, value) == 0)
            break;
        rs_gate_wait(channel->gate, key);
    }
    if (channel->ring->kind == RS_RING_MPMC && rs_gate_parked(channel->gate) && rs_ring_length(channel->ring))
        rs_gate_notify(channel->gate);
    return 0;
}

int rs_channel_pop(struct rs_channel *channel, uint32_t *value, uint64_t *waited_ns)
{
    if (rs_run_stopped(channel->run))
        return RS_E_CANCELLED;
    if (rs_ring_pop(channel->ring, value) == 0)
        return 0;
    uint64_t began = rs_now_ns();
    int code = pop_waiting(channel, value);
    if (waited_ns)
        *waited_ns += rs_now_ns() - began;
    return code;
}

int rs_channel_try_pop(struct rs_channel *channel, uint32_t *value)
{
    return rs_ring_pop(channel->ring, value);
}

uint32_t rs_channel_length(const struct rs_channel *channel)
{
    return rs_ring_length(channel->ring);
}
