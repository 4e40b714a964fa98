/* graph.c: appending nodes: shape inference, registration of parameters and buffers.
 *
 * How it works: three arrays that double when full. An append reserves room first, then checks shapes, then
 * registers tensors and the node, which can't fail any more, so a refused node leaves the graph as it was.
 * Tensors lie dense in their arenas, in the order of registration.
 *
 * @thread one builds; then const.
 */
#include "graph.h"

#include "alloc.h"
#include <stdio.h>
#include <string.h>

struct builder { /* a graph and the room in its arrays; nobody else sees the room */
    struct rs_graph graph;
    size_t node_room, param_room, norm_room;
};

#define MAX_PARAMS_PER_NODE 2

/* Makes room for need elements; the array moves. */
static int grow(void **array, size_t *room, size_t need, size_t element, struct rs_error *err)
{
    if (need <= *room)
        return 0;
    size_t larger = need * 2 < 32 ? 32 : need * 2;
    void *moved = rs_calloc(larger, element);
    if (!moved)
        return rs_error_set(err, RS_E_NOMEM, "out of memory for a network of %zu nodes or tensors", need);
    if (*array)
        memcpy(moved, *array, *room * element);
    rs_free(*array);
    *array = moved;
    *room = larger;
    return 0;
}

static int reserve(struct rs_graph *g, struct rs_error *err)
{
    struct builder *b = (struct builder *)g;
    void *nodes = g->nodes, *params = g->params, *norms = g->norms;

    int code = grow(&nodes, &b->node_room, (size_t)g->node_count + 1, sizeof(struct rs_node), err);
    g->nodes = nodes;
    RS_TRY(code);
    code = grow(&params, &b->param_room, (size_t)g->param_count + MAX_PARAMS_PER_NODE,
                sizeof(struct rs_tensor_info), err);
    g->params = params;
    RS_TRY(code);
    code = grow(&norms, &b->norm_room, (size_t)g->norm_count + 1, sizeof(struct rs_norm_info), err);
    g->norms = norms;
    return code;
}

/* Names come from the program, never from a file: one that is too long is a programmer's mistake. */
static void join_name(char out[RS_NAME_MAX], const char *module, const char *member)
{
    int n = snprintf(out, RS_NAME_MAX, "%s%s%s", module, member[0] ? "." : "", member);
    RS_ASSERT(n > 0 && n < RS_NAME_MAX);
}

static int64_t elements(struct rs_shape s)
{
    return (int64_t)s.c * s.h * s.w;
}

/* A sample's activation stays countable in an int32. Three factors below 2^31 may overflow an int64, so by
 * steps. */
static int check_size(const char *name, struct rs_shape s, struct rs_error *err)
{
    int64_t plane = (int64_t)s.h * s.w;
    if (plane <= INT32_MAX && plane * s.c <= INT32_MAX)
        return 0;
    return rs_error_set(err, RS_E_LIMIT,
                        "%s: an output of %d x %d x %d has more than 2^31 - 1 elements; use smaller images",
                        name, s.c, s.h, s.w);
}

static struct rs_shape shape_of(const struct rs_graph *g, int node)
{
    RS_ASSERT(node >= 0 && node < g->node_count);
    return g->nodes[node].out;
}

static struct rs_node *append(struct rs_graph *g, enum rs_op op, const char *name, int input,
                              struct rs_shape out)
{
    struct rs_node *node = &g->nodes[g->node_count++];
    *node = (struct rs_node){
        .op = op, .input = {input, RS_NONE}, .out = out, .weight = RS_NONE, .bias = RS_NONE, .norm = RS_NONE};
    join_name(node->name, name, "");
    return node;
}

/* Fills a tensor of dims[0..rank) and gives it its place in an arena of *floats. */
static void place(struct rs_tensor_info *t, const char *module, const char *member, int rank,
                  const int64_t *dims, int64_t *floats)
{
    memset(t, 0, sizeof(*t));
    join_name(t->name, module, member);
    t->rank = rank;
    t->count = 1;
    for (int i = 0; i < rank; i++) {
        t->dims[i] = dims[i];
        t->count *= dims[i];
    }
    t->offset = *floats;
    *floats += t->count;
}

static int32_t add_param(struct rs_graph *g, const char *module, const char *member, int rank,
                         const int64_t *dims, int64_t fan_in)
{
    struct rs_tensor_info *t = &g->params[g->param_count];
    place(t, module, member, rank, dims, &g->param_floats);
    t->fan_in = fan_in;
    return g->param_count++;
}

int rs_graph_create(struct rs_graph **out, struct rs_shape input, struct rs_error *err)
{
    RS_ASSERT(input.c > 0 && input.h > 0 && input.w > 0);
    *out = NULL;
    RS_TRY(check_size("input", input, err));
    struct builder *b = rs_calloc(1, sizeof(*b));
    if (!b)
        return rs_error_set(err, RS_E_NOMEM, "out of memory for a network");
    int code = reserve(&b->graph, err);
    if (code < 0) {
        rs_graph_destroy(&b->graph);
        return code;
    }
    append(&b->graph, RS_OP_INPUT, "input", RS_NONE, input);
    *out = &b->graph;
    return 0;
}

void rs_graph_destroy(struct rs_graph *graph)
{
    if (!graph)
        return;
    rs_free(graph->nodes);
    rs_free(graph->params);
    rs_free(graph->norms);
    rs_free(graph);
}

/* Output side of a window that slides in floor mode: floor((in + 2 padding - kernel) / stride) + 1, 0 if it
 * never fits. */
static int32_t slide(int32_t in, int32_t kernel, int32_t stride, int32_t padding)
{
    int32_t room = in + 2 * padding - kernel;
    return room < 0 ? 0 : room / stride + 1;
}

static int window_shape(const char *name, struct rs_shape in, int32_t kernel, int32_t stride, int32_t padding,
                        struct rs_shape *out, struct rs_error *err)
{
    RS_ASSERT(kernel > 0 && stride > 0 && padding >= 0);
    out->h = slide(in.h, kernel, stride, padding);
    out->w = slide(in.w, kernel, stride, padding);
    if (out->h > 0 && out->w > 0)
        return check_size(name, *out, err);
    return rs_error_set(err, RS_E_SHAPE,
                        "%s: a window of %d x %d does not fit into its input of %d x %d; use larger images",
                        name, kernel, kernel, in.h, in.w);
}

int rs_graph_conv2d(struct rs_graph *g, const char *name, int input, int32_t out_channels, int32_t kernel,
                    int32_t stride, int32_t padding, int with_bias, struct rs_error *err)
{
    struct rs_shape in = shape_of(g, input), out = {.c = out_channels};
    RS_ASSERT(out_channels > 0);
    RS_TRY(reserve(g, err));
    RS_TRY(window_shape(name, in, kernel, stride, padding, &out, err));

    const int64_t dims[4] = {out_channels, in.c, kernel, kernel};
    const int64_t fan_in = (int64_t)in.c * kernel * kernel;
    struct rs_node *node = append(g, RS_OP_CONV2D, name, input, out);
    node->kernel = kernel;
    node->stride = stride;
    node->padding = padding;
    node->weight = add_param(g, name, "weight", 4, dims, fan_in);
    if (with_bias)
        node->bias = add_param(g, name, "bias", 1, dims, fan_in);
    return g->node_count - 1;
}

int rs_graph_batch_norm(struct rs_graph *g, const char *name, int input, struct rs_error *err)
{
    struct rs_shape in = shape_of(g, input);
    RS_TRY(reserve(g, err));

    const int64_t dims[1] = {in.c};
    struct rs_node *node = append(g, RS_OP_BATCH_NORM, name, input, in);
    node->weight = add_param(g, name, "weight", 1, dims, 0);
    node->bias = add_param(g, name, "bias", 1, dims, 0);
    node->norm = g->norm_count++;

    struct rs_norm_info *norm = &g->norms[node->norm];
    place(&norm->running_mean, name, "running_mean", 1, dims, &g->buffer_floats);
    place(&norm->running_var, name, "running_var", 1, dims, &g->buffer_floats);
    join_name(norm->batches_tracked, name, "num_batches_tracked");
    return g->node_count - 1;
}

int rs_graph_relu(struct rs_graph *g, const char *name, int input, struct rs_error *err)
{
    struct rs_shape in = shape_of(g, input);
    RS_TRY(reserve(g, err));
    append(g, RS_OP_RELU, name, input, in);
    return g->node_count - 1;
}

int rs_graph_add(struct rs_graph *g, const char *name, int a, int b, struct rs_error *err)
{
    struct rs_shape sa = shape_of(g, a), sb = shape_of(g, b);
    RS_TRY(reserve(g, err));
    if (sa.c != sb.c || sa.h != sb.h || sa.w != sb.w)
        return rs_error_set(err, RS_E_SHAPE, "%s: can't add %s (%d x %d x %d) and %s (%d x %d x %d)", name,
                            g->nodes[a].name, sa.c, sa.h, sa.w, g->nodes[b].name, sb.c, sb.h, sb.w);
    append(g, RS_OP_ADD, name, a, sa)->input[1] = b;
    return g->node_count - 1;
}

static int pool(struct rs_graph *g, enum rs_op op, const char *name, int input, int32_t kernel,
                int32_t stride, struct rs_error *err)
{
    struct rs_shape in = shape_of(g, input), out = {.c = in.c};
    RS_TRY(reserve(g, err));
    RS_TRY(window_shape(name, in, kernel, stride, 0, &out, err));
    struct rs_node *node = append(g, op, name, input, out);
    node->kernel = kernel;
    node->stride = stride;
    return g->node_count - 1;
}

int rs_graph_max_pool(struct rs_graph *g, const char *name, int input, int32_t kernel, int32_t stride,
                      struct rs_error *err)
{
    return pool(g, RS_OP_MAX_POOL, name, input, kernel, stride, err);
}

int rs_graph_avg_pool(struct rs_graph *g, const char *name, int input, int32_t kernel, int32_t stride,
                      struct rs_error *err)
{
    return pool(g, RS_OP_AVG_POOL, name, input, kernel, stride, err);
}

int rs_graph_linear(struct rs_graph *g, const char *name, int input, int32_t features, struct rs_error *err)
{
    const int64_t dims[2] = {features, elements(shape_of(g, input))};
    RS_ASSERT(features > 0);
    RS_TRY(reserve(g, err));
    struct rs_node *node = append(g, RS_OP_LINEAR, name, input, (struct rs_shape){features, 1, 1});
    node->weight = add_param(g, name, "weight", 2, dims, dims[1]);
    node->bias = add_param(g, name, "bias", 1, dims, dims[1]);
    return g->node_count - 1;
}

int rs_graph_cross_entropy(struct rs_graph *g, const char *name, int logits, struct rs_error *err)
{
    struct rs_shape in = shape_of(g, logits);
    RS_TRY(reserve(g, err));
    if (in.h != 1 || in.w != 1)
        return rs_error_set(err, RS_E_SHAPE, "%s: logits must be C x 1 x 1, not %d x %d x %d", name, in.c,
                            in.h, in.w);
    append(g, RS_OP_SOFTMAX_CROSS_ENTROPY, name, logits, in);
    g->classes = in.c;
    return g->node_count - 1;
}

int64_t rs_node_flops(const struct rs_graph *graph, int32_t node)
{
    const struct rs_node *n = &graph->nodes[node];
    if (n->op == RS_OP_CONV2D)
        return 2 * graph->params[n->weight].fan_in * elements(n->out);
    if (n->op == RS_OP_LINEAR)
        return 2 * graph->params[n->weight].count;
    return 0;
}

int64_t rs_graph_flops(const struct rs_graph *graph)
{
    int64_t sum = 0;
    for (int32_t i = 0; i < graph->node_count; i++)
        sum += rs_node_flops(graph, i);
    return sum;
}
