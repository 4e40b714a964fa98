/* consumer.h: the thread at the end of the input: takes batches in order and does with them what its handler
 * says.
 *
 * How it works: training, evaluation and feed are handlers. Ready slots come in number order; a handler that
 * takes a slot owns it and gives it back. One whose work goes on after it returned (a device that runs by
 * itself) has a poll function and may answer RS_AGAIN to a slot: it is polled until it is idle, and offered
 * the slot again. A failing handler fails the run. After the end token, an error or a cancel, finish is
 * called once on the thread, then the loop is told to quit.
 *
 * Owner: the creator. @thread create, start, join, destroy: main; batch, enter, poll, finish: consumer.
 */
#ifndef RS_CONSUMER_H
#define RS_CONSUMER_H

#include "loop.h"
#include "slot.h"
#include "spans.h"

struct rs_consumer_options {
    struct rs_run *run;
    struct rs_loop *loop;
    struct rs_channel *ready;
    struct rs_pool *slots;
    const char *name;       /* of the stage and its thread */
    struct rs_spans *spans; /* or NULL */
    /* waited_ns: how long the thread waited for this slot with nothing else to do. 0: the slot was taken;
     * RS_AGAIN: offer it again (only with poll); or an error. */
    int (*batch)(void *self, struct rs_slot *slot, uint64_t waited_ns, struct rs_error *err);
    /* The thread's lane for its own spans, told before the first batch. May be NULL. */
    void (*enter)(void *self, struct rs_lane *lane);
    /* Moves work on. RS_AGAIN while some is under way, 0 when idle. NULL: batch does everything. */
    int (*poll)(void *self, struct rs_error *err);
    void (*finish)(void *self); /* may be NULL */
    void *self;
};

struct rs_consumer;

int rs_consumer_create(struct rs_consumer **out, const struct rs_consumer_options *options,
                       struct rs_error *err);
int rs_consumer_start(struct rs_consumer *consumer, struct rs_error *err);
bool rs_consumer_started(const struct rs_consumer *consumer); /* @thread main */
void rs_consumer_join(struct rs_consumer *consumer);          /* nothing if it wasn't started */
void rs_consumer_destroy(struct rs_consumer *consumer);

#endif
