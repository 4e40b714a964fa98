/* pool.c: max and average pooling, plane by plane.
 *
 * How it works: forward and backward walk the same windows; the maximum's place is found again in the
 * backward pass, not stored.
 * @thread any.
 */
#include "ops.h"

#include <math.h>

/* Index in a plane of the upper left corner of a window. */
static int64_t corner(const struct rs__ref_window *s, int32_t oy, int32_t ox)
{
    return (int64_t)oy * s->stride * s->in_w + (int64_t)ox * s->stride;
}

static int64_t planes(const struct rs__ref_window *s)
{
    return (int64_t)s->batch * s->in_c;
}

/* Index in the plane of a window's maximum: the first of equal ones; a later NaN replaces all, as in PyTorch.
 */
static int64_t find_max(const struct rs__ref_window *s, const rs__real *x, int32_t oy, int32_t ox)
{
    int64_t best = corner(s, oy, ox);
    for (int32_t ky = 0; ky < s->kernel; ky++)
        for (int32_t kx = 0; kx < s->kernel; kx++) {
            const int64_t at = corner(s, oy, ox) + (int64_t)ky * s->in_w + kx;
            if (x[at] > x[best] || isnan(x[at]))
                best = at;
        }
    return best;
}

void RS__REF(max_pool_forward)(const struct rs__ref_window *s, const rs__real *x, rs__real *y)
{
    const int64_t in = (int64_t)s->in_h * s->in_w;
    for (int64_t p = 0; p < planes(s); p++, x += in)
        for (int32_t oy = 0; oy < s->out_h; oy++)
            for (int32_t ox = 0; ox < s->out_w; ox++)
                *y++ = x[find_max(s, x, oy, ox)];
}

void RS__REF(max_pool_backward)(const struct rs__ref_window *s, const rs__real *x, const rs__real *dy,
                                rs__real *dx)
{
    const int64_t in = (int64_t)s->in_h * s->in_w;
    for (int64_t p = 0; p < planes(s); p++, x += in, dx += in)
        for (int32_t oy = 0; oy < s->out_h; oy++)
            for (int32_t ox = 0; ox < s->out_w; ox++)
                dx[find_max(s, x, oy, ox)] += *dy++;
}

static rs__real window_mean(const struct rs__ref_window *s, const rs__real *x)
{
    rs__real sum = 0;
    for (int32_t ky = 0; ky < s->kernel; ky++)
        for (int32_t kx = 0; kx < s->kernel; kx++)
            sum += x[(int64_t)ky * s->in_w + kx];
    return sum / (rs__real)(s->kernel * s->kernel);
}

void RS__REF(avg_pool_forward)(const struct rs__ref_window *s, const rs__real *x, rs__real *y)
{
    const int64_t in = (int64_t)s->in_h * s->in_w;
    for (int64_t p = 0; p < planes(s); p++, x += in)
        for (int32_t oy = 0; oy < s->out_h; oy++)
            for (int32_t ox = 0; ox < s->out_w; ox++)
                *y++ = window_mean(s, x + corner(s, oy, ox));
}

static void spread(const struct rs__ref_window *s, rs__real share, rs__real *dx)
{
    for (int32_t ky = 0; ky < s->kernel; ky++)
        for (int32_t kx = 0; kx < s->kernel; kx++)
            dx[(int64_t)ky * s->in_w + kx] += share;
}

void RS__REF(avg_pool_backward)(const struct rs__ref_window *s, const rs__real *dy, rs__real *dx)
{
    const int64_t in = (int64_t)s->in_h * s->in_w;
    const rs__real area = (rs__real)(s->kernel * s->kernel);
    for (int64_t p = 0; p < planes(s); p++, dx += in)
        for (int32_t oy = 0; oy < s->out_h; oy++)
            for (int32_t ox = 0; ox < s->out_w; ox++)
                spread(s, *dy++ / area, dx + corner(s, oy, ox));
}
