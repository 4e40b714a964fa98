/* program.h: a graph as the list of fused operations that a step runs, with their memory.
 *
 * How it works: nodes become operations in their order: a convolution; an apply (body_norm.h: batch norm,
 * relu, addition, biases, as many of them as follow each other); a pool; the linear; the loss. A
 * convolution's bias is added by what reads it: the max pool or the addition, else by an apply of its own.
 * The backward pass walks the list in reverse. A value's gradient is a sum of parts, one a reader; two parts
 * are added by the kernel that reads them, more are merged before. Everything lies in one block: the list is
 * built twice, first to count bytes, then with addresses.
 *
 * Owner: the plan. @thread the plan's.
 */
#ifndef RS_CUDA_PROGRAM_H
#define RS_CUDA_PROGRAM_H

#include "graph.h"
#include "kernels.h"
#include "layouts.h"
#include <stdbool.h>

struct rs__value { /* of one sample: h x w pixels of cp channels */
    uint32_t h, w, c, cp;
    void *data;
    const void *parts[2]; /* of its gradient */
    uint32_t part_count;
};

enum rs__kind {
    RS__KIND_CONV,
    RS__KIND_APPLY,
    RS__KIND_MAX_POOL,
    RS__KIND_AVG_POOL,
    RS__KIND_LINEAR,
    RS__KIND_LOSS
};

struct rs__merge { /* to = a + b, for a value that gets a third part */
    int32_t value;
    const void *a, *b;
    void *to; /* NULL: no merge */
};

struct rs__op {
    enum rs__kind kind;
    const struct rs_node *node; /* what it is named after; conv, pool, linear: itself */
    int32_t x, y, add;          /* values; add: RS_NONE where there is none */
    /* apply */
    int32_t norm;                   /* index of the graph's norms, or RS_NONE */
    int32_t norm_weight, norm_bias; /* parameters */
    int32_t x_bias, add_bias;       /* parameters, or RS_NONE; max pool: x_bias */
    bool relu_norm, relu_sum;
    bool folded; /* conv: of the folded input */
    /* memory */
    uint8_t *index; /* max pool: winners */
    float *mean, *inv_std, *coefficients;
    const void *dy1, *dy2; /* parts of y's gradient */
    void *dy_sum;          /* conv with two parts: their sum */
    void *g;  /* apply: where its addends' gradient is stored; NULL: it is dy1, or nobody wants it */
    void *dx; /* NULL: nobody wants it */
    struct rs__merge merges[2];
};

struct rs__program {
    const struct rs_graph *graph;
    bool bf16;
    uint32_t batch;           /* the largest */
    struct rs__value *values; /* 0 is the input */
    int32_t value_count;
    struct rs__op *ops;
    int32_t op_count;
    struct rs__input_shape input;      /* n is 0 */
    struct rs__weight_layout *weights; /* of the graph's parameters */
    int64_t conv_elements, elements;   /* of the arenas: convolutions' weights, all */
    int64_t *statistics; /* of the graph's norms: offset in the arenas of statistics; cp mean, cp variance */
    int64_t statistic_elements;
    /* device memory */
    float *masters, *moment1, *moment2, *gradients; /* elements each */
    void *shadows, *conv_gradients; /* conv_elements of bf16 each; with fp32 the masters and gradients */
    float *running;                 /* statistic_elements */
    float *partial;                 /* scratch of sums */
    float *logits, *dlogits, *probabilities, *losses;
    uint32_t *hits;
    int32_t *labels;
    struct rs__result *result;
    struct rs__hyper *hyper;
    size_t bytes; /* of all that */
};

/* Lists the operations of graph. Errors: RS_E_UNSUPPORTED with the node's name, RS_E_LIMIT, RS_E_NOMEM. */
int rs__program_create(struct rs__program *program, const struct rs_graph *graph, bool bf16, uint32_t batch,
                       struct rs_error *err);
/* Gives everything its place in block, program->bytes long, zeroed, aligned to 256. */
void rs__program_place(struct rs__program *program, void *block);
void rs__program_destroy(struct rs__program *program);

static inline uint32_t rs__value_rows(const struct rs__value *value, uint32_t n)
{
    return n * value->h * value->w;
}

#endif
