/* conv.c: convolution by gathered patches.
 *
 * How it works: the patch of an output position is the in_c x kernel x kernel input values that it sees,
 * zeros beyond the border, in the order of a filter's weights. Then the output is a dot product of filter and
 * patch, the weights' gradient a sum of patches, the input's gradient a sum of filters that is scattered
 * back. All inner loops run over a patch: long and contiguous in every layer, however small its images are.
 * scratch holds a sample's patches and one more row.
 *
 * @thread any.
 */
#include "ops.h"

#include <stddef.h>
#include <string.h>

static int64_t patch_length(const struct rs__ref_window *s)
{
    return (int64_t)s->in_c * s->kernel * s->kernel;
}

static int64_t positions(const struct rs__ref_window *s)
{
    return (int64_t)s->out_h * s->out_w;
}

int64_t RS__REF(conv_scratch)(const struct rs__ref_window *s)
{
    return (positions(s) + 1) * patch_length(s);
}

/* Index in the input sample of filter tap (ky, kx) at output (oy, ox) in channel c, or -1 in the padding. */
static int64_t tap(const struct rs__ref_window *s, int32_t c, int32_t oy, int32_t ox, int32_t ky, int32_t kx)
{
    const int32_t y = oy * s->stride + ky - s->padding;
    const int32_t x = ox * s->stride + kx - s->padding;
    if (y < 0 || y >= s->in_h || x < 0 || x >= s->in_w)
        return -1;
    return ((int64_t)c * s->in_h + y) * s->in_w + x;
}

static void gather_patch(const struct rs__ref_window *s, const rs__real *x, int32_t oy, int32_t ox,
                         rs__real *patch)
{
    for (int32_t c = 0; c < s->in_c; c++)
        for (int32_t ky = 0; ky < s->kernel; ky++)
            for (int32_t kx = 0; kx < s->kernel; kx++) {
                const int64_t at = tap(s, c, oy, ox, ky, kx);
                *patch++ = at < 0 ? 0 : x[at];
            }
}

static void scatter_patch(const struct rs__ref_window *s, const rs__real *patch, int32_t oy, int32_t ox,
                          rs__real *dx)
{
    for (int32_t c = 0; c < s->in_c; c++)
        for (int32_t ky = 0; ky < s->kernel; ky++)
            for (int32_t kx = 0; kx < s->kernel; kx++, patch++) {
                const int64_t at = tap(s, c, oy, ox, ky, kx);
                if (at >= 0)
                    dx[at] += *patch;
            }
}

static void gather_sample(const struct rs__ref_window *s, const rs__real *x, rs__real *patches)
{
    for (int32_t oy = 0; oy < s->out_h; oy++)
        for (int32_t ox = 0; ox < s->out_w; ox++, patches += patch_length(s))
            gather_patch(s, x, oy, ox, patches);
}

void RS__REF(conv_forward)(const struct rs__ref_window *s, const rs__real *x, const rs__real *w,
                           const rs__real *bias, rs__real *y, rs__real *scratch)
{
    const int64_t length = patch_length(s), count = positions(s);
    for (int32_t n = 0; n < s->batch; n++) {
        gather_sample(s, x + (int64_t)n * s->in_c * s->in_h * s->in_w, scratch);
        for (int32_t o = 0; o < s->out_c; o++)
            for (int64_t p = 0; p < count; p++)
                *y++ = RS__REF(dot)(w + o * length, scratch + p * length, length) + (bias ? bias[o] : 0);
    }
}

/* dw and db of one sample. A sample's sum is formed apart, in row, then added: shorter sums round less. */
static void backward_weights(const struct rs__ref_window *s, const rs__real *patches, const rs__real *dy,
                             rs__real *dw, rs__real *db, rs__real *row)
{
    const int64_t length = patch_length(s), count = positions(s);
    for (int32_t o = 0; o < s->out_c; o++, dy += count) {
        memset(row, 0, (size_t)length * sizeof(*row));
        for (int64_t p = 0; p < count; p++)
            RS__REF(axpy)(row, dy[p], patches + p * length, length);
        RS__REF(axpy)(dw + o * length, 1, row, length);
        if (db)
            db[o] += RS__REF(sum)(dy, count);
    }
}

static void backward_input(const struct rs__ref_window *s, const rs__real *w, const rs__real *dy,
                           rs__real *dx, rs__real *row)
{
    const int64_t length = patch_length(s), count = positions(s);
    for (int32_t oy = 0; oy < s->out_h; oy++)
        for (int32_t ox = 0; ox < s->out_w; ox++, dy++) {
            memset(row, 0, (size_t)length * sizeof(*row));
            for (int32_t o = 0; o < s->out_c; o++)
                RS__REF(axpy)(row, dy[o * count], w + o * length, length);
            scatter_patch(s, row, oy, ox, dx);
        }
}

void RS__REF(conv_backward)(const struct rs__ref_window *s, const rs__real *x, const rs__real *w,
                            const rs__real *dy, rs__real *dx, rs__real *dw, rs__real *db, rs__real *scratch)
{
    const int64_t in = (int64_t)s->in_c * s->in_h * s->in_w;
    rs__real *row = scratch + positions(s) * patch_length(s);
    for (int32_t n = 0; n < s->batch; n++, dy += s->out_c * positions(s)) {
        gather_sample(s, x + n * in, scratch);
        backward_weights(s, scratch, dy, dw, db, row);
        if (dx)
            backward_input(s, w, dy, dx + n * in, row);
    }
}
