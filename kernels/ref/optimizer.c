/* optimizer.c: Adam and SGD.
 *
 * Adam: Kingma, Ba, "Adam: A Method for Stochastic Optimization", 2015, in the order of torch.optim.Adam's
 * operations (eps is added after the corrected root). Factors that are the same for all parameters are formed
 * in double and then rounded once, as there.
 * @thread any.
 */
#include "ops.h"

#include <math.h>

void RS__REF(adam)(const struct rs__ref_adam *a, int64_t n, const rs__real *restrict g, rs__real *restrict p,
                   rs__real *restrict m, rs__real *restrict v)
{
    const rs__real beta1 = (rs__real)a->beta1, rest1 = (rs__real)(1 - a->beta1);
    const rs__real beta2 = (rs__real)a->beta2, rest2 = (rs__real)(1 - a->beta2);
    const rs__real size = (rs__real)(a->lr / (1 - pow(a->beta1, (double)a->step)));
    const rs__real root2 = (rs__real)sqrt(1 - pow(a->beta2, (double)a->step));
    const rs__real eps = (rs__real)a->eps, decay = (rs__real)a->weight_decay;
    for (int64_t i = 0; i < n; i++) {
        const rs__real gradient = g[i] + decay * p[i];
        m[i] = beta1 * m[i] + rest1 * gradient;
        v[i] = beta2 * v[i] + rest2 * gradient * gradient;
        p[i] -= size * m[i] / (RS__REAL_MATH(sqrt)(v[i]) / root2 + eps);
    }
}

void RS__REF(sgd)(const struct rs__ref_sgd *o, int64_t n, const rs__real *restrict g, rs__real *restrict p,
                  rs__real *restrict buffer)
{
    const rs__real lr = (rs__real)o->lr, momentum = (rs__real)o->momentum, decay = (rs__real)o->weight_decay;
    for (int64_t i = 0; i < n; i++) {
        rs__real gradient = g[i] + decay * p[i];
        if (momentum != 0)
            gradient = buffer[i] = momentum * buffer[i] + gradient;
        p[i] -= lr * gradient;
    }
}
