/* conv.h: one convolution pass, planned for fixed shapes and bound to fixed memory.
 *
 * How it works: plans are made by a planner: cuDNN's on a device (conv_cudnn.c), plain loops in the tests of
 * the network's walk. A pass knows its three tensors as (x, w, y): forward makes y, the data gradient x, the
 * weight gradient w. Layouts are those of layouts.h: x N,H,W,C; w K,R,S,C; y N,P,Q,K, all in the pass's
 * element type.
 *
 * Owner: the caller owns plans and the memory bound to them; destroys plans before their planner. @thread the
 * plan's.
 */
#ifndef RS_CUDA_CONV_H
#define RS_CUDA_CONV_H

#include "errors.h"
#include <stddef.h>
#include <stdint.h>

enum rs__conv_pass { RS__CONV_FORWARD, RS__CONV_DATA_GRADIENT, RS__CONV_WEIGHT_GRADIENT };
/* Of tensors and arithmetic; sums are float32 always. TF32: float32 tensors, products of 10-bit mantissas. */
enum rs__math { RS__MATH_FP32, RS__MATH_TF32, RS__MATH_BF16 };

struct rs__conv_shape {
    int64_t n, c, h, w; /* of x */
    int64_t k, r, s;    /* channels of y, height and width of the kernel */
    int64_t stride, padding;
    int64_t p, q; /* height and width of y */
};

struct rs__gpu;  /* gpu.h */
struct rs__conv; /* a planned pass */

/* The best plan as far as known without running one: what was chosen on this device before, else the
 * heuristic's first. name: of the layer, for messages. Errors: RS_E_UNSUPPORTED (no engine that fits
 * precision, determinism and the workspace limit), RS_E_BACKEND, RS_E_NOMEM. */
int rs__conv_create(struct rs__conv **out, struct rs__gpu *gpu, const char *name,
                    const struct rs__conv_shape *shape, enum rs__conv_pass pass, enum rs__math math,
                    struct rs_error *err);
void rs__conv_destroy(struct rs__conv *conv);
/* Bytes of scratch memory that running (or, before tuning, trying out) this pass can need. */
size_t rs__conv_workspace(const struct rs__conv *conv);
/* Times the candidates on the given memory and keeps the fastest, unless the choice was known. Waits for the
 * device. */
int rs__conv_tune(struct rs__conv *conv, void *x, void *w, void *y, void *workspace, struct rs_error *err);
/* workspace: rs__conv_workspace bytes, aligned to 256, the caller's, while the pass is used. */
int rs__conv_bind(struct rs__conv *conv, void *x, void *w, void *y, void *workspace, struct rs_error *err);
/* Enqueues the pass on the compute stream. */
int rs__conv_run(struct rs__conv *conv, struct rs_error *err);
/* "block2.1.conv1, forward bf16 n512 c64 h22 w22 k64 r3x3 s1 p1: engine 62, 0.0511 ms, 131 bytes of
 * workspace, known" */
void rs__conv_describe(const struct rs__conv *conv, char *text, size_t size);

#endif
