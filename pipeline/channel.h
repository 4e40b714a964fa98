/* channel.h: a ring, and the waiting for it.
 *
 * How it works: pushing never blocks and never fails, for a channel is created with at least as many cells as
 * there are things to push (slots, tickets, the end token; more is a mistake and aborts): back-pressure is
 * the list of free slots alone. A thread that finds nothing spins a little, then parks at the channel's gate
 * until a push or the end of the run. A consumer that lives on the event loop registers a listener instead
 * and drains with try_pop.
 *
 * Owner: the creator; after a push the pusher touches nothing of what it pushed. A channel belongs to one
 * run.
 * @thread create, destroy, listen: alone, before and after the others; push, pop: as the ring's kind says.
 */
#ifndef RS_CHANNEL_H
#define RS_CHANNEL_H

#include "ring.h"
#include "run.h"

/* The end of the stream as a token; it travels like a value. */
#define RS_TOKEN_END UINT32_MAX

struct rs_channel;

int rs_channel_create(struct rs_channel **out, struct rs_run *run, enum rs_ring_kind kind, uint32_t capacity,
                      uint64_t first, struct rs_error *err);
void rs_channel_destroy(struct rs_channel *channel);

/* notify(arg) is called on the pusher's thread after each push; it must not block (uv_async_send). */
void rs_channel_listen(struct rs_channel *channel, void (*notify)(void *arg), void *arg);

void rs_channel_push(struct rs_channel *channel, uint32_t value);
void rs_channel_publish(struct rs_channel *channel, uint64_t seq, uint32_t value);
/* Waits. 0, or RS_E_CANCELLED once the run is stopped. waited_ns (may be NULL) grows by the time waited. */
int rs_channel_pop(struct rs_channel *channel, uint32_t *value, uint64_t *waited_ns);
/* 0 or RS_AGAIN. */
int rs_channel_try_pop(struct rs_channel *channel, uint32_t *value);
/* @thread any; a hint while others are at work. */
uint32_t rs_channel_length(const struct rs_channel *channel);

#endif
