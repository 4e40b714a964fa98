/* pointwise.c: ReLU, sums, and changes between blocked and plain tensors.
 * Tensors: in a, b; out y (add); in dy, dy, z; out dx (mask); in x; out y (the others). */
#include "plan.h"

/* Vectors of a tensor. Plain ones are taken as vectors too: their memory ends at a page's end. */
static size_t vectors_of(const struct rs__call *call, int32_t tensor)
{
    const struct rs__tensor *t = &call->program->tensors[tensor];
    size_t lanes = call->plan->lanes, pixels = rs__pixels(t->shape);
    if (t->form == RS__PLAIN)
        return (call->program->batch * (size_t)t->shape.c * pixels + lanes - 1) / lanes;
    return call->program->batch * rs__blocks(call->plan, t->shape.c) * pixels;
}

static enum rs__element element_of(const struct rs__call *call, int32_t tensor)
{
    return call->program->tensors[tensor].form == RS__PLAIN ? RS__F32 : call->plan->element;
}

#define CHUNK 512 /* vectors that a thread takes at once: no shared cache lines */

static const char *part(const struct rs__call *call, int32_t tensor, size_t first, size_t bytes)
{
    return tensor == RS_NONE ? NULL : (const char *)call->program->at[tensor] + first * bytes;
}

int rs__run_add(const struct rs__op *op, const struct rs__call *call)
{
    const size_t total = vectors_of(call, op->out[0]);
    const enum rs__element element = element_of(call, op->out[0]);
    const size_t bytes = call->plan->lanes * rs__element_bytes(element);
    const struct rs__element_kernels *kernels = &call->plan->device->kernels->of[element];

#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < total; i += CHUNK)
        kernels->add(part(call, op->in[0], i, bytes), part(call, op->in[1], i, bytes),
                     (void *)part(call, op->out[0], i, bytes), total - i < CHUNK ? total - i : CHUNK,
                     op->flags & RS__RELU);
    return 0;
}

int rs__run_mask(const struct rs__op *op, const struct rs__call *call)
{
    const size_t total = vectors_of(call, op->out[0]);
    const size_t bytes = call->plan->lanes * rs__element_bytes(call->plan->element);
    const struct rs__element_kernels *kernels = rs__kernels_for(call->plan);

#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < total; i += CHUNK)
        kernels->mask(part(call, op->in[0], i, bytes), part(call, op->in[1], i, bytes),
                      part(call, op->in[2], i, bytes), (void *)part(call, op->out[0], i, bytes),
                      total - i < CHUNK ? total - i : CHUNK);
    return 0;
}

int rs__run_widen(const struct rs__op *op, const struct rs__call *call)
{
    const struct rs__tensor *t = &call->program->tensors[op->out[0]];
    const size_t total = call->program->batch * (size_t)t->shape.c * rs__pixels(t->shape);
    const uint16_t *from = call->program->at[op->in[0]];
    float *to = call->program->at[op->out[0]];
    const struct rs__kernels *kernels = call->plan->device->kernels;
    const size_t chunk = 4096;

#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < total; i += chunk)
        kernels->widen(from + i, to + i, total - i < chunk ? total - i : chunk);
    return 0;
}

/* Walks the planes of a tensor: plain[sample][channel][pixel] beside blocked[sample][block][pixel][lane]. */
static void convert(const struct rs__call *call, const struct rs__tensor *t, float *plain, char *blocked,
                    int to_plain)
{
    const struct rs_plan *plan = call->plan;
    const struct rs__element_kernels *kernels = rs__kernels_for(plan);
    const size_t blocks = rs__blocks(plan, t->shape.c), pixels = rs__pixels(t->shape);
    const size_t count = call->program->batch * blocks, channels = (size_t)t->shape.c;
    const size_t bytes = pixels * plan->lanes * rs__element_bytes(plan->element);

#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < count; i++) {
        size_t first = i % blocks * plan->lanes;
        size_t valid = channels - first < plan->lanes ? channels - first : plan->lanes;
        float *at = plain + (i / blocks * channels + first) * pixels;
        if (to_plain)
            kernels->to_plain(blocked + i * bytes, at, pixels, (uint32_t)valid);
        else
            kernels->from_plain(at, blocked + i * bytes, pixels, (uint32_t)valid);
    }
}

int rs__run_to_plain(const struct rs__op *op, const struct rs__call *call)
{
    convert(call, &call->program->tensors[op->in[0]], call->program->at[op->out[0]],
            call->program->at[op->in[0]], 1);
    return 0;
}

int rs__run_from_plain(const struct rs__op *op, const struct rs__call *call)
{
    convert(call, &call->program->tensors[op->out[0]], call->program->at[op->in[0]],
            call->program->at[op->out[0]], 0);
    return 0;
}
