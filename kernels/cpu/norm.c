/* norm.c: batch norm with what is fused behind it: statistics, normalization, gradients.
 *
 * How it works: every plane (one sample, one channel block) gives partial results in float; they are combined
 * for a channel in double, sample by sample, so the result does not depend on the number of threads. Planes
 * are walked in memory order. Means of squares: each plane's own mean and squared distances from it, combined
 * by Chan, Golub and LeVeque's formula
 * ("Updating formulae and a pairwise algorithm for computing sample variances", 1979).
 * The backward pass recomputes the ReLU's input instead of storing it: the same two operations give the same
 * bits.
 *
 * Tensors. forward: in x, residual; out y. backward: in x, dy, dy, z; out dx, dr (see backward.c). */
#include "plan.h"
#include <math.h>

struct planes {                          /* how an operation's tensors are cut */
    size_t count, blocks, pixels, bytes; /* bytes of one plane */
    size_t lanes;
};

static struct planes planes_of(const struct rs__call *call, const struct rs_node *node)
{
    const struct rs_plan *plan = call->plan;
    struct planes s = {.blocks = rs__blocks(plan, node->out.c), .lanes = plan->lanes};
    s.count = call->program->batch * s.blocks;
    s.pixels = rs__pixels(node->out);
    s.bytes = s.pixels * s.lanes * rs__element_bytes(plan->element);
    return s;
}

static char *address(const struct rs__call *call, int32_t tensor)
{
    return tensor == RS_NONE ? NULL : call->program->at[tensor];
}

/* The part of a tensor that is plane i; NULL stays NULL. */
static void *plane(char *base, const struct planes *s, size_t i)
{
    return base ? base + i * s->bytes : NULL;
}

struct statistics {
    double mean, variance; /* biased */
};

/* Combines one channel's planes: sums holds mean[lanes], m2[lanes] for each plane. */
static struct statistics combine(const float *sums, const struct planes *s, size_t channel)
{
    size_t lane = channel % s->lanes;
    const float *first = sums + channel / s->lanes * 2 * s->lanes + lane;
    double mean = 0.0, m2 = 0.0;
    size_t samples = s->count / s->blocks;
    for (size_t n = 0; n < samples; n++) {
        const float *part = first + n * s->blocks * 2 * s->lanes;
        double delta = (double)part[0] - mean;
        double share = 1.0 / (double)(n + 1);
        mean += delta * share;
        m2 += (double)part[s->lanes] + delta * delta * (double)s->pixels * (double)n * share;
    }
    return (struct statistics){mean, m2 / ((double)samples * (double)s->pixels)};
}

/* What a channel of the forward pass needs; padding channels have weight and bias 0. */
static void set_scale(const struct rs_plan *plan, const struct rs_node *node, size_t c, struct statistics st)
{
    const struct rs__norm *norm = &plan->norms[node->norm];
    double inverse = 1.0 / sqrt(st.variance + RS__BATCH_NORM_EPS);
    float weight = plan->values[plan->params[node->weight].offset + c];
    float bias = plan->values[plan->params[node->bias].offset + c];
    norm->inverse_std[c] = (float)inverse;
    norm->mean[c] = (float)st.mean;
    norm->scale[c] = (float)(weight * inverse);
    norm->shift[c] = (float)(bias - st.mean * weight * inverse);
}

/* PyTorch's running estimates: momentum 0.1, the variance unbiased. */
static void update_running(struct rs_plan *plan, const struct rs_node *node, const struct planes *s, size_t c,
                           struct statistics st)
{
    const struct rs_norm_info *info = &plan->graph->norms[node->norm];
    const size_t samples = s->count / s->blocks;
    double count = (double)(samples * s->pixels);
    double unbiased = st.variance * count / (count > 1.0 ? count - 1.0 : 1.0);
    float *mean = &plan->buffers[info->running_mean.offset + (int64_t)c];
    float *variance = &plan->buffers[info->running_var.offset + (int64_t)c];
    *mean = (float)((1.0 - RS__BATCH_NORM_MOMENTUM) * *mean + RS__BATCH_NORM_MOMENTUM * st.mean);
    *variance = (float)((1.0 - RS__BATCH_NORM_MOMENTUM) * *variance + RS__BATCH_NORM_MOMENTUM * unbiased);
}

static void normalize(const struct rs__op *op, const struct rs__call *call, const struct planes *s,
                      const struct rs__norm *norm, size_t i)
{
    size_t channel = i % s->blocks * s->lanes;
    struct rs__normalize k = {
        .x = plane(address(call, op->in[0]), s, i),
        .residual = plane(address(call, op->in[1]), s, i),
        .y = plane(address(call, op->out[0]), s, i),
        .scale = norm->scale + channel,
        .shift = norm->shift + channel,
        .relu = op->flags & RS__RELU,
        .post_relu = op->flags & RS__POST_RELU,
    };
    rs__kernels_for(call->plan)->normalize(&k, s->pixels);
}

int rs__run_norm_train(const struct rs__op *op, const struct rs__call *call)
{
    struct rs_plan *plan = call->plan;
    const struct rs_node *node = &plan->graph->nodes[op->node];
    const struct rs__element_kernels *kernels = rs__kernels_for(plan);
    const struct planes s = planes_of(call, node);
    char *x = address(call, op->in[0]);
    float *sums = plan->sums;

#pragma omp parallel
    {
#pragma omp for schedule(static)
        for (size_t i = 0; i < s.count; i++)
            kernels->moments(plane(x, &s, i), s.pixels, sums + i * 2 * s.lanes,
                             sums + i * 2 * s.lanes + s.lanes);
#pragma omp for schedule(static)
        for (size_t c = 0; c < s.blocks * s.lanes; c++) {
            struct statistics st = combine(sums, &s, c);
            set_scale(plan, node, c, st);
            if (c < (size_t)node->out.c)
                update_running(plan, node, &s, c, st);
        }
#pragma omp for schedule(static)
        for (size_t i = 0; i < s.count; i++)
            normalize(op, call, &s, &plan->norms[node->norm], i);
    }
    plan->batches_tracked[node->norm]++;
    return 0;
}

int rs__run_norm_eval(const struct rs__op *op, const struct rs__call *call)
{
    struct rs_plan *plan = call->plan;
    const struct rs_node *node = &plan->graph->nodes[op->node];
    const struct rs_norm_info *info = &plan->graph->norms[node->norm];
    const struct planes s = planes_of(call, node);

    for (size_t c = 0; c < s.blocks * s.lanes; c++) {
        struct statistics st = {0.0, 1.0};
        if (c < (size_t)node->out.c) {
            st.mean = plan->buffers[info->running_mean.offset + (int64_t)c];
            st.variance = plan->buffers[info->running_var.offset + (int64_t)c];
        }
        set_scale(plan, node, c, st);
    }
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < s.count; i++)
        normalize(op, call, &s, &plan->norms[node->norm], i);
    return 0;
}

static struct rs__norm_grad grad_of(const struct rs__op *op, const struct rs__call *call,
                                    const struct planes *s, const struct rs__norm *norm, size_t i)
{
    size_t channel = i % s->blocks * s->lanes;
    return (struct rs__norm_grad){
        .x = plane(address(call, op->in[0]), s, i),
        .dy = {plane(address(call, op->in[1]), s, i), plane(address(call, op->in[2]), s, i)},
        .z = plane(address(call, op->in[3]), s, i),
        .dr = plane(address(call, op->out[1]), s, i),
        .dx = plane(address(call, op->out[0]), s, i),
        .scale = norm->scale + channel,
        .shift = norm->shift + channel,
        .mean = norm->mean + channel,
        .sum_factor = norm->sum_factor + channel,
        .x_factor = norm->x_factor + channel,
        .relu = op->flags & RS__RELU,
    };
}

/* Sums one channel's planes: gradients of weight and bias, and the factors of dx:
 * dx = scale * (g - sum(g) / count - (x - mean) * inverse_std^2 * sum(g * (x - mean)) / count). */
static void finish_channel(struct rs_plan *plan, const struct rs_node *node, const struct planes *s, size_t c)
{
    const struct rs__norm *norm = &plan->norms[node->norm];
    const float *first = plan->sums + c / s->lanes * 2 * s->lanes + c % s->lanes;
    size_t samples = s->count / s->blocks;
    double sum = 0.0, product = 0.0, count = (double)(samples * s->pixels);
    for (size_t n = 0; n < samples; n++) {
        sum += (double)first[n * s->blocks * 2 * s->lanes];
        product += (double)first[n * s->blocks * 2 * s->lanes + s->lanes];
    }
    double inverse = norm->inverse_std[c], scale = norm->scale[c];
    plan->gradients[plan->params[node->bias].offset + c] = (float)sum;
    plan->gradients[plan->params[node->weight].offset + c] = (float)(product * inverse);
    norm->sum_factor[c] = (float)(-scale * sum / count);
    norm->x_factor[c] = (float)(-scale * inverse * inverse * product / count);
}

int rs__run_norm_backward(const struct rs__op *op, const struct rs__call *call)
{
    struct rs_plan *plan = call->plan;
    const struct rs_node *node = &plan->graph->nodes[op->node];
    const struct rs__norm *norm = &plan->norms[node->norm];
    const struct rs__element_kernels *kernels = rs__kernels_for(plan);
    const struct planes s = planes_of(call, node);

#pragma omp parallel
    {
#pragma omp for schedule(static)
        for (size_t i = 0; i < s.count; i++) {
            struct rs__norm_grad k = grad_of(op, call, &s, norm, i);
            kernels->norm_grad_sums(&k, s.pixels, plan->sums + i * 2 * s.lanes);
        }
#pragma omp for schedule(static)
        for (size_t c = 0; c < s.blocks * s.lanes; c++)
            finish_channel(plan, node, &s, c);
#pragma omp for schedule(static)
        for (size_t i = 0; i < s.count; i++) {
            struct rs__norm_grad k = grad_of(op, call, &s, norm, i);
            if (k.dr) { /* the first pass has summed and masked */
                k.dy[0] = k.dr;
                k.dy[1] = k.z = NULL;
            }
            kernels->norm_grad(&k, s.pixels);
        }
    }
    return 0;
}
