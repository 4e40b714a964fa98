/* backward.c: appends the operations of the backward pass, last node first.
 *
 * How it works: a node's gradient is the sum of what its consumers give. Up to two tensors are kept apart,
 * for operations that add them as they read; a third one is summed into the first. A gradient has the node's
 * own form: plain for a linear, blocked for the others. Tensors are never changed once written, so one may
 * stand in several lists. */
#include "plan.h"

/* A linear's output and its gradient are plain, every other node's blocked. */
static enum rs__form form_of(const struct rs__program *p, int32_t node)
{
    return p->plan->graph->nodes[node].op == RS_OP_LINEAR ? RS__PLAIN : RS__BLOCKED;
}

static int append_sum(struct rs__program *p, int32_t node, int32_t a, int32_t b, struct rs_error *err)
{
    struct rs__op *op;
    int to = rs__program_tensor(p, form_of(p, node), p->plan->graph->nodes[node].out, 0, err);
    RS_TRY(to);
    RS_TRY(rs__program_op(p, node, "gradient sum", rs__run_add, &op, err));
    op->in[0] = a;
    op->in[1] = b;
    op->out[0] = to;
    return to;
}

/* The gradient in the node's own form. */
static int convert(struct rs__program *p, int32_t node, int32_t from, struct rs_error *err)
{
    enum rs__form form = form_of(p, node);
    struct rs__op *op;
    if (p->tensors[from].form == form)
        return from;
    int to = rs__program_tensor(p, form, p->plan->graph->nodes[node].out, 0, err);
    RS_TRY(to);
    RS_TRY(rs__program_op(p, node, "gradient layout",
                          form == RS__PLAIN ? rs__run_to_plain : rs__run_from_plain, &op, err));
    op->in[0] = from;
    op->out[0] = to;
    return to;
}

/* Gives a node one more part of its gradient. */
static int give(struct rs__program *p, int32_t node, int32_t tensor, struct rs_error *err)
{
    int32_t *grads = p->grads[node];
    if (!p->plan->needs_grad[node])
        return 0;
    int part = convert(p, node, tensor, err);
    RS_TRY(part);
    if (grads[0] != RS_NONE && grads[1] != RS_NONE) {
        int sum = append_sum(p, node, grads[0], grads[1], err);
        RS_TRY(sum);
        grads[0] = sum;
        grads[1] = part;
    } else {
        grads[grads[0] == RS_NONE ? 0 : 1] = part;
    }
    return 0;
}

/* The gradient as one tensor; RS_NONE when the node has none. */
static int take(struct rs__program *p, int32_t node, struct rs_error *err)
{
    int32_t *grads = p->grads[node];
    if (grads[1] == RS_NONE)
        return grads[0];
    return append_sum(p, node, grads[0], grads[1], err);
}

/* in: x, dy, dy, z; out: dx, dr. */
static int append_norm(struct rs__program *p, int32_t node, struct rs_error *err)
{
    const struct rs__group *group = &p->plan->groups[node];
    const struct rs_node *norm = &p->plan->graph->nodes[group->norm];
    const int32_t *dy = p->grads[node];
    struct rs__op *op;
    int wants_dr = group->residual != RS_NONE && p->plan->needs_grad[group->residual];
    int changed = (group->flags & RS__POST_RELU) || dy[1] != RS_NONE;
    int dr = RS_NONE;

    int dx = rs__program_tensor(p, RS__BLOCKED, norm->out, 0, err);
    RS_TRY(dx);
    if (wants_dr && changed) {
        dr = rs__program_tensor(p, RS__BLOCKED, norm->out, 0, err);
        RS_TRY(dr);
    }
    RS_TRY(rs__program_op(p, group->norm, "backward", rs__run_norm_backward, &op, err));
    op->in[0] = p->blocked[norm->input[0]];
    op->in[1] = dy[0];
    op->in[2] = dy[1];
    op->in[3] = group->flags & RS__POST_RELU ? p->blocked[node] : RS_NONE;
    op->out[0] = dx;
    op->out[1] = dr;
    op->flags = group->flags;
    if (wants_dr)
        RS_TRY(give(p, group->residual, changed ? dr : dy[0], err));
    return give(p, norm->input[0], dx, err);
}

/* in: dy, dy, z; out: dx. */
static int append_relu(struct rs__program *p, int32_t node, struct rs_error *err)
{
    struct rs__op *op;
    int dx = rs__program_tensor(p, RS__BLOCKED, p->plan->graph->nodes[node].out, 0, err);
    RS_TRY(dx);
    RS_TRY(rs__program_op(p, node, "backward", rs__run_mask, &op, err));
    op->in[0] = p->grads[node][0];
    op->in[1] = p->grads[node][1];
    op->in[2] = p->blocked[node];
    op->out[0] = dx;
    return give(p, p->plan->graph->nodes[node].input[0], dx, err);
}

static int append_add(struct rs__program *p, int32_t node, struct rs_error *err)
{
    int dy = take(p, node, err);
    RS_TRY(dy);
    RS_TRY(give(p, p->plan->graph->nodes[node].input[0], dy, err));
    return give(p, p->plan->graph->nodes[node].input[1], dy, err);
}

/* The winners of a max pool, which its forward operation wrote. */
static int32_t winners(const struct rs__program *p, int32_t node)
{
    for (int32_t i = 0; i < p->op_count; i++)
        if (p->ops[i].node == node && p->ops[i].run == rs__run_pool)
            return p->ops[i].out[1];
    return RS_NONE;
}

/* in: dy, dy, winners; out: dx. */
static int append_pool(struct rs__program *p, int32_t node, struct rs_error *err)
{
    int32_t input = p->plan->graph->nodes[node].input[0];
    struct rs__op *op;
    int dx = rs__program_tensor(p, RS__BLOCKED, p->plan->graph->nodes[input].out, 0, err);
    RS_TRY(dx);
    RS_TRY(rs__program_op(p, node, "backward", rs__run_pool_backward, &op, err));
    op->in[0] = p->grads[node][0];
    op->in[1] = p->grads[node][1];
    op->in[2] = winners(p, node);
    op->out[0] = dx;
    return give(p, input, dx, err);
}

static int append(struct rs__program *p, int32_t node, struct rs_error *err)
{
    const struct rs__group *group = &p->plan->groups[node];
    if (group->absorbed || !p->plan->needs_grad[node] || p->grads[node][0] == RS_NONE)
        return 0; /* a node that nothing reads has no gradient */
    if (group->norm != RS_NONE)
        return append_norm(p, node, err);
    switch (p->plan->graph->nodes[node].op) {
    case RS_OP_CONV2D:
    case RS_OP_LINEAR: {
        int dy = take(p, node, err);
        RS_TRY(dy);
        int dx = p->plan->graph->nodes[node].op == RS_OP_LINEAR ? rs__linear_append_backward(p, node, dy, err)
                                                                : rs__conv_append_backward(p, node, dy, err);
        RS_TRY(dx);
        int32_t input = p->plan->graph->nodes[node].input[0];
        return p->plan->needs_grad[input] ? give(p, input, dx, err) : 0;
    }
    case RS_OP_RELU:
        return append_relu(p, node, err);
    case RS_OP_ADD:
        return append_add(p, node, err);
    case RS_OP_MAX_POOL:
    case RS_OP_AVG_POOL:
        return append_pool(p, node, err);
    default:
        return 0;
    }
}

int rs__backward_append(struct rs__program *program, struct rs_error *err)
{
    const struct rs_graph *graph = program->plan->graph;
    int32_t last = graph->node_count - 1;
    int32_t gradient = program->grads[last][0];
    program->grads[last][0] = RS_NONE;
    RS_TRY(give(program, graph->nodes[last].input[0], gradient, err));
    for (int32_t i = last - 1; i >= 0; i--)
        RS_TRY(append(program, i, err));
    return 0;
}
