/* params.c: states into a plan and back: PyTorch's layouts on the host, those of layouts.h on the device.
 *
 * How it works: arenas go as a whole through one pinned host copy, which the plan keeps, since an epoch's
 * snapshot waits for this. @thread the plan's; waits for the device.
 */
#include "plan.h"

#include "alloc.h"
#include <string.h>

/* Calls of one arena; to_device says which way. */
static void convert(const struct rs__program *p, float *ours, float *theirs, bool to_device)
{
    for (int32_t i = 0; i < p->graph->param_count; i++) {
        const struct rs__weight_layout *l = &p->weights[i];
        float *source = theirs + l->source;
        for (uint32_t k = 0; k < l->k; k++)
            for (uint32_t c = 0; c < l->c; c++)
                for (uint32_t r = 0; r < l->r; r++)
                    for (uint32_t s = 0; s < l->s; s++, source++) {
                        float *place = ours + l->offset + rs__weight_index(l, k, c, r, s);
                        if (to_device)
                            *place = *source;
                        else
                            *source = *place;
                    }
    }
}

static int put(struct rs_plan *plan, void *to, const void *from, size_t bytes, struct rs_error *err)
{
    RS_TRY(rs__gpu_copy(plan->gpu, RS__QUEUE_COMPUTE, to, from, bytes, RS__TO_DEVICE, err));
    return rs__gpu_sync(plan->gpu, RS__QUEUE_COMPUTE, err);
}

static int get(struct rs_plan *plan, void *to, const void *from, size_t bytes, struct rs_error *err)
{
    RS_TRY(rs__gpu_copy(plan->gpu, RS__QUEUE_COMPUTE, to, from, bytes, RS__TO_HOST, err));
    return rs__gpu_sync(plan->gpu, RS__QUEUE_COMPUTE, err);
}

/* Room for the running statistics, zeroed. */
static int new_statistics(int64_t floats, float **out, struct rs_error *err)
{
    *out = rs_calloc((size_t)floats + 1, sizeof(float));
    if (!*out)
        return rs_error_set(err, RS_E_NOMEM, "no memory for a copy of %lld statistics", (long long)floats);
    return 0;
}

/* The plan's copy of one arena. */
static int get_staging(struct rs_plan *plan, float **out, struct rs_error *err)
{
    const size_t bytes = ((size_t)plan->program.elements + 1) * sizeof(float);
    if (!plan->staging)
        plan->staging = rs__gpu_host_alloc(plan->gpu, bytes);
    *out = plan->staging;
    return *out ? 0
                : rs_error_set(err, RS_E_NOMEM, "no pinned memory for a copy of %lld parameters",
                               (long long)plan->program.elements);
}

/* The running statistics between the graph's arena and ours; their padding is mean 0, variance 1. */
static void convert_running(const struct rs__program *p, float *ours, float *theirs, bool to_device)
{
    for (int32_t i = 0; i < p->graph->norm_count; i++) {
        const struct rs_norm_info *norm = &p->graph->norms[i];
        const size_t count = (size_t)norm->running_mean.count;
        const size_t cp = rs__padded((uint32_t)count);
        float *mean = ours + p->statistics[i], *var = mean + cp;
        for (size_t c = 0; c < cp && to_device; c++) {
            mean[c] = c < count ? theirs[norm->running_mean.offset + (int64_t)c] : 0;
            var[c] = c < count ? theirs[norm->running_var.offset + (int64_t)c] : 1;
        }
        if (to_device)
            continue;
        memcpy(theirs + norm->running_mean.offset, mean, count * sizeof(float));
        memcpy(theirs + norm->running_var.offset, var, count * sizeof(float));
    }
}

int rs__load_state(struct rs_plan *plan, const struct rs_state *state, struct rs_error *err)
{
    const struct rs__program *p = &plan->program;
    float *const arenas[] = {p->masters, p->moment1, p->moment2};
    float *const sources[] = {state->params, state->moment1, state->moment2};
    float *host = NULL, *running = NULL;
    int code = get_staging(plan, &host, err);
    if (code == 0)
        code = new_statistics(p->statistic_elements, &running, err);
    if (code == 0)
        memset(host, 0, (size_t)p->elements * sizeof(float)); /* what pads stays 0 */
    for (int i = 0; i < 3 && code == 0; i++) {
        convert(p, host, sources[i], true);
        code = put(plan, arenas[i], host, (size_t)p->elements * sizeof(float), err);
    }
    if (code == 0) {
        convert_running(p, running, state->buffers, true);
        code = put(plan, p->running, running, (size_t)p->statistic_elements * sizeof(float), err);
    }
    if (code == 0 && p->bf16 && p->conv_elements > 0) {
        const struct rs__shadow shadow = {1, (uint32_t)(p->conv_elements / RS__VECTOR), p->masters,
                                          p->shadows};
        code = rs__launch_shadow(plan->gpu, &shadow, err);
    }
    rs_free(running);
    if (code < 0)
        return code;
    memcpy(plan->batches_tracked, state->batches_tracked, (size_t)p->graph->norm_count * sizeof(int64_t));
    plan->steps = state->steps;
    return rs__gpu_sync(plan->gpu, RS__QUEUE_COMPUTE, err);
}

int rs__store_state(struct rs_plan *plan, struct rs_state *state, struct rs_error *err)
{
    const struct rs__program *p = &plan->program;
    float *const arenas[] = {p->masters, p->moment1, p->moment2};
    float *const targets[] = {state->params, state->moment1, state->moment2};
    float *host = NULL, *running = NULL;
    int code = get_staging(plan, &host, err);
    if (code == 0)
        code = new_statistics(p->statistic_elements, &running, err);
    for (int i = 0; i < 3 && code == 0; i++) {
        code = get(plan, host, arenas[i], (size_t)p->elements * sizeof(float), err);
        if (code == 0)
            convert(p, host, targets[i], false);
    }
    if (code == 0)
        code = get(plan, running, p->running, (size_t)p->statistic_elements * sizeof(float), err);
    if (code == 0)
        convert_running(p, running, state->buffers, false);
    rs_free(running);
    if (code < 0)
        return code;
    memcpy(state->batches_tracked, plan->batches_tracked, (size_t)p->graph->norm_count * sizeof(int64_t));
    state->steps = plan->steps;
    return 0;
}

int rs__store_gradients(struct rs_plan *plan, float *gradients, struct rs_error *err)
{
    const struct rs__program *p = &plan->program;
    float *host = NULL;
    uint16_t *halves = NULL;
    int code = get_staging(plan, &host, err);
    if (code == 0)
        code = get(plan, host, p->gradients, (size_t)p->elements * sizeof(float), err);
    if (code == 0 && p->bf16) {
        halves = rs_calloc((size_t)p->conv_elements + 1, sizeof(*halves));
        code = halves ? get(plan, halves, p->conv_gradients, (size_t)p->conv_elements * sizeof(*halves), err)
                      : rs_error_set(err, RS_E_NOMEM, "no memory for a copy of the gradients");
        for (int64_t i = 0; halves && code == 0 && i < p->conv_elements; i++)
            host[i] = rs__from_bf16(halves[i]);
    }
    if (code == 0)
        convert(p, host, gradients, false);
    rs_free(halves);
    return code;
}
