/* forward.c: appends the operations of the forward pass, node by node. */
#include "plan.h"

/* Appends a conversion of tensor `from` of a node into a new tensor of the form; its index. */
static int convert(struct rs__program *p, int32_t node, int32_t from, enum rs__form form,
                   struct rs_error *err)
{
    struct rs__op *op;
    int to = rs__program_tensor(p, form, p->plan->graph->nodes[node].out, 0, err);
    RS_TRY(to);
    RS_TRY(rs__program_op(p, node, form == RS__PLAIN ? "to plain" : "to blocked",
                          form == RS__PLAIN ? rs__run_to_plain : rs__run_from_plain, &op, err));
    op->in[0] = from;
    op->out[0] = to;
    return to;
}

int rs__value_blocked(struct rs__program *program, int32_t node, struct rs_error *err)
{
    if (program->blocked[node] == RS_NONE) {
        int plain = rs__value_plain(program, node, err);
        RS_TRY(plain);
        int to = convert(program, node, plain, RS__BLOCKED, err);
        RS_TRY(to);
        program->blocked[node] = to;
    }
    return program->blocked[node];
}

/* The caller's input as plain floats; bf16 ones are widened first. */
static int input_plain(struct rs__program *p, int32_t node, struct rs_error *err)
{
    struct rs__op *op;
    if (p->plan->element == RS__F32)
        return 0;
    int to = rs__program_tensor(p, RS__PLAIN, p->plan->graph->nodes[node].out, 0, err);
    RS_TRY(to);
    RS_TRY(rs__program_op(p, node, "widening", rs__run_widen, &op, err));
    op->in[0] = 0;
    op->out[0] = to;
    return to;
}

int rs__value_plain(struct rs__program *program, int32_t node, struct rs_error *err)
{
    if (program->plain[node] == RS_NONE) {
        int to = program->plan->graph->nodes[node].op == RS_OP_INPUT
                     ? input_plain(program, node, err)
                     : convert(program, node, program->blocked[node], RS__PLAIN, err);
        RS_TRY(to);
        program->plain[node] = to;
    }
    return program->plain[node];
}

int rs__value_conv(struct rs__program *program, int32_t node, struct rs_error *err)
{
    int32_t input = program->plan->graph->nodes[node].input[0];
    if (!program->plan->convs[node].plain_source)
        return rs__value_blocked(program, input, err);
    return program->plan->element == RS__BF16 ? 0 : rs__value_plain(program, input, err);
}

/* A new blocked output for a node; its index. */
static int output(struct rs__program *p, int32_t node, struct rs_error *err)
{
    int to = rs__program_tensor(p, RS__BLOCKED, p->plan->graph->nodes[node].out, 0, err);
    RS_TRY(to);
    p->blocked[node] = to;
    return to;
}

/* Batch norm and what is fused behind it. in: x, residual; out: y. */
static int append_norm(struct rs__program *p, int32_t node, struct rs_error *err)
{
    const struct rs__group *group = &p->plan->groups[node];
    struct rs__op *op;
    int residual = RS_NONE;
    int x = rs__value_blocked(p, p->plan->graph->nodes[group->norm].input[0], err);
    RS_TRY(x);
    if (group->residual != RS_NONE) {
        residual = rs__value_blocked(p, group->residual, err);
        RS_TRY(residual);
    }
    int to = output(p, node, err);
    RS_TRY(to);
    RS_TRY(rs__program_op(p, group->norm, "forward", p->training ? rs__run_norm_train : rs__run_norm_eval,
                          &op, err));
    op->in[0] = x;
    op->in[1] = residual;
    op->out[0] = to;
    op->flags = group->flags;
    return 0;
}

/* ReLU or sum. in: a, b; out: y. */
static int append_add(struct rs__program *p, int32_t node, struct rs_error *err)
{
    const struct rs_node *n = &p->plan->graph->nodes[node];
    struct rs__op *op;
    int b = RS_NONE;
    int a = rs__value_blocked(p, n->input[0], err);
    RS_TRY(a);
    if (n->op == RS_OP_ADD) {
        b = rs__value_blocked(p, n->input[1], err);
        RS_TRY(b);
    }
    int to = output(p, node, err);
    RS_TRY(to);
    RS_TRY(rs__program_op(p, node, "forward", rs__run_add, &op, err));
    op->in[0] = a;
    op->in[1] = b;
    op->out[0] = to;
    op->flags = n->op == RS_OP_RELU ? RS__RELU : 0;
    return 0;
}

/* in: x; out: y, the winners of a max pool in training. */
static int append_pool(struct rs__program *p, int32_t node, struct rs_error *err)
{
    const struct rs_node *n = &p->plan->graph->nodes[node];
    struct rs__op *op;
    int index = RS_NONE;
    int x = rs__value_blocked(p, n->input[0], err);
    RS_TRY(x);
    int to = output(p, node, err);
    RS_TRY(to);
    if (n->op == RS_OP_MAX_POOL && p->training) {
        size_t cells = p->batch * rs__blocks(p->plan, n->out.c) * rs__pixels(n->out) * p->plan->lanes;
        index = rs__program_tensor(p, RS__RAW, n->out, cells * sizeof(uint16_t), err);
        RS_TRY(index);
    }
    RS_TRY(rs__program_op(p, node, "forward", rs__run_pool, &op, err));
    op->in[0] = x;
    op->out[0] = to;
    op->out[1] = index;
    return 0;
}

/* in: logits; out: their gradient (training). */
static int append_loss(struct rs__program *p, int32_t node, struct rs_error *err)
{
    const struct rs_node *n = &p->plan->graph->nodes[node];
    struct rs__op *op;
    int gradient = RS_NONE;
    int logits = rs__value_plain(p, n->input[0], err);
    RS_TRY(logits);
    if (p->training) {
        gradient = rs__program_tensor(p, RS__PLAIN, p->plan->graph->nodes[n->input[0]].out, 0, err);
        RS_TRY(gradient);
        p->grads[node][0] = gradient; /* of its input, kept here until the backward pass starts */
    }
    RS_TRY(rs__program_op(p, node, "forward", rs__run_loss, &op, err));
    op->in[0] = logits;
    op->out[0] = gradient;
    return 0;
}

static int append(struct rs__program *p, int32_t node, struct rs_error *err)
{
    if (p->plan->groups[node].absorbed)
        return 0;
    if (p->plan->groups[node].norm != RS_NONE)
        return append_norm(p, node, err);
    switch (p->plan->graph->nodes[node].op) {
    case RS_OP_INPUT: {
        int input = rs__program_tensor(p, RS__INPUT, p->plan->graph->nodes[node].out, 0, err);
        RS_ASSERT(input <= 0); /* the first tensor, or no memory */
        return input;
    }
    case RS_OP_CONV2D: {
        int to = output(p, node, err);
        RS_TRY(to);
        return rs__conv_append_forward(p, node, err);
    }
    case RS_OP_RELU:
    case RS_OP_ADD:
        return append_add(p, node, err);
    case RS_OP_MAX_POOL:
    case RS_OP_AVG_POOL:
        return append_pool(p, node, err);
    case RS_OP_LINEAR:
        return rs__linear_append_forward(p, node, err);
    case RS_OP_SOFTMAX_CROSS_ENTROPY:
        return append_loss(p, node, err);
    default:
        return rs_error_set(err, RS_E_UNSUPPORTED, "%s: the cpu backend has no such operator",
                            p->plan->graph->nodes[node].name);
    }
}

int rs__forward_append(struct rs__program *program, struct rs_error *err)
{
    for (int32_t i = 0; i < program->plan->graph->node_count; i++)
        RS_TRY(append(program, i, err));
    return 0;
}
