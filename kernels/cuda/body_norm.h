/* body_norm.h: batch norm, relu, addition and biases, forward. See hd.h for how bodies work.
 *
 * Batch norm's statistics run in two stages: every block sums a chunk of rows into partial sums, then 32
 * threads a channel add the chunks, each every 32nd, and one adds theirs, in double. No atomics, so the bits
 * depend on the shapes alone. The sums are taken around a pivot (the channel's first element), so that
 * variance can't cancel.
 *
 * apply: v = x + x_bias; v = (v - mean) inv_std weight + bias where there is a norm; relu; v += add +
 * add_bias; relu. Each part may be missing. Formulas: those of kernels/ref/norm.c.
 *
 * @thread device; host in tests.
 */
#ifndef RS_CUDA_BODY_NORM_H
#define RS_CUDA_BODY_NORM_H

#include "hd.h"

#define RS__CHUNKS_MAX                                                                                       \
    256u /* partial sums of a channel: two blocks a multiprocessor of the largest devices */
#define RS__FINISH_LANES 32u /* threads that share a channel's chunks */
#define RS__FINISH_CHANNELS 16u
#define RS__FINISH_PLANE ((size_t)RS__FINISH_CHANNELS * RS__FINISH_LANES) /* a block's sums of one kind */
#define RS__FINISH_LOADS 4u /* under way at once, of each kind */
#define RS__NORM_ROWS 4u    /* likewise, of norm_sums */
#define RS__APPLY_ROWS 2u   /* likewise, of apply */

struct rs__norm_sums {
    int bf16;
    uint32_t rows, cp;
    const void *x;
    float *partial; /* 2 planes of chunks x cp: sums of x - pivot and of its square */
};

RS_HD struct rs__tile rs__norm_tile(uint32_t rows, uint32_t cp)
{
    return rs__make_tile(rows, cp, 4, RS__CHUNKS_MAX);
}

/* A block's sums in shared memory: planes x 8 x rows x lanes floats, where each of the 8 is padded by lanes
 * so that writing doesn't meet in a bank, nor, where lanes are a power of two, adding. */
RS_HD uint32_t rs__sums_pitch(const struct rs__tile *tile)
{
    return (tile->rows + 1) * tile->lanes;
}

RS_HD uint32_t rs__sums_bytes(const struct rs__tile *tile, uint32_t planes)
{
    return planes * RS__VECTOR * rs__sums_pitch(tile) * (uint32_t)sizeof(float);
}

/* A thread's sums of one plane. */
RS_HD void rs__keep_sums(struct rs__place place, uint32_t plane, const float sums[8], float *shared)
{
    const uint32_t pitch = rs__sums_pitch(&place.grid->tile);
    for (uint32_t i = 0; i < RS__VECTOR; i++)
        shared[(plane * RS__VECTOR + i) * pitch + place.thread] = sums[i];
}

/* Adds a block's sums over its rows and writes them, planes of chunks x cp. */
RS_HD void rs__write_partial(struct rs__place place, uint32_t planes, const float *shared, uint32_t cp,
                             float *partial)
{
    const struct rs__tile *tile = &place.grid->tile;
    const uint32_t pitch = rs__sums_pitch(tile);
    for (uint32_t item = place.thread; item < planes * RS__VECTOR * tile->lanes;
         item += place.grid->threads) {
        uint32_t kind = item; /* plane * 8 + i */
        const uint32_t lane = rs__divide(&kind, &tile->by_lanes);
        const uint32_t plane = kind / RS__VECTOR, i = kind % RS__VECTOR;
        const uint32_t channel = (place.block_y * tile->lanes + lane) * RS__VECTOR + i;
        float sum = 0;
        for (uint32_t row = 0; row < tile->rows; row++)
            sum += shared[kind * pitch + row * tile->lanes + lane];
        if (channel < cp)
            partial[((uint64_t)plane * tile->chunks + place.block_x) * cp + channel] = sum;
    }
}

RS_HD struct rs__grid rs__norm_sums_grid(const struct rs__norm_sums *a)
{
    const struct rs__tile tile = rs__norm_tile(a->rows, a->cp);
    return rs__tile_grid(&tile, rs__sums_bytes(&tile, 2));
}

RS_HD void rs__norm_sums_0(const struct rs__norm_sums *a, int bf16, struct rs__place place, float *shared)
{
    const struct rs__spot spot = rs__find_spot(place, a->rows);
    const uint32_t vectors = a->cp / RS__VECTOR, step = place.grid->tile.rows;
    float sum[8] = {0, 0, 0, 0, 0, 0, 0, 0}, square[8] = {0, 0, 0, 0, 0, 0, 0, 0}, pivot[8], v[8];
    if (spot.vector < vectors) {
        rs__load(a->x, bf16, spot.vector, pivot);
        for (uint32_t row = spot.begin; row < spot.end; row += RS__NORM_ROWS * step) {
            struct rs__raw raw[RS__NORM_ROWS];
            RS_UNROLL
            for (uint32_t k = 0; k < RS__NORM_ROWS; k++) /* past the end: the pivot, which adds nothing */
                rs__fetch(a->x, bf16,
                          (row + k * step < spot.end ? (uint64_t)(row + k * step) * vectors : 0) +
                              spot.vector,
                          &raw[k]);
            RS_UNROLL
            for (uint32_t k = 0; k < RS__NORM_ROWS; k++) {
                rs__unpack(&raw[k], bf16, v);
                for (int i = 0; i < 8; i++) {
                    const float d = v[i] - pivot[i];
                    sum[i] += d;
                    square[i] = fmaf(d, d, square[i]);
                }
            }
        }
    }
    rs__keep_sums(place, 0, sum, shared);
    rs__keep_sums(place, 1, square, shared);
}

RS_HD void rs__norm_sums_1(const struct rs__norm_sums *a, int bf16, struct rs__place place, float *shared)
{
    (void)bf16;
    rs__write_partial(place, 2, shared, a->cp, a->partial);
}

/* The chunks of a finish kernel: 16 channels by 32 lanes, each adding every 32nd chunk; then lane 0 adds the
 * lanes. The tile is that of the kernel that wrote the chunks. */
RS_HD struct rs__grid rs__finish_grid(uint32_t rows, uint32_t cp, uint32_t planes)
{
    struct rs__grid grid = rs__flat_grid(1);
    grid.blocks_x = rs__ceil_div(cp, RS__FINISH_CHANNELS);
    grid.threads = RS__FINISH_CHANNELS * RS__FINISH_LANES;
    grid.shared = planes * grid.threads * (uint32_t)sizeof(double);
    grid.tile = rs__norm_tile(rows, cp);
    return grid;
}

/* planes: 3 at most. */
RS_HD void rs__finish_lane(const float *partial, uint32_t cp, uint32_t planes, struct rs__place place,
                           double *shared)
{
    const uint32_t channel = place.block_x * RS__FINISH_CHANNELS + place.thread % RS__FINISH_CHANNELS;
    const uint32_t chunks = place.grid->tile.chunks;
    double sums[3] = {0, 0, 0};
    for (uint32_t chunk = place.thread / RS__FINISH_CHANNELS; channel < cp && chunk < chunks;
         chunk += RS__FINISH_LOADS * RS__FINISH_LANES) {
        float v[RS__FINISH_LOADS][3];
        RS_UNROLL
        for (uint32_t k = 0; k < RS__FINISH_LOADS; k++)
            for (uint32_t p = 0; p < planes; p++) {
                const uint32_t at = chunk + k * RS__FINISH_LANES;
                v[k][p] = at < chunks ? partial[((uint64_t)p * chunks + at) * cp + channel] : 0;
            }
        RS_UNROLL
        for (uint32_t k = 0; k < RS__FINISH_LOADS; k++)
            for (uint32_t p = 0; p < planes; p++)
                sums[p] += (double)v[k][p];
    }
    for (uint32_t p = 0; p < planes; p++)
        shared[p * RS__FINISH_PLANE + place.thread] = sums[p];
}

/* For a thread of lane 0. */
RS_HD double rs__finish_sum(const double *shared, struct rs__place place)
{
    double sum = 0;
    for (uint32_t lane = 0; lane < RS__FINISH_LANES; lane++)
        sum += shared[lane * RS__FINISH_CHANNELS + place.thread];
    return sum;
}

struct rs__norm_finish {
    int bf16;
    uint32_t rows, cp;
    const void *x; /* for the pivot */
    const float *partial;
    float *mean, *inv_std; /* of the batch */
    float *running_mean, *running_var;
};

RS_HD struct rs__grid rs__norm_finish_grid(const struct rs__norm_finish *a)
{
    return rs__finish_grid(a->rows, a->cp, 2);
}

RS_HD void rs__norm_finish_0(const struct rs__norm_finish *a, int bf16, struct rs__place place, float *shared)
{
    (void)bf16;
    rs__finish_lane(a->partial, a->cp, 2, place, (double *)(void *)shared);
}

RS_HD float rs__inverse_deviation(float variance)
{
    return 1.0f / sqrtf(variance + 1e-5f);
}

RS_HD float rs__moved(float running, float value)
{
    return 0.9f * running + 0.1f * value;
}

RS_HD void rs__norm_finish_1(const struct rs__norm_finish *a, int bf16, struct rs__place place, float *shared)
{
    const uint32_t channel = place.block_x * RS__FINISH_CHANNELS + place.thread;
    const double *sums = (const double *)(const void *)shared, count = (double)a->rows;
    if (place.thread >= RS__FINISH_CHANNELS || channel >= a->cp)
        return;
    const double shift = rs__finish_sum(sums, place) / count;
    const double squares = rs__finish_sum(sums + RS__FINISH_PLANE, place);
    double spread = squares - count * shift * shift; /* sum of squares around the mean */
    spread = spread < 0 ? 0 : spread;
    const float mean = (float)((double)rs__element(a->x, bf16, channel) + shift);
    a->mean[channel] = mean;
    a->inv_std[channel] = rs__inverse_deviation((float)(spread / count));
    a->running_mean[channel] = rs__moved(a->running_mean[channel], mean);
    a->running_var[channel] = rs__moved(a->running_var[channel], (float)(spread / (count - 1)));
}

/* Evaluation: the same two from the running statistics. */
struct rs__norm_running {
    int bf16;
    uint32_t cp;
    const float *running_mean, *running_var;
    float *mean, *inv_std;
};

RS_HD struct rs__grid rs__norm_running_grid(const struct rs__norm_running *a)
{
    return rs__flat_grid(a->cp);
}

RS_HD void rs__norm_running_0(const struct rs__norm_running *a, int bf16, struct rs__place place,
                              float *shared)
{
    const uint32_t channel = rs__flat_index(place);
    (void)bf16, (void)shared;
    if (channel >= a->cp)
        return;
    a->mean[channel] = a->running_mean[channel];
    a->inv_std[channel] = rs__inverse_deviation(a->running_var[channel]);
}

struct rs__norm_values { /* a norm's vectors, cp each; mean is NULL where there is no norm */
    const float *mean, *inv_std, *weight, *bias;
};

struct rs__norm_vector { /* a thread's 8 channels of them */
    float mean[8], scale[8], bias[8];
};

/* Zeros where there is no norm. */
RS_HD void rs__load_norm(const struct rs__norm_values *norm, uint32_t vector, struct rs__norm_vector *v)
{
    float weight[8];
    for (int i = 0; i < 8; i++)
        v->mean[i] = v->scale[i] = v->bias[i] = 0;
    if (!norm->mean)
        return;
    rs__load(norm->mean, 0, vector, v->mean);
    rs__load(norm->inv_std, 0, vector, v->scale);
    rs__load(norm->weight, 0, vector, weight);
    rs__load(norm->bias, 0, vector, v->bias);
    for (int i = 0; i < 8; i++)
        v->scale[i] *= weight[i];
}

RS_HD float rs__normalized(const struct rs__norm_vector *v, int i, float x)
{
    return fmaf(x - v->mean[i], v->scale[i], v->bias[i]);
}

/* NaN stays, as in PyTorch. */
RS_HD float rs__relu(float v)
{
    return v <= 0 ? 0 : v;
}

struct rs__apply {
    int bf16;
    uint32_t rows, cp;
    const void *x, *add; /* add may be NULL, and x may be y */
    void *y;
    struct rs__norm_values norm;
    const float *x_bias, *add_bias; /* cp each, or NULL; x_bias only without a norm */
    int relu_norm, relu_sum;
};

RS_HD struct rs__tile rs__apply_tile(uint32_t rows, uint32_t cp)
{
    return rs__make_tile(rows, cp, 4, rows);
}

RS_HD struct rs__grid rs__apply_grid(const struct rs__apply *a)
{
    const struct rs__tile tile = rs__apply_tile(a->rows, a->cp);
    return rs__tile_grid(&tile, 0);
}

RS_HD void rs__apply_0(const struct rs__apply *a, int bf16, struct rs__place place, float *shared)
{
    const struct rs__spot spot = rs__find_spot(place, a->rows);
    const uint32_t vectors = a->cp / RS__VECTOR, step = place.grid->tile.rows;
    struct rs__norm_vector norm;
    float x_bias[8] = {0, 0, 0, 0, 0, 0, 0, 0}, add_bias[8] = {0, 0, 0, 0, 0, 0, 0, 0};
    (void)shared;
    if (spot.vector >= vectors)
        return;
    rs__load_norm(&a->norm, spot.vector, &norm);
    if (a->x_bias)
        rs__load(a->x_bias, 0, spot.vector, x_bias);
    if (a->add_bias)
        rs__load(a->add_bias, 0, spot.vector, add_bias);
    for (uint32_t row = spot.begin; row < spot.end; row += RS__APPLY_ROWS * step) {
        struct rs__raw x[RS__APPLY_ROWS], add[RS__APPLY_ROWS];
        RS_UNROLL
        for (uint32_t k = 0; k < RS__APPLY_ROWS; k++) {
            const uint64_t at = (uint64_t)(row + k * step) * vectors + spot.vector;
            if (row + k * step >= spot.end)
                continue;
            rs__fetch(a->x, bf16, at, &x[k]);
            if (a->add)
                rs__fetch(a->add, bf16, at, &add[k]);
        }
        RS_UNROLL
        for (uint32_t k = 0; k < RS__APPLY_ROWS; k++) {
            float v[8], other[8] = {0, 0, 0, 0, 0, 0, 0, 0};
            if (row + k * step >= spot.end)
                continue;
            rs__unpack(&x[k], bf16, v);
            if (a->add)
                rs__unpack(&add[k], bf16, other);
            for (int i = 0; i < 8; i++) {
                float value = a->norm.mean ? rs__normalized(&norm, i, v[i]) : v[i] + x_bias[i];
                value = a->relu_norm ? rs__relu(value) : value;
                value = a->add ? value + (other[i] + add_bias[i]) : value;
                v[i] = a->relu_sum ? rs__relu(value) : value;
            }
            rs__store(a->y, bf16, (uint64_t)(row + k * step) * vectors + spot.vector, v);
        }
    }
}

#endif
