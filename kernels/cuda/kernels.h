/* kernels.h: the table of kernels, and their launchers.
 *
 * How it works: a kernel named K is struct rs__K, rs__K_grid, rs__K_0 and, with two phases, rs__K_1, all in a
 * body_ header. From this table launch.cu makes the device's kernels and launchers, and the tests make loops
 * over the same bodies.
 *
 * @thread the plan's.
 */
#ifndef RS_CUDA_KERNELS_H
#define RS_CUDA_KERNELS_H

#include "body_head.h"
#include "body_input.h"
#include "body_norm_back.h"
#include "body_optimizer.h"
#include "body_pool.h"
#include "errors.h"

/* ONE(name): one phase; TWO(name): two */
#define RS__KERNELS(ONE, TWO)                                                                                \
    TWO(input)                                                                                               \
    ONE(resize_rows)                                                                                         \
    TWO(resize_columns)                                                                                      \
    TWO(norm_sums)                                                                                           \
    TWO(norm_finish)                                                                                         \
    ONE(norm_running)                                                                                        \
    ONE(apply)                                                                                               \
    TWO(back_sums)                                                                                           \
    TWO(back_finish)                                                                                         \
    ONE(back_apply)                                                                                          \
    ONE(pool_max)                                                                                            \
    ONE(pool_max_back)                                                                                       \
    ONE(pool_avg)                                                                                            \
    ONE(pool_avg_back)                                                                                       \
    TWO(linear)                                                                                              \
    ONE(linear_back_x)                                                                                       \
    TWO(linear_back_w)                                                                                       \
    ONE(loss)                                                                                                \
    TWO(loss_sum)                                                                                            \
    ONE(set_hyper)                                                                                           \
    ONE(update)                                                                                              \
    ONE(shadow)                                                                                              \
    ONE(clear_folded)

#ifdef __cplusplus
extern "C" {
#endif

struct rs__gpu;

/* Each enqueues its kernel on the device's compute stream. Errors: RS_E_BACKEND. */
#define RS__LAUNCHER(name)                                                                                   \
    int rs__launch_##name(struct rs__gpu *gpu, const struct rs__##name *args, struct rs_error *err);
RS__KERNELS(RS__LAUNCHER, RS__LAUNCHER)
#undef RS__LAUNCHER

#ifdef __cplusplus
}
#endif

#endif
