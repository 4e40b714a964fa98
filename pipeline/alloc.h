/* alloc.h: memory: aligned blocks, and buffers that grow to the largest size seen.
 *
 * Owner: whoever holds the pointer. Steady state allocates nothing: buffers are reserved at the start and
 * grow only when a larger thing than any before arrives. @thread any; a buffer is its owner's.
 */
#ifndef RS_ALLOC_H
#define RS_ALLOC_H

#include "errors.h"
#include <stdint.h>

/* Aligned to 64 bytes; size is rounded up; NULL when there is no memory. Freed with rs_free. */
void *rs_alloc(size_t size);
void *rs_calloc(size_t count, size_t size); /* zeroed, overflow checked */
void rs_free(void *block);
/* Bytes now allocated through these functions, and allocations ever made: the proof that steady state makes
 * none. */
uint64_t rs_alloc_count(void);
uint64_t rs_alloc_bytes(void);

struct rs_buffer {
    uint8_t *data;
    size_t capacity;
};
/* At least size bytes; contents are lost when it grows. Errors: RS_E_NOMEM. */
int rs_buffer_reserve(struct rs_buffer *buffer, size_t size, struct rs_error *err);
void rs_buffer_free(struct rs_buffer *buffer);

#endif
