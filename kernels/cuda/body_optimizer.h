/* body_optimizer.h: Adam and SGD over an arena of weights, and the bf16 shadows. See hd.h for how bodies
 * work.
 *
 * What changes from step to step (learning rate, Adam's corrections) lies in device memory, written by
 * set_hyper before the step, so that a captured step is the same every time. All factors are formed on the
 * host in double and rounded once, as kernels/ref/optimizer.c does.
 *
 * @thread device; host in tests.
 */
#ifndef RS_CUDA_BODY_OPTIMIZER_H
#define RS_CUDA_BODY_OPTIMIZER_H

#include "hd.h"

struct rs__hyper {
    float beta1, rest1, beta2, rest2, eps; /* Adam; rest = 1 - beta */
    float size, root2;                     /* lr / (1 - beta1^step), sqrt(1 - beta2^step) */
    float lr, momentum;                    /* SGD */
    float decay;
};

struct rs__set_hyper {
    int bf16;
    struct rs__hyper value;
    struct rs__hyper *to;
};

RS_HD struct rs__grid rs__set_hyper_grid(const struct rs__set_hyper *a)
{
    struct rs__grid grid = rs__flat_grid(1);
    (void)a;
    grid.threads = 1;
    return grid;
}

RS_HD void rs__set_hyper_0(const struct rs__set_hyper *a, int bf16, struct rs__place place, float *shared)
{
    (void)bf16, (void)place, (void)shared;
    *a->to = a->value;
}

struct rs__update { /* elements: a multiple of 8; bf16 is the gradients' type */
    int bf16;
    uint32_t vectors;
    int adam; /* else SGD */
    const struct rs__hyper *hyper;
    const void *g;
    float *p, *m, *v; /* weights and moments; SGD's momentum in m */
    void *shadow;     /* bf16 copy of p, or NULL */
};

RS_HD struct rs__grid rs__update_grid(const struct rs__update *a)
{
    return rs__flat_grid(a->vectors);
}

RS_HD void rs__adam8(const struct rs__hyper *h, const float g[8], float p[8], float m[8], float v[8])
{
    for (int i = 0; i < 8; i++) {
        const float gradient = g[i] + h->decay * p[i];
        m[i] = h->beta1 * m[i] + h->rest1 * gradient;
        v[i] = h->beta2 * v[i] + h->rest2 * gradient * gradient;
        p[i] -= h->size * m[i] / (sqrtf(v[i]) / h->root2 + h->eps);
    }
}

RS_HD void rs__sgd8(const struct rs__hyper *h, const float g[8], float p[8], float m[8])
{
    for (int i = 0; i < 8; i++) {
        float gradient = g[i] + h->decay * p[i];
        if (h->momentum != 0)
            gradient = m[i] = h->momentum * m[i] + gradient;
        p[i] -= h->lr * gradient;
    }
}

RS_HD void rs__update_0(const struct rs__update *a, int bf16, struct rs__place place, float *shared)
{
    const uint32_t at = rs__flat_index(place);
    float g[8], p[8], m[8], v[8];
    (void)shared;
    if (at >= a->vectors)
        return;
    const struct rs__hyper h = *a->hyper;
    rs__load(a->g, bf16, at, g);
    rs__load(a->p, 0, at, p);
    rs__load(a->m, 0, at, m);
    if (a->adam) {
        rs__load(a->v, 0, at, v);
        rs__adam8(&h, g, p, m, v);
        rs__store(a->v, 0, at, v);
    } else {
        rs__sgd8(&h, g, p, m);
    }
    rs__store(a->m, 0, at, m);
    rs__store(a->p, 0, at, p);
    if (a->shadow)
        rs__store(a->shadow, 1, at, p);
}

struct rs__shadow { /* the bf16 copy alone, after weights were loaded */
    int bf16;
    uint32_t vectors;
    const float *p;
    void *shadow;
};

RS_HD struct rs__grid rs__shadow_grid(const struct rs__shadow *a)
{
    return rs__flat_grid(a->vectors);
}

RS_HD void rs__shadow_0(const struct rs__shadow *a, int bf16, struct rs__place place, float *shared)
{
    const uint32_t at = rs__flat_index(place);
    float p[8];
    (void)bf16, (void)shared;
    if (at >= a->vectors)
        return;
    rs__load(a->p, 0, at, p);
    rs__store(a->shadow, 1, at, p);
}

struct rs__clear_folded { /* the taps of a folded convolution's weight gradient that the original kernel
                             hasn't */
    int bf16;
    uint32_t k, kernel, folded_kernel, c, cp;
    void *dw; /* k, folded_kernel, folded_kernel, cp */
};

RS_HD struct rs__grid rs__clear_folded_grid(const struct rs__clear_folded *a)
{
    return rs__flat_grid((uint64_t)a->k * a->folded_kernel * a->folded_kernel * (a->cp / RS__VECTOR));
}

RS_HD void rs__clear_folded_0(const struct rs__clear_folded *a, int bf16, struct rs__place place,
                              float *shared)
{
    uint32_t index = rs__flat_index(place);
    const uint32_t vectors = a->cp / RS__VECTOR, at = index;
    float v[8];
    (void)shared;
    if (index >= a->k * a->folded_kernel * a->folded_kernel * vectors)
        return;
    const uint32_t vector = index % vectors;
    index /= vectors;
    const uint32_t s = index % a->folded_kernel, r = index / a->folded_kernel % a->folded_kernel;
    rs__load(a->dw, bf16, at, v);
    for (uint32_t i = 0; i < 8; i++) {
        const uint32_t channel = vector * RS__VECTOR + i, block = channel / a->c;
        if (block >= 4 || 2 * r + block / 2 >= a->kernel || 2 * s + block % 2 >= a->kernel)
            v[i] = 0;
    }
    rs__store(a->dw, bf16, at, v);
}

#endif
