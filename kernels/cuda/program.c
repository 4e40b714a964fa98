/* program.c: from nodes to operations. See program.h. @thread as there. */
#include "program.h"

#include "alloc.h"
#include <string.h>

#define FOLDED_KERNEL_MAX 15     /* the folded input grows with the kernel, 8 times for this one */
#define INPUT_CHANNELS_MAX 8192u /* of a pixel that a block of the input kernels has room for */

struct builder {
    struct rs__program *p;
    int32_t *value_of;  /* a node's output, or RS_NONE: it lies inside an operation */
    int32_t *consumers; /* how many nodes read a node */
    int32_t *reader;    /* the last of them */
    int32_t *chain;     /* at the last node of a fused chain: its batch norm or addition; else RS_NONE */
    bool *inside;       /* nodes of a chain but its last */
    struct rs_error *err;
};

static const struct rs_node *node_at(const struct builder *b, int32_t i)
{
    return &b->p->graph->nodes[i];
}

/* The only reader of node i if it is op, else RS_NONE. */
static int32_t sole_reader(const struct builder *b, int32_t i, enum rs_op op)
{
    return b->consumers[i] == 1 && node_at(b, b->reader[i])->op == op ? b->reader[i] : RS_NONE;
}

static void count_readers(struct builder *b)
{
    for (int32_t i = 0; i < b->p->graph->node_count; i++)
        for (int k = 0; k < 2; k++) {
            const int32_t from = node_at(b, i)->input[k];
            if (from == RS_NONE)
                continue;
            b->consumers[from]++;
            b->reader[from] = i;
        }
}

/* Marks the chain that begins at a batch norm or addition: [relu], [add], [relu]. An addition belongs to the
 * first norm that reaches it. */
static void find_chain(struct builder *b, int32_t first)
{
    int32_t end = first;
    if (b->inside[first] || b->chain[first] != RS_NONE)
        return;
    if (node_at(b, first)->op == RS_OP_BATCH_NORM) {
        const int32_t relu = sole_reader(b, end, RS_OP_RELU);
        if (relu != RS_NONE) {
            b->inside[end] = true;
            end = relu;
        }
        const int32_t add = sole_reader(b, end, RS_OP_ADD);
        const bool taken = add != RS_NONE && (b->inside[add] || b->chain[add] != RS_NONE);
        if (add == RS_NONE || taken) {
            b->chain[end] = first;
            return;
        }
        b->inside[end] = true;
        end = add;
    }
    const int32_t relu = sole_reader(b, end, RS_OP_RELU);
    if (relu != RS_NONE) {
        b->inside[end] = true;
        end = relu;
    }
    b->chain[end] = first;
}

static void find_chains(struct builder *b)
{
    const int32_t count = b->p->graph->node_count;
    for (int32_t i = 0; i < count; i++)
        b->chain[i] = RS_NONE;
    for (int32_t i = 0; i < count; i++)
        if (node_at(b, i)->op == RS_OP_BATCH_NORM)
            find_chain(b, i);
    for (int32_t i = 0; i < count; i++)
        if (node_at(b, i)->op == RS_OP_ADD)
            find_chain(b, i);
}

static int32_t add_value(struct builder *b, struct rs_shape shape)
{
    struct rs__value *value = &b->p->values[b->p->value_count];
    value->h = (uint32_t)shape.h;
    value->w = (uint32_t)shape.w;
    value->c = (uint32_t)shape.c;
    value->cp = rs__padded(value->c);
    return b->p->value_count++;
}

static struct rs__op *add_op(struct builder *b, enum rs__kind kind, int32_t node, int32_t x)
{
    struct rs__op *op = &b->p->ops[b->p->op_count++];
    *op = (struct rs__op){.kind = kind,
                          .node = node_at(b, node),
                          .x = x,
                          .add = RS_NONE,
                          .norm = RS_NONE,
                          .norm_weight = RS_NONE,
                          .norm_bias = RS_NONE,
                          .x_bias = RS_NONE,
                          .add_bias = RS_NONE};
    op->y = add_value(b, op->node->out);
    return op;
}

/* The bias that node from left to its reader, or RS_NONE. */
static int32_t left_bias(const struct builder *b, int32_t from)
{
    const struct rs_node *node = node_at(b, from);
    const bool left = node->op == RS_OP_CONV2D && (sole_reader(b, from, RS_OP_ADD) != RS_NONE ||
                                                   sole_reader(b, from, RS_OP_MAX_POOL) != RS_NONE);
    return left ? node->bias : RS_NONE;
}

static void add_conv(struct builder *b, int32_t i)
{
    const struct rs_node *node = node_at(b, i);
    struct rs__op *op = add_op(b, RS__KIND_CONV, i, b->value_of[node->input[0]]);
    op->folded = node->input[0] == 0 && b->p->input.folded;
    b->value_of[i] = op->y;
    if (node->bias == RS_NONE || left_bias(b, i) != RS_NONE)
        return;
    struct rs__op *apply = add_op(b, RS__KIND_APPLY, i, op->y);
    apply->x_bias = node->bias;
    b->value_of[i] = apply->y;
}

/* The addend of node add that isn't from. */
static int32_t other_addend(const struct rs_node *add, int32_t from)
{
    return add->input[0] == from ? add->input[1] : add->input[0];
}

/* The operation of the chain that ends at node end. */
static void add_chain(struct builder *b, int32_t end)
{
    const int32_t first = b->chain[end];
    const struct rs_node *node = node_at(b, first);
    struct rs__op *op = add_op(b, RS__KIND_APPLY, first, b->value_of[node->input[0]]);
    b->value_of[end] = op->y;
    int32_t at = first;
    if (node->op == RS_OP_BATCH_NORM) {
        op->norm = node->norm;
        op->norm_weight = node->weight;
        op->norm_bias = node->bias;
        if (at != end && node_at(b, b->reader[at])->op == RS_OP_RELU) {
            op->relu_norm = true;
            at = b->reader[at];
        }
        if (at != end) {
            const struct rs_node *add = node_at(b, b->reader[at]);
            const int32_t other = other_addend(add, at);
            op->add = b->value_of[other];
            op->add_bias = left_bias(b, other);
            at = b->reader[at];
        }
    } else {
        op->x_bias = left_bias(b, node->input[0]);
        op->add = b->value_of[node->input[1]];
        op->add_bias = left_bias(b, node->input[1]);
    }
    op->relu_sum = at != end;
}

static int add_pool(struct builder *b, int32_t i)
{
    const struct rs_node *node = node_at(b, i);
    const bool max = node->op == RS_OP_MAX_POOL;
    if (max && node->kernel > 15)
        return rs_error_set(b->err, RS_E_UNSUPPORTED,
                            "%s: the device cuda pools windows of at most 15 x 15, not %d x %d", node->name,
                            node->kernel, node->kernel);
    struct rs__op *op =
        add_op(b, max ? RS__KIND_MAX_POOL : RS__KIND_AVG_POOL, i, b->value_of[node->input[0]]);
    if (max)
        op->x_bias = left_bias(b, node->input[0]);
    b->value_of[i] = op->y;
    return 0;
}

static int add_node(struct builder *b, int32_t i)
{
    const struct rs_node *node = node_at(b, i);
    const int32_t last = b->p->graph->node_count - 1;
    if (i != last && b->consumers[i] == 0)
        return rs_error_set(b->err, RS_E_UNSUPPORTED, "%s: nothing reads its output; leave the node out",
                            node->name);
    if (b->inside[i])
        return 0;
    if (b->chain[i] != RS_NONE) {
        add_chain(b, i);
        return 0;
    }
    switch (node->op) {
    case RS_OP_CONV2D:
        add_conv(b, i);
        return 0;
    case RS_OP_RELU: {
        struct rs__op *op = add_op(b, RS__KIND_APPLY, i, b->value_of[node->input[0]]);
        op->relu_sum = true;
        b->value_of[i] = op->y;
        return 0;
    }
    case RS_OP_MAX_POOL:
    case RS_OP_AVG_POOL:
        return add_pool(b, i);
    case RS_OP_LINEAR:
        if (b->reader[i] != last || b->consumers[i] != 1)
            return rs_error_set(
                b->err, RS_E_UNSUPPORTED,
                "%s: the device cuda has linear layers right before the loss only; use --device cpu",
                node->name);
        b->value_of[i] = add_op(b, RS__KIND_LINEAR, i, b->value_of[node->input[0]])->y;
        return 0;
    case RS_OP_SOFTMAX_CROSS_ENTROPY:
        if (node_at(b, node->input[0])->op != RS_OP_LINEAR)
            return rs_error_set(b->err, RS_E_UNSUPPORTED,
                                "%s: the device cuda wants a linear layer before the loss", node->name);
        (void)add_op(b, RS__KIND_LOSS, i, b->value_of[node->input[0]]);
        return 0;
    case RS_OP_INPUT:
    case RS_OP_BATCH_NORM:
    case RS_OP_ADD:
        break;
    }
    return 0; /* norms and additions are in chains */
}

/* How the input lies: folded if a convolution of stride 2, odd kernel and no padding is its only reader. */
static void shape_input(struct builder *b)
{
    const struct rs_shape in = node_at(b, 0)->out;
    const int32_t reader = sole_reader(b, 0, RS_OP_CONV2D);
    const struct rs_node *conv = reader == RS_NONE ? NULL : node_at(b, reader);
    const bool folded = conv && conv->stride == 2 && conv->padding == 0 && conv->kernel % 2 == 1 &&
                        conv->kernel > 1 && conv->kernel <= FOLDED_KERNEL_MAX && in.c <= 8;
    struct rs__input_shape *s = &b->p->input;
    *s = (struct rs__input_shape){
        .c = (uint32_t)in.c, .h = (uint32_t)in.h, .w = (uint32_t)in.w, .folded = folded};
    *s = rs__make_input_shape(*s, folded ? ((uint32_t)conv->kernel + 1) / 2 : 1);
    b->value_of[0] =
        add_value(b, (struct rs_shape){folded ? (int32_t)s->cp : in.c, (int32_t)s->out_h, (int32_t)s->out_w});
}

static void take_elements(int64_t *end, struct rs__weight_layout *layout)
{
    layout->offset = *end;
    *end += (rs__weight_elements(layout) + 63) / 64 * 64;
}

static struct rs__weight_layout plain_layout(const struct rs_tensor_info *info)
{
    struct rs__weight_layout l = {
        .k = 1, .r = 1, .s = 1, .c = (uint32_t)info->count, .kp = 1, .rp = 1, .sp = 1};
    l.cp = rs__padded(l.c);
    l.source = info->offset;
    return l;
}

static void lay_out_conv(struct builder *b, const struct rs_node *node)
{
    const struct rs_tensor_info *info = &b->p->graph->params[node->weight];
    struct rs__weight_layout *l = &b->p->weights[node->weight];
    *l = plain_layout(info);
    l->k = (uint32_t)info->dims[0];
    l->c = (uint32_t)info->dims[1];
    l->r = l->rp = (uint32_t)info->dims[2];
    l->s = l->sp = (uint32_t)info->dims[3];
    l->kp = rs__padded(l->k);
    l->folded = node->input[0] == 0 && b->p->input.folded;
    l->cp = rs__padded(l->folded ? 4 * l->c : l->c);
    if (l->folded)
        l->rp = l->sp = (l->r + 1) / 2;
    take_elements(&b->p->conv_elements, l);
}

static void lay_out_rest(struct builder *b, const struct rs_node *node)
{
    const int32_t params[2] = {node->op == RS_OP_CONV2D ? RS_NONE : node->weight, node->bias};
    for (int k = 0; k < 2; k++) {
        if (params[k] == RS_NONE)
            continue;
        const struct rs_tensor_info *info = &b->p->graph->params[params[k]];
        struct rs__weight_layout *l = &b->p->weights[params[k]];
        *l = plain_layout(info);
        if (node->op == RS_OP_LINEAR && k == 0) {
            const struct rs_shape in = node_at(b, node->input[0])->out;
            l->k = l->kp = (uint32_t)info->dims[0];
            l->c = (uint32_t)in.c;
            l->r = l->rp = (uint32_t)in.h;
            l->s = l->sp = (uint32_t)in.w;
            l->cp = rs__padded(l->c);
        }
        take_elements(&b->p->elements, l);
    }
}

static void lay_out_weights(struct builder *b)
{
    const struct rs_graph *g = b->p->graph;
    for (int32_t i = 0; i < g->node_count; i++)
        if (g->nodes[i].op == RS_OP_CONV2D)
            lay_out_conv(b, &g->nodes[i]);
    b->p->elements = b->p->conv_elements;
    for (int32_t i = 0; i < g->node_count; i++) {
        lay_out_rest(b, &g->nodes[i]);
        if (g->nodes[i].op == RS_OP_BATCH_NORM) {
            b->p->statistics[g->nodes[i].norm] = b->p->statistic_elements;
            b->p->statistic_elements += 2 * (int64_t)rs__padded((uint32_t)g->nodes[i].out.c);
        }
    }
}

/* Kernels count vectors in 32 bits, and leave room for a whole grid. */
static int check_sizes(const struct builder *b)
{
    const struct rs__program *p = b->p;
    const int64_t most = INT32_MAX - 65536;
    for (int32_t i = 0; i < p->value_count; i++) {
        const struct rs__value *v = &p->values[i];
        if ((int64_t)p->batch * v->h * v->w > most / v->cp * 8)
            return rs_error_set(
                b->err, RS_E_LIMIT,
                "a layer of %u x %u x %u needs too much memory for batches of %u; use a smaller batch size",
                v->c, v->h, v->w, p->batch);
    }
    if (p->input.c > INPUT_CHANNELS_MAX)
        return rs_error_set(b->err, RS_E_LIMIT,
                            "the device cuda takes inputs of at most %u channels, not %u; use --device cpu",
                            INPUT_CHANNELS_MAX, p->input.c);
    if (p->elements / 8 > most || (int64_t)p->batch * p->graph->classes > most)
        return rs_error_set(b->err, RS_E_LIMIT, "the network has too many parameters for the device cuda");
    if (p->graph->classes > 65535) /* the weight gradient's grid has a row a class */
        return rs_error_set(b->err, RS_E_LIMIT, "the device cuda has at most 65535 classes, not %d",
                            p->graph->classes);
    return 0;
}

static int build(struct builder *b)
{
    const struct rs_graph *g = b->p->graph;
    count_readers(b);
    find_chains(b);
    for (int32_t i = 0; i < g->node_count; i++)
        b->value_of[i] = RS_NONE;
    shape_input(b);
    for (int32_t i = 1; i < g->node_count; i++)
        RS_TRY(add_node(b, i));
    lay_out_weights(b);
    return check_sizes(b);
}

int rs__program_create(struct rs__program *program, const struct rs_graph *graph, bool bf16, uint32_t batch,
                       struct rs_error *err)
{
    const size_t nodes = (size_t)graph->node_count;
    struct builder b = {.p = program, .err = err};
    *program = (struct rs__program){.graph = graph, .bf16 = bf16, .batch = batch};
    /* a node makes one operation and value at most, a convolution with a bias two */
    program->values = rs_calloc(2 * nodes + 1, sizeof(*program->values));
    program->ops = rs_calloc(2 * nodes + 1, sizeof(*program->ops));
    program->weights = rs_calloc((size_t)graph->param_count + 1, sizeof(*program->weights));
    program->statistics = rs_calloc((size_t)graph->norm_count + 1, sizeof(*program->statistics));
    b.value_of = rs_calloc(nodes, sizeof(*b.value_of));
    b.consumers = rs_calloc(nodes, sizeof(*b.consumers));
    b.reader = rs_calloc(nodes, sizeof(*b.reader));
    b.chain = rs_calloc(nodes, sizeof(*b.chain));
    b.inside = rs_calloc(nodes, sizeof(*b.inside));
    int code = RS_E_NOMEM;
    if (program->values && program->ops && program->weights && program->statistics && b.value_of &&
        b.consumers && b.reader && b.chain && b.inside)
        code = build(&b);
    else
        (void)rs_error_set(err, RS_E_NOMEM, "out of memory for the list of operations");
    rs_free(b.value_of);
    rs_free(b.consumers);
    rs_free(b.reader);
    rs_free(b.chain);
    rs_free(b.inside);
    if (code == 0)
        rs__program_place(program, NULL);
    else
        rs__program_destroy(program);
    return code;
}

void rs__program_destroy(struct rs__program *program)
{
    rs_free(program->values);
    rs_free(program->ops);
    rs_free(program->weights);
    rs_free(program->statistics);
    memset(program, 0, sizeof(*program));
}
