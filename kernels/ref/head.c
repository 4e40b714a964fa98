/* head.c: the linear layer and the loss. @thread any. */
#include "ops.h"

#include "errors.h"
#include <math.h>

void RS__REF(linear_forward)(int32_t batch, int64_t in, int64_t out, const rs__real *x, const rs__real *w,
                             const rs__real *bias, rs__real *y)
{
    for (int32_t n = 0; n < batch; n++)
        for (int64_t o = 0; o < out; o++)
            y[n * out + o] = RS__REF(dot)(x + n * in, w + o * in, in) + bias[o];
}

void RS__REF(linear_backward)(int32_t batch, int64_t in, int64_t out, const rs__real *x, const rs__real *w,
                              const rs__real *dy, rs__real *dx, rs__real *dw, rs__real *db)
{
    for (int32_t n = 0; n < batch; n++)
        for (int64_t o = 0; o < out; o++) {
            const rs__real d = dy[n * out + o];
            RS__REF(axpy)(dw + o * in, d, x + n * in, in);
            db[o] += d;
            if (dx)
                RS__REF(axpy)(dx + n * in, d, w + o * in, in);
        }
}

/* Index of the first largest of n values. */
static int32_t first_largest(const rs__real *values, int32_t n)
{
    int32_t best = 0;
    for (int32_t i = 1; i < n; i++)
        if (values[i] > values[best])
            best = i;
    return best;
}

double RS__REF(loss_forward)(int32_t batch, int32_t classes, const rs__real *logits, const int32_t *labels,
                             rs__real *p, uint32_t *hits)
{
    double loss = 0;
    *hits = 0;
    for (int32_t n = 0; n < batch; n++, logits += classes, p += classes) {
        const int32_t label = labels[n], best = first_largest(logits, classes);
        const rs__real largest = logits[best]; /* subtracted, so that exp can't overflow */
        rs__real sum = 0;
        RS_ASSERT(label >= 0 && label < classes);
        for (int32_t c = 0; c < classes; c++) {
            p[c] = RS__REAL_MATH(exp)(logits[c] - largest);
            sum += p[c];
        }
        for (int32_t c = 0; c < classes; c++)
            p[c] /= sum;
        loss += (double)(RS__REAL_MATH(log)(sum) - (logits[label] - largest));
        *hits += best == label;
    }
    return loss;
}

void RS__REF(loss_backward)(int32_t batch, int32_t classes, const rs__real *p, const int32_t *labels,
                            rs__real *dlogits)
{
    for (int32_t n = 0; n < batch; n++)
        for (int32_t c = 0; c < classes; c++)
            dlogits[n * classes + c] += (p[n * classes + c] - (rs__real)(c == labels[n])) / (rs__real)batch;
}
