/* slot.h: the batches in flight, allocated once.
 *
 * How it works: a pool holds --prefetch slots. A slot carries one batch through all stages; rings carry its
 * index. The payload is the stages' own view of a batch; the pipeline doesn't look inside. A batch is cut
 * into chunks of samples, so that the workers of a stage share it: a ticket is (slot, chunk).
 *
 * Owner: one at a time. The read stage owns a slot from the free list until it pushes the tickets; while
 * tickets are out the workers own one chunk each; the last chunk's worker publishes the whole slot to the
 * next stage. In debug builds a slot knows its owner, and taking or handing over out of turn aborts.
 */
#ifndef RS_SLOT_H
#define RS_SLOT_H

#include "channel.h"
#include <stdatomic.h>

#define RS_CHUNKS_MAX 4096u /* a ticket has 12 bits for the chunk, 20 for the slot */
#define RS_SLOTS_MAX 64u
#define RS_POOLS_MAX 4u /* worker pools that a slot passes at most */

enum rs_phase { RS_PHASE_TRAIN, RS_PHASE_VALID };

struct rs_slot {
    /* set once */
    uint32_t index;
    void *payload; /* the stages' batch */

    /* owned by whoever owns the slot; written by the read stage, then read only */
    uint64_t seq; /* number of the batch in the run's stream, from 0 */
    uint32_t epoch;
    enum rs_phase phase;
    uint32_t count;      /* samples in this batch */
    uint32_t chunk_size; /* samples in a chunk, but for the last */
    uint32_t chunks;

    /* shared: chunks that a worker pool has not finished, set to chunks by the read stage; the fetch_sub
     * (acq_rel) that reaches 0 sees what all other chunks' workers wrote, for it pairs with their fetch_sub
     */
    atomic_uint pending[RS_POOLS_MAX];

    /* debug builds: who holds it (a stage's name, or NULL on the free list); pairs with itself */
    _Atomic(const char *) owner;
};

struct rs_pool;

/* count slots, 1 to RS_SLOTS_MAX, all on the free list; payloads are set by the creator. */
int rs_pool_create(struct rs_pool **out, struct rs_run *run, uint32_t count, struct rs_error *err);
void rs_pool_destroy(struct rs_pool *pool); /* the payloads are the creator's to free, before */
uint32_t rs_pool_count(const struct rs_pool *pool);
struct rs_slot *rs_pool_slot(struct rs_pool *pool, uint32_t index);
/* Listener for freed slots, see rs_channel_listen. */
void rs_pool_listen(struct rs_pool *pool, void (*notify)(void *arg), void *arg);
/* A free slot, or RS_AGAIN. One taker, who names itself next: rs_slot_hand_over(slot, NULL, "read"). @thread
 * loop */
int rs_pool_try_take(struct rs_pool *pool, struct rs_slot **slot);
/* Puts the slot on the free list, whoever its owner was; twice is a mistake. @thread any; hands over. */
void rs_pool_give_back(struct rs_pool *pool, struct rs_slot *slot);
uint32_t rs_pool_free_count(const struct rs_pool *pool);

/* Owners' names that the worker pools expect and set: the reader hands a slot over to RS_SLOT_WORKERS before
 * it pushes its last ticket, the last pool from RS_SLOT_WORKERS to RS_SLOT_READY before it publishes it. */
#define RS_SLOT_WORKERS "workers"
#define RS_SLOT_READY "ready"

/* Ownership, checked in debug builds only: from must be the owner's name now, else both names are printed and
 * the program aborts. NULL is the free list. */
void rs_slot_hand_over(struct rs_slot *slot, const char *from, const char *to);

static inline uint32_t rs_ticket(const struct rs_slot *slot, uint32_t chunk)
{
    return slot->index << 12 | chunk;
}

static inline uint32_t rs_ticket_slot(uint32_t ticket)
{
    return ticket >> 12;
}

static inline uint32_t rs_ticket_chunk(uint32_t ticket)
{
    return ticket & (RS_CHUNKS_MAX - 1);
}

#endif
