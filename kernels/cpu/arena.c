/* arena.c: one block of memory for all tensors of a program.
 *
 * How it works: largest first, each tensor takes the lowest offset where no tensor that lives at the same
 * time lies. A few hundred tensors, so the quadratic search is nothing. */
#include "plan.h"

#define ALIGNMENT 4096 /* a page: no two tensors share one, and vectors are aligned */

static int live_together(const struct rs__tensor *a, const struct rs__tensor *b)
{
    return a->first <= b->last && b->first <= a->last;
}

/* The lowest offset for t beside the first `placed` of order. */
static size_t lowest(const struct rs__tensor *tensors, const int32_t *order, int32_t placed,
                     const struct rs__tensor *t)
{
    size_t offset = 0;
    for (int moved = 1; moved;) {
        moved = 0;
        for (int32_t i = 0; i < placed; i++) {
            const struct rs__tensor *other = &tensors[order[i]];
            if (live_together(t, other) && offset < other->offset + other->bytes &&
                other->offset < offset + t->bytes) {
                offset = other->offset + other->bytes;
                moved = 1;
            }
        }
    }
    return offset;
}

size_t rs__arena_assign(struct rs__tensor *tensors, int32_t count, int32_t *order)
{
    int32_t n = 0;
    for (int32_t i = 0; i < count; i++) { /* insertion sort, largest first; the caller's input has no place */
        if (tensors[i].form == RS__INPUT || tensors[i].last < 0)
            continue;
        tensors[i].bytes = (tensors[i].bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
        int32_t k = n++;
        for (; k > 0 && tensors[order[k - 1]].bytes < tensors[i].bytes; k--)
            order[k] = order[k - 1];
        order[k] = i;
    }
    size_t end = 0;
    for (int32_t i = 0; i < n; i++) {
        struct rs__tensor *t = &tensors[order[i]];
        t->offset = lowest(tensors, order, i, t);
        if (t->offset + t->bytes > end)
            end = t->offset + t->bytes;
    }
    return end;
}
