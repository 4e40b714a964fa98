/* planner.h: how many workers, and which stages share a thread.
 *
 * How it works: the rules below, in order. They change speed only, never bits.
 *
 * Stages: decode, resize and normalize, or fewer where the device does the rest (preprocess.h).
 *
 * Workers: as asked for, or: on a CPU device all cores (the workers run at the lowest priority, so that they
 * only take what the step leaves), else the cores less one for the step's own thread.
 *
 * Fuse: auto runs decode, resize and normalize on each worker, sample by sample. none makes a pool of threads
 * a stage, the workers shared out, decode first, at least one each.
 *
 * Chunk: so many samples that each worker gets about four chunks of a batch, 8 at most.
 *
 * @thread any; a plan is a value.
 */
#ifndef RS_PLANNER_H
#define RS_PLANNER_H

#include "training.h"

#define RS_IMAGE_STAGES 3 /* decode, resize, normalize */

struct rs_placement {
    uint32_t image_stages;             /* the first so many of decode, resize, normalize */
    uint32_t pools;                    /* worker pools in a chain */
    uint32_t first[RS_IMAGE_STAGES];   /* first stage of each pool */
    uint32_t stages[RS_IMAGE_STAGES];  /* number of stages of each pool */
    uint32_t threads[RS_IMAGE_STAGES]; /* of each pool */
    uint32_t workers;                  /* as asked for or chosen */
    uint32_t chunk_size;               /* samples */
    int niceness;                      /* of the workers' threads */
};

/* Processors that this process may run on. */
uint32_t rs_planner_cores(void);

/* stages: 1 to RS_IMAGE_STAGES. */
struct rs_placement rs_planner_place(enum rs_fuse fuse, uint32_t stages, uint32_t workers, uint32_t cores,
                                     uint32_t batch_size, bool compute_on_cpu);

#endif
