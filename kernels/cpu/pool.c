/* pool.c: max and average pooling, plane by plane.
 * Tensors. forward: in x; out y, winners (max, training). backward: in dy, dy, winners; out dx. */
#include "plan.h"
#include <omp.h>

static struct rs__pool pool_of(const struct rs_graph *graph, const struct rs_node *node)
{
    struct rs_shape in = graph->nodes[node->input[0]].out;
    return (struct rs__pool){in.h, in.w, node->out.h, node->out.w, node->kernel, node->stride};
}

int rs__run_pool(const struct rs__op *op, const struct rs__call *call)
{
    const struct rs_plan *plan = call->plan;
    const struct rs_node *node = &plan->graph->nodes[op->node];
    const struct rs__pool pool = pool_of(plan->graph, node);
    const struct rs__element_kernels *kernels = rs__kernels_for(plan);
    const size_t cell = plan->lanes * rs__element_bytes(plan->element);
    const size_t in_vectors = (size_t)pool.h * (size_t)pool.w, out_vectors = rs__pixels(node->out);
    const size_t planes = call->program->batch * rs__blocks(plan, node->out.c);
    const char *x = call->program->at[op->in[0]];
    char *y = call->program->at[op->out[0]];
    uint16_t *index = op->out[1] == RS_NONE ? NULL : call->program->at[op->out[1]];

#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < planes; i++) {
        if (node->op == RS_OP_MAX_POOL)
            kernels->max_pool(&pool, x + i * in_vectors * cell, y + i * out_vectors * cell,
                              index ? index + i * out_vectors * plan->lanes : NULL);
        else
            kernels->avg_pool(&pool, x + i * in_vectors * cell, y + i * out_vectors * cell);
    }
    return 0;
}

int rs__run_pool_backward(const struct rs__op *op, const struct rs__call *call)
{
    const struct rs_plan *plan = call->plan;
    const struct rs_node *node = &plan->graph->nodes[op->node];
    const struct rs__pool pool = pool_of(plan->graph, node);
    const struct rs__element_kernels *kernels = rs__kernels_for(plan);
    const size_t cell = plan->lanes * rs__element_bytes(plan->element);
    const size_t in_vectors = (size_t)pool.h * (size_t)pool.w, out_vectors = rs__pixels(node->out);
    const size_t planes = call->program->batch * rs__blocks(plan, node->out.c);
    const char *a = call->program->at[op->in[0]];
    const char *b = op->in[1] == RS_NONE ? NULL : call->program->at[op->in[1]];
    const uint16_t *index = op->in[2] == RS_NONE ? NULL : call->program->at[op->in[2]];
    char *dx = call->program->at[op->out[0]];

#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < planes; i++) {
        float *scratch = plan->pool_scratch + (size_t)omp_get_thread_num() * plan->pool_floats;
        const void *const dy[2] = {a + i * out_vectors * cell, b ? b + i * out_vectors * cell : NULL};
        if (node->op == RS_OP_MAX_POOL)
            kernels->max_pool_grad(&pool, dy, index + i * out_vectors * plan->lanes,
                                   dx + i * in_vectors * cell, scratch);
        else
            kernels->avg_pool_grad(&pool, dy, dx + i * in_vectors * cell, scratch);
    }
    return 0;
}
