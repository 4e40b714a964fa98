/* device_trace.c: a device's records become records of the trace's rows; numbers become batches. */
#include "device_trace.h"

int rs_device_trace_begin(struct rs_device_trace *trace, const struct rs_backend *backend,
                          struct rs_plan *plan, uint64_t first_seq, struct rs_error *err)
{
    *trace = (struct rs_device_trace){.backend = backend, .plan = plan, .first_seq = first_seq};
    if (!backend->stream || !backend->stream->trace_begin)
        return rs_error_set(err, RS_E_UNSUPPORTED, "the device %s keeps none", backend->name);
    RS_TRY(backend->stream->trace_begin(plan, err));
    trace->on = true;
    return 0;
}

uint64_t rs_device_trace_flow(enum rs_device_cause cause, uint64_t seq)
{
    return seq * 2 + (cause == RS_CAUSE_STEP ? 2 : 1);
}

/* A step's copies (labels, results) get no arrow: it is its first kernel that one looks for. */
static uint64_t flow_of(const struct rs_device_record *r, uint64_t seq)
{
    bool wanted = (r->cause == RS_CAUSE_UPLOAD && r->copies) || (r->cause == RS_CAUSE_STEP && !r->copies);
    return wanted ? rs_device_trace_flow(r->cause, seq) : 0;
}

static void take(void *arg, const struct rs_device_record *r)
{
    const struct rs_device_trace *trace = arg;
    uint64_t seq = trace->first_seq + r->number;
    struct rs_row_record record = {.name = r->name,
                                   .begin_ns = r->begin_ns,
                                   .end_ns = r->end_ns,
                                   .batch = r->cause == RS_CAUSE_NONE ? RS_BATCH_NONE : seq,
                                   .flow = flow_of(r, seq)};
    rs_row_add(r->copies ? trace->copy : trace->compute, &record);
}

int rs_device_trace_end(struct rs_device_trace *trace, struct rs_spans *spans, struct rs_error *err)
{
    uint64_t lost = 0;
    if (!trace->on)
        return 0;
    trace->on = false;
    trace->compute = rs_spans_row(spans, "GPU compute");
    trace->copy = rs_spans_row(spans, "GPU copy");
    int code = trace->backend->stream->trace_end(trace->plan, take, trace, &lost, err);
    rs_row_lose(trace->compute, lost);
    return code;
}
