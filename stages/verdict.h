/* verdict.h: what limits the speed, and what to change.
 *
 * How it works: from an epoch's figures. Where the step waited for data less than RS_VERDICT_WAIT of the
 * time, train is the limit. An epoch of fewer than RS_VERDICT_BATCHES batches is over before the pipeline is
 * in its stride: it gets no verdict. Otherwise it is an input stage: read, when the workers mostly waited for
 * it, else the worker stage with the most busy time a thread. The advice names the flag.
 *
 * @thread any; no state.
 */
#ifndef RS_VERDICT_H
#define RS_VERDICT_H

#include "worker_pool.h"

#define RS_VERDICT_WAIT 0.03   /* share of the time */
#define RS_VERDICT_BATCHES 10u /* of training */

struct rs_named_figures {
    const char *name;
    struct rs_stage_figures figures;
};

struct rs_verdict_input {
    const struct rs_named_figures *stages; /* read, then the workers' */
    uint32_t input_stages;                 /* so many of both */
    double seconds, wait_seconds;          /* of the train steps */
    uint64_t batches;                      /* of training in this epoch */
    uint32_t workers, cores, slots;
};

struct rs_verdict {
    const char *stage; /* that limits: "train", a stage's name, or "unknown" */
    double wait_share; /* of the steps' time spent waiting for data */
    char advice[160];  /* what to change; empty when train limits */
};

void rs_verdict_find(const struct rs_verdict_input *input, struct rs_verdict *verdict);

#endif
