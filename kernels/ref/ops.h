/* ops.h: the operators of the reference backend, forward and backward.
 *
 * How it works: plain loops over NCHW arrays of rs__real. Sums run in rs__real too, long ones in several
 * lanes or nested by sample, which lets the compiler vectorise and keeps rounding small. A backward function
 * adds to the gradients it is given (the caller zeroes them), so a value with several readers collects all of
 * them. Definitions are PyTorch's, named at each function.
 *
 * Owner: all arrays are the caller's; none of them overlap. @thread any: no state.
 */
#ifndef RS_REF_OPS_H
#define RS_REF_OPS_H

#include "real.h"
#include <stdint.h>

struct rs__ref_window { /* a convolution's or pool's geometry */
    int32_t batch;
    int32_t in_c, in_h, in_w;
    int32_t out_c, out_h, out_w;
    int32_t kernel, stride, padding;
};

struct rs__ref_planes { /* batch x channels planes of size elements */
    int32_t batch, channels;
    int64_t size;
};

/* vector.c: n elements each */
rs__real RS__REF(dot)(const rs__real *a, const rs__real *b, int64_t n);
rs__real RS__REF(sum)(const rs__real *a, int64_t n);
/* sum of (a[i] - mean)^2 */
rs__real RS__REF(sum_squares)(const rs__real *a, rs__real mean, int64_t n);
/* y += factor * x */
void RS__REF(axpy)(rs__real *y, rs__real factor, const rs__real *x, int64_t n);

/* conv.c: torch.nn.functional.conv2d, dilation and groups 1. w: OIHW; bias, db: out_c or NULL.
 * Elements of scratch that both need: */
int64_t RS__REF(conv_scratch)(const struct rs__ref_window *s);
void RS__REF(conv_forward)(const struct rs__ref_window *s, const rs__real *x, const rs__real *w,
                           const rs__real *bias, rs__real *y, rs__real *scratch);
/* dx may be NULL: nobody wants it. */
void RS__REF(conv_backward)(const struct rs__ref_window *s, const rs__real *x, const rs__real *w,
                            const rs__real *dy, rs__real *dx, rs__real *dw, rs__real *db, rs__real *scratch);

/* norm.c: torch.nn.functional.batch_norm, eps 1e-5, momentum 0.1. mean, inv_std: channels each, what backward
 * needs. */
void RS__REF(norm_statistics)(const struct rs__ref_planes *s, const rs__real *x, rs__real *mean,
                              rs__real *inv_std, rs__real *running_mean, rs__real *running_var);
/* The same two from the running statistics, for evaluation. */
void RS__REF(norm_running)(int32_t channels, const rs__real *running_mean, const rs__real *running_var,
                           rs__real *mean, rs__real *inv_std);
void RS__REF(norm_forward)(const struct rs__ref_planes *s, const rs__real *x, const rs__real *mean,
                           const rs__real *inv_std, const rs__real *w, const rs__real *bias, rs__real *y);
/* Of training: mean and variance are functions of x. */
void RS__REF(norm_backward)(const struct rs__ref_planes *s, const rs__real *x, const rs__real *mean,
                            const rs__real *inv_std, const rs__real *w, const rs__real *dy, rs__real *dx,
                            rs__real *dw, rs__real *db);

/* elementwise.c: n elements. NaN goes through relu as in PyTorch; its gradient is dy where y > 0. */
void RS__REF(relu_forward)(int64_t n, const rs__real *x, rs__real *y);
void RS__REF(relu_backward)(int64_t n, const rs__real *y, const rs__real *dy, rs__real *dx);
void RS__REF(add_forward)(int64_t n, const rs__real *a, const rs__real *b, rs__real *y);
/* For each addend: dx += dy. */
void RS__REF(add_backward)(int64_t n, const rs__real *dy, rs__real *dx);

/* pool.c: max_pool2d and avg_pool2d in floor mode without padding; what a window doesn't reach is ignored.
 * The gradient of a maximum goes to the first of equal values, a NaN counts as the largest. */
void RS__REF(max_pool_forward)(const struct rs__ref_window *s, const rs__real *x, rs__real *y);
void RS__REF(max_pool_backward)(const struct rs__ref_window *s, const rs__real *x, const rs__real *dy,
                                rs__real *dx);
void RS__REF(avg_pool_forward)(const struct rs__ref_window *s, const rs__real *x, rs__real *y);
void RS__REF(avg_pool_backward)(const struct rs__ref_window *s, const rs__real *dy, rs__real *dx);

/* head.c: y = x w^T + bias; x: batch x in, w: out x in, y: batch x out. dx may be NULL. */
void RS__REF(linear_forward)(int32_t batch, int64_t in, int64_t out, const rs__real *x, const rs__real *w,
                             const rs__real *bias, rs__real *y);
void RS__REF(linear_backward)(int32_t batch, int64_t in, int64_t out, const rs__real *x, const rs__real *w,
                              const rs__real *dy, rs__real *dx, rs__real *dw, rs__real *db);
/* Softmax of each row into p; the sum of -log p[label] over the batch; hits: rows whose first largest logit
 * is the label's. */
double RS__REF(loss_forward)(int32_t batch, int32_t classes, const rs__real *logits, const int32_t *labels,
                             rs__real *p, uint32_t *hits);
/* Of the mean over the batch: (p - onehot) / batch. */
void RS__REF(loss_backward)(int32_t batch, int32_t classes, const rs__real *p, const int32_t *labels,
                            rs__real *dlogits);

/* optimizer.c: one step over n parameters; step counts from 1. torch.optim.Adam and torch.optim.SGD (without
 * dampening; a zero buffer before the first step gives its buffer of that step), weight decay added to the
 * gradient. */
struct rs__ref_adam {
    double lr, beta1, beta2, eps, weight_decay;
    int64_t step;
};
void RS__REF(adam)(const struct rs__ref_adam *a, int64_t n, const rs__real *g, rs__real *p, rs__real *m,
                   rs__real *v);
struct rs__ref_sgd {
    double lr, momentum, weight_decay;
};
void RS__REF(sgd)(const struct rs__ref_sgd *o, int64_t n, const rs__real *g, rs__real *p, rs__real *buffer);

#endif
