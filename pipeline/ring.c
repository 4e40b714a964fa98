/* ring.c: see ring.h, and ring_pvt.h for the algorithm and its memory orderings. */
#include "ring.h"
#include "alloc.h"

#define CAPACITY_MAX (1u << 24)

int rs_ring_create(struct rs_ring **out, enum rs_ring_kind kind, uint32_t capacity, uint64_t first,
                   struct rs_error *err)
{
    if (capacity > CAPACITY_MAX)
        return rs_error_set(err, RS_E_LIMIT, "a ring of %u cells; at most %u are possible", capacity,
                            CAPACITY_MAX);
    uint32_t cells = 2;
    while (cells < capacity)
        cells *= 2;
    struct rs_ring *ring = rs_calloc(1, sizeof *ring + cells * sizeof ring->cells[0]);
    if (!ring)
        return rs_error_set(err, RS_E_NOMEM, "no memory for a ring of %u cells", cells);
    ring->mask = cells - 1;
    ring->kind = kind;
    /* positions are the numbers' low 32 bits */
    uint32_t start = (uint32_t)first;
    ring->limit = start + cells;
    atomic_init(&ring->tail, start);
    atomic_init(&ring->head, start);
    for (uint32_t i = 0; i < cells; i++)
        atomic_init(&ring->cells[(start + i) & ring->mask], rs__cell_make(start + i, 0));
    *out = ring;
    return 0;
}

void rs_ring_destroy(struct rs_ring *ring)
{
    rs_free(ring);
}

uint32_t rs_ring_capacity(const struct rs_ring *ring)
{
    return ring->mask + 1;
}

uint32_t rs_ring_length(const struct rs_ring *ring)
{
    uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    /* the two are not of one moment, so the difference may be a little below 0 or beyond the capacity */
    int32_t length = (int32_t)(tail - head);
    if (length < 0)
        return 0;
    return (uint32_t)length > ring->mask ? ring->mask + 1 : (uint32_t)length;
}

int rs_ring_publish(struct rs_ring *ring, uint64_t seq, uint32_t value)
{
    RS_ASSERT(ring->kind == RS_RING_ORDERED);
    uint32_t position = (uint32_t)seq;
    rs__cell *cell = &ring->cells[position & ring->mask];
    /* pairs with the "free" store in rs_ring_pop_ordered */
    if (rs__cell_stamp(atomic_load_explicit(cell, memory_order_acquire)) != position)
        return RS_AGAIN;
    /* the number is ours alone, so nobody else writes this cell now; pairs with the load in
     * rs_ring_pop_ordered */
    atomic_store_explicit(cell, rs__cell_make(position + 1, value), memory_order_release);
    atomic_fetch_add_explicit(&ring->tail, 1, memory_order_relaxed);
    return 0;
}
