/* net.c: walking a graph.
 *
 * How it works: forward in node order; backward in reverse, each node adding to its inputs' gradients, which
 * were zeroed before. Nobody wants the gradient of the pictures, so convolutions and linears that read the
 * input skip it.
 *
 * @thread one at a time.
 */
#include "net.h"

#include "alloc.h"
#include "ops.h"
#include <string.h>

static int64_t out_size(const struct rs_node *node)
{
    return (int64_t)node->out.c * node->out.h * node->out.w;
}

static const struct rs_node *input_of(const struct rs_graph *graph, const struct rs_node *node)
{
    return &graph->nodes[node->input[0] == RS_NONE ? 0 : node->input[0]];
}

static struct rs__ref_window window_of(const struct rs_graph *graph, const struct rs_node *node,
                                       uint32_t count)
{
    const struct rs_shape in = input_of(graph, node)->out, out = node->out;
    return (struct rs__ref_window){.batch = (int32_t)count,
                                   .in_c = in.c,
                                   .in_h = in.h,
                                   .in_w = in.w,
                                   .out_c = out.c,
                                   .out_h = out.h,
                                   .out_w = out.w,
                                   .kernel = node->kernel,
                                   .stride = node->stride,
                                   .padding = node->padding};
}

static struct rs__ref_planes planes_of(const struct rs_node *node, uint32_t count)
{
    return (struct rs__ref_planes){(int32_t)count, node->out.c, (int64_t)node->out.h * node->out.w};
}

static rs__real *reals(int64_t count)
{
    return rs_calloc((size_t)count + 1, sizeof(rs__real));
}

/* Outputs and their gradients for batch samples; scratch for the largest convolution. */
static int create_values(struct rs__ref_net *net, uint32_t batch)
{
    const struct rs_graph *g = net->graph;
    int64_t scratch = 0;
    net->values = rs_calloc((size_t)g->node_count, sizeof(*net->values));
    net->derivatives = rs_calloc((size_t)g->node_count, sizeof(*net->derivatives));
    if (!net->values || !net->derivatives)
        return RS_E_NOMEM;
    for (int32_t i = 0; i < g->node_count; i++) {
        const struct rs_node *node = &g->nodes[i];
        if (i > 0)
            net->values[i] = reals(batch * out_size(node));
        net->derivatives[i] = reals(batch * out_size(node));
        if ((i > 0 && !net->values[i]) || !net->derivatives[i])
            return RS_E_NOMEM;
        if (node->op == RS_OP_CONV2D) {
            const struct rs__ref_window window = window_of(g, node, batch);
            const int64_t need = RS__REF(conv_scratch)(&window);
            scratch = need > scratch ? need : scratch;
        }
    }
    net->probabilities = reals((int64_t)batch * g->classes);
    net->scratch = reals(scratch);
    return net->probabilities && net->scratch ? 0 : RS_E_NOMEM;
}

int RS__REF(net_create)(struct rs__ref_net **out, const struct rs_graph *graph, uint32_t batch,
                        struct rs_error *err)
{
    *out = NULL;
    struct rs__ref_net *net = rs_calloc(1, sizeof(*net));
    if (!net)
        goto fail;
    net->graph = graph;
    net->params = reals(graph->param_floats);
    net->gradients = reals(graph->param_floats);
    net->moment1 = reals(graph->param_floats);
    net->moment2 = reals(graph->param_floats);
    net->buffers = reals(graph->buffer_floats);
    net->statistics = reals(graph->buffer_floats);
    net->batches_tracked = rs_calloc((size_t)graph->norm_count + 1, sizeof(int64_t));
    if (!net->params || !net->gradients || !net->moment1 || !net->moment2 || !net->buffers ||
        !net->statistics || !net->batches_tracked || create_values(net, batch) < 0)
        goto fail;
    *out = net;
    return 0;
fail:
    RS__REF(net_destroy)(net);
    return rs_error_set(err, RS_E_NOMEM, "out of memory for batches of %u samples; use a smaller batch size",
                        batch);
}

void RS__REF(net_destroy)(struct rs__ref_net *net)
{
    if (!net)
        return;
    for (int32_t i = 0; i < net->graph->node_count; i++) {
        if (net->values && i > 0) /* values[0] is the caller's */
            rs_free(net->values[i]);
        if (net->derivatives)
            rs_free(net->derivatives[i]);
    }
    rs_free(net->values);
    rs_free(net->derivatives);
    rs_free(net->probabilities);
    rs_free(net->scratch);
    rs_free(net->params);
    rs_free(net->gradients);
    rs_free(net->moment1);
    rs_free(net->moment2);
    rs_free(net->buffers);
    rs_free(net->statistics);
    rs_free(net->batches_tracked);
    rs_free(net);
}

static void from_floats(rs__real *to, const float *from, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        to[i] = from[i];
}

static void to_floats(float *to, const rs__real *from, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        to[i] = (float)from[i];
}

void RS__REF(net_load)(struct rs__ref_net *net, const struct rs_state *state)
{
    const struct rs_graph *g = net->graph;
    from_floats(net->params, state->params, g->param_floats);
    from_floats(net->moment1, state->moment1, g->param_floats);
    from_floats(net->moment2, state->moment2, g->param_floats);
    from_floats(net->buffers, state->buffers, g->buffer_floats);
    memcpy(net->batches_tracked, state->batches_tracked, (size_t)g->norm_count * sizeof(int64_t));
    net->steps = state->steps;
}

void RS__REF(net_store)(const struct rs__ref_net *net, struct rs_state *state)
{
    const struct rs_graph *g = net->graph;
    to_floats(state->params, net->params, g->param_floats);
    to_floats(state->moment1, net->moment1, g->param_floats);
    to_floats(state->moment2, net->moment2, g->param_floats);
    to_floats(state->buffers, net->buffers, g->buffer_floats);
    memcpy(state->batches_tracked, net->batches_tracked, (size_t)g->norm_count * sizeof(int64_t));
    state->steps = net->steps;
}

/* Where in an arena tensor index lies; NULL for RS_NONE. */
static rs__real *tensor(const struct rs__ref_net *net, rs__real *arena, int32_t index)
{
    return index == RS_NONE ? NULL : arena + net->graph->params[index].offset;
}

static void forward_norm(struct rs__ref_net *net, const struct rs_node *node, const rs__real *x, rs__real *y,
                         uint32_t count, bool train)
{
    const struct rs__ref_planes planes = planes_of(node, count);
    const struct rs_norm_info *norm = &net->graph->norms[node->norm];
    rs__real *running_mean = net->buffers + norm->running_mean.offset;
    rs__real *running_var = net->buffers + norm->running_var.offset;
    rs__real *mean = net->statistics + norm->running_mean.offset;
    rs__real *inv_std = net->statistics + norm->running_var.offset;
    if (train) {
        RS__REF(norm_statistics)(&planes, x, mean, inv_std, running_mean, running_var);
        net->batches_tracked[node->norm]++;
    } else {
        RS__REF(norm_running)(planes.channels, running_mean, running_var, mean, inv_std);
    }
    RS__REF(norm_forward)
    (&planes, x, mean, inv_std, tensor(net, net->params, node->weight), tensor(net, net->params, node->bias),
     y);
}

/* Any node but the input and the loss. */
static void forward_node(struct rs__ref_net *net, const struct rs_node *node, rs__real *y, uint32_t count,
                         bool train)
{
    const struct rs__ref_window window = window_of(net->graph, node, count);
    const int64_t size = count * out_size(node);
    const rs__real *x = net->values[node->input[0]];
    const rs__real *w = tensor(net, net->params, node->weight), *bias = tensor(net, net->params, node->bias);
    switch (node->op) {
    case RS_OP_CONV2D:
        RS__REF(conv_forward)(&window, x, w, bias, y, net->scratch);
        break;
    case RS_OP_BATCH_NORM:
        forward_norm(net, node, x, y, count, train);
        break;
    case RS_OP_RELU:
        RS__REF(relu_forward)(size, x, y);
        break;
    case RS_OP_ADD:
        RS__REF(add_forward)(size, x, net->values[node->input[1]], y);
        break;
    case RS_OP_MAX_POOL:
        RS__REF(max_pool_forward)(&window, x, y);
        break;
    case RS_OP_AVG_POOL:
        RS__REF(avg_pool_forward)(&window, x, y);
        break;
    case RS_OP_LINEAR:
        RS__REF(linear_forward)
        (window.batch, net->graph->params[node->weight].dims[1], node->out.c, x, w, bias, y);
        break;
    case RS_OP_INPUT:
    case RS_OP_SOFTMAX_CROSS_ENTROPY:
        break;
    }
}

void RS__REF(net_forward)(struct rs__ref_net *net, rs__real *x, const int32_t *labels, uint32_t count,
                          bool train, struct rs_step_result *result)
{
    const struct rs_graph *g = net->graph;
    const int32_t last = g->node_count - 1;
    net->values[0] = x;
    for (int32_t i = 1; i < last; i++)
        forward_node(net, &g->nodes[i], net->values[i], count, train);
    result->loss_sum = RS__REF(loss_forward)((int32_t)count, g->classes, net->values[g->nodes[last].input[0]],
                                             labels, net->probabilities, &result->correct);
}

static void backward_norm(struct rs__ref_net *net, const struct rs_node *node, const rs__real *dy,
                          rs__real *dx, uint32_t count)
{
    const struct rs__ref_planes planes = planes_of(node, count);
    const struct rs_norm_info *norm = &net->graph->norms[node->norm];
    RS__REF(norm_backward)
    (&planes, net->values[node->input[0]], net->statistics + norm->running_mean.offset,
     net->statistics + norm->running_var.offset, tensor(net, net->params, node->weight), dy, dx,
     tensor(net, net->gradients, node->weight), tensor(net, net->gradients, node->bias));
}

static void backward_node(struct rs__ref_net *net, int32_t index, uint32_t count)
{
    const struct rs_node *node = &net->graph->nodes[index];
    const struct rs__ref_window window = window_of(net->graph, node, count);
    const int64_t size = count * out_size(node);
    const rs__real *x = net->values[node->input[0]], *w = tensor(net, net->params, node->weight);
    const rs__real *dy = net->derivatives[index];
    rs__real *dx = net->derivatives[node->input[0]];
    rs__real *wanted_dx = node->input[0] == 0 ? NULL : dx;
    rs__real *dw = tensor(net, net->gradients, node->weight), *db = tensor(net, net->gradients, node->bias);
    switch (node->op) {
    case RS_OP_CONV2D:
        RS__REF(conv_backward)(&window, x, w, dy, wanted_dx, dw, db, net->scratch);
        break;
    case RS_OP_BATCH_NORM:
        backward_norm(net, node, dy, dx, count);
        break;
    case RS_OP_RELU:
        RS__REF(relu_backward)(size, net->values[index], dy, dx);
        break;
    case RS_OP_ADD:
        RS__REF(add_backward)(size, dy, dx);
        RS__REF(add_backward)(size, dy, net->derivatives[node->input[1]]);
        break;
    case RS_OP_MAX_POOL:
        RS__REF(max_pool_backward)(&window, x, dy, dx);
        break;
    case RS_OP_AVG_POOL:
        RS__REF(avg_pool_backward)(&window, dy, dx);
        break;
    case RS_OP_LINEAR:
        RS__REF(linear_backward)
        (window.batch, net->graph->params[node->weight].dims[1], node->out.c, x, w, dy, wanted_dx, dw, db);
        break;
    case RS_OP_INPUT:
    case RS_OP_SOFTMAX_CROSS_ENTROPY:
        break;
    }
}

void RS__REF(net_backward)(struct rs__ref_net *net, const int32_t *labels, uint32_t count)
{
    const struct rs_graph *g = net->graph;
    const int32_t last = g->node_count - 1;
    memset(net->gradients, 0, (size_t)g->param_floats * sizeof(rs__real));
    for (int32_t i = 0; i < last; i++)
        memset(net->derivatives[i], 0, (size_t)(count * out_size(&g->nodes[i])) * sizeof(rs__real));
    RS__REF(loss_backward)
    ((int32_t)count, g->classes, net->probabilities, labels, net->derivatives[g->nodes[last].input[0]]);
    for (int32_t i = last - 1; i > 0; i--)
        backward_node(net, i, count);
}

void RS__REF(net_update)(struct rs__ref_net *net, const struct rs_plan_options *options, float lr)
{
    const int64_t n = net->graph->param_floats;
    net->steps++;
    if (options->optimizer == RS_OPTIMIZER_ADAM) {
        const struct rs__ref_adam adam = {.lr = lr,
                                          .beta1 = options->beta1,
                                          .beta2 = options->beta2,
                                          .eps = options->eps,
                                          .weight_decay = options->weight_decay,
                                          .step = net->steps};
        RS__REF(adam)(&adam, n, net->gradients, net->params, net->moment1, net->moment2);
    } else {
        const struct rs__ref_sgd sgd = {lr, options->momentum, options->weight_decay};
        RS__REF(sgd)(&sgd, n, net->gradients, net->params, net->moment1);
    }
}
