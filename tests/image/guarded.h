/* guarded.h: blocks that end where memory ends: one byte past them is a fault, with and without
 * AddressSanitizer.
 *
 * Owner: the caller, who frees with guarded_free. @thread any.
 */
#ifndef GUARDED_H
#define GUARDED_H

#include <stddef.h>
#include <stdint.h>

struct guarded {
    uint8_t *data; /* size bytes; the page behind them can't be touched */
    void *map;
    size_t mapped;
};

/* Fails the running cmocka test where there is no memory. */
struct guarded guarded_alloc(size_t size);
void guarded_free(struct guarded *block);

#endif
