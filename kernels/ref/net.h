/* net.h: a graph walked by the reference operators: forward, backward, optimizer step.
 *
 * How it works: every node keeps its output and that output's gradient, all apart; nothing is fused or
 * reused, so a debugger sees each value. The order of a step is load, forward, backward, update. It has
 * rs__real in it: the float one is the backend "ref", the double one is what tests call exact.
 *
 * Owner: the creator; the graph outlives it. @thread one at a time.
 */
#ifndef RS_REF_NET_H
#define RS_REF_NET_H

#include "backend.h"
#include "graph.h"
#include "real.h"
#include "state.h"
#include <stdbool.h>

struct rs__ref_net {
    const struct rs_graph *graph;
    rs__real *params, *gradients, *moment1, *moment2; /* graph->param_floats each */
    rs__real *buffers;                                /* graph->buffer_floats */
    rs__real *statistics; /* as buffers: mean and 1/deviation that the last forward pass used */
    int64_t *batches_tracked;
    int64_t steps;
    rs__real **values;       /* a node's output; the input's is the caller's array */
    rs__real **derivatives;  /* the loss's gradient by that output */
    rs__real *probabilities; /* batch x classes, of the last forward pass */
    rs__real *scratch;       /* of the largest convolution */
};

/* batch: the largest number of samples of a step. Errors: RS_E_NOMEM. */
int RS__REF(net_create)(struct rs__ref_net **out, const struct rs_graph *graph, uint32_t batch,
                        struct rs_error *err);
void RS__REF(net_destroy)(struct rs__ref_net *net);

void RS__REF(net_load)(struct rs__ref_net *net, const struct rs_state *state);
void RS__REF(net_store)(const struct rs__ref_net *net, struct rs_state *state);

/* x: count samples of the graph's input; labels: count. train: batch statistics, and the running ones move.
 */
void RS__REF(net_forward)(struct rs__ref_net *net, rs__real *x, const int32_t *labels, uint32_t count,
                          bool train, struct rs_step_result *result);
/* Gradients of the mean loss, of the training forward pass just done with the same labels. */
void RS__REF(net_backward)(struct rs__ref_net *net, const int32_t *labels, uint32_t count);
void RS__REF(net_update)(struct rs__ref_net *net, const struct rs_plan_options *options, float lr);

#endif
