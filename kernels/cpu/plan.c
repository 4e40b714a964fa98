/* plan.c: compiles a graph into a plan, and releases it. */
#include "plan.h"
#include "alloc.h"
#include <omp.h>

/* Whether a parameter lies in or before each node: only there gradients flow. */
static void mark_gradients(struct rs_plan *plan)
{
    for (int32_t i = 0; i < plan->graph->node_count; i++) {
        const struct rs_node *n = &plan->graph->nodes[i];
        int needs = n->weight != RS_NONE || n->bias != RS_NONE;
        for (int k = 0; k < 2; k++)
            needs |= n->input[k] != RS_NONE && plan->needs_grad[n->input[k]];
        plan->needs_grad[i] = needs;
    }
}

/* A batch norm over one value has no variance; PyTorch refuses it too. */
static int check_norms(const struct rs_graph *graph, const struct rs_plan_options *options,
                       struct rs_error *err)
{
    for (int32_t i = 0; i < graph->node_count; i++)
        for (int k = 0; k < RS_BATCH_SIZES_MAX && options->train_batches[k]; k++)
            if (graph->nodes[i].op == RS_OP_BATCH_NORM &&
                options->train_batches[k] * rs__pixels(graph->nodes[i].out) == 1)
                return rs_error_set(
                    err, RS_E_SHAPE,
                    "%s: a batch of one sample gives one value a channel, which has no variance: "
                    "use a larger --batch-size",
                    graph->nodes[i].name);
    return 0;
}

static int check(const struct rs_graph *graph, const struct rs_plan_options *options, struct rs_error *err)
{
    const struct rs_node *last = &graph->nodes[graph->node_count - 1];
    if (last->op != RS_OP_SOFTMAX_CROSS_ENTROPY)
        return rs_error_set(err, RS_E_UNSUPPORTED, "%s: a network ends with its loss, softmax cross-entropy",
                            last->name);
    if (!options->train_batches[0] && !options->eval_batches[0])
        return rs_error_set(err, RS_E_USAGE, "a plan needs a batch size, for training or for evaluation");
    for (int32_t i = 0; i < graph->node_count; i++)
        if (graph->nodes[i].op == RS_OP_MAX_POOL && graph->nodes[i].kernel > 255)
            return rs_error_set(err, RS_E_UNSUPPORTED,
                                "%s: the cpu backend pools windows of up to 255 pixels",
                                graph->nodes[i].name);
    return check_norms(graph, options, err);
}

static int make_tables(struct rs_plan *plan, struct rs_error *err)
{
    const struct rs_graph *graph = plan->graph;
    const size_t nodes = (size_t)graph->node_count;
    plan->groups = rs_calloc(nodes, sizeof(*plan->groups));
    plan->params = rs_calloc((size_t)graph->param_count + 1, sizeof(*plan->params));
    plan->convs = rs_calloc(nodes, sizeof(*plan->convs));
    plan->norms = rs_calloc((size_t)graph->norm_count + 1, sizeof(*plan->norms));
    plan->needs_grad = rs_calloc(nodes, sizeof(*plan->needs_grad));
    if (!plan->groups || !plan->params || !plan->convs || !plan->norms || !plan->needs_grad)
        return rs_error_set(err, RS_E_NOMEM, "out of memory for a network of %zu nodes", nodes);
    mark_gradients(plan);
    return rs__fuse(graph, plan->groups, err);
}

/* Room for what batch norms keep between their passes: six vectors a norm. */
static int make_norms(struct rs_plan *plan, struct rs_error *err)
{
    size_t total = 0;
    for (int32_t i = 0; i < plan->graph->node_count; i++)
        if (plan->graph->nodes[i].norm != RS_NONE)
            total += (size_t)6 * plan->lanes * rs__blocks(plan, plan->graph->nodes[i].out.c);
    plan->norm_block = rs_calloc(total + 1, sizeof(float));
    if (!plan->norm_block)
        return rs_error_set(err, RS_E_NOMEM, "out of memory for batch norms");
    float *at = plan->norm_block;
    for (int32_t i = 0; i < plan->graph->node_count; i++) {
        const struct rs_node *n = &plan->graph->nodes[i];
        if (n->norm == RS_NONE)
            continue;
        const size_t channels = plan->lanes * rs__blocks(plan, n->out.c);
        struct rs__norm *norm = &plan->norms[n->norm];
        float **vectors[] = {&norm->scale,       &norm->shift,      &norm->mean,
                             &norm->inverse_std, &norm->sum_factor, &norm->x_factor};
        for (size_t k = 0; k < 6; k++, at += channels)
            *vectors[k] = at;
    }
    return 0;
}

static int choose_convs(struct rs_plan *plan, struct rs_error *err)
{
    const struct rs_plan_options *o = &plan->options;
    const int training = o->train_batches[0] != 0;
    for (int32_t i = 0; i < plan->graph->node_count; i++)
        if (plan->graph->nodes[i].op == RS_OP_CONV2D)
            RS_TRY(
                rs__conv_choose(plan, i, training ? o->train_batches[0] : o->eval_batches[0], training, err));
    RS_TRY(rs__params_layout(plan, err));
    for (int32_t i = 0; i < plan->graph->node_count; i++)
        if (plan->convs[i].node)
            RS_TRY(rs__conv_copy_prepare(plan, i, err));
    return 0;
}

static int make_programs(struct rs_plan *plan, struct rs_error *err)
{
    for (int training = 0; training < 2; training++) {
        const uint32_t *batches = training ? plan->options.train_batches : plan->options.eval_batches;
        for (int i = 0; i < RS_BATCH_SIZES_MAX && batches[i]; i++)
            RS_TRY(rs__program_create(&plan->programs[training][i], plan, batches[i], training, err));
    }
    return 0;
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* The scratch that one program needs: two vectors a plane of a batch norm, one plane a thread of a pool. */
static void measure_scratch(struct rs_plan *plan, const struct rs__program *p)
{
    for (int32_t i = 0; i < plan->graph->node_count; i++) {
        const struct rs_node *n = &plan->graph->nodes[i];
        if (n->op == RS_OP_BATCH_NORM)
            plan->sums_floats =
                larger(plan->sums_floats, (size_t)2 * plan->lanes * rs__blocks(plan, n->out.c) * p->batch);
        if (n->op == RS_OP_MAX_POOL || n->op == RS_OP_AVG_POOL)
            plan->pool_floats =
                larger(plan->pool_floats, plan->lanes * rs__pixels(plan->graph->nodes[n->input[0]].out));
    }
}

/* The memory that all programs share, and their addresses in it. */
static int bind(struct rs_plan *plan, struct rs_error *err)
{
    size_t arena = 0;
    for (int k = 0; k < 2 * RS_BATCH_SIZES_MAX; k++) {
        const struct rs__program *p = plan->programs[k / RS_BATCH_SIZES_MAX][k % RS_BATCH_SIZES_MAX];
        if (!p)
            continue;
        arena = larger(arena, p->arena_bytes);
        measure_scratch(plan, p);
    }
    plan->arena = rs_calloc(1, arena + 64);
    plan->scratchpad = rs_calloc(1, plan->scratchpad_bytes + 64);
    plan->sums = rs_calloc(plan->sums_floats + 16, sizeof(float));
    plan->pool_scratch = rs_calloc(plan->pool_floats * plan->device->threads + 16, sizeof(float));
    if (!plan->arena || !plan->scratchpad || !plan->sums || !plan->pool_scratch)
        return rs_error_set(
            err, RS_E_NOMEM,
            "out of memory for %zu MiB of activations: use a smaller --batch-size or --eval-batch-size",
            (arena + plan->scratchpad_bytes) >> 20);
    for (int k = 0; k < 2 * RS_BATCH_SIZES_MAX; k++) {
        struct rs__program *p = plan->programs[k / RS_BATCH_SIZES_MAX][k % RS_BATCH_SIZES_MAX];
        if (p)
            RS_TRY(rs__program_bind(p, err));
    }
    for (int32_t i = 0; i < plan->graph->node_count; i++) {
        struct rs__dnnl *reorders[] = {plan->convs[i].forward_reorder, plan->convs[i].backward_reorder};
        for (int k = 0; k < 2; k++)
            if (reorders[k])
                RS_TRY(rs__dnnl_bind(reorders[k], plan, NULL, plan->graph->nodes[i].name, err));
    }
    return 0;
}

int rs__plan_create(struct rs_device *device, const struct rs_graph *graph,
                    const struct rs_plan_options *options, enum rs__element element, struct rs_plan **out,
                    struct rs_error *err)
{
    *out = NULL;
    RS_TRY(check(graph, options, err));
    struct rs_plan *plan = rs_calloc(1, sizeof(*plan));
    if (!plan)
        return rs_error_set(err, RS_E_NOMEM, "out of memory for a plan");
    plan->device = device;
    plan->graph = graph;
    plan->options = *options;
    plan->element = element;
    plan->lanes = device->kernels->lanes;
    omp_set_num_threads((int)device->threads); /* primitives are made for this number */
    int code = make_tables(plan, err);
    if (code >= 0)
        code = make_norms(plan, err);
    if (code >= 0)
        code = choose_convs(plan, err);
    if (code >= 0)
        code = make_programs(plan, err);
    if (code >= 0)
        code = bind(plan, err);
    if (code < 0) {
        rs__plan_destroy(plan);
        return code;
    }
    *out = plan;
    return 0;
}

void rs__plan_destroy(struct rs_plan *plan)
{
    if (!plan)
        return;
    for (int k = 0; k < 2 * RS_BATCH_SIZES_MAX; k++)
        rs__program_destroy(plan->programs[k / RS_BATCH_SIZES_MAX][k % RS_BATCH_SIZES_MAX]);
    for (int32_t i = 0; plan->convs && i < plan->graph->node_count; i++)
        rs__conv_release(&plan->convs[i]);
    for (int32_t i = 0; plan->params && i < plan->graph->param_count; i++)
        rs__desc_destroy(plan->params[i].desc);
    void *blocks[] = {plan->groups,       plan->params,  plan->convs,      plan->norms,
                      plan->needs_grad,   plan->values,  plan->gradients,  plan->moment1,
                      plan->moment2,      plan->buffers, plan->norm_block, plan->sums,
                      plan->pool_scratch, plan->arena,   plan->scratchpad, plan->batches_tracked};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        rs_free(blocks[i]);
    rs_free(plan);
}
