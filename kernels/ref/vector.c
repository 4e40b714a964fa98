/* vector.c: sums and products of vectors.
 *
 * How it works: a sum runs in LANES partial sums, element i in lane i mod LANES, which are then added
 * pairwise. The order is fixed by the source, so the compiler may vectorise without -ffast-math and bits
 * don't depend on the machine's vector width.
 *
 * @thread any.
 */
#include "ops.h"

enum { LANES = 16 };

static rs__real fold(rs__real lanes[LANES])
{
    for (int width = LANES / 2; width > 0; width /= 2)
        for (int l = 0; l < width; l++)
            lanes[l] += lanes[l + width];
    return lanes[0];
}

rs__real RS__REF(dot)(const rs__real *a, const rs__real *b, int64_t n)
{
    rs__real lanes[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++)
            lanes[l] += a[i + l] * b[i + l];
    for (int l = 0; i + l < n; l++)
        lanes[l] += a[i + l] * b[i + l];
    return fold(lanes);
}

rs__real RS__REF(sum)(const rs__real *a, int64_t n)
{
    rs__real lanes[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++)
            lanes[l] += a[i + l];
    for (int l = 0; i + l < n; l++)
        lanes[l] += a[i + l];
    return fold(lanes);
}

rs__real RS__REF(sum_squares)(const rs__real *a, rs__real mean, int64_t n)
{
    rs__real lanes[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++)
            lanes[l] += (a[i + l] - mean) * (a[i + l] - mean);
    for (int l = 0; i + l < n; l++)
        lanes[l] += (a[i + l] - mean) * (a[i + l] - mean);
    return fold(lanes);
}

void RS__REF(axpy)(rs__real *restrict y, rs__real factor, const rs__real *restrict x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] += factor * x[i];
}
