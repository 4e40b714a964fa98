/* slot.c: see slot.h. The free list is an MPMC channel: anyone gives back, one takes. */
#include "slot.h"
#include "alloc.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct rs_pool {
    /* set once; each slot has cache lines of its own */
    struct rs_slot *slots[RS_SLOTS_MAX];
    uint32_t count;
    struct rs_channel *free_slots;
};

int rs_pool_create(struct rs_pool **out, struct rs_run *run, uint32_t count, struct rs_error *err)
{
    if (count < 1 || count > RS_SLOTS_MAX)
        return rs_error_set(err, RS_E_USAGE, "%u slots; give 1 to %u (--prefetch)", count, RS_SLOTS_MAX);
    struct rs_pool *pool = rs_calloc(1, sizeof *pool);
    if (!pool)
        return rs_error_set(err, RS_E_NOMEM, "no memory for a pool of slots");
    int code = rs_channel_create(&pool->free_slots, run, RS_RING_MPMC, count, 0, err);
    for (uint32_t i = 0; i < count && code == 0; i++) {
        pool->slots[i] = rs_calloc(1, sizeof *pool->slots[i]);
        if (!pool->slots[i]) {
            code = rs_error_set(err, RS_E_NOMEM, "no memory for a slot");
            break;
        }
        pool->slots[i]->index = i;
        rs_channel_push(pool->free_slots, i);
        pool->count++;
    }
    if (code < 0) {
        rs_pool_destroy(pool);
        return code;
    }
    *out = pool;
    return 0;
}

void rs_pool_destroy(struct rs_pool *pool)
{
    if (!pool)
        return;
    for (uint32_t i = 0; i < pool->count; i++)
        rs_free(pool->slots[i]);
    rs_channel_destroy(pool->free_slots);
    rs_free(pool);
}

uint32_t rs_pool_count(const struct rs_pool *pool)
{
    return pool->count;
}

struct rs_slot *rs_pool_slot(struct rs_pool *pool, uint32_t index)
{
    RS_ASSERT(index < pool->count);
    return pool->slots[index];
}

void rs_pool_listen(struct rs_pool *pool, void (*notify)(void *arg), void *arg)
{
    rs_channel_listen(pool->free_slots, notify, arg);
}

#ifdef RS_DEBUG
static const char *name_of(const char *owner)
{
    return owner ? owner : "the free list";
}

static void out_of_turn(const struct rs_slot *slot, const char *owner, const char *from, const char *to)
{
    fprintf(stderr, "rstream: a mistake in the program: slot %u goes from '%s' to '%s', but '%s' holds it\n",
            slot->index, name_of(from), name_of(to), name_of(owner));
    abort();
}

void rs_slot_hand_over(struct rs_slot *slot, const char *from, const char *to)
{
    /* relaxed: the check must not add an order that release builds don't have */
    const char *owner = atomic_exchange_explicit(&slot->owner, to, memory_order_relaxed);
    if (strcmp(name_of(owner), name_of(from)) != 0)
        out_of_turn(slot, owner, from, to);
}

static void check_free(struct rs_slot *slot)
{
    const char *owner = atomic_load_explicit(&slot->owner, memory_order_relaxed);
    if (owner)
        out_of_turn(slot, owner, NULL, "the taker");
}

static void set_free(struct rs_slot *slot)
{
    if (!atomic_exchange_explicit(&slot->owner, NULL, memory_order_relaxed))
        out_of_turn(slot, NULL, "its owner", NULL);
}
#else
void rs_slot_hand_over(struct rs_slot *slot, const char *from, const char *to)
{
    (void)slot;
    (void)from;
    (void)to;
}

static void check_free(struct rs_slot *slot)
{
    (void)slot;
}

static void set_free(struct rs_slot *slot)
{
    (void)slot;
}
#endif

int rs_pool_try_take(struct rs_pool *pool, struct rs_slot **slot)
{
    uint32_t index;
    if (rs_channel_try_pop(pool->free_slots, &index) == RS_AGAIN)
        return RS_AGAIN;
    *slot = pool->slots[index];
    check_free(*slot);
    return 0;
}

void rs_pool_give_back(struct rs_pool *pool, struct rs_slot *slot)
{
    uint32_t index = slot->index;
    set_free(slot);
    rs_channel_push(pool->free_slots, index);
}

uint32_t rs_pool_free_count(const struct rs_pool *pool)
{
    return rs_channel_length(pool->free_slots);
}
