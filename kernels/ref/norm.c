/* norm.c: batch normalisation over batch and plane, channel by channel.
 *
 * y = (x - mean) / sqrt(var + eps) * w + bias. Training takes mean and biased variance from the batch and
 * moves the running ones towards them, the variance unbiased (Ioffe, Szegedy, "Batch Normalization", 2015;
 * PyTorch's momentum is the new value's share). The variance is summed in a second pass, around the mean, so
 * it can't cancel.
 *
 * @thread any.
 */
#include "ops.h"

#include <math.h>

static const double EPS = 1e-5, MOMENTUM = 0.1;

/* Plane (n, c) of x. */
static int64_t plane(const struct rs__ref_planes *s, int32_t n, int32_t c)
{
    return ((int64_t)n * s->channels + c) * s->size;
}

static rs__real inverse_deviation(rs__real variance)
{
    return 1 / RS__REAL_MATH(sqrt)(variance + (rs__real)EPS);
}

static rs__real moved(rs__real running, rs__real value)
{
    return (rs__real)(1 - MOMENTUM) * running + (rs__real)MOMENTUM * value;
}

void RS__REF(norm_statistics)(const struct rs__ref_planes *s, const rs__real *x, rs__real *mean,
                              rs__real *inv_std, rs__real *running_mean, rs__real *running_var)
{
    const rs__real count = (rs__real)(s->batch * s->size);
    for (int32_t c = 0; c < s->channels; c++) {
        rs__real sum = 0, squares = 0;
        for (int32_t n = 0; n < s->batch; n++)
            sum += RS__REF(sum)(x + plane(s, n, c), s->size);
        mean[c] = sum / count;
        for (int32_t n = 0; n < s->batch; n++)
            squares += RS__REF(sum_squares)(x + plane(s, n, c), mean[c], s->size);
        inv_std[c] = inverse_deviation(squares / count);
        running_mean[c] = moved(running_mean[c], mean[c]);
        running_var[c] = moved(running_var[c], squares / (count - 1));
    }
}

void RS__REF(norm_running)(int32_t channels, const rs__real *running_mean, const rs__real *running_var,
                           rs__real *mean, rs__real *inv_std)
{
    for (int32_t c = 0; c < channels; c++) {
        mean[c] = running_mean[c];
        inv_std[c] = inverse_deviation(running_var[c]);
    }
}

void RS__REF(norm_forward)(const struct rs__ref_planes *s, const rs__real *x, const rs__real *mean,
                           const rs__real *inv_std, const rs__real *w, const rs__real *bias, rs__real *y)
{
    for (int32_t n = 0; n < s->batch; n++)
        for (int32_t c = 0; c < s->channels; c++) {
            const int64_t at = plane(s, n, c);
            for (int64_t i = 0; i < s->size; i++)
                y[at + i] = (x[at + i] - mean[c]) * inv_std[c] * w[c] + bias[c];
        }
}

/* Sum over a plane of dy (x - mean). */
static rs__real deviation_dot(const rs__real *dy, const rs__real *x, rs__real mean, int64_t n)
{
    rs__real rows[64], sum = 0;
    for (int64_t i = 0; i < n; i += 64) {
        const int64_t part = n - i < 64 ? n - i : 64;
        for (int64_t j = 0; j < part; j++)
            rows[j] = x[i + j] - mean;
        sum += RS__REF(dot)(dy + i, rows, part);
    }
    return sum;
}

/* With xh = (x - mean) inv_std and m elements a channel:
 * db = sum dy, dw = sum dy xh, dx = w inv_std (dy - db/m - xh dw/m). */
void RS__REF(norm_backward)(const struct rs__ref_planes *s, const rs__real *x, const rs__real *mean,
                            const rs__real *inv_std, const rs__real *w, const rs__real *dy, rs__real *dx,
                            rs__real *dw, rs__real *db)
{
    const rs__real count = (rs__real)(s->batch * s->size);
    for (int32_t c = 0; c < s->channels; c++) {
        rs__real sum = 0, product = 0;
        for (int32_t n = 0; n < s->batch; n++) {
            sum += RS__REF(sum)(dy + plane(s, n, c), s->size);
            product += deviation_dot(dy + plane(s, n, c), x + plane(s, n, c), mean[c], s->size);
        }
        product *= inv_std[c];
        db[c] += sum;
        dw[c] += product;

        const rs__real scale = w[c] * inv_std[c], slope = product / count * inv_std[c];
        for (int32_t n = 0; n < s->batch; n++) {
            const int64_t at = plane(s, n, c);
            for (int64_t i = 0; i < s->size; i++)
                dx[at + i] += scale * (dy[at + i] - sum / count - (x[at + i] - mean[c]) * slope);
        }
    }
}
