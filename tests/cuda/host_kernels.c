/* host_kernels.c: see host_kernels.h. @thread any. */
#include "host_kernels.h"

#include <stdlib.h>
#include <string.h>

/* A block's shared memory; ends the process where there is none. A device has it without asking the host, so
 * a test of the host's memory running out (tests/faults/oom.h) doesn't count it. */
static float *new_shared(const struct rs__grid *grid)
{
    void *shared = NULL;
    int failed = posix_memalign(&shared, 16, ((size_t)grid->shared + 31) / 16 * 16);
    RS_ASSERT(!failed);
    return shared;
}

#define RS_HOST_PHASE(name, phase)                                                                           \
    for (place.thread = 0; place.thread < grid.threads; place.thread++)                                      \
        rs__##name##_##phase(args, args->bf16, place, shared);

#define RS_HOST_BLOCKS(name, phases)                                                                         \
    void rs_host_##name(const struct rs__##name *args)                                                       \
    {                                                                                                        \
        const struct rs__grid grid = rs__##name##_grid(args);                                                \
        float *shared = new_shared(&grid);                                                                   \
        struct rs__place place = {.grid = &grid};                                                            \
        for (place.block_y = 0; place.block_y < grid.blocks_y; place.block_y++)                              \
            for (place.block_x = 0; place.block_x < grid.blocks_x; place.block_x++) {                        \
                memset(shared, 0xff, grid.shared);                                                           \
                phases                                                                                       \
            }                                                                                                \
        free(shared);                                                                                        \
    }

#define RS_HOST_ONE(name) RS_HOST_BLOCKS(name, RS_HOST_PHASE(name, 0))
#define RS_HOST_TWO(name) RS_HOST_BLOCKS(name, RS_HOST_PHASE(name, 0) RS_HOST_PHASE(name, 1))

RS__KERNELS(RS_HOST_ONE, RS_HOST_TWO)
