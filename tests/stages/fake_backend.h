/* fake_backend.h: two backends for tests of whole runs: quick, exact, and driven by a script.
 *
 * How it works: a "step" hashes every byte of its batch into the loss and moves two weights and a moment by
 * it, so that a batch that is lost, doubled, out of order or overwritten too early changes all that follows.
 * A step that fails, and one whose loss is not finite, spoils the weights. fake_sync computes in host memory.
 * fake_stream has device slots, a copy queue and a compute queue; each call moves them on by a random amount,
 * and the copy out of host memory happens at its end, so memory that is reused too soon shows. It takes
 * tensors, or pixels that it resizes and normalizes when the step reads them.
 *
 * Owner: the script is the test's; set before a run. @thread as backend.h.
 */
#ifndef FAKE_BACKEND_H
#define FAKE_BACKEND_H

#include "backend.h"

#define FAKE_HISTORY 32u /* steps that are remembered */

enum fake_call {
    FAKE_NONE,
    FAKE_UPLOAD,
    FAKE_UPLOADED,
    FAKE_TRAIN,
    FAKE_EVAL,
    FAKE_RELEASED,
    FAKE_RESULT,
    FAKE_DRAIN,
    FAKE_STORE,
    FAKE_TRACE_END,
    FAKE_CALLS
};

struct fake_script {
    uint64_t seed;       /* of the latencies */
    uint32_t latency;    /* ticks an operation takes at most */
    enum fake_call fail; /* the fail_at-th (from 1) of these calls fails */
    uint32_t fail_at;
    uint32_t records_max;        /* the device keeps this many records, 0: enough */
    uint64_t interrupt_at;       /* train step that sends SIGINT, 0: none */
    uint64_t valid_interrupt_at; /* validation batch that sends it */
    void (*interrupted)(void);   /* called once it is sent: waits until the run knows; NULL: steps get slow */
    uint64_t kill_at;            /* train step that SIGKILL replaces */
    uint64_t valid_kill_at;      /* validation batch */
    uint64_t not_finite_at;      /* train step */
    uint64_t valid_not_finite_at; /* validation batch */
    const uint32_t *correct; /* samples that the validation of each epoch gets right; NULL: of the hash */
    uint64_t epoch_steps;    /* with correct */
    /* or NULL: sets the result of an eval step that waits for it, probabilities included */
    void (*evaluate)(const struct rs_batch_input *input, struct rs_step_result *result);
    bool fail_again; /* the calls after the fail_at-th fail as well */
    bool no_trace;   /* the device keeps no records */
    /* written by the backend */
    bool eager;        /* as the plan was compiled */
    uint32_t overlaps; /* uploads begun while a step was queued */
    uint64_t train_steps, copies;
    _Atomic uint64_t valid_steps;                                             /* any thread may look */
    size_t sample_bytes;                                                      /* of an upload */
    uint32_t train_sizes[RS_BATCH_SIZES_MAX], eval_sizes[RS_BATCH_SIZES_MAX]; /* of batches, as compiled */
    float weights[2];               /* when the plan was destroyed */
    float history[FAKE_HISTORY][2]; /* weights after each step of the whole run; [0]: as they were loaded */
};

extern const struct rs_backend fake_sync, fake_stream;
void fake_set_script(struct fake_script *script);

#endif
