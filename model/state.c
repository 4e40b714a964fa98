/* state.c: allocation, copies and initial values of a network's state.
 *
 * How it works: initial values are Philox draws keyed by (seed, tensor, element), so they depend on no order
 * and no thread. Streams of tensors have the top bit set; those of epochs and samples elsewhere do not.
 */
#include "state.h"

#include "alloc.h"
#include "random.h"
#include <math.h>
#include <string.h>

#define TENSOR_STREAM 0x80000000u

static float *floats(int64_t count)
{
    return rs_calloc((size_t)(count > 0 ? count : 1), sizeof(float));
}

int rs_state_create(struct rs_state **out, const struct rs_graph *graph, struct rs_error *err)
{
    *out = NULL;
    struct rs_state *state = rs_calloc(1, sizeof(*state));
    if (!state)
        goto fail;
    state->graph = graph;
    state->params = floats(graph->param_floats);
    state->buffers = floats(graph->buffer_floats);
    state->moment1 = floats(graph->param_floats);
    state->moment2 = floats(graph->param_floats);
    state->batches_tracked = rs_calloc((size_t)graph->norm_count + 1, sizeof(int64_t));
    if (!state->params || !state->buffers || !state->moment1 || !state->moment2 || !state->batches_tracked)
        goto fail;
    for (int32_t i = 0; i < graph->norm_count; i++) {
        const struct rs_tensor_info *var = &graph->norms[i].running_var;
        for (int64_t j = 0; j < var->count; j++)
            state->buffers[var->offset + j] = 1;
    }
    *out = state;
    return 0;
fail:
    rs_state_destroy(state);
    return rs_error_set(err, RS_E_NOMEM, "out of memory for a network of %lld parameters",
                        (long long)graph->param_floats);
}

void rs_state_destroy(struct rs_state *state)
{
    if (!state)
        return;
    rs_free(state->params);
    rs_free(state->buffers);
    rs_free(state->moment1);
    rs_free(state->moment2);
    rs_free(state->batches_tracked);
    rs_free(state);
}

void rs_state_copy(struct rs_state *to, const struct rs_state *from)
{
    const size_t params = (size_t)from->graph->param_floats * sizeof(float);
    RS_ASSERT(to->graph == from->graph);
    memcpy(to->params, from->params, params);
    memcpy(to->moment1, from->moment1, params);
    memcpy(to->moment2, from->moment2, params);
    memcpy(to->buffers, from->buffers, (size_t)from->graph->buffer_floats * sizeof(float));
    memcpy(to->batches_tracked, from->batches_tracked, (size_t)from->graph->norm_count * sizeof(int64_t));
    to->steps = from->steps;
}

static void fill_uniform(float *values, int64_t count, float bound, uint64_t seed, uint32_t tensor)
{
    struct rs_random random;
    rs_random_init(&random, seed, TENSOR_STREAM | tensor, 0);
    for (int64_t i = 0; i < count; i++)
        values[i] = (2 * rs_random_float(&random) - 1) * bound;
}

static void fill(float *values, int64_t count, float value)
{
    for (int64_t i = 0; i < count; i++)
        values[i] = value;
}

void rs_state_init(struct rs_state *state, uint64_t seed)
{
    const struct rs_graph *g = state->graph;
    for (int32_t i = 0; i < g->node_count; i++) {
        const struct rs_node *node = &g->nodes[i];
        const int32_t indices[2] = {node->weight, node->bias};
        for (int k = 0; k < 2; k++) {
            if (indices[k] == RS_NONE)
                continue;
            const struct rs_tensor_info *t = &g->params[indices[k]];
            float *values = state->params + t->offset;
            if (node->op == RS_OP_BATCH_NORM)
                fill(values, t->count, k == 0 ? 1.0f : 0.0f);
            else
                fill_uniform(values, t->count, (float)(1 / sqrt((double)t->fan_in)), seed,
                             (uint32_t)indices[k]);
        }
    }
}
