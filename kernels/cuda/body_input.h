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

#include "body_pool.h" /* rs__find_pixel */
#include "hd.h"

struct rs__input_shape {
    uint32_t n, c, h, w; /* of the pictures */
    uint32_t folded;     /* 0 or 1 */
    uint32_t out_h, out_w,
        cp; /* of the value: h, w and padded channels; where folded half of h and w, rounded up */
};

RS_HD uint64_t rs__input_vectors(const struct rs__input_shape *s)
{
    return (uint64_t)s->n * s->out_h * s->out_w * (s->cp / RS__VECTOR);
}

struct rs__origin { /* of an element of the value in a picture; outside is 0 for padding */
    uint32_t c, y, x;
    int inside;
};

RS_HD struct rs__origin rs__find_origin(const struct rs__input_shape *s, const struct rs__pixel *pixel,
                                        uint32_t channel)
{
    struct rs__origin o;
    const uint32_t block = channel / s->c; /* of the 2 x 2; 0 where not folded */
    o.c = channel % s->c;
    o.y = s->folded ? 2 * pixel->y + block / 2 : pixel->y;
    o.x = s->folded ? 2 * pixel->x + block % 2 : pixel->x;
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
    return rs__flat_grid(rs__input_vectors(&a->shape));
}

RS_HD void rs__input_0(const struct rs__input *a, int bf16, struct rs__place place, float *shared)
{
    const struct rs__input_shape *s = &a->shape;
    const uint32_t index = rs__flat_index(place);
    float v[8];
    (void)shared;
    if (index >= rs__input_vectors(s))
        return;
    const struct rs__pixel pixel = rs__find_pixel(index, s->out_h, s->out_w, s->cp / RS__VECTOR);
    for (uint32_t i = 0; i < 8; i++) {
        const struct rs__origin o = rs__find_origin(s, &pixel, pixel.vector * RS__VECTOR + i);
        v[i] = o.inside
                   ? rs__element(a->src, bf16, (((uint64_t)pixel.n * s->c + o.c) * s->h + o.y) * s->w + o.x)
                   : 0;
    }
    rs__store(a->dst, bf16, index, v);
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

struct rs__resize_rows { /* along x: a thread a byte */
    int bf16;
    uint32_t n, c, in_h, in_w, out_w;
    int planar; /* src: n,c,in_h,in_w, else n,in_h,in_w,c */
    const uint8_t *src;
    uint8_t *dst; /* n,c,in_h,out_w */
    struct rs__resize_weights weights;
};

RS_HD struct rs__grid rs__resize_rows_grid(const struct rs__resize_rows *a)
{
    return rs__flat_grid((uint64_t)a->n * a->c * a->in_h * a->out_w);
}

RS_HD void rs__resize_rows_0(const struct rs__resize_rows *a, int bf16, struct rs__place place, float *shared)
{
    uint32_t index = rs__flat_index(place);
    (void)bf16, (void)shared;
    if (index >= (uint64_t)a->n * a->c * a->in_h * a->out_w)
        return;
    uint8_t *to = a->dst + index;
    const uint32_t x = index % a->out_w;
    index /= a->out_w;
    const uint32_t y = index % a->in_h, plane = index / a->in_h, n = plane / a->c, c = plane % a->c;
    const uint32_t step = a->planar ? 1 : a->c;
    const uint8_t *row = a->planar ? a->src + ((uint64_t)plane * a->in_h + y) * a->in_w
                                   : a->src + ((uint64_t)n * a->in_h + y) * a->in_w * a->c + c;
    const uint32_t *fixed = a->weights.fixed + (uint64_t)x * a->weights.taps, first = a->weights.first[x];
    uint32_t sum = (uint32_t)1 << 21;
    for (uint32_t t = 0; t < a->weights.count[x]; t++)
        sum += fixed[t] * row[(uint64_t)(first + t) * step];
    *to = (uint8_t)rs__round_pixel(sum);
}

struct rs__resize_columns { /* along y, normalize, layout: a thread a vector of the value */
    int bf16;
    struct rs__input_shape shape; /* h and w: after resizing */
    uint32_t in_h;
    const uint8_t *src; /* n,c,in_h,w */
    void *dst;
    struct rs__resize_weights weights;
};

RS_HD struct rs__grid rs__resize_columns_grid(const struct rs__resize_columns *a)
{
    return rs__flat_grid(rs__input_vectors(&a->shape));
}

RS_HD void rs__resize_columns_0(const struct rs__resize_columns *a, int bf16, struct rs__place place,
                                float *shared)
{
    const struct rs__input_shape *s = &a->shape;
    const uint32_t index = rs__flat_index(place);
    float v[8];
    (void)shared;
    if (index >= rs__input_vectors(s))
        return;
    const struct rs__pixel pixel = rs__find_pixel(index, s->out_h, s->out_w, s->cp / RS__VECTOR);
    for (uint32_t i = 0; i < 8; i++) {
        const struct rs__origin o = rs__find_origin(s, &pixel, pixel.vector * RS__VECTOR + i);
        v[i] = 0;
        if (!o.inside)
            continue;
        const uint32_t *fixed = a->weights.fixed + (uint64_t)o.y * a->weights.taps,
                       first = a->weights.first[o.y];
        const uint8_t *column = a->src + (((uint64_t)pixel.n * s->c + o.c) * a->in_h + first) * s->w + o.x;
        uint32_t sum = (uint32_t)1 << 21;
        for (uint32_t t = 0; t < a->weights.count[o.y]; t++)
            sum += fixed[t] * column[(uint64_t)t * s->w];
        v[i] = ((float)rs__round_pixel(sum) / 255.0f - 0.5f) / 0.5f;
    }
    rs__store(a->dst, bf16, index, v);
}

#endif
