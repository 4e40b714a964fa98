/* flow.h: a small pipeline for the worker pools' tests: a feeder thread, one to three pools in chain, the
 * taker.
 *
 * Each sample has a cell that each stage in its turn checks and moves on, so a sample that is left out, done
 * twice or out of its stages' order is found, by plain writes that ThreadSanitizer watches.
 */
#ifndef RS_TEST_FLOW_H
#define RS_TEST_FLOW_H

#include "worker_pool.h"

#define FLOW_SAMPLES_MAX 64u
#define FLOW_STAGES_MAX 4u

struct flow_options {
    uint32_t slots, batches, samples, chunk_size;
    uint64_t first_seq;
    uint32_t pools;           /* stages are spread over them: the last pool has what is left */
    uint32_t stages, threads; /* threads of each pool */
    int niceness;
    /* a stage's call fails, or the run is cancelled in it, at this sample (counted over all batches) of this
     * stage; none: fail_code 0 */
    uint64_t fail_at;
    uint32_t fail_stage;
    int fail_code;        /* RS_E_CANCELLED: cancel */
    bool fail_silently;   /* without a sentence */
    bool fail_from_there; /* later samples of the stage fail, too: several workers at once */
    /* a thread of its own stops the run when so many of the stages' calls have begun, wherever the workers
     * are; 0: none. It cancels, or fails with RS_E_IO, "stopped from outside". */
    uint64_t outside_at;
    bool outside_fails;
    bool scratch_fails;
    bool yields; /* each sample gives the core away, so that a stop meets many in work */
};

struct flow_result {
    int code; /* of rs_run_error */
    struct rs_error error;
    bool stopped;
    uint64_t batches_taken;
    uint64_t wrong; /* samples or batches that were not as they should */
    bool end_seen;
    struct rs_stage_figures figures[FLOW_STAGES_MAX];
    uint32_t scratches_left; /* made and not freed */
    /* of a stopped run */
    struct rs_error first_error; /* as it was when the taker left */
    uint32_t late, late_most; /* samples that a stage began after the stop: of all workers, of one at most */
    uint32_t slots_lost, slots_twice;
    /* of a thread that worked */
    char thread_name[16];
    int niceness; /* 20: SCHED_IDLE */
};

/* Runs the flow to its end; 0, or a code when it could not be set up. */
int flow_run(const struct flow_options *options, struct flow_result *result);

#endif
