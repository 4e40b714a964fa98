/* paths.h: what the resizer and its code paths tell each other; private to this folder.
 *
 * How it works: a path is three kernels over rows of bytes. Horizontal kernels make RS__GROUP neighbouring
 * outputs at once, vertical ones a block of columns of one output row. Both take four taps a step, a quad: a
 * 32-bit lane that holds four input bytes, multiplied with four weights. The weights come in the layout that
 * the path asks for.
 *
 * Why it is exact: Pillow adds weight (22 bits, not negative) times pixel (8 bits) in an int and shifts. The
 * weights of an output sum to 2^22 with at most half a unit of rounding a tap, so the true sum, with its half
 * for rounding, stays below (2^22 + 65535 / 2) * 255 + 2^21 < 2^31. A path may therefore split the weights as
 * it likes and add the parts in wrapping 32-bit arithmetic: a result that is right modulo 2^32 is right.
 *
 * Owner: the resizer owns weights and temporary rows; paths are const. @thread worker.
 */
#ifndef RS_IMAGE_PATHS_H
#define RS_IMAGE_PATHS_H

#include "alloc.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RS__WEIGHT_BITS 22     /* Pillow's PRECISION_BITS: 32 - 8 - 2 */
#define RS__GROUP ((size_t)16) /* outputs of a group */
#define RS__QUAD ((size_t)4)   /* taps of a quad */
#define RS__BLOCK ((size_t)64) /* temporary rows are a multiple of this long: kernels read whole blocks */

/* How a path wants the weights of a group and a quad: parts of 32-bit words, one an output. */
enum rs__layout {
    /* tap t of output i is fixed[i * taps + t]; no parts */
    RS__LAYOUT_PLAIN,
    /* for multiply-add of int16 pairs: w = high * 2^11 + low; parts: high of taps 0 and 2 (low and high
     * half-word), high of taps 1 and 3, then low of both: 4 parts */
    RS__LAYOUT_WORDS,
    /* for dot products of uint8 and int8: w = a * 2^16 + b * 2^8 + c with signed bytes; a, b, c of the four
     * taps: 3 parts */
    RS__LAYOUT_DIGITS,
};
#define RS__WORD_BITS 11
#define RS__WORD_PARTS 4u
#define RS__DIGIT_PARTS 3u

/* The weights of a pass from in to out pixels. Outputs fill whole groups: those past the last repeat it. */
struct rs__weights {
    uint32_t in, out;
    uint32_t groups;
    uint32_t quads;   /* of the output with the most taps */
    uint32_t window;  /* input bytes that the first quads of a group span, the widest group's */
    size_t reach;     /* no kernel reads this far or farther from a row's start */
    uint32_t *first;  /* [groups * RS__GROUP]: an output's first input with a weight */
    uint32_t *count;  /* [groups * RS__GROUP]: its taps, 1 or more */
    uint32_t *base;   /* [groups]: the smallest first of the group */
    uint32_t *offset; /* [groups * RS__GROUP]: first - base */
    uint8_t *shuffle; /* [groups * 64]: bytes of the first quads, from base; where window is at most 128 */
    /* [groups * RS__GROUP]: the weight of an output's second tap in 15 bits, where blending its two taps
     * gives the same bits; else -1. blends: all have one, and pairs can serve */
    int16_t *blend;
    bool blends;
    uint8_t *pairs;   /* [groups * RS__GROUP * 2]: the bytes of the first two taps, from base, in 16 bytes */
    uint32_t *fixed;  /* [groups * RS__GROUP * quads * RS__QUAD] */
    uint32_t *packed; /* [groups * quads * parts * RS__GROUP], none for RS__LAYOUT_PLAIN */
    struct rs_buffer memory; /* holds the arrays */
};

struct rs__path {
    const char *name;
    bool (*supported)(void);
    enum rs__layout layout;
    /* Optional, NULL if the path doesn't blend: the second tap's weight; -1: none gives the same bits. */
    int16_t (*find_blend)(uint32_t first, uint32_t second);
    /* An RGB row of width pixels into three rows, plane_stride apart, a multiple of RS__BLOCK long. */
    void (*deinterleave)(const uint8_t *row, uint32_t width, uint8_t *planes, size_t plane_stride);
    /* rows rows, stride apart, readable to weights->reach; results are out_stride apart, and a multiple of
     * RS__GROUP long. */
    void (*horizontal)(const struct rs__weights *weights, const uint8_t *src, size_t stride, size_t rows,
                       uint8_t *out, size_t out_stride);
    /* weights->in rows of width bytes, stride (a multiple of RS__BLOCK) apart; weights->out results without
     * a gap. */
    void (*vertical)(const struct rs__weights *weights, const uint8_t *src, size_t stride, uint32_t width,
                     uint8_t *out);
};

/* Makes w the weights from in to out (1 to RS_RESIZE_SIDE_MAX) as path wants them. Errors: RS_E_NOMEM. */
int rs__weights_build(struct rs__weights *w, uint32_t in, uint32_t out, const struct rs__path *path,
                      struct rs_error *err);

/* Fastest first, ends with NULL; the last one runs everywhere. */
const struct rs__path *rs__path_at(uint32_t i);

extern const struct rs__path rs__path_scalar;
extern const struct rs__path rs__path_avx2;
extern const struct rs__path rs__path_avx512;
extern const struct rs__path rs__path_vbmi;
/* The AVX2 path's, which the AVX-512 paths use too. */
void rs__deinterleave_avx2(const uint8_t *row, uint32_t width, uint8_t *planes, size_t plane_stride);
int16_t rs__blend_find_avx2(uint32_t first, uint32_t second);
/* As the path's horizontal, where weights->blends. */
void rs__blend_horizontal_avx2(const struct rs__weights *weights, const uint8_t *src, size_t stride,
                               size_t rows, uint8_t *out, size_t out_stride);
/* One output row of the path's vertical, where weights->blend has a weight for it. */
void rs__blend_row_avx2(const struct rs__weights *weights, size_t output, const uint8_t *src, size_t stride,
                        uint32_t width, uint8_t *out);

/* Both results of the normalization, as image.h has them.
 *
 * The vector paths of float32, and of bf16 where one instruction rounds, write past the cache where dst is
 * aligned: another core or a device reads the tensor next,
 * and a run's slots don't fit into a cache, so the lines need not be read first. Each call ends with a fence,
 * so that those stores come before the release that publishes the slot. */
struct rs__normalizer {
    const char *name;
    bool (*supported)(void);
    void (*f32)(const uint8_t *src, float *dst, size_t count);
    void (*bf16)(const uint8_t *src, uint16_t *dst, size_t count);
};

/* Fastest first, ends with NULL; the last one runs everywhere. */
const struct rs__normalizer *rs__normalizer_at(uint32_t i);

extern const struct rs__normalizer rs__normalizer_scalar;
extern const struct rs__normalizer rs__normalizer_avx2;
extern const struct rs__normalizer rs__normalizer_avx512;
extern const struct rs__normalizer rs__normalizer_bf16;

/* The weight words of part p of a group's quad. */
static inline const uint32_t *rs__weights_part(const struct rs__weights *w, uint32_t parts, size_t group,
                                               size_t quad, uint32_t part)
{
    return w->packed + ((group * w->quads + quad) * parts + part) * RS__GROUP;
}

/* An output that is its input: one tap of weight 1. */
static inline bool rs__weights_copies(const struct rs__weights *w, size_t output)
{
    return w->count[output] == 1 && w->fixed[output * w->quads * RS__QUAD] == (uint32_t)1 << RS__WEIGHT_BITS;
}

/* The four input rows of quad q of an output. Rows past the last have weight 0: any row will do. */
static inline void rs__quad_rows(const struct rs__weights *w, const uint8_t *src, size_t stride,
                                 size_t output, size_t quad, const uint8_t *rows[RS__QUAD])
{
    for (size_t i = 0; i < RS__QUAD; i++) {
        size_t row = w->first[output] + quad * RS__QUAD + i;
        rows[i] = src + (row < w->in ? row : w->in - 1) * stride;
    }
}

#endif
