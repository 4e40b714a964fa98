/* stream_steps.h: train steps on batches that stay in host memory, at a device's full speed: what a run's
 * steps can be compared with.
 *
 * How it works: uploads go through all device slots ahead of the steps, results are taken as they come, and
 * the host waits for nothing but a free slot or the last results, looking without a pause. The batches are
 * only read, so nobody asks when their copies are done.
 *
 * Owner: the caller owns all that the struct names. @thread the plan's.
 */
#ifndef RS_STREAM_STEPS_H
#define RS_STREAM_STEPS_H

#include "stream.h"

struct rs_stream_steps {
    const struct rs_stream_ops *stream;
    struct rs_plan *plan;
    const struct rs_batch_input *batches; /* in memory from host_alloc; used in turn */
    uint32_t count;
    float lr;
    uint64_t next; /* ticket of the next step: 0 for a new plan; a run moves it on */
};

/* Runs count steps between two drains. seconds: of each step, from the result before (or the first drain) to
 * its own; the last one to the end of the second drain, so that all together are the whole time. losses: of
 * each step, the sum over the samples. Either may be NULL. After an error nothing is under way, and the plan
 * runs no further steps. */
int rs_stream_steps_run(struct rs_stream_steps *steps, uint64_t count, double *seconds, double *losses,
                        struct rs_error *err);

#endif
