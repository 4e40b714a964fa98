/* command_summary.c: rstream summary: the network as its graph says it. */
#include "commands.h"
#include "resnet.h"

static const char *op_name(enum rs_op op)
{
    switch (op) {
    case RS_OP_INPUT:
        return "input";
    case RS_OP_CONV2D:
        return "conv2d";
    case RS_OP_BATCH_NORM:
        return "batch norm";
    case RS_OP_RELU:
        return "relu";
    case RS_OP_ADD:
        return "add";
    case RS_OP_MAX_POOL:
        return "max pool";
    case RS_OP_AVG_POOL:
        return "average pool";
    case RS_OP_LINEAR:
        return "linear";
    case RS_OP_SOFTMAX_CROSS_ENTROPY:
        return "cross-entropy";
    }
    return "?";
}

/* "conv2d 3x3/2", where it has a kernel */
static void print_op(const struct rs_node *node, char *text, size_t size)
{
    if (node->op == RS_OP_CONV2D || node->op == RS_OP_MAX_POOL || node->op == RS_OP_AVG_POOL)
        (void)snprintf(text, size, "%s %dx%d/%d", op_name(node->op), node->kernel, node->kernel,
                       node->stride);
    else
        (void)snprintf(text, size, "%s", op_name(node->op));
}

static int64_t node_params(const struct rs_graph *graph, const struct rs_node *node)
{
    int64_t count = 0;
    if (node->weight != RS_NONE)
        count += graph->params[node->weight].count;
    if (node->bias != RS_NONE)
        count += graph->params[node->bias].count;
    return count;
}

static void print_blocks(const struct rs_graph *graph)
{
    struct rs_block blocks[RS_RESNET_BLOCKS];
    rs_resnet_blocks(graph, blocks);
    for (int i = 0; i < RS_RESNET_BLOCKS; i++) {
        const struct rs_shape *s = &graph->nodes[blocks[i].last_node].out;
        (void)printf("%s output: 1 x %d x %d x %d\n", blocks[i].name, s->c, s->h, s->w);
    }
    (void)printf("output: 1 x %d\n\n", graph->classes);
}

static void print_nodes(const struct rs_graph *graph)
{
    (void)printf("%-18s %-18s %-16s %12s %10s\n", "name", "operator", "output", "parameters", "MFLOP");
    for (int32_t i = 0; i < graph->node_count; i++) {
        const struct rs_node *node = &graph->nodes[i];
        char op[32], shape[48];
        print_op(node, op, sizeof op);
        (void)snprintf(shape, sizeof shape, "%d x %d x %d", node->out.c, node->out.h, node->out.w);
        (void)printf("%-18s %-18s %-16s %12lld %10.3f\n", node->name, op, shape,
                     (long long)node_params(graph, node), (double)rs_node_flops(graph, i) * 1e-6);
    }
}

int rs_command_summary(const struct rs_config *config, struct rs_error *err)
{
    struct rs_graph *graph = NULL;
    RS_TRY(rs_resnet_build(&graph, (int32_t)config->image_size, (int32_t)config->classes, err));
    print_blocks(graph);
    print_nodes(graph);
    (void)printf("\nParameters: %lld (%.1f MiB in float32), running statistics: %lld\n"
                 "Work: %.3f MFLOP forward for one image, about three times that for a training step\n",
                 (long long)graph->param_floats, (double)graph->param_floats * 4 / (1 << 20),
                 (long long)graph->buffer_floats, (double)rs_graph_flops(graph) * 1e-6);
    rs_graph_destroy(graph);
    return RS_OK;
}
