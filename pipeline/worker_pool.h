/* worker_pool.h: threads that carry chunks of batches through one stage, or through several fused ones.
 *
 * How it works: a pool takes tickets (slot, chunk) from its input channel, in the order in which batches were
 * read, and runs each sample of the chunk through its stages one after the other while the sample is in
 * cache. A finished chunk's ticket goes to the next pool's channel at once (no barrier at a batch), or, in
 * the last pool, the worker that finishes a batch's last chunk publishes the slot by its number to an ORDERED
 * channel. Which stages share a pool is the planner's choice; the bits are the same. The end token: each
 * worker passes it on to its siblings; the last one passes it downstream.
 *
 * Owner: the creator owns stages and channels and keeps them until the pool is joined.
 * @thread create, start, join, destroy: the creator's; stage functions: worker.
 */
#ifndef RS_WORKER_POOL_H
#define RS_WORKER_POOL_H

#include "slot.h"
#include "spans.h"

/* What a stage has done; read while it works, each number by itself exact. Times in nanoseconds, summed over
 * the stage's threads. */
struct rs_stage_figures {
    uint64_t batches, samples;
    uint64_t busy_ns;       /* in the stage's own code */
    uint64_t wait_input_ns; /* nothing to take */
    uint64_t wait_slot_ns;  /* no free slot (read stage only) */
    uint32_t threads;
};

struct rs_stage_ops {
    const char *name;
    /* One sample of slot. scratch is the worker's own. Returns 0 or an error that ends the run. @thread
     * worker */
    int (*sample)(void *self, void *scratch, struct rs_slot *slot, uint32_t index, struct rs_error *err);
};

struct rs_stage {
    const struct rs_stage_ops *ops;
    void *self;
};

struct rs_worker_pool_options {
    struct rs_run *run;
    struct rs_spans *spans; /* or NULL */
    struct rs_pool *slots;
    uint32_t pool_index;           /* which of slot->pending[] is this pool's */
    const struct rs_stage *stages; /* in order, at most 4; copied */
    uint32_t stage_count;
    uint32_t threads;
    int niceness;            /* of the threads, 0 to 19; 20: SCHED_IDLE, only when a core has nothing else */
    struct rs_channel *in;   /* tickets, MPMC */
    struct rs_channel *next; /* tickets of the next pool, or NULL in the last pool, then: */
    struct rs_channel *published; /* slots by number, ORDERED */
    /* a worker's scratch, made and freed on the worker's thread; may be NULL */
    int (*scratch_create)(void *arg, void **scratch, struct rs_error *err);
    void (*scratch_destroy)(void *arg, void *scratch);
    void *scratch_arg;
};

struct rs_worker_pool;

int rs_worker_pool_create(struct rs_worker_pool **out, const struct rs_worker_pool_options *options,
                          struct rs_error *err);
/* Starts the threads; on an error those that run are joined. Errors: RS_E_THREAD. */
int rs_worker_pool_start(struct rs_worker_pool *pool, struct rs_error *err);
/* Waits for the threads, which leave at the end token or when the run is stopped. */
void rs_worker_pool_join(struct rs_worker_pool *pool);
void rs_worker_pool_destroy(struct rs_worker_pool *pool);
/* Figures of stage i. wait_input_ns is counted on the pool's first stage. @thread any */
void rs_worker_pool_figures(const struct rs_worker_pool *pool, uint32_t i, struct rs_stage_figures *out);
/* The seq that publishes the end: the creator sets it before pushing RS_TOKEN_END to the first pool. @thread
 * any */
void rs_worker_pool_set_end(struct rs_worker_pool *pool, uint64_t end_seq);

#endif
