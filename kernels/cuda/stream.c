/* stream.c: uploads and steps that run while the host goes on, and the synchronous steps on top of them. See
 * plan.h.
 *
 * @thread the plan's.
 */
#include "plan.h"

#include "log.h"

/* Device slots, each a batch's tensor and labels, and the ring of results. */
int rs__stream_create(struct rs_plan *plan, struct rs_error *err)
{
    const struct rs__input_shape *in = &plan->program.input;
    const size_t batch = plan->program.batch, unit = 256;
    const struct rs_pixel_format *pixels = &plan->options.pixels;
    plan->sample_bytes = pixels->height > 0 ? (size_t)in->c * pixels->height * pixels->width
                                            : (size_t)in->c * in->h * in->w * (plan->program.bf16 ? 2 : 4);
    if (pixels->height > 0)
        RS_TRY(rs__pixels_create(plan, err));
    const size_t tensor = (batch * plan->sample_bytes + unit - 1) / unit * unit;
    const size_t labels = (batch * sizeof(int32_t) + unit - 1) / unit * unit;
    RS_TRY(rs__gpu_alloc(plan->gpu, RS__SLOTS * (tensor + labels), &plan->slot_block, err));
    for (uint32_t i = 0; i < RS__SLOTS; i++) {
        struct rs__slot *slot = &plan->slots[i];
        slot->tensor = (char *)plan->slot_block + i * (tensor + labels);
        slot->labels = (int32_t *)(void *)((char *)slot->tensor + tensor);
        RS_TRY(rs__event_create(plan->gpu, &slot->uploaded, err));
        RS_TRY(rs__event_create(plan->gpu, &slot->released, err));
    }
    plan->ring = rs__gpu_host_alloc(plan->gpu, RS__RING * sizeof(*plan->ring));
    if (!plan->ring)
        return rs_error_set(err, RS_E_NOMEM, "no pinned host memory for the results of steps");
    for (uint32_t i = 0; i < RS__RING; i++)
        RS_TRY(rs__event_create(plan->gpu, &plan->ring_events[i], err));
    return 0;
}

void rs__stream_destroy(struct rs_plan *plan)
{
    uint64_t lost;
    (void)rs__trace_end(plan, NULL, NULL, &lost, NULL);
    /* what still runs writes to this memory; an error of it was somebody else's to hear */
    (void)rs__gpu_sync(plan->gpu, RS__QUEUE_COPY, NULL);
    (void)rs__gpu_sync(plan->gpu, RS__QUEUE_COMPUTE, NULL);
    for (uint32_t i = 0; i < RS__SLOTS; i++) {
        rs__event_destroy(plan->gpu, plan->slots[i].uploaded);
        rs__event_destroy(plan->gpu, plan->slots[i].released);
    }
    for (uint32_t i = 0; i < RS__RING; i++)
        rs__event_destroy(plan->gpu, plan->ring_events[i]);
    rs__gpu_host_free(plan->gpu, plan->ring);
    rs__gpu_free(plan->gpu, plan->slot_block);
    rs__pixels_destroy(plan);
}

static int check_slot(uint32_t slot, struct rs_error *err)
{
    if (slot >= RS__SLOTS)
        return rs_error_set(err, RS_E_USAGE, "the device has %u slots; there is no slot %u", RS__SLOTS, slot);
    return 0;
}

static int upload(struct rs_plan *plan, uint32_t index, const struct rs_batch_input *input,
                  struct rs_error *err)
{
    RS_TRY(check_slot(index, err));
    struct rs__slot *slot = &plan->slots[index];
    if (slot->count > 0)
        return rs_error_set(err, RS_E_USAGE, "slot %u holds a batch that no step has read", index);
    if (!rs__plan_find_size(plan, input->count, true) && !rs__plan_find_size(plan, input->count, false))
        return rs_error_set(err, RS_E_USAGE, "the plan was not compiled for batches of %u samples",
                            input->count);
    RS_TRY(rs__gpu_enter(plan->gpu, err));
    RS_TRY(rs__event_wait(plan->gpu, slot->released, RS__QUEUE_COPY, err));
    RS_TRY(rs__gpu_copy(plan->gpu, RS__QUEUE_COPY, slot->tensor, input->tensor,
                        input->count * plan->sample_bytes, RS__TO_DEVICE, err));
    RS_TRY(rs__gpu_copy(plan->gpu, RS__QUEUE_COPY, slot->labels, input->labels,
                        input->count * sizeof(int32_t), RS__TO_DEVICE, err));
    RS_TRY(rs__event_record(plan->gpu, slot->uploaded, RS__QUEUE_COPY, err));
    slot->count = input->count;
    return 0;
}

static int stream_upload(struct rs_plan *plan, uint32_t index, const struct rs_batch_input *input,
                         struct rs_error *err)
{
    rs__trace_cause(plan, RS_CAUSE_UPLOAD, plan->uploads);
    const int code = upload(plan, index, input, err);
    rs__trace_cause(plan, RS_CAUSE_NONE, 0);
    plan->uploads += code == 0;
    return code;
}

static int uploaded(struct rs_plan *plan, uint32_t index, struct rs_error *err)
{
    RS_TRY(check_slot(index, err));
    return rs__event_query(plan->gpu, plan->slots[index].uploaded, err);
}

static int released(struct rs_plan *plan, uint32_t index, struct rs_error *err)
{
    RS_TRY(check_slot(index, err));
    if (plan->slots[index].count > 0)
        return RS_AGAIN; /* its step hasn't been started */
    return rs__event_query(plan->gpu, plan->slots[index].released, err);
}

/* The slot's tensor or pixels as the program's first value. */
static int convert_input(struct rs_plan *plan, const struct rs__slot *slot, struct rs_error *err)
{
    const struct rs__program *p = &plan->program;
    if (plan->options.pixels.height > 0)
        return rs__pixels_run(plan, slot->tensor, slot->count, err);
    struct rs__input input = {
        .bf16 = p->bf16, .shape = p->input, .src = slot->tensor, .dst = p->values[0].data};
    input.shape.n = slot->count;
    return rs__launch_input(plan->gpu, &input, err);
}

/* The slot's batch as the program's input; after this the slot is free. */
static int read_slot(struct rs_plan *plan, struct rs__slot *slot, struct rs_error *err)
{
    const struct rs__program *p = &plan->program;
    RS_TRY(rs__event_wait(plan->gpu, slot->uploaded, RS__QUEUE_COMPUTE, err));
    RS_TRY(convert_input(plan, slot, err));
    RS_TRY(rs__gpu_copy(plan->gpu, RS__QUEUE_COMPUTE, p->labels, slot->labels, slot->count * sizeof(int32_t),
                        RS__ON_DEVICE, err));
    RS_TRY(rs__event_record(plan->gpu, slot->released, RS__QUEUE_COMPUTE, err));
    slot->count = 0;
    return 0;
}

/* Notes a step instead of running it. A library that can't be captured costs speed, not the run. */
static void capture(struct rs_plan *plan, struct rs__size *size)
{
    struct rs_error reason = {.code = 0};
    int code = rs__capture_begin(plan->gpu, &reason);
    if (code == 0) {
        code = rs__run_step(plan, size, &reason);
        const int ended = rs__capture_end(plan->gpu, plan->counters, plan->counter_bytes, &size->captured,
                                          code < 0 ? NULL : &reason);
        if (code < 0) {
            rs__captured_destroy(plan->gpu, size->captured);
            size->captured = NULL;
        }
        code = code < 0 ? code : ended;
    }
    size->state = code < 0 ? RS__CAPTURE_NEVER : RS__CAPTURE_DONE;
    if (code < 0)
        rs_log(RS_LOG_WARN, "cuda: the step could not be captured as a graph, so it stays eager: %s",
               reason.message);
}

static int run(struct rs_plan *plan, struct rs__size *size, struct rs_error *err)
{
    if (size->state == RS__CAPTURE_LATER && size->eager_steps >= RS__EAGER_STEPS)
        capture(plan, size);
    if (size->state == RS__CAPTURE_DONE)
        return rs__captured_launch(plan->gpu, size->captured, err);
    size->eager_steps += size->eager_steps < RS__EAGER_STEPS;
    return rs__run_step(plan, size, err);
}

/* Starts a step on slot index; its result goes to the ring's cell. */
static int start(struct rs_plan *plan, uint32_t index, bool train, float lr, uint32_t cell,
                 struct rs_error *err)
{
    RS_TRY(check_slot(index, err));
    struct rs__slot *slot = &plan->slots[index];
    const uint32_t count = slot->count;
    if (count == 0)
        return rs_error_set(err, RS_E_USAGE, "nothing was uploaded into slot %u", index);
    struct rs__size *size = rs__plan_find_size(plan, count, train);
    if (!size)
        return rs_error_set(err, RS_E_USAGE, "the plan was not compiled for %s batches of %u samples",
                            train ? "training" : "evaluation", count);
    RS_TRY(rs__gpu_enter(plan->gpu, err));
    RS_TRY(read_slot(plan, slot, err));
    if (train) {
        const struct rs__set_hyper hyper = {.bf16 = plan->program.bf16,
                                            .value =
                                                rs__make_hyper(&plan->options, (double)lr, plan->steps + 1),
                                            .to = plan->program.hyper};
        RS_TRY(rs__launch_set_hyper(plan->gpu, &hyper, err));
    }
    RS_TRY(run(plan, size, err));
    RS_TRY(rs__gpu_copy(plan->gpu, RS__QUEUE_COMPUTE, &plan->ring[cell], plan->program.result,
                        sizeof(*plan->ring), RS__TO_HOST, err));
    RS_TRY(rs__event_record(plan->gpu, plan->ring_events[cell], RS__QUEUE_COMPUTE, err));
    plan->last_count = count;
    if (train) {
        plan->steps++;
        for (int32_t i = 0; i < plan->program.graph->norm_count; i++)
            plan->batches_tracked[i]++;
    }
    return 0;
}

static int start_ticket(struct rs_plan *plan, uint32_t slot, bool train, float lr, uint64_t ticket,
                        struct rs_error *err)
{
    if (ticket != plan->next_ticket)
        return rs_error_set(err, RS_E_USAGE, "the next step's ticket is %llu, not %llu",
                            (unsigned long long)plan->next_ticket, (unsigned long long)ticket);
    if (ticket - plan->next_result >= RS_STREAM_RESULTS)
        return rs_error_set(err, RS_E_USAGE, "%u steps' results are outstanding; take them first",
                            RS_STREAM_RESULTS);
    rs__trace_cause(plan, RS_CAUSE_STEP, ticket);
    const int code = start(plan, slot, train, lr, (uint32_t)(ticket % RS_STREAM_RESULTS), err);
    rs__trace_cause(plan, RS_CAUSE_NONE, 0);
    RS_TRY(code);
    plan->next_ticket++;
    return 0;
}

static int stream_train(struct rs_plan *plan, uint32_t slot, float lr, uint64_t ticket, struct rs_error *err)
{
    return start_ticket(plan, slot, true, lr, ticket, err);
}

static int stream_eval(struct rs_plan *plan, uint32_t slot, uint64_t ticket, struct rs_error *err)
{
    return start_ticket(plan, slot, false, 0, ticket, err);
}

static void fill_result(const struct rs_plan *plan, uint32_t cell, struct rs_step_result *result)
{
    result->loss_sum = plan->ring[cell].loss_sum;
    result->correct = plan->ring[cell].correct;
}

/* Probabilities of the step started last. Waits for it. */
static int get_probabilities(struct rs_plan *plan, float *to, struct rs_error *err)
{
    const size_t bytes = plan->last_count * (size_t)plan->program.graph->classes * sizeof(float);
    RS_TRY(
        rs__gpu_copy(plan->gpu, RS__QUEUE_COMPUTE, to, plan->program.probabilities, bytes, RS__TO_HOST, err));
    return rs__gpu_sync(plan->gpu, RS__QUEUE_COMPUTE, err);
}

static int stream_result(struct rs_plan *plan, uint64_t ticket, struct rs_step_result *result,
                         struct rs_error *err)
{
    const uint32_t cell = (uint32_t)(ticket % RS_STREAM_RESULTS);
    if (ticket != plan->next_result || ticket >= plan->next_ticket)
        return rs_error_set(err, RS_E_USAGE, "the next result is that of ticket %llu, not %llu",
                            (unsigned long long)plan->next_result, (unsigned long long)ticket);
    const int code = rs__event_query(plan->gpu, plan->ring_events[cell], err);
    if (code != 0)
        return code;
    fill_result(plan, cell, result);
    if (result->probabilities) {
        if (ticket + 1 != plan->next_ticket)
            return rs_error_set(err, RS_E_USAGE, "probabilities are kept of the last step only");
        RS_TRY(get_probabilities(plan, result->probabilities, err));
    }
    plan->next_result++;
    return 0;
}

static int drain(struct rs_plan *plan, struct rs_error *err)
{
    RS_TRY(rs__gpu_enter(plan->gpu, err));
    RS_TRY(rs__gpu_sync(plan->gpu, RS__QUEUE_COPY, err));
    return rs__gpu_sync(plan->gpu, RS__QUEUE_COMPUTE, err);
}

const struct rs_stream_ops rs__stream_ops = {
    .slots = RS__SLOTS,
    .pixels = true,
    .upload = stream_upload,
    .uploaded = uploaded,
    .train = stream_train,
    .eval = stream_eval,
    .released = released,
    .result = stream_result,
    .drain = drain,
    .trace_begin = rs__trace_begin,
    .trace_end = rs__trace_end,
};

/* A step with all its waiting, on the first slot. */
static int step(struct rs_plan *plan, const struct rs_batch_input *input, bool train, float lr,
                struct rs_step_result *result, struct rs_error *err)
{
    if (!rs__plan_find_size(plan, input->count, train))
        return rs_error_set(err, RS_E_USAGE, "the plan was not compiled for %s batches of %u samples",
                            train ? "training" : "evaluation", input->count);
    RS_TRY(upload(plan, 0, input, err));
    RS_TRY(start(plan, 0, train, lr, RS_STREAM_RESULTS, err));
    RS_TRY(drain(plan, err));
    fill_result(plan, RS_STREAM_RESULTS, result);
    return 0;
}

int rs__train_step(struct rs_plan *plan, const struct rs_batch_input *input, float lr,
                   struct rs_step_result *result, struct rs_error *err)
{
    return step(plan, input, true, lr, result, err);
}

int rs__eval_step(struct rs_plan *plan, const struct rs_batch_input *input, struct rs_step_result *result,
                  struct rs_error *err)
{
    RS_TRY(step(plan, input, false, 0, result, err));
    return result->probabilities ? get_probabilities(plan, result->probabilities, err) : 0;
}
