/* head.c: linear layers and the loss, in fp32 on plain tensors: samples x features.
 * Tensors. linear forward: in x; out y. linear backward: in x, dy; out dx. loss: in logits; out their
 * gradient. */
#include "plan.h"
#include <math.h>
#include <string.h>

struct matrix { /* rows x columns with strides in elements */
    dnnl_dim_t rows, columns, row_stride, column_stride;
};

static dnnl_status_t matmul_pd(dnnl_primitive_desc_t *out, dnnl_engine_t engine, struct matrix a,
                               struct matrix b)
{
    const struct matrix c = {a.rows, b.columns, b.columns, 1};
    const struct matrix *all[3] = {&a, &b, &c};
    rs__desc desc[3] = {NULL, NULL, NULL};
    dnnl_status_t status = dnnl_success;
    for (int i = 0; i < 3 && status == dnnl_success; i++) {
        const dnnl_dims_t dims = {all[i]->rows, all[i]->columns};
        const dnnl_dims_t strides = {all[i]->row_stride, all[i]->column_stride};
        status = rs__desc_create_strides(&desc[i], 2, dims, dnnl_f32, strides);
    }
    if (status == dnnl_success)
        status = rs__matmul_pd_create(out, engine, desc[0], desc[1], desc[2]);
    for (int i = 0; i < 3; i++)
        rs__desc_destroy(desc[i]);
    return status;
}

/* A primitive for c = a x b of a linear; where the factors lie, the caller says. */
static int product(struct rs__dnnl **out, struct rs__program *p, int32_t node, struct matrix a,
                   struct matrix b, struct rs_error *err)
{
    dnnl_primitive_desc_t pd;
    const char *name = p->plan->graph->nodes[node].name;
    dnnl_status_t status = matmul_pd(&pd, p->plan->device->engine, a, b);
    if (status != dnnl_success)
        return rs__dnnl_failed(err, status, name, "making a matrix product");
    return rs__dnnl_create(out, p->plan, pd, name, err);
}

struct linear_shape {
    dnnl_dim_t batch, in, out;
};

static struct linear_shape shape_of(const struct rs__program *p, int32_t node)
{
    const struct rs_node *n = &p->plan->graph->nodes[node];
    struct rs_shape in = p->plan->graph->nodes[n->input[0]].out;
    return (struct linear_shape){(dnnl_dim_t)p->batch, (dnnl_dim_t)in.c * in.h * in.w, n->out.c};
}

int rs__linear_append_forward(struct rs__program *p, int32_t node, struct rs_error *err)
{
    const struct rs_node *n = &p->plan->graph->nodes[node];
    const struct linear_shape s = shape_of(p, node);
    struct rs__op *op;
    int x = rs__value_plain(p, n->input[0], err);
    RS_TRY(x);
    int y = rs__program_tensor(p, RS__PLAIN, n->out, 0, err);
    RS_TRY(y);
    RS_TRY(rs__program_op(p, node, "forward", rs__run_linear, &op, err));
    op->in[0] = x;
    op->out[0] = y;
    p->plain[node] = y;
    RS_TRY(rs__op_reserve(op, 1, err));
    RS_TRY(product(&op->dnnl[0], p, node, (struct matrix){s.batch, s.in, s.in, 1},
                   (struct matrix){s.in, s.out, 1, s.in}, err));
    rs__dnnl_use_tensor(op->dnnl[0], DNNL_ARG_SRC, x);
    rs__dnnl_use_block(op->dnnl[0], DNNL_ARG_WEIGHTS, p->plan->values + p->plan->params[n->weight].offset);
    rs__dnnl_use_tensor(op->dnnl[0], DNNL_ARG_DST, y);
    return 0;
}

int rs__run_linear(const struct rs__op *op, const struct rs__call *call)
{
    const struct rs_plan *plan = call->plan;
    const struct rs_node *node = &plan->graph->nodes[op->node];
    RS_TRY(rs__dnnl_run(op->dnnl[0], call, node->name));
    if (node->bias == RS_NONE)
        return 0;
    const float *bias = plan->values + plan->params[node->bias].offset;
    float *y = call->program->at[op->out[0]];
    for (uint32_t n = 0; n < call->program->batch; n++)
        for (int32_t f = 0; f < node->out.c; f++)
            *y++ += bias[f];
    return 0;
}

int rs__linear_append_backward(struct rs__program *p, int32_t node, int32_t gradient, struct rs_error *err)
{
    const struct rs_node *n = &p->plan->graph->nodes[node];
    const struct linear_shape s = shape_of(p, node);
    const int wants_dx = p->plan->needs_grad[n->input[0]];
    const size_t weight = p->plan->params[n->weight].offset;
    struct rs__op *op;
    int dx = RS_NONE;
    if (wants_dx) {
        dx = rs__program_tensor(p, RS__PLAIN, p->plan->graph->nodes[n->input[0]].out, 0, err);
        RS_TRY(dx);
    }
    RS_TRY(rs__program_op(p, node, "backward", rs__run_linear_backward, &op, err));
    op->in[0] = p->plain[n->input[0]];
    op->in[1] = gradient;
    op->out[0] = dx;
    RS_TRY(rs__op_reserve(op, wants_dx ? 2 : 1, err));
    RS_TRY(product(&op->dnnl[0], p, node, (struct matrix){s.out, s.batch, 1, s.out},
                   (struct matrix){s.batch, s.in, s.in, 1}, err));
    rs__dnnl_use_tensor(op->dnnl[0], DNNL_ARG_SRC, gradient);
    rs__dnnl_use_tensor(op->dnnl[0], DNNL_ARG_WEIGHTS, op->in[0]);
    rs__dnnl_use_block(op->dnnl[0], DNNL_ARG_DST, p->plan->gradients + weight);
    if (!wants_dx)
        return 0;
    RS_TRY(product(&op->dnnl[1], p, node, (struct matrix){s.batch, s.out, s.out, 1},
                   (struct matrix){s.out, s.in, s.in, 1}, err));
    rs__dnnl_use_tensor(op->dnnl[1], DNNL_ARG_SRC, gradient);
    rs__dnnl_use_block(op->dnnl[1], DNNL_ARG_WEIGHTS, p->plan->values + weight);
    rs__dnnl_use_tensor(op->dnnl[1], DNNL_ARG_DST, dx);
    return dx;
}

int rs__run_linear_backward(const struct rs__op *op, const struct rs__call *call)
{
    const struct rs_plan *plan = call->plan;
    const struct rs_node *node = &plan->graph->nodes[op->node];
    for (uint32_t i = 0; i < op->dnnl_count; i++)
        RS_TRY(rs__dnnl_run(op->dnnl[i], call, node->name));
    if (node->bias == RS_NONE)
        return 0;
    float *gradient = plan->gradients + plan->params[node->bias].offset;
    const float *dy = call->program->at[op->in[1]];
    for (int32_t f = 0; f < node->out.c; f++) {
        double sum = 0.0;
        for (uint32_t n = 0; n < call->program->batch; n++)
            sum += (double)dy[n * (size_t)node->out.c + (size_t)f];
        gradient[f] = (float)sum;
    }
    return 0;
}

/* One sample's softmax: the probabilities into out (may be NULL), the loss returned: log(sum(exp(x - max))) +
 * max - x[label]. */
static double softmax(const float *logits, int32_t classes, int32_t label, float scale, float *out)
{
    float top = logits[0];
    for (int32_t c = 1; c < classes; c++)
        top = logits[c] > top || isnan(logits[c]) ? logits[c] : top;
    double sum = 0.0;
    for (int32_t c = 0; c < classes; c++)
        sum += (double)expf(logits[c] - top);
    if (out) {
        double factor = (double)scale / sum;
        for (int32_t c = 0; c < classes; c++)
            out[c] = (float)((double)expf(logits[c] - top) * factor);
    }
    return log(sum) - ((double)logits[label] - (double)top);
}

static int is_correct(const float *logits, int32_t classes, int32_t label)
{
    int32_t best = 0;
    for (int32_t c = 1; c < classes; c++)
        best = logits[c] > logits[best] ? c : best;
    return best == label;
}

int rs__run_loss(const struct rs__op *op, const struct rs__call *call)
{
    const int32_t classes = call->plan->graph->classes;
    const uint32_t batch = call->program->batch;
    const float *logits = call->program->at[op->in[0]];
    float *gradient = op->out[0] == RS_NONE ? NULL : call->program->at[op->out[0]];
    float *probabilities = gradient ? NULL : call->result->probabilities;
    call->result->loss_sum = 0.0;
    call->result->correct = 0;
    for (uint32_t n = 0; n < batch; n++, logits += classes) {
        int32_t label = call->input->labels[n];
        float *out = gradient ? gradient + n * (size_t)classes
                              : (probabilities ? probabilities + n * (size_t)classes : NULL);
        /* the mean over the batch: each sample's gradient is (p - onehot) / batch */
        float scale = gradient ? 1.0f / (float)batch : 1.0f;
        call->result->loss_sum += softmax(logits, classes, label, scale, out);
        call->result->correct += (uint32_t)is_correct(logits, classes, label);
        if (gradient)
            out[label] -= scale;
    }
    return 0;
}
