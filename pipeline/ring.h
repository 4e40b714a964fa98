/* ring.h: a bounded lock-free ring of 32-bit values (slot indices, chunk tickets). It never waits.
 *
 * How it works: each cell is one 64-bit word, the value above a stamp. A publisher stores both at once
 * (release), a reader loads both at once (acquire). The 32-bit counters run free and are masked; the
 * producer's and the consumer's lines are apart.
 *
 * SPSC: one producer thread, one consumer thread. MPMC: any number of both. ORDERED: any number of producers
 * publish by sequence number (rs_ring_publish), one consumer takes the values in number order; a number that
 * is not there yet is RS_AGAIN, also if later ones are there.
 *
 * A thread that is preempted within an MPMC push or pop can make others' calls say RS_AGAIN until it goes on,
 * though values, or free cells, lie behind its own; channel.h takes care of that.
 *
 * Owner: the creator. @thread create, destroy: alone; push, pop, publish: as the kind says.
 */
#ifndef RS_RING_H
#define RS_RING_H

#include "errors.h"
#include <stdint.h>

enum rs_ring_kind { RS_RING_SPSC, RS_RING_MPMC, RS_RING_ORDERED };

struct rs_ring;

/* capacity: at least that many cells (rounded up to a power of two, 2 to 2^24). first: for ORDERED, the
 * number of the first value; else where the counters start: 0, but for tests of their wrapping. Errors:
 * RS_E_NOMEM, RS_E_LIMIT. */
int rs_ring_create(struct rs_ring **out, enum rs_ring_kind kind, uint32_t capacity, uint64_t first,
                   struct rs_error *err);
void rs_ring_destroy(struct rs_ring *ring);
uint32_t rs_ring_capacity(const struct rs_ring *ring);
/* Values inside now; exact only when nobody else is at work. @thread any */
uint32_t rs_ring_length(const struct rs_ring *ring);

/* SPSC, MPMC. 0, or RS_AGAIN when full. Inline, see ring_pvt.h: a call would cost as much as the push. */
static inline int rs_ring_push(struct rs_ring *ring, uint32_t value);
/* 0, or RS_AGAIN when there is nothing to take. */
static inline int rs_ring_pop(struct rs_ring *ring, uint32_t *value);
/* The same for who knows the kind. */
static inline int rs_ring_push_spsc(struct rs_ring *ring, uint32_t value);
static inline int rs_ring_pop_spsc(struct rs_ring *ring, uint32_t *value);
static inline int rs_ring_push_mpmc(struct rs_ring *ring, uint32_t value);
static inline int rs_ring_pop_mpmc(struct rs_ring *ring, uint32_t *value);
static inline int rs_ring_pop_ordered(struct rs_ring *ring, uint32_t *value);
/* ORDERED. 0, or RS_AGAIN when seq is a whole ring ahead of the consumer. Each number once. */
int rs_ring_publish(struct rs_ring *ring, uint64_t seq, uint32_t value);

#include "ring_pvt.h"

#endif
