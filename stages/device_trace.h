/* device_trace.h: what the device itself recorded, in a run's trace.
 *
 * How it works: a backend with a stream may keep records of its kernels and copies (stream.h). They are begun
 * before the first batch and taken after the last one, and go to two rows of the trace, "GPU compute" and
 * "GPU copy". Batches are uploaded and stepped one after the other, so the number of an upload or a ticket
 * tells the batch; a record of neither shows none. An arrow leads from the train thread's upload span to the
 * upload's copy, and from its step's span to the step's first kernel.
 *
 * Owner: a value of the creator, who ends it before the plan is destroyed. @thread main, while no step runs;
 * flow: any.
 */
#ifndef RS_DEVICE_TRACE_H
#define RS_DEVICE_TRACE_H

#include "rows.h"
#include "stream.h"

struct rs_device_trace {
    const struct rs_backend *backend;
    struct rs_plan *plan;
    uint64_t first_seq; /* number of the first batch */
    struct rs_row *compute, *copy;
    bool on;
};

/* Errors: RS_E_UNSUPPORTED with the reason why the device gives no records; the run goes on without. */
int rs_device_trace_begin(struct rs_device_trace *trace, const struct rs_backend *backend,
                          struct rs_plan *plan, uint64_t first_seq, struct rs_error *err);
/* Takes the records into rows of spans; those that the backend had no room for count as dropped there. Of one
 * that isn't on: nothing. */
int rs_device_trace_end(struct rs_device_trace *trace, struct rs_spans *spans, struct rs_error *err);
/* The arrow's number for rs_lane_flow. */
uint64_t rs_device_trace_flow(enum rs_device_cause cause, uint64_t seq);

#endif
