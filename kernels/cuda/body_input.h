/* body_input.h: pictures to the network's input: layout, and resize and normalize on the device. See hd.h for
 * how bodies work.
 *
 * input converts a float32 or bf16 batch in N,C,H,W to a value, folded or not (layouts.h). resize_rows and
 * resize_columns make the same out of uint8 pictures: Pillow's BILINEAR in 22-bit fixed point, rounded to
 * uint8 after each pass, then (x / 255 - 0.5) / 0.5 with every step rounded to float32: the arithmetic of
 * kernels/image, so the bits are the same. Weights come from there.
 *
 * @thread device; host in tests.
 */
#ifndef RS_CUDA_BODY_INPUT_H
#define RS_CUDA_BODY_INPUT_H

#include "hd.h"

#define RS__INPUT_THREADS 256u
#define RS__INPUT_FLOATS                                                                                     \
    12288u /* of a block's folded pixels: the 48 KiB of shared memory that every device gives */

struct rs__input_shape {
    uint32_t n, c, h, w; /* of the pictures */
    uint32_t folded;     /* 0 or 1 */
    uint32_t beside;     /* as many folded pixels lie beside each other in a pixel of the value; 1: one */
    uint32_t out_h, out_w, cp; /* of the value: height, width and padded channels */
    /* a block makes some rows of some pixels of the value; it needs beside - 1 folded pixels more of each */
    uint32_t rows, columns;
    uint32_t vectors; /* of a folded pixel */
    struct rs__divisor by_c, by_out_h, by_columns, by_needed, by_vectors, by_out_vectors;
};

/* Fills in the rest. beside: the width of the folded kernel, or 1. */
static inline struct rs__input_shape rs__make_input_shape(struct rs__input_shape s, uint32_t beside)
{
    const uint32_t channels = rs__padded(s.folded ? 4 * s.c : s.c), width = s.folded ? (s.w + 1) / 2 : s.w;
    const uint32_t fit = RS__INPUT_FLOATS / channels,
                   most = fit < RS__INPUT_THREADS ? fit : RS__INPUT_THREADS;
    s.beside = beside;
    s.out_h = s.folded ? (s.h + 1) / 2 : s.h;
    s.out_w = width - beside + 1;
    s.cp = beside * channels;
    s.columns = width <= most ? s.out_w : most - beside + 1;
    s.rows = width <= most ? most / width : 1;
    s.vectors = channels / RS__VECTOR;
    s.by_c = rs__make_divisor(s.c);
    s.by_out_h = rs__make_divisor(s.out_h);
    s.by_columns = rs__make_divisor(s.columns);
    s.by_needed = rs__make_divisor(s.columns + beside - 1);
    s.by_vectors = rs__make_divisor(s.vectors);
    s.by_out_vectors = rs__make_divisor(s.cp / RS__VECTOR);
    return s;
}

/* The grid of both kernels that make the input; in shared memory the block's folded pixels. */
RS_HD struct rs__grid rs__input_blocks(const struct rs__input_shape *s, int bf16)
{
    struct rs__grid grid = rs__flat_grid(1);
    grid.blocks_x = rs__ceil_div(s->n * s->out_h, s->rows);
    grid.blocks_y = rs__ceil_div(s->out_w, s->columns);
    grid.threads = RS__INPUT_THREADS;
    grid.shared = s->rows * s->by_needed.by * s->vectors * RS__VECTOR * (bf16 ? 2 : 4);
    return grid;
}

struct rs__folded_pixel { /* of a block's */
    uint32_t n, y, x;
    int inside; /* of the pictures */
};

/* Number index of a block's folded pixels. */
RS_HD struct rs__folded_pixel rs__find_folded(const struct rs__input_shape *s, struct rs__place place,
                                              uint32_t index)
{
    struct rs__folded_pixel p;
    p.x = rs__divide(&index, &s->by_needed) + place.block_y * s->columns;
    p.n = place.block_x * s->rows + index;
    p.y = rs__divide(&p.n, &s->by_out_h);
    p.inside = p.n < s->n && p.x < s->out_w + s->beside - 1;
    return p;
}

/* A block's pixels of the value: each is a run of folded pixels. */
RS_HD void rs__write_input(const struct rs__input_shape *s, int bf16, struct rs__place place,
                           const float *shared, void *dst)
{
    const uint32_t vectors = s->by_out_vectors.by;
    for (uint32_t item = place.thread; item < s->rows * s->columns * vectors; item += RS__INPUT_THREADS) {
        uint32_t r = item;
        const uint32_t vector = rs__divide(&r, &s->by_out_vectors), q = rs__divide(&r, &s->by_columns);
        const uint32_t row = place.block_x * s->rows + r, x = place.block_y * s->columns + q;
        struct rs__raw raw;
        if (row >= s->n * s->out_h || x >= s->out_w)
            continue;
        rs__fetch(shared, bf16, (r * s->by_needed.by + q) * s->vectors + vector, &raw);
        rs__put(dst, bf16, ((uint64_t)row * s->out_w + x) * vectors + vector, &raw);
    }
}

struct rs__origin { /* of an element of a folded pixel in a picture; outside is 0 for padding */
    uint32_t c, y, x;
    int inside;
};

/* x, y: of the folded pixel. */
RS_HD struct rs__origin rs__find_origin(const struct rs__input_shape *s, uint32_t y, uint32_t x,
                                        uint32_t channel)
{
    struct rs__origin o;
    uint32_t block = channel; /* of the 2 x 2; 0 where not folded */
    o.c = rs__divide(&block, &s->by_c);
    o.y = s->folded ? 2 * y + block / 2 : y;
    o.x = s->folded ? 2 * x + block % 2 : x;
    o.inside = block < (s->folded ? 4u : 1u) && o.y < s->h && o.x < s->w;
    return o;
}

struct rs__input {
    int bf16;
    struct rs__input_shape shape;
    const void *src; /* N,C,H,W */
    void *dst;
};

RS_HD struct rs__grid rs__input_grid(const struct rs__input *a)
{
    return rs__input_blocks(&a->shape, a->bf16);
}

RS_HD void rs__input_0(const struct rs__input *a, int bf16, struct rs__place place, float *shared)
{
    const struct rs__input_shape *s = &a->shape;
    const uint32_t items = s->rows * s->by_needed.by * s->vectors;
    for (uint32_t item = place.thread; item < items; item += RS__INPUT_THREADS) {
        uint32_t index = item;
        const uint32_t vector = rs__divide(&index, &s->by_vectors);
        const struct rs__folded_pixel p = rs__find_folded(s, place, index);
        float v[8] = {0, 0, 0, 0, 0, 0, 0, 0};
        for (uint32_t i = 0; p.inside && i < 8; i++) {
            const struct rs__origin o = rs__find_origin(s, p.y, p.x, vector * RS__VECTOR + i);
            if (o.inside)
                v[i] = rs__element(a->src, bf16, (((uint64_t)p.n * s->c + o.c) * s->h + o.y) * s->w + o.x);
        }
        rs__store(shared, bf16, item, v);
    }
}

RS_HD void rs__input_1(const struct rs__input *a, int bf16, struct rs__place place, float *shared)
{
    rs__write_input(&a->shape, bf16, place, shared, a->dst);
}

struct rs__resize_weights {        /* of one direction; out outputs */
    const uint32_t *first, *count; /* [out]: the first input with a weight, and how many have one */
    const uint32_t *fixed;         /* [out * taps]: weights, 22 fraction bits */
    uint32_t taps;
};

RS_HD uint32_t rs__round_pixel(uint32_t sum)
{
    const uint32_t value = sum >> 22;
    return value > 255 ? 255 : value;
}

#define RS__COLORS 3u /* of pixels */
#define RS__RESIZE_ROWS                                                                                      \
    8u /* that a thread of resize_rows goes down, with its column's weights in registers */
#define RS__RESIZE_FEW_TAPS 4u /* as many weights as enlarging has: they stay in registers */

struct rs__resize_rows { /* along x: a thread a column of a few rows */
    int bf16;
    uint32_t n, in_h, in_w, out_w;
    int planar; /* src: n,3,in_h,in_w, else n,in_h,in_w,3 */
    const uint8_t *src;
    uint8_t *dst; /* n,3,in_h,out_w */
    struct rs__resize_weights weights;
    struct rs__divisor by_out_w, by_chunks; /* of out_w, of the chunks of rows in in_h */
};

/* Fills in the divisors. */
RS_HD struct rs__resize_rows rs__make_resize_rows(struct rs__resize_rows a)
{
    a.by_out_w = rs__make_divisor(a.out_w);
    a.by_chunks = rs__make_divisor(rs__ceil_div(a.in_h, RS__RESIZE_ROWS));
    return a;
}

RS_HD uint64_t rs__resize_rows_threads(const struct rs__resize_rows *a)
{
    return (uint64_t)a->n * RS__COLORS * a->by_chunks.by * a->out_w;
}

RS_HD struct rs__grid rs__resize_rows_grid(const struct rs__resize_rows *a)
{
    return rs__flat_grid(rs__resize_rows_threads(a));
}

/* The weighted sum of count pixels, step bytes apart. */
RS_HD uint8_t rs__resize_sum(const uint8_t *from, uint32_t step, const uint32_t *weights, uint32_t count)
{
    uint32_t sum = (uint32_t)1 << 21;
    for (uint32_t t = 0; t < count; t++)
        sum += weights[t] * from[(uint64_t)t * step];
    return (uint8_t)rs__round_pixel(sum);
}

RS_HD void rs__resize_rows_0(const struct rs__resize_rows *a, int bf16, struct rs__place place, float *shared)
{
    uint32_t index = rs__flat_index(place), kept[RS__RESIZE_FEW_TAPS];
    (void)bf16, (void)shared;
    if (index >= rs__resize_rows_threads(a))
        return;
    const uint32_t x = rs__divide(&index, &a->by_out_w), chunk = rs__divide(&index, &a->by_chunks);
    const uint32_t plane = index, n = plane / RS__COLORS, c = plane % RS__COLORS;
    const uint32_t step = a->planar ? 1 : RS__COLORS, stride = a->in_w * step;
    const uint32_t begin = chunk * RS__RESIZE_ROWS, count = a->weights.count[x];
    const uint32_t rows = a->in_h - begin < RS__RESIZE_ROWS ? a->in_h - begin : RS__RESIZE_ROWS;
    const uint32_t *fixed = a->weights.fixed + (uint64_t)x * a->weights.taps;
    const uint8_t *from =
        a->src +
        (a->planar ? (uint64_t)plane * a->in_h * a->in_w : (uint64_t)n * a->in_h * a->in_w * RS__COLORS + c) +
        (uint64_t)begin * stride + (uint64_t)a->weights.first[x] * step;
    uint8_t *to = a->dst + ((uint64_t)plane * a->in_h + begin) * a->out_w + x;
    const int few = count <= RS__RESIZE_FEW_TAPS;
    RS_UNROLL
    for (uint32_t t = 0; t < RS__RESIZE_FEW_TAPS; t++)
        kept[t] = t < count ? fixed[t] : 0;
    for (uint32_t y = 0; y < rows; y++) {
        const uint8_t *row = from + (uint64_t)y * stride;
        uint32_t sum = (uint32_t)1 << 21;
        RS_UNROLL
        for (uint32_t t = 0; few && t < RS__RESIZE_FEW_TAPS; t++)
            sum += t < count ? kept[t] * row[(size_t)t * step] : 0;
        to[(uint64_t)y * a->out_w] =
            few ? (uint8_t)rs__round_pixel(sum) : rs__resize_sum(row, step, fixed, count);
    }
}

struct rs__resize_columns { /* along y, normalize, layout: a thread a folded pixel */
    int bf16;
    struct rs__input_shape shape; /* h and w: after resizing; c is 3 */
    uint32_t in_h;
    const uint8_t *src; /* n,3,in_h,w */
    void *dst;
    struct rs__resize_weights weights;
};

RS_HD struct rs__grid rs__resize_columns_grid(const struct rs__resize_columns *a)
{
    return rs__input_blocks(&a->shape, a->bf16);
}

/* Pixels (y, x) and (y, x + 1) of picture n, three colors each; the second one only where two. */
RS_HD void rs__resize_pair(const struct rs__resize_columns *a, uint32_t n, uint32_t y, uint32_t x, int two,
                           float v[2 * RS__COLORS])
{
    const struct rs__input_shape *s = &a->shape;
    const uint32_t count = a->weights.count[y];
    const uint32_t *fixed = a->weights.fixed + (uint64_t)y * a->weights.taps;
    const uint64_t plane = (uint64_t)a->in_h * s->w;
    const uint8_t *from =
        a->src + (uint64_t)n * RS__COLORS * plane + (uint64_t)a->weights.first[y] * s->w + x;
    uint32_t sums[2 * RS__COLORS];
    for (uint32_t i = 0; i < 2 * RS__COLORS; i++)
        sums[i] = (uint32_t)1 << 21;
    for (uint32_t t = 0; t < count; t++, from += s->w) {
        const uint32_t weight = fixed[t];
        for (uint32_t c = 0; c < RS__COLORS; c++) {
            sums[c] += weight * from[c * plane];
            if (two)
                sums[RS__COLORS + c] += weight * from[c * plane + 1];
        }
    }
    for (uint32_t i = 0; i < 2 * RS__COLORS; i++)
        v[i] = i < RS__COLORS || two ? ((float)rs__round_pixel(sums[i]) / 255.0f - 0.5f) / 0.5f : 0;
}

RS_HD void rs__resize_columns_0(const struct rs__resize_columns *a, int bf16, struct rs__place place,
                                float *shared)
{
    const struct rs__input_shape *s = &a->shape;
    for (uint32_t item = place.thread; item < s->rows * s->by_needed.by; item += RS__INPUT_THREADS) {
        const struct rs__folded_pixel p = rs__find_folded(s, place, item);
        float v[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
        if (p.inside && !s->folded)
            rs__resize_pair(a, p.n, p.y, p.x, 0, v);
        if (p.inside && s->folded)
            rs__resize_pair(a, p.n, 2 * p.y, 2 * p.x, 2 * p.x + 1 < s->w, v);
        if (p.inside && s->folded && 2 * p.y + 1 < s->h)
            rs__resize_pair(a, p.n, 2 * p.y + 1, 2 * p.x, 2 * p.x + 1 < s->w, v + (size_t)2 * RS__COLORS);
        rs__store(shared, bf16, (uint64_t)item * s->vectors, v);
        if (s->folded)
            rs__store(shared, bf16, (uint64_t)item * 2 + 1, v + RS__VECTOR);
    }
}

RS_HD void rs__resize_columns_1(const struct rs__resize_columns *a, int bf16, struct rs__place place,
                                float *shared)
{
    rs__write_input(&a->shape, bf16, place, shared, a->dst);
}

#endif
