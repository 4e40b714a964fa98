/* body_norm_back.h: the backward pass of body_norm.h's apply. See hd.h for how bodies work.
 *
 * back_sums masks the gradient and sums what the parameters' gradients need, a chunk of rows a block;
 * back_finish adds the chunks as norm_finish does; back_apply makes the gradient of x. Formulas: those of
 * kernels/ref/norm.c.
 *
 * @thread device; host in tests.
 */
#ifndef RS_CUDA_BODY_NORM_BACK_H
#define RS_CUDA_BODY_NORM_BACK_H

#include "body_norm.h"

#define RS__BACK_ROWS 2u /* whose loads are under way at once */

struct rs__back { /* of apply: what all of its backward kernels see */
    int bf16;
    uint32_t rows, cp;
    const void *dy1, *dy2; /* the gradient of y is their sum; dy2 may be NULL */
    const void *y;         /* relu_sum's mask */
    const void *x;
    struct rs__norm_values norm;
    int relu_norm, relu_sum;
};

struct rs__back_row { /* a vector of what they read */
    struct rs__raw dy1, dy2, y, x;
};

RS_HD void rs__back_fetch(const struct rs__back *b, int bf16, uint64_t at, struct rs__back_row *row)
{
    rs__fetch(b->dy1, bf16, at, &row->dy1);
    if (b->dy2)
        rs__fetch(b->dy2, bf16, at, &row->dy2);
    if (b->relu_sum)
        rs__fetch(b->y, bf16, at, &row->y);
    if (b->norm.mean)
        rs__fetch(b->x, bf16, at, &row->x);
}

/* From row on, step apart, as many as there are. */
RS_HD void rs__back_fetch_rows(const struct rs__back *b, int bf16, const struct rs__spot *spot, uint32_t row,
                               uint32_t step, struct rs__back_row read[RS__BACK_ROWS])
{
    RS_UNROLL
    for (uint32_t k = 0; k < RS__BACK_ROWS; k++)
        if (row + k * step < spot->end)
            rs__back_fetch(b, bf16, (uint64_t)(row + k * step) * (b->cp / RS__VECTOR) + spot->vector,
                           &read[k]);
}

/* The gradient before the addition: dy where y > 0. */
RS_HD void rs__back_sum_gradient(const struct rs__back *b, int bf16, const struct rs__back_row *row,
                                 float g[8])
{
    float y[8];
    rs__unpack(&row->dy1, bf16, g);
    if (b->dy2)
        rs__add(&row->dy2, bf16, g);
    if (b->relu_sum) {
        rs__unpack(&row->y, bf16, y);
        for (int i = 0; i < 8; i++)
            g[i] = y[i] <= 0 ? 0 : g[i];
    }
}

/* Then before the norm: where the norm's result is above 0. x: for the caller too. */
RS_HD void rs__back_norm_gradient(const struct rs__back *b, int bf16, const struct rs__back_row *row,
                                  const struct rs__norm_vector *norm, float g[8], float x[8])
{
    rs__unpack(&row->x, bf16, x);
    for (int i = 0; i < 8; i++)
        if (b->relu_norm)
            g[i] = rs__normalized(norm, i, x[i]) <= 0 ? 0 : g[i];
}

struct rs__back_sums {
    int bf16;
    struct rs__back back;
    void *g;        /* the gradient of both addends, rounded, or NULL: not wanted */
    float *partial; /* 3 planes of chunks x cp: sums of the norm's gradient, of that times (x - mean), of g;
                       or NULL */
};

RS_HD struct rs__grid rs__back_sums_grid(const struct rs__back_sums *a)
{
    const struct rs__tile tile = rs__norm_tile(a->back.rows, a->back.cp);
    return rs__tile_grid(&tile, a->partial ? rs__sums_bytes(&tile, 3) : 0);
}

RS_HD void rs__back_sums_0(const struct rs__back_sums *a, int bf16, struct rs__place place, float *shared)
{
    const struct rs__back *b = &a->back;
    const struct rs__spot spot = rs__find_spot(place, b->rows);
    const uint32_t vectors = b->cp / RS__VECTOR, step = place.grid->tile.rows;
    float sum[8] = {0, 0, 0, 0, 0, 0, 0, 0}, dot[8] = {0, 0, 0, 0, 0, 0, 0, 0},
          all[8] = {0, 0, 0, 0, 0, 0, 0, 0};
    struct rs__norm_vector norm;
    rs__load_norm(&b->norm, spot.vector < vectors ? spot.vector : 0,
                  &norm); /* an idle thread's too: it meets the others */
    for (uint32_t row = spot.begin; spot.vector < vectors && row < spot.end; row += RS__BACK_ROWS * step) {
        struct rs__back_row read[RS__BACK_ROWS];
        rs__back_fetch_rows(b, bf16, &spot, row, step, read);
        RS_UNROLL
        for (uint32_t k = 0; k < RS__BACK_ROWS; k++) {
            float g[8], x[8];
            if (row + k * step >= spot.end)
                continue;
            rs__back_sum_gradient(b, bf16, &read[k], g);
            if (a->g) { /* from here on what others will read */
                rs__store(a->g, bf16, (uint64_t)(row + k * step) * vectors + spot.vector, g);
                for (int i = 0; i < 8; i++)
                    g[i] = rs__stored(bf16, g[i]);
            }
            for (int i = 0; i < 8; i++)
                all[i] += g[i];
            if (!b->norm.mean)
                continue;
            rs__back_norm_gradient(b, bf16, &read[k], &norm, g, x);
            for (int i = 0; i < 8; i++) {
                sum[i] += g[i];
                dot[i] = fmaf(g[i], x[i] - norm.mean[i], dot[i]);
            }
        }
    }
    if (!a->partial)
        return;
    rs__keep_sums(place, 0, sum, shared);
    rs__keep_sums(place, 1, dot, shared);
    rs__keep_sums(place, 2, all, shared);
}

RS_HD void rs__back_sums_1(const struct rs__back_sums *a, int bf16, struct rs__place place, float *shared)
{
    (void)bf16;
    if (a->partial)
        rs__write_partial(place, 3, shared, a->back.cp, a->partial);
}

struct rs__back_finish {
    int bf16;
    uint32_t rows, cp;
    const float *partial;
    const float *inv_std, *weight; /* NULL without a norm */
    float *dweight, *dbias;        /* of the norm, NULL without */
    float *coefficients;           /* 3 planes of cp for back_apply, NULL without */
    float *add_dbias, *x_dbias;    /* of biases that apply added, or NULL */
};

RS_HD struct rs__grid rs__back_finish_grid(const struct rs__back_finish *a)
{
    return rs__finish_grid(a->rows, a->cp, 3);
}

RS_HD void rs__back_finish_0(const struct rs__back_finish *a, int bf16, struct rs__place place, float *shared)
{
    (void)bf16;
    rs__finish_lane(a->partial, a->cp, 3, place, (double *)(void *)shared);
}

RS_HD void rs__back_finish_1(const struct rs__back_finish *a, int bf16, struct rs__place place, float *shared)
{
    const uint32_t channel = place.block_x * RS__FINISH_CHANNELS + place.thread;
    const size_t plane = RS__FINISH_PLANE;
    const double *sums = (const double *)(const void *)shared;
    (void)bf16;
    if (place.thread >= RS__FINISH_CHANNELS || channel >= a->cp)
        return;
    if (a->dweight) {
        const double sum = rs__finish_sum(sums, place), dot = rs__finish_sum(sums + plane, place);
        const double inv_std = (double)a->inv_std[channel];
        a->dbias[channel] = (float)sum;
        a->dweight[channel] = (float)(dot * inv_std);
        a->coefficients[channel] = a->weight[channel] * a->inv_std[channel];
        a->coefficients[a->cp + channel] = (float)(sum / (double)a->rows);
        a->coefficients[2 * a->cp + channel] = (float)(dot * inv_std * inv_std / (double)a->rows);
    }
    const float all = (float)rs__finish_sum(sums + 2 * plane, place);
    if (a->add_dbias)
        a->add_dbias[channel] = all;
    if (a->x_dbias)
        a->x_dbias[channel] = all;
}

struct rs__back_apply {
    int bf16;
    struct rs__back back;      /* where back_sums stored g: dy1 = g, without dy2 and relu_sum */
    const float *coefficients; /* back_finish's */
    void *dx;
};

RS_HD struct rs__grid rs__back_apply_grid(const struct rs__back_apply *a)
{
    const struct rs__tile tile = rs__apply_tile(a->back.rows, a->back.cp);
    return rs__tile_grid(&tile, 0);
}

RS_HD void rs__back_apply_0(const struct rs__back_apply *a, int bf16, struct rs__place place, float *shared)
{
    const struct rs__back *b = &a->back;
    const struct rs__spot spot = rs__find_spot(place, b->rows);
    const uint32_t vectors = b->cp / RS__VECTOR, step = place.grid->tile.rows;
    struct rs__norm_vector norm;
    float scale[8], mean_gradient[8], slope[8];
    (void)shared;
    if (spot.vector >= vectors)
        return;
    rs__load_norm(&b->norm, spot.vector, &norm);
    rs__load(a->coefficients, 0, spot.vector, scale);
    rs__load(a->coefficients + b->cp, 0, spot.vector, mean_gradient);
    rs__load(a->coefficients + (size_t)2 * b->cp, 0, spot.vector, slope);
    for (uint32_t row = spot.begin; row < spot.end; row += RS__BACK_ROWS * step) {
        struct rs__back_row read[RS__BACK_ROWS];
        rs__back_fetch_rows(b, bf16, &spot, row, step, read);
        RS_UNROLL
        for (uint32_t k = 0; k < RS__BACK_ROWS; k++) {
            float g[8], x[8];
            if (row + k * step >= spot.end)
                continue;
            rs__back_sum_gradient(b, bf16, &read[k], g);
            rs__back_norm_gradient(b, bf16, &read[k], &norm, g, x);
            for (int i = 0; i < 8; i++)
                g[i] = scale[i] * (g[i] - mean_gradient[i] - (x[i] - norm.mean[i]) * slope[i]);
            rs__store(a->dx, bf16, (uint64_t)(row + k * step) * vectors + spot.vector, g);
        }
    }
}

#endif
