/* state.h: the values of a network: parameters, batch norm buffers, optimizer state.
 *
 * How it works: arenas of floats in the order of the graph's tensors, PyTorch's layouts (OIHW), fp32
 * always. A backend loads a state and stores it back; what layouts and precisions it keeps inside is its own.
 *
 * Owner: the creator. @thread one at a time.
 */
#ifndef RS_STATE_H
#define RS_STATE_H

#include "graph.h"

enum rs_optimizer { RS_OPTIMIZER_ADAM, RS_OPTIMIZER_SGD };

struct rs_state {
    const struct rs_graph *graph;
    float *params;            /* graph->param_floats */
    float *buffers;           /* graph->buffer_floats */
    int64_t *batches_tracked; /* graph->norm_count */
    /* optimizer: Adam's first and second moments; SGD's momentum in moment1. zero before the first step */
    float *moment1, *moment2; /* graph->param_floats each */
    int64_t steps;            /* optimizer steps done */
};

/* Zeroed; running variances 1. */
int rs_state_create(struct rs_state **out, const struct rs_graph *graph, struct rs_error *err);
void rs_state_destroy(struct rs_state *state);
void rs_state_copy(struct rs_state *to, const struct rs_state *from); /* same graph */
/* PyTorch's initial distributions: conv2d and linear weights and biases uniform in +-1/sqrt(fan_in)
 * (kaiming_uniform_ with a = sqrt(5)), batch norm weight 1 and bias 0. From the seed alone; params only, the
 * rest stays as it is. */
void rs_state_init(struct rs_state *state, uint64_t seed);

#endif
