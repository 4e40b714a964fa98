/* kernels.h: the backend's own kernels over blocked activations, one table for each instruction set.
 *
 * How it works: kernels_body.inc holds every kernel once, in the compiler's vector types, and is compiled
 * three times with other flags: any x86-64 (8 lanes), AVX2 (8 lanes), AVX-512 (16 lanes). A vector is the
 * `lanes` channels of one pixel in oneDNN's nChw8c or nChw16c layout; a plane is the pixels of one sample and
 * one channel block, contiguous. Kernels are serial and work on planes or ranges: the callers spread them
 * over threads. Every kernel does the same IEEE operations in the same order in each table (no contraction to
 * FMA), and sums run per channel, so all tables give the same bits.
 *
 * Elements: RS__F32; RS__BF16 (stored in 16 bits); RS__WIDE (bf16 values held in 32 bits: loads and stores
 * round, to nearest even, so the results are RS__BF16's), for cores whose bf16 instructions are slower than
 * fp32.
 *
 * Owner: the caller owns all memory; pointers are aligned to 64 bytes unless a function says otherwise.
 * @thread any.
 */
#ifndef RS_CPU_KERNELS_H
#define RS_CPU_KERNELS_H

#include <stddef.h>
#include <stdint.h>

enum rs__element { RS__F32, RS__BF16, RS__WIDE, RS__ELEMENTS };

#define RS__LANES_MAX 16

/* Batch norm, ReLU and sum of one plane, forward: y = x * scale + shift, then what is asked for, in this
 * order. */
struct rs__normalize {
    const void *x;
    const void *residual; /* added, or NULL */
    void *y;
    const float *scale, *shift; /* lanes each */
    int relu;                   /* before the residual */
    int post_relu;              /* after it */
};

/* The same backward. g = (dy[0] + dy[1]) where z > 0; its part behind the first ReLU is where x * scale +
 * shift > 0. */
struct rs__norm_grad {
    const void *x;
    const void *dy[2]; /* the second may be NULL */
    const void *z;     /* the forward's output where post_relu was on, else NULL */
    void *dr;          /* sums: g is written here for the residual, or NULL */
    void *dx;
    const float *scale, *shift, *mean;
    const float *sum_factor, *x_factor; /* dx = scale * g + x_factor * (x - mean) + sum_factor */
    int relu;
};

struct rs__pool {
    int32_t h, w, oh, ow, kernel, stride;
};

struct rs__adam {
    float beta1, beta2, eps, weight_decay;
    float one_beta1, one_beta2;         /* 1 - beta */
    float step_size, inverse_root_bias; /* lr / (1 - beta1^t), 1 / sqrt(1 - beta2^t) */
};

/* Kernels that depend on the element. */
struct rs__element_kernels {
    /* mean[lanes] of a plane and m2[lanes], the sum of squared distances from it */
    void (*moments)(const void *x, size_t pixels, float *mean, float *m2);
    void (*normalize)(const struct rs__normalize *k, size_t pixels);
    /* sums[0..lanes) = sum of g, sums[lanes..2 lanes) = sum of g * (x - mean) */
    void (*norm_grad_sums)(const struct rs__norm_grad *k, size_t pixels, float *sums);
    void (*norm_grad)(const struct rs__norm_grad *k, size_t pixels);
    /* y = a + b (b may be NULL), then ReLU if asked */
    void (*add)(const void *a, const void *b, void *y, size_t pixels, int relu);
    /* dx = (a + b) where z > 0; b may be NULL */
    void (*mask)(const void *a, const void *b, const void *z, void *dx, size_t pixels);
    /* a plane's windows; index: the winner's tap, the first of equals, NaN wins (PyTorch's rule); NULL if
     * unwanted */
    void (*max_pool)(const struct rs__pool *p, const void *x, void *y, uint16_t *index);
    /* dx of a plane from dy[0] + dy[1]; sums: h * w * lanes floats of scratch */
    void (*max_pool_grad)(const struct rs__pool *p, const void *const dy[2], const uint16_t *index, void *dx,
                          float *sums);
    void (*avg_pool)(const struct rs__pool *p, const void *x, void *y);
    void (*avg_pool_grad)(const struct rs__pool *p, const void *const dy[2], void *dx, float *sums);
    /* between a plane of `channels` valid lanes and plain float [channel][pixel] (unaligned); padding lanes
     * become 0 */
    void (*to_plain)(const void *x, float *plain, size_t pixels, uint32_t channels);
    void (*from_plain)(const float *plain, void *y, size_t pixels, uint32_t channels);
};

struct rs__kernels {
    const char *name; /* "avx512" */
    uint32_t lanes;
    struct rs__element_kernels of[RS__ELEMENTS];
    /* Elementwise over count floats, a multiple of 16. */
    void (*adam)(const struct rs__adam *k, float *w, const float *g, float *m, float *v, size_t count);
    void (*sgd)(float lr, float momentum, float weight_decay, float *w, const float *g, float *m,
                size_t count);
    /* count values, unaligned */
    void (*widen)(const uint16_t *from, float *to, size_t count);
    void (*round)(const float *from, float *to, size_t count); /* to bf16 values held in floats */
    /* One tile of weights, 16 input by 16 output channels, rows of `stride` floats ([i][o]), into the bf16
     * layouts 8i16o2i and 8o16i2o; either may be NULL. */
    void (*pack_bf16)(const float *from, size_t stride, uint16_t *forward, uint16_t *backward);
    /* The same into fp32 16i16o and 16o16i, each value rounded to bf16 if asked. */
    void (*pack_f32)(const float *from, size_t stride, float *forward, float *backward, int rounded);
};

/* Which instructions a table needs; a caller takes the best that oneDNN's effective ISA covers. */
enum rs__isa { RS__ISA_GENERIC, RS__ISA_AVX2, RS__ISA_AVX512 };
const struct rs__kernels *rs__kernels_of(enum rs__isa isa);

extern const struct rs__kernels rs__kernels_generic, rs__kernels_avx2, rs__kernels_avx512;

#endif
