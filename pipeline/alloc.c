/* alloc.c: see alloc.h. The C library keeps the sizes (malloc_usable_size), so blocks carry no header. */
#include "alloc.h"
#include <malloc.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define ALIGNMENT ((size_t)64)

/* Figures, not state: nothing is decided by them. Relaxed, pairing with nothing but themselves: each number
 * is exact by itself. */
static atomic_uint_fast64_t allocations;
static atomic_uint_fast64_t bytes_now;

void *rs_alloc(size_t size)
{
    if (size > SIZE_MAX - ALIGNMENT)
        return NULL;
    size_t rounded = size ? (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT : ALIGNMENT;
    void *block = aligned_alloc(ALIGNMENT, rounded);
    if (!block)
        return NULL;
    atomic_fetch_add_explicit(&allocations, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&bytes_now, malloc_usable_size(block), memory_order_relaxed);
    return block;
}

void *rs_calloc(size_t count, size_t size)
{
    size_t total;
    if (__builtin_mul_overflow(count, size, &total))
        return NULL;
    void *block = rs_alloc(total);
    if (block)
        memset(block, 0, total);
    return block;
}

void rs_free(void *block)
{
    if (!block)
        return;
    atomic_fetch_sub_explicit(&bytes_now, malloc_usable_size(block), memory_order_relaxed);
    free(block);
}

uint64_t rs_alloc_count(void)
{
    return atomic_load_explicit(&allocations, memory_order_relaxed);
}

uint64_t rs_alloc_bytes(void)
{
    return atomic_load_explicit(&bytes_now, memory_order_relaxed);
}

int rs_buffer_reserve(struct rs_buffer *buffer, size_t size, struct rs_error *err)
{
    if (size <= buffer->capacity)
        return 0;
    /* the old block goes first, so that the peak is the larger of the two and not their sum */
    rs_buffer_free(buffer);
    buffer->data = rs_alloc(size);
    if (!buffer->data)
        return rs_error_set(err, RS_E_NOMEM, "no memory for a buffer of %zu bytes", size);
    buffer->capacity = size;
    return 0;
}

void rs_buffer_free(struct rs_buffer *buffer)
{
    rs_free(buffer->data);
    buffer->data = NULL;
    buffer->capacity = 0;
}
