/* stream.h: what a backend with memory of its own adds to backend.h: uploads and steps that run while the
 * host goes on.
 *
 * How it works: a plan has a few device slots. A batch is uploaded into one on the copy stream; a step on the
 * compute stream waits, on the device, for that upload, and releases the slot once it has read it. Results
 * come back by ticket, in order. Every call only enqueues or asks; none waits, but drain. Two lifetimes: host
 * memory is free when uploaded() says so, a device slot when released() does.
 *
 * Owner: device slots are the plan's. @thread the plan's.
 */
#ifndef RS_STREAM_H
#define RS_STREAM_H

#include "backend.h"

enum rs_device_cause { RS_CAUSE_NONE, RS_CAUSE_UPLOAD, RS_CAUSE_STEP };

/* What the device did, for a trace. */
struct rs_device_record {
    const char *name;           /* of the kernel or copy; during the call */
    uint64_t begin_ns, end_ns;  /* on rs_now_ns's clock */
    bool copies;                /* memory is copied or set; else a kernel computes */
    enum rs_device_cause cause; /* the call that started it */
    uint64_t number;            /* the upload's, from 0 at trace_begin; or the step's ticket */
};
typedef void (*rs_device_record_fn)(void *arg, const struct rs_device_record *record);

struct rs_stream_ops {
    uint32_t slots; /* device slots of a plan */
    bool pixels;    /* plans can be compiled for uint8 pixels: rs_plan_options.pixels */
    /* Starts the copy of input (host memory from host_alloc) into slot. */
    int (*upload)(struct rs_plan *plan, uint32_t slot, const struct rs_batch_input *input,
                  struct rs_error *err);
    /* 0: the input's memory may be written again; RS_AGAIN: the copy is under way; or its error. */
    int (*uploaded)(struct rs_plan *plan, uint32_t slot, struct rs_error *err);
    /* Starts a step on what was uploaded into slot. ticket: 0, 1, 2, … over train and eval together. */
    int (*train)(struct rs_plan *plan, uint32_t slot, float lr, uint64_t ticket, struct rs_error *err);
    int (*eval)(struct rs_plan *plan, uint32_t slot, uint64_t ticket, struct rs_error *err);
    /* 0: the step has read slot, it may be uploaded into again; RS_AGAIN; or the step's error. */
    int (*released)(struct rs_plan *plan, uint32_t slot, struct rs_error *err);
    /* 0 and the result of ticket, or RS_AGAIN; each ticket once, in order. At most RS_STREAM_RESULTS may be
     * outstanding. */
    int (*result)(struct rs_plan *plan, uint64_t ticket, struct rs_step_result *result, struct rs_error *err);
    /* Waits until all that was started has ended. */
    int (*drain)(struct rs_plan *plan, struct rs_error *err);
    /* Optional, both or neither. From begin to end the device's work is recorded, in memory of a bounded
     * size. end gives the records in any order to take, and the number of those that found no room; destroy
     * ends it without. Errors of begin: RS_E_UNSUPPORTED with the reason why there are no records. */
    int (*trace_begin)(struct rs_plan *plan, struct rs_error *err);
    int (*trace_end)(struct rs_plan *plan, rs_device_record_fn take, void *arg, uint64_t *lost,
                     struct rs_error *err);
};

#define RS_STREAM_RESULTS 64u

#endif
