/* steps.c: runs a plan's programs: a training step, an evaluation, a profile. Nothing is allocated but by the
 * profile. */
#include "plan.h"
#include "alloc.h"
#include "clock.h"
#include <omp.h>
#include <stdio.h>
#include <string.h>

static int prepare(struct rs__call *call, int training)
{
    struct rs_plan *plan = call->plan;
    const uint32_t *batches = training ? plan->options.train_batches : plan->options.eval_batches;
    for (int i = 0; i < RS_BATCH_SIZES_MAX && batches[i]; i++)
        if (batches[i] == call->input->count)
            call->program = plan->programs[training][i];
    if (!call->program)
        return rs_error_set(call->err, RS_E_USAGE, "a batch of %u samples: this plan was not compiled for it",
                            call->input->count);
    for (uint32_t i = 0; i < call->input->count; i++)
        if (call->input->labels[i] < 0 || call->input->labels[i] >= plan->graph->classes)
            return rs_error_set(call->err, RS_E_LIMIT,
                                "sample %u of a batch has label %d; the network has %d classes", i,
                                call->input->labels[i], plan->graph->classes);
    omp_set_num_threads((int)plan->device->threads); /* belongs to the calling thread, so at each step */
    return 0;
}

int rs__train_step(struct rs_plan *plan, const struct rs_batch_input *input, float lr,
                   struct rs_step_result *result, struct rs_error *err)
{
    struct rs__call call = {.plan = plan, .input = input, .result = result, .err = err};
    RS_TRY(prepare(&call, 1));
    RS_TRY(rs__program_run(&call, 0));
    rs__optimizer_step(plan, lr);
    return rs__conv_copy_all(plan, err);
}

int rs__eval_step(struct rs_plan *plan, const struct rs_batch_input *input, struct rs_step_result *result,
                  struct rs_error *err)
{
    struct rs__call call = {.plan = plan, .input = input, .result = result, .err = err};
    RS_TRY(prepare(&call, 0));
    return rs__program_run(&call, 0);
}

struct text { /* grows to the right; what doesn't fit is cut */
    char *at;
    size_t left;
};

static void print_row(struct text *text, const char *name, const char *phase, double seconds)
{
    int n = snprintf(text->at, text->left, "%-28s %-18s %9.3f ms\n", name, phase, seconds * 1e3);
    size_t used = n < 0 ? 0 : (size_t)n;
    used = used < text->left ? used : text->left - 1;
    text->at += used;
    text->left -= used;
}

/* A copy of what a step changes, taken before a profiled one and put back after it. */
static void swap_state(const struct rs_plan *plan, float *block, int back)
{
    float *arenas[] = {plan->values, plan->moment1, plan->moment2};
    for (size_t i = 0; i < 3; i++) {
        float *copy = block + i * plan->param_floats;
        memcpy(back ? arenas[i] : copy, back ? copy : arenas[i], plan->param_floats * sizeof(float));
    }
    float *copy = block + 3 * plan->param_floats;
    const size_t bytes = (size_t)plan->graph->buffer_floats * sizeof(float);
    memcpy(back ? plan->buffers : copy, back ? copy : plan->buffers, bytes);
}

static int profiled_step(struct rs__call *call, struct text *text)
{
    struct rs_plan *plan = call->plan;
    double total = 0.0;
    RS_ASSERT(call->program);
    RS_TRY(rs__program_run(call, 1));
    for (int32_t i = 0; i < call->program->op_count; i++) {
        const struct rs__op *op = &call->program->ops[i];
        total += call->program->seconds[i];
        print_row(text, plan->graph->nodes[op->node].name, op->phase, call->program->seconds[i]);
    }
    uint64_t start = rs_now_ns();
    rs__optimizer_step(plan, 1e-3f);
    uint64_t middle = rs_now_ns();
    RS_TRY(rs__conv_copy_all(plan, call->err));
    uint64_t end = rs_now_ns();
    print_row(text, "optimizer", "step", (double)(middle - start) * 1e-9);
    print_row(text, "weights", "copies", (double)(end - middle) * 1e-9);
    print_row(text, "total", "", total + (double)(end - start) * 1e-9);
    return 0;
}

int rs__profile(struct rs_plan *plan, const struct rs_batch_input *input, char *text, size_t size,
                struct rs_error *err)
{
    struct rs_step_result result = {0};
    struct rs__call call = {.plan = plan, .input = input, .result = &result, .err = err};
    struct text out = {text, size};
    const size_t norms = (size_t)plan->graph->norm_count;
    if (size == 0)
        return rs_error_set(err, RS_E_USAGE, "a profile needs room for its text");
    text[0] = '\0';
    RS_TRY(prepare(&call, 1));
    float *saved =
        rs_alloc((3 * plan->param_floats + (size_t)plan->graph->buffer_floats + 1) * sizeof(float));
    int64_t *tracked = rs_alloc((norms + 1) * sizeof(int64_t));
    int code = RS_E_NOMEM;
    if (saved && tracked) {
        const int64_t steps = plan->steps;
        swap_state(plan, saved, 0);
        memcpy(tracked, plan->batches_tracked, norms * sizeof(int64_t));
        code = profiled_step(&call, &out);
        swap_state(plan, saved, 1);
        memcpy(plan->batches_tracked, tracked, norms * sizeof(int64_t));
        plan->steps = steps;
        if (code >= 0)
            code = rs__conv_copy_all(plan, err);
    } else {
        rs_error_set(err, RS_E_NOMEM, "out of memory for a profile");
    }
    rs_free(saved);
    rs_free(tracked);
    return code;
}
