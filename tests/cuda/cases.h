/* cases.h: small networks that between them use every operator and every fusion, and the comparison of a
 * backend with ref on them.
 *
 * How it works: both backends get the same state and batches; after each step losses and hits, after the
 * first the gradients of every parameter, at the end parameters, moments and running statistics, and an
 * evaluation's probabilities are compared by the norm of the difference over the norm of ref's. Used by the
 * tests, on the CPU, and by cuda_check, on a GPU.
 *
 * Where a relu's input or two candidates of a maximum lie within rounding of each other, either way is right,
 * and one such flip moves gradients by 1e-3 where rounding moves them by 1e-5. A network of many values has
 * one in most batches, so in float32 it is drawn (weights and batches) until a draw's gradients are within
 * the limits, a few times at most: wrong arithmetic is outside in all of them. What a flip doesn't move has
 * to be within its limits in every draw.
 *
 * @thread any.
 */
#ifndef RS_TEST_CASES_H
#define RS_TEST_CASES_H

#include "backend.h"

struct rs_case {
    const char *name;
    int (*build)(struct rs_graph **out, struct rs_error *err);
    uint32_t batch, rest; /* samples of a full and of a short batch */
    uint32_t steps;       /* every third one short; few where a few samples make training chaotic */
    double
        bf16; /* what bf16 may do to all gradients together; oneDNN's bf16 errs as much: 0.37 on the ResNet */
    uint32_t draws; /* at most */
};

/* NULL past the end. */
const struct rs_case *rs_case_at(uint32_t i);

struct rs_case_report { /* the largest relative errors of the last draw */
    double loss, gradients, parameters, moments, statistics, probabilities;
    char worst[64];      /* parameter with the largest gradient error */
    uint32_t wrong_hits; /* steps whose hits differ */
    uint32_t draws;      /* made */
};

/* Errors: those of the backends. */
int rs_case_compare(const struct rs_case *c, const struct rs_backend *backend, struct rs_device *device,
                    enum rs_precision precision, enum rs_optimizer optimizer, struct rs_case_report *report,
                    struct rs_error *err);
/* Whether all errors are within what the precision allows. */
bool rs_case_passed(const struct rs_case *c, const struct rs_case_report *report,
                    enum rs_precision precision);

/* A batch of the graph's input size: pseudo-random, the same for the same seed. tensor in the element type.
 */
void rs_case_fill(void *tensor, enum rs_element element, size_t count, int32_t *labels, uint32_t samples,
                  int32_t classes, uint64_t seed);

#endif
