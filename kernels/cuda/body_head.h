/* body_head.h: the linear layer, softmax cross-entropy and the step's result. See hd.h for how bodies work.
 *
 * Logits, probabilities and their gradients are fp32 in every precision; the linear's weights are the fp32
 * masters. Its input is a value (layouts.h) of features = H W Cp elements a sample. Formulas:
 * kernels/ref/head.c.
 *
 * @thread device; host in tests.
 */
#ifndef RS_CUDA_BODY_HEAD_H
#define RS_CUDA_BODY_HEAD_H

#include "hd.h"

#define RS__LINEAR_LANES                                                                                     \
    32u /* vectors of features, and rows of samples, of a block of the weight gradient                       \
         */
#define RS__LINEAR_ROWS 16u

#define RS__LINEAR_OUTPUTS 32u /* logits of a block of the forward pass */
#define RS__LINEAR_PARTS 8u    /* threads that share a logit's features */

struct rs__linear {
    int bf16;
    uint32_t n, features, classes;
    const void *x;
    const float *weight, *bias; /* classes x features, classes */
    float *logits;              /* n x classes */
};

RS_HD struct rs__grid rs__linear_grid(const struct rs__linear *a)
{
    struct rs__grid grid = rs__flat_grid(1);
    grid.blocks_x = rs__ceil_div(a->n * a->classes, RS__LINEAR_OUTPUTS);
    grid.threads = RS__LINEAR_OUTPUTS * RS__LINEAR_PARTS;
    grid.shared = grid.threads * (uint32_t)sizeof(float);
    return grid;
}

RS_HD void rs__linear_0(const struct rs__linear *a, int bf16, struct rs__place place, float *shared)
{
    const uint32_t index = place.block_x * RS__LINEAR_OUTPUTS + place.thread % RS__LINEAR_OUTPUTS;
    const uint32_t vectors = a->features / RS__VECTOR, n = index / a->classes, k = index % a->classes;
    float sum[8] = {0, 0, 0, 0, 0, 0, 0, 0}, x[8], w[8];
    for (uint32_t v = place.thread / RS__LINEAR_OUTPUTS; n < a->n && v < vectors; v += RS__LINEAR_PARTS) {
        rs__load(a->x, bf16, (uint64_t)n * vectors + v, x);
        rs__load(a->weight, 0, (uint64_t)k * vectors + v, w);
        for (int i = 0; i < 8; i++)
            sum[i] = fmaf(x[i], w[i], sum[i]);
    }
    shared[place.thread] = ((sum[0] + sum[4]) + (sum[1] + sum[5])) + ((sum[2] + sum[6]) + (sum[3] + sum[7]));
}

RS_HD void rs__linear_1(const struct rs__linear *a, int bf16, struct rs__place place, float *shared)
{
    const uint32_t index = place.block_x * RS__LINEAR_OUTPUTS + place.thread;
    float sum = 0;
    (void)bf16;
    if (place.thread >= RS__LINEAR_OUTPUTS || index >= a->n * a->classes)
        return;
    for (uint32_t part = 0; part < RS__LINEAR_PARTS; part++)
        sum += shared[part * RS__LINEAR_OUTPUTS + place.thread];
    a->logits[index] = sum + a->bias[index % a->classes];
}

struct rs__linear_back_x {
    int bf16;
    uint32_t n, features, classes;
    const float *dlogits, *weight;
    void *dx;
};

RS_HD struct rs__grid rs__linear_back_x_grid(const struct rs__linear_back_x *a)
{
    return rs__flat_grid((uint64_t)a->n * (a->features / RS__VECTOR));
}

RS_HD void rs__linear_back_x_0(const struct rs__linear_back_x *a, int bf16, struct rs__place place,
                               float *shared)
{
    const uint32_t index = rs__flat_index(place), vectors = a->features / RS__VECTOR;
    float dx[8] = {0, 0, 0, 0, 0, 0, 0, 0}, w[8];
    (void)shared;
    if (index >= a->n * vectors)
        return;
    const uint32_t n = index / vectors, v = index % vectors;
    for (uint32_t k = 0; k < a->classes; k++) {
        const float d = a->dlogits[(uint64_t)n * a->classes + k];
        rs__load(a->weight, 0, (uint64_t)k * vectors + v, w);
        for (int i = 0; i < 8; i++)
            dx[i] = fmaf(d, w[i], dx[i]);
    }
    rs__store(a->dx, bf16, index, dx);
}

/* A block makes 32 vectors of a class's gradient; behind the features lies one more column, ones, for the
 * bias. */
struct rs__linear_back_w {
    int bf16;
    uint32_t n, features, classes;
    const float *dlogits;
    const void *x;
    float *dweight, *dbias;
};

RS_HD struct rs__grid rs__linear_back_w_grid(const struct rs__linear_back_w *a)
{
    struct rs__grid grid = rs__flat_grid(1);
    grid.blocks_x = rs__ceil_div(a->features / RS__VECTOR + 1, RS__LINEAR_LANES);
    grid.blocks_y = a->classes;
    grid.threads = RS__LINEAR_LANES * RS__LINEAR_ROWS;
    grid.shared = grid.threads * RS__VECTOR * (uint32_t)sizeof(float);
    return grid;
}

RS_HD void rs__linear_back_w_0(const struct rs__linear_back_w *a, int bf16, struct rs__place place,
                               float *shared)
{
    const uint32_t vectors = a->features / RS__VECTOR;
    const uint32_t v = place.block_x * RS__LINEAR_LANES + place.thread % RS__LINEAR_LANES;
    float sum[8] = {0, 0, 0, 0, 0, 0, 0, 0}, x[8] = {1, 0, 0, 0, 0, 0, 0, 0};
    for (uint32_t n = place.thread / RS__LINEAR_LANES; v <= vectors && n < a->n; n += RS__LINEAR_ROWS) {
        const float d = a->dlogits[(uint64_t)n * a->classes + place.block_y];
        if (v < vectors)
            rs__load(a->x, bf16, (uint64_t)n * vectors + v, x);
        for (int i = 0; i < 8; i++)
            sum[i] = fmaf(d, x[i], sum[i]);
    }
    for (uint32_t i = 0; i < 8; i++)
        shared[place.thread * RS__VECTOR + i] = sum[i];
}

RS_HD void rs__linear_back_w_1(const struct rs__linear_back_w *a, int bf16, struct rs__place place,
                               float *shared)
{
    const uint32_t width = RS__LINEAR_LANES * RS__VECTOR;
    const uint32_t feature = place.block_x * width + place.thread;
    float sum = 0;
    (void)bf16;
    if (place.thread >= width || feature > a->features)
        return;
    for (uint32_t row = 0; row < RS__LINEAR_ROWS; row++)
        sum += shared[row * width + place.thread];
    if (feature < a->features)
        a->dweight[(uint64_t)place.block_y * a->features + feature] = sum;
    else
        a->dbias[place.block_y] = sum;
}

struct rs__loss { /* a thread a sample */
    int bf16;
    uint32_t n, classes;
    const float *logits;
    const int32_t *labels;
    float *probabilities; /* n x classes */
    float *dlogits;       /* of the mean over the batch, n x classes, or NULL */
    float *losses;        /* n */
    uint32_t *hits;       /* n */
};

RS_HD struct rs__grid rs__loss_grid(const struct rs__loss *a)
{
    struct rs__grid grid = rs__flat_grid(a->n);
    grid.threads = 32; /* few samples: spread them over the multiprocessors */
    grid.blocks_x = rs__ceil_div(a->n, 32);
    return grid;
}

RS_HD void rs__loss_0(const struct rs__loss *a, int bf16, struct rs__place place, float *shared)
{
    const uint32_t n = place.block_x * 32 + place.thread;
    (void)bf16, (void)shared;
    if (n >= a->n)
        return;
    const float *logits = a->logits + (uint64_t)n * a->classes;
    float *probabilities = a->probabilities + (uint64_t)n * a->classes;
    const int32_t label = a->labels[n];
    const int known =
        label >= 0 && (uint32_t)label < a->classes; /* else the loss is NaN, and nothing outside is read */
    uint32_t best = 0;
    for (uint32_t k = 1; k < a->classes; k++)
        best = logits[k] > logits[best] ? k : best;
    const float largest = logits[best]; /* subtracted, so that expf can't overflow */
    float sum = 0;
    for (uint32_t k = 0; k < a->classes; k++) {
        probabilities[k] = expf(logits[k] - largest);
        sum += probabilities[k];
    }
    for (uint32_t k = 0; k < a->classes; k++) {
        probabilities[k] /= sum;
        if (a->dlogits)
            a->dlogits[(uint64_t)n * a->classes + k] =
                (probabilities[k] - (known && (uint32_t)label == k ? 1.0f : 0.0f)) / (float)a->n;
    }
    a->losses[n] = known ? logf(sum) - (logits[label] - largest) : rs__from_bits(0x7fc00000u);
    a->hits[n] = known && best == (uint32_t)label;
}

struct rs__result { /* of a step, as it goes to the host */
    double loss_sum;
    uint32_t correct;
    uint32_t unused;
};

struct rs__loss_sum { /* one block */
    int bf16;
    uint32_t n;
    const float *losses;
    const uint32_t *hits;
    struct rs__result *result;
};

#define RS__LOSS_LANES 64u

RS_HD struct rs__grid rs__loss_sum_grid(const struct rs__loss_sum *a)
{
    struct rs__grid grid = rs__flat_grid(1);
    (void)a;
    grid.threads = RS__LOSS_LANES;
    grid.shared = RS__LOSS_LANES * 2 * (uint32_t)sizeof(double);
    return grid;
}

RS_HD void rs__loss_sum_0(const struct rs__loss_sum *a, int bf16, struct rs__place place, float *shared)
{
    double *sums = (double *)(void *)shared, loss = 0;
    uint32_t hits = 0;
    (void)bf16;
    for (uint32_t n = place.thread; n < a->n; n += RS__LOSS_LANES) {
        loss += (double)a->losses[n];
        hits += a->hits[n];
    }
    sums[place.thread] = loss;
    sums[RS__LOSS_LANES + place.thread] = (double)hits;
}

RS_HD void rs__loss_sum_1(const struct rs__loss_sum *a, int bf16, struct rs__place place, float *shared)
{
    const double *sums = (const double *)(const void *)shared;
    double loss = 0, hits = 0;
    (void)bf16;
    if (place.thread > 0)
        return;
    for (uint32_t lane = 0; lane < RS__LOSS_LANES; lane++) {
        loss += sums[lane];
        hits += sums[RS__LOSS_LANES + lane];
    }
    a->result->loss_sum = loss;
    a->result->correct = (uint32_t)hits;
    a->result->unused = 0;
}

#endif
