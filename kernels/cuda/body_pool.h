/* body_pool.h: max and average pooling in floor mode without padding. See hd.h for how bodies work.
 *
 * The forward maximum stores which tap won, one byte an element; backward, every input pixel gathers from the
 * windows that cover it, so nothing is added atomically. Definitions: kernels/ref/pool.c (the first of equal
 * values wins, a NaN replaces all).
 *
 * @thread device; host in tests.
 */
#ifndef RS_CUDA_BODY_POOL_H
#define RS_CUDA_BODY_POOL_H

#include "hd.h"

struct rs__window {
    uint32_t n, h, w, cp; /* of x */
    uint32_t p, q;        /* height and width of y */
    uint32_t kernel, stride;
    struct rs__divisor by_vectors, by_h, by_w, by_p, by_q, by_stride; /* of the numbers above */
    struct rs__divisor by_h2, by_w2;                                  /* of half of h and w, rounded up */
};

/* Fills in the divisors. */
RS_HD struct rs__window rs__make_window(struct rs__window s)
{
    s.by_vectors = rs__make_divisor(s.cp / RS__VECTOR);
    s.by_h = rs__make_divisor(s.h);
    s.by_w = rs__make_divisor(s.w);
    s.by_p = rs__make_divisor(s.p);
    s.by_q = rs__make_divisor(s.q);
    s.by_stride = rs__make_divisor(s.stride);
    s.by_h2 = rs__make_divisor(rs__ceil_div(s.h, 2));
    s.by_w2 = rs__make_divisor(rs__ceil_div(s.w, 2));
    return s;
}

RS_HD uint64_t rs__window_out(const struct rs__window *s)
{
    return (uint64_t)s->n * s->p * s->q * (s->cp / RS__VECTOR);
}

RS_HD uint64_t rs__window_in(const struct rs__window *s)
{
    return (uint64_t)s->n * s->h * s->w * (s->cp / RS__VECTOR);
}

struct rs__pixel { /* a vector's place in an n,h,w,cp array */
    uint32_t n, y, x, vector;
};

RS_HD struct rs__pixel rs__find_pixel(uint32_t index, const struct rs__divisor *by_h,
                                      const struct rs__divisor *by_w, const struct rs__divisor *by_vectors)
{
    struct rs__pixel pixel;
    pixel.vector = rs__divide(&index, by_vectors);
    pixel.x = rs__divide(&index, by_w);
    pixel.y = rs__divide(&index, by_h);
    pixel.n = index;
    return pixel;
}

/* Vector number of pixel (y, x) of sample n in x. */
RS_HD uint64_t rs__window_at(const struct rs__window *s, uint32_t n, uint32_t y, uint32_t x, uint32_t vector)
{
    return (((uint64_t)n * s->h + y) * s->w + x) * (s->cp / RS__VECTOR) + vector;
}

struct rs__covering { /* the windows (p, q) that cover a pixel: first to last, none where first > last */
    uint32_t first_p, last_p, first_q, last_q;
};

RS_HD uint32_t rs__first_window(uint32_t at, uint32_t kernel, const struct rs__divisor *by_stride)
{
    return at < kernel ? 0 : rs__quotient(at - kernel, by_stride) + 1;
}

RS_HD struct rs__covering rs__find_covering(const struct rs__window *s, const struct rs__pixel *pixel)
{
    struct rs__covering c;
    c.first_p = rs__first_window(pixel->y, s->kernel, &s->by_stride);
    c.first_q = rs__first_window(pixel->x, s->kernel, &s->by_stride);
    c.last_p = rs__quotient(pixel->y, &s->by_stride);
    c.last_q = rs__quotient(pixel->x, &s->by_stride);
    c.last_p = c.last_p < s->p ? c.last_p : s->p - 1;
    c.last_q = c.last_q < s->q ? c.last_q : s->q - 1;
    return c;
}

struct rs__pool_max {
    int bf16;
    struct rs__window window;
    const void *x;
    const float *bias; /* added to the maximum, or NULL */
    void *y;
    uint8_t *index; /* of y's elements: ky * kernel + kx of the winner; or NULL */
};

RS_HD struct rs__grid rs__pool_max_grid(const struct rs__pool_max *a)
{
    return rs__flat_grid(rs__window_out(&a->window));
}

/* The maximum over a window and the tap that it lies at. kernel is s->kernel: a constant unrolls the loads.
 */
RS_HD void rs__find_maximum(const struct rs__pool_max *a, int bf16, const struct rs__pixel *out,
                            uint32_t kernel, float best[8], uint8_t taps[8])
{
    const struct rs__window *s = &a->window;
    const uint32_t y = out->y * s->stride, x = out->x * s->stride;
    float v[8];
    rs__load(a->x, bf16, rs__window_at(s, out->n, y, x, out->vector), best);
    for (uint32_t ky = 0; ky < kernel; ky++)
        for (uint32_t kx = 0; kx < kernel; kx++) {
            rs__load(a->x, bf16, rs__window_at(s, out->n, y + ky, x + kx, out->vector), v);
            for (int i = 0; i < 8; i++)
                if (v[i] > best[i] || v[i] != v[i]) {
                    best[i] = v[i];
                    taps[i] = (uint8_t)(ky * kernel + kx);
                }
        }
}

RS_HD void rs__pool_max_0(const struct rs__pool_max *a, int bf16, struct rs__place place, float *shared)
{
    const struct rs__window *s = &a->window;
    const uint32_t index = rs__flat_index(place);
    float best[8], bias[8];
    uint8_t taps[8] = {0, 0, 0, 0, 0, 0, 0, 0};
    (void)shared;
    if (index >= rs__window_out(s))
        return;
    const struct rs__pixel out = rs__find_pixel(index, &s->by_p, &s->by_q, &s->by_vectors);
    if (s->kernel == 3)
        rs__find_maximum(a, bf16, &out, 3, best, taps);
    else
        rs__find_maximum(a, bf16, &out, s->kernel, best, taps);
    if (a->bias) {
        rs__load(a->bias, 0, out.vector, bias);
        for (int i = 0; i < 8; i++)
            best[i] += bias[i];
    }
    rs__store(a->y, bf16, index, best);
    if (a->index)
        memcpy(__builtin_assume_aligned(a->index + (uint64_t)index * RS__VECTOR, 8), taps, sizeof(taps));
}

struct rs__pool_max_back {
    int bf16;
    struct rs__window window;
    const void *dy1, *dy2; /* their sum is the gradient; dy2 may be NULL */
    const uint8_t *index;
    void *dx;
};

/* dy at vector number at. */
RS_HD void rs__load_gradient(const void *dy1, const void *dy2, int bf16, uint64_t at, float g[8])
{
    struct rs__raw other;
    rs__load(dy1, bf16, at, g);
    if (!dy2)
        return;
    rs__fetch(dy2, bf16, at, &other);
    rs__add(&other, bf16, g);
}

/* A window's gradients and winners, fetched. */
struct rs__passed {
    struct rs__raw dy1, dy2;
    uint8_t taps[8];
};

RS_HD void rs__fetch_window(const struct rs__pool_max_back *a, int bf16, uint32_t n, uint32_t p, uint32_t q,
                            uint32_t vector, struct rs__passed *passed)
{
    const struct rs__window *s = &a->window;
    const uint64_t at = (((uint64_t)n * s->p + p) * s->q + q) * (s->cp / RS__VECTOR) + vector;
    memcpy(passed->taps, __builtin_assume_aligned(a->index + at * RS__VECTOR, 8), sizeof(passed->taps));
    rs__fetch(a->dy1, bf16, at, &passed->dy1);
    if (a->dy2)
        rs__fetch(a->dy2, bf16, at, &passed->dy2);
}

/* Adds to dx what the window passes on to the pixel at its tap. */
RS_HD void rs__take_passed(const struct rs__pool_max_back *a, int bf16, const struct rs__passed *passed,
                           uint32_t tap, float dx[8])
{
    float g[8];
    rs__unpack(&passed->dy1, bf16, g);
    if (a->dy2)
        rs__add(&passed->dy2, bf16, g);
    for (int i = 0; i < 8; i++)
        dx[i] += passed->taps[i] == tap ? g[i] : 0;
}

/* Windows of 3 x 3 with stride 2, the usual ones: a thread makes 2 x 2 pixels of the same four windows. */
RS_HD int rs__pool_by_four(const struct rs__window *s)
{
    return s->kernel == 3 && s->stride == 2;
}

RS_HD struct rs__grid rs__pool_max_back_grid(const struct rs__pool_max_back *a)
{
    const struct rs__window *s = &a->window;
    if (rs__pool_by_four(s))
        return rs__flat_grid((uint64_t)s->n * s->by_h2.by * s->by_w2.by * (s->cp / RS__VECTOR));
    return rs__flat_grid(rs__window_in(s));
}

/* Pixels (2 y, 2 x) to (2 y + 1, 2 x + 1): of the windows (y - 1, x - 1) to (y, x). */
RS_HD void rs__pool_four(const struct rs__pool_max_back *a, int bf16, uint32_t index)
{
    const struct rs__window *s = &a->window;
    const struct rs__pixel at = rs__find_pixel(index, &s->by_h2, &s->by_w2, &s->by_vectors);
    struct rs__passed passed[4];
    int there[4];
    memset(passed, 0, sizeof(passed));
    RS_UNROLL
    for (uint32_t i = 0; i < 4; i++) {
        const uint32_t p = at.y + i / 2 - 1, q = at.x + i % 2 - 1; /* wrap around before the first */
        there[i] = p < s->p && q < s->q;
        if (there[i])
            rs__fetch_window(a, bf16, at.n, p, q, at.vector, &passed[i]);
    }
    RS_UNROLL
    for (uint32_t i = 0; i < 4; i++) {
        const uint32_t dy = i / 2, dx = i % 2, y = 2 * at.y + dy, x = 2 * at.x + dx;
        float sum[8] = {0, 0, 0, 0, 0, 0, 0, 0};
        RS_UNROLL
        for (uint32_t k = 0; k < 4; k++) {
            const uint32_t ky = dy + 2 * (1 - k / 2), kx = dx + 2 * (1 - k % 2);
            if (ky < 3 && kx < 3 && there[k])
                rs__take_passed(a, bf16, &passed[k], ky * 3 + kx, sum);
        }
        if (y < s->h && x < s->w)
            rs__store(a->dx, bf16, rs__window_at(s, at.n, y, x, at.vector), sum);
    }
}

RS_HD void rs__pool_max_back_0(const struct rs__pool_max_back *a, int bf16, struct rs__place place,
                               float *shared)
{
    const struct rs__window *s = &a->window;
    const uint32_t index = rs__flat_index(place);
    float dx[8] = {0, 0, 0, 0, 0, 0, 0, 0};
    (void)shared;
    if (rs__pool_by_four(s)) {
        if (index < (uint64_t)s->n * s->by_h2.by * s->by_w2.by * (s->cp / RS__VECTOR))
            rs__pool_four(a, bf16, index);
        return;
    }
    if (index >= rs__window_in(s))
        return;
    const struct rs__pixel in = rs__find_pixel(index, &s->by_h, &s->by_w, &s->by_vectors);
    const struct rs__covering c = rs__find_covering(s, &in);
    for (uint32_t p = c.first_p; p <= c.last_p; p++)
        for (uint32_t q = c.first_q; q <= c.last_q; q++) {
            struct rs__passed passed;
            memset(&passed, 0, sizeof(passed));
            rs__fetch_window(a, bf16, in.n, p, q, in.vector, &passed);
            rs__take_passed(a, bf16, &passed, (in.y - p * s->stride) * s->kernel + in.x - q * s->stride, dx);
        }
    rs__store(a->dx, bf16, index, dx);
}

struct rs__pool_avg {
    int bf16;
    struct rs__window window;
    const void *x;
    void *y;
};

RS_HD struct rs__grid rs__pool_avg_grid(const struct rs__pool_avg *a)
{
    return rs__flat_grid(rs__window_out(&a->window));
}

RS_HD void rs__pool_avg_0(const struct rs__pool_avg *a, int bf16, struct rs__place place, float *shared)
{
    const struct rs__window *s = &a->window;
    const uint32_t index = rs__flat_index(place);
    float sum[8] = {0, 0, 0, 0, 0, 0, 0, 0}, v[8];
    (void)shared;
    if (index >= rs__window_out(s))
        return;
    const struct rs__pixel out = rs__find_pixel(index, &s->by_p, &s->by_q, &s->by_vectors);
    for (uint32_t ky = 0; ky < s->kernel; ky++)
        for (uint32_t kx = 0; kx < s->kernel; kx++) {
            rs__load(a->x, bf16,
                     rs__window_at(s, out.n, out.y * s->stride + ky, out.x * s->stride + kx, out.vector), v);
            for (int i = 0; i < 8; i++)
                sum[i] += v[i];
        }
    for (int i = 0; i < 8; i++)
        sum[i] /= (float)(s->kernel * s->kernel);
    rs__store(a->y, bf16, index, sum);
}

struct rs__pool_avg_back {
    int bf16;
    struct rs__window window;
    const void *dy1, *dy2;
    void *dx;
};

RS_HD struct rs__grid rs__pool_avg_back_grid(const struct rs__pool_avg_back *a)
{
    return rs__flat_grid(rs__window_in(&a->window));
}

RS_HD void rs__pool_avg_back_0(const struct rs__pool_avg_back *a, int bf16, struct rs__place place,
                               float *shared)
{
    const struct rs__window *s = &a->window;
    const uint32_t index = rs__flat_index(place), vectors = s->cp / RS__VECTOR;
    float dx[8] = {0, 0, 0, 0, 0, 0, 0, 0}, g[8];
    (void)shared;
    if (index >= rs__window_in(s))
        return;
    const struct rs__pixel in = rs__find_pixel(index, &s->by_h, &s->by_w, &s->by_vectors);
    const struct rs__covering c = rs__find_covering(s, &in);
    for (uint32_t p = c.first_p; p <= c.last_p; p++)
        for (uint32_t q = c.first_q; q <= c.last_q; q++) {
            rs__load_gradient(a->dy1, a->dy2, bf16,
                              (((uint64_t)in.n * s->p + p) * s->q + q) * vectors + in.vector, g);
            for (int i = 0; i < 8; i++)
                dx[i] += g[i] / (float)(s->kernel * s->kernel);
        }
    rs__store(a->dx, bf16, index, dx);
}

#endif
