/* elementwise.c: relu and addition. @thread any. */
#include "ops.h"

void RS__REF(relu_forward)(int64_t n, const rs__real *x, rs__real *y)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = x[i] <= 0 ? 0 : x[i]; /* false for NaN, which stays */
}

void RS__REF(relu_backward)(int64_t n, const rs__real *y, const rs__real *dy, rs__real *dx)
{
    for (int64_t i = 0; i < n; i++)
        dx[i] += y[i] <= 0 ? 0 : dy[i]; /* threshold_backward: NaN passes on */
}

void RS__REF(add_forward)(int64_t n, const rs__real *a, const rs__real *b, rs__real *y)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = a[i] + b[i];
}

void RS__REF(add_backward)(int64_t n, const rs__real *dy, rs__real *dx)
{
    RS__REF(axpy)(dx, 1, dy, n);
}
