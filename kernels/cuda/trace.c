/* trace.c: the records of a plan's uploads and steps, for stream.h's trace_begin and trace_end. See plan.h.
 *
 * A cause is one number on its way through the device's records: 0 for none, odd for uploads, even for steps.
 *
 * @thread the plan's; begin and end: any, while no step runs.
 */
#include "plan.h"

void rs__trace_cause(struct rs_plan *plan, enum rs_device_cause cause, uint64_t number)
{
    if (plan->traced)
        rs__gpu_trace_cause(plan->gpu,
                            cause == RS_CAUSE_NONE ? 0 : number * 2 + (cause == RS_CAUSE_STEP ? 2 : 1));
}

int rs__trace_begin(struct rs_plan *plan, struct rs_error *err)
{
    RS_TRY(rs__gpu_enter(plan->gpu, err));
    RS_TRY(rs__gpu_trace_begin(plan->gpu, err));
    plan->traced = true;
    plan->uploads = 0;
    return 0;
}

struct taker {
    rs_device_record_fn take;
    void *arg;
};

static void give(void *arg, const struct rs__trace_record *r)
{
    const struct taker *to = arg;
    const struct rs_device_record record = {.name = r->name,
                                            .begin_ns = r->begin_ns,
                                            .end_ns = r->end_ns,
                                            .copies = r->copies,
                                            .cause = r->cause == 0  ? RS_CAUSE_NONE
                                                     : r->cause % 2 ? RS_CAUSE_UPLOAD
                                                                    : RS_CAUSE_STEP,
                                            .number = r->cause == 0 ? 0 : (r->cause - 1) / 2};
    to->take(to->arg, &record);
}

int rs__trace_end(struct rs_plan *plan, rs_device_record_fn take, void *arg, uint64_t *lost,
                  struct rs_error *err)
{
    struct taker to = {take, arg};
    *lost = 0;
    if (!plan->traced)
        return 0;
    plan->traced = false;
    /* of work under way there are no records yet; what failed has none, and somebody else heard of it */
    const int code = rs__gpu_enter(plan->gpu, err);
    (void)rs__gpu_sync(plan->gpu, RS__QUEUE_COPY, NULL);
    (void)rs__gpu_sync(plan->gpu, RS__QUEUE_COMPUTE, NULL);
    rs__gpu_trace_end(plan->gpu, take ? give : NULL, &to, lost);
    return code;
}
