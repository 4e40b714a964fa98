/* planner.c: the rules of planner.h, each a line or two. */
#include "planner.h"

#include <sched.h>

#define CHUNK_MAX 8u
#define CHUNKS_A_WORKER 4u

static uint32_t clamp(uint32_t value, uint32_t low, uint32_t high)
{
    return value < low ? low : value > high ? high : value;
}

uint32_t rs_planner_cores(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return 1; /* more processors than the set holds, or none to be told: the safe answer */
    return (uint32_t)CPU_COUNT(&set);
}

struct rs_placement rs_planner_place(enum rs_fuse fuse, uint32_t stages, uint32_t workers, uint32_t cores,
                                     uint32_t batch_size, bool compute_on_cpu)
{
    struct rs_placement p = {.image_stages = stages, .workers = workers};
    if (!workers)
        p.workers = compute_on_cpu || cores < 2 ? cores : cores - 1;
    p.chunk_size = clamp(batch_size / (p.workers * CHUNKS_A_WORKER), 1, CHUNK_MAX);
    p.niceness = compute_on_cpu ? 19 : 0;
    if (fuse == RS_FUSE_AUTO) {
        p.pools = 1;
        p.stages[0] = stages;
        p.threads[0] = p.workers;
        return p;
    }
    p.pools = stages;
    for (uint32_t i = 0; i < p.pools; i++) {
        p.first[i] = i;
        p.stages[i] = 1;
        p.threads[i] = p.workers / p.pools + (i < p.workers % p.pools);
        if (!p.threads[i])
            p.threads[i] = 1;
    }
    return p;
}
