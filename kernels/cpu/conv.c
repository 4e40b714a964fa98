/* conv.c: convolutions by oneDNN: which algorithm and layout, and the operations of the three passes.
 *
 * How it works: the choice is made once a node, by fixed rules, on the first batch size: the forward pass
 * takes the layout that the library likes, the masters lie as the weight gradient comes out. Every program
 * then asks for exactly those layouts. Rules, from measurements: fp32 stride-1 3x3 convolutions by Winograd
 * where the library has it (2.6, AVX-512) and a tile is filled; bf16 weight gradients of wide 3x3
 * convolutions as matrix products (conv_weights.c).
 *
 * Tensors. forward: in x; out y. data gradient: in dy; out dx. weight gradient: in x, dy. */
#include "plan.h"
#include <string.h>

struct descs { /* of one convolution at one batch size; owned */
    rs__desc src, weights, bias, dst;
};

static void release_descs(struct descs *d)
{
    rs__desc_destroy(d->src);
    rs__desc_destroy(d->weights);
    rs__desc_destroy(d->bias);
    rs__desc_destroy(d->dst);
}

static dnnl_format_tag_t blocked_tag(const struct rs_plan *plan)
{
    return plan->lanes == 16 ? dnnl_nChw16c : dnnl_nChw8c;
}

static struct rs_shape input_shape(const struct rs_plan *plan, const struct rs_node *n)
{
    return plan->graph->nodes[n->input[0]].out;
}

/* fixed: the weights' layout, or NULL to let the library choose one of the element type. */
static dnnl_status_t make_descs(struct descs *d, const struct rs_plan *plan, const struct rs_node *n,
                                uint32_t batch, rs__desc fixed, dnnl_data_type_t weights_type)
{
    const struct rs_shape in = input_shape(plan, n);
    const dnnl_data_type_t type = rs__element_type(plan->element);
    const dnnl_dims_t src = {batch, in.c, in.h, in.w}, dst = {batch, n->out.c, n->out.h, n->out.w};
    const dnnl_dims_t weights = {n->out.c, in.c, n->kernel, n->kernel}, bias = {n->out.c};
    const int plain = plan->convs[n - plan->graph->nodes].plain_source;
    memset(d, 0, sizeof *d);
    dnnl_status_t status = rs__desc_create_tag(&d->src, 4, src, type, plain ? dnnl_nchw : blocked_tag(plan));
    if (status == dnnl_success)
        status = rs__desc_create_tag(&d->dst, 4, dst, type, blocked_tag(plan));
    if (status == dnnl_success && n->bias != RS_NONE)
        status = rs__desc_create_tag(&d->bias, 1, bias, dnnl_f32, dnnl_a);
    if (status == dnnl_success)
        status = fixed ? rs__desc_clone(&d->weights, fixed)
                       : rs__desc_create_tag(&d->weights, 4, weights, weights_type, dnnl_format_tag_any);
    return status;
}

/* A descriptor of a pass with the first algorithm that the library has: *algorithm, else direct. */
static dnnl_status_t pass_pd(dnnl_primitive_desc_t *out, const struct rs_plan *plan, const struct rs_node *n,
                             uint32_t batch, enum rs__conv_pass pass, rs__desc fixed,
                             dnnl_alg_kind_t *algorithm, const_dnnl_primitive_desc_t hint)
{
    struct descs d;
    const dnnl_data_type_t type = pass == RS__CONV_WEIGHTS ? dnnl_f32 : rs__element_type(plan->element);
    dnnl_status_t status = make_descs(&d, plan, n, batch, fixed, type);
    if (status == dnnl_success) {
        struct rs__conv_spec spec = {d.src,     d.weights, pass == RS__CONV_DATA ? NULL : d.bias,
                                     d.dst,     n->stride, n->padding,
                                     *algorithm};
        status = rs__conv_pd_create(out, plan->device->engine, pass, &spec, hint);
        if (status != dnnl_success && status != dnnl_out_of_memory && *algorithm != dnnl_convolution_direct) {
            *algorithm = spec.algorithm = dnnl_convolution_direct;
            status = rs__conv_pd_create(out, plan->device->engine, pass, &spec, hint);
        }
    }
    release_descs(&d);
    return status;
}

/* ---- choices ---- */

static int wants_winograd(const struct rs_plan *plan, const struct rs_node *n)
{
    return plan->element != RS__BF16 && n->kernel == 3 && n->stride == 1;
}

/* Winograd computes tiles of 4x4 outputs: for 3x3 outputs half of a tile is thrown away, and direct skips the
 * padding. */
static int fills_tiles(const struct rs_node *n)
{
    return n->out.h >= 4 || n->out.w >= 4;
}

/* From CPU.md: bf16 matrix products beat oneDNN 2.6's direct weight gradient of wide 3x3 convolutions by 1.3
 * to 4 times. */
static int wants_matmul(const struct rs_plan *plan, const struct rs_node *n)
{
    const int32_t in = input_shape(plan, n).c;
    return plan->element == RS__BF16 && n->kernel == 3 && n->bias == RS_NONE && n->out.c >= 256 &&
           n->out.c % 16 == 0 && in % 16 == 0 && plan->lanes == 16 && (in >= 512 || in < n->out.c) &&
           !plan->convs[n - plan->graph->nodes].plain_source;
}

/* Where the masters lie: as the weight gradient comes out. */
static dnnl_status_t choose_master(struct rs_plan *plan, struct rs__conv *conv, uint32_t batch,
                                   const_dnnl_primitive_desc_t hint)
{
    const struct rs_node *n = conv->node;
    struct rs__param *param = &plan->params[n->weight];
    if (conv->matmul_weights) {
        const dnnl_dims_t dims = {n->out.c, input_shape(plan, n).c, n->kernel, n->kernel};
        return rs__desc_create_tag(&param->desc, 4, dims, dnnl_f32, dnnl_hwio);
    }
    dnnl_primitive_desc_t pd;
    dnnl_status_t status =
        pass_pd(&pd, plan, n, batch, RS__CONV_WEIGHTS, NULL, &conv->weights_algorithm, hint);
    if (status != dnnl_success)
        return status;
    status = rs__desc_clone(&param->desc, dnnl_primitive_desc_query_md(pd, dnnl_query_diff_weights_md, 0));
    dnnl_primitive_desc_destroy(pd);
    return status;
}

static dnnl_status_t choose_backward(struct rs_plan *plan, struct rs__conv *conv, uint32_t batch,
                                     const_dnnl_primitive_desc_t hint)
{
    dnnl_primitive_desc_t pd;
    dnnl_status_t status =
        pass_pd(&pd, plan, conv->node, batch, RS__CONV_DATA, NULL, &conv->data_algorithm, hint);
    if (status != dnnl_success)
        return status;
    status = rs__desc_clone(&conv->backward, dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0));
    dnnl_primitive_desc_destroy(pd);
    return status;
}

int rs__conv_choose(struct rs_plan *plan, int32_t node, uint32_t batch, int training, struct rs_error *err)
{
    const struct rs_node *n = &plan->graph->nodes[node];
    struct rs__conv *conv = &plan->convs[node];
    const struct rs_shape in = input_shape(plan, n);
    dnnl_primitive_desc_t forward = NULL;

    conv->node = n;
    /* up to three channels the library reads plain input fast; more would be padded anyway */
    conv->plain_source = plan->graph->nodes[n->input[0]].op == RS_OP_INPUT && in.c <= 3;
    conv->matmul_weights = training && wants_matmul(plan, n);
    conv->weights_algorithm = wants_winograd(plan, n) ? dnnl_convolution_winograd : dnnl_convolution_direct;
    conv->forward_algorithm = conv->data_algorithm =
        fills_tiles(n) ? conv->weights_algorithm : dnnl_convolution_direct;
    dnnl_status_t status =
        pass_pd(&forward, plan, n, batch, RS__CONV_FORWARD, NULL, &conv->forward_algorithm, NULL);
    if (status != dnnl_success)
        return rs__dnnl_failed(err, status, n->name, "choosing a convolution");
    status = rs__desc_clone(&conv->forward, dnnl_primitive_desc_query_md(forward, dnnl_query_weights_md, 0));
    if (status == dnnl_success && training)
        status = choose_master(plan, conv, batch, forward);
    if (status == dnnl_success && !training) {
        const dnnl_dims_t dims = {n->out.c, in.c, n->kernel, n->kernel};
        status = rs__desc_create_tag(&plan->params[n->weight].desc, 4, dims, dnnl_f32, dnnl_oihw);
    }
    if (status == dnnl_success && training && plan->needs_grad[n->input[0]])
        status = choose_backward(plan, conv, batch, forward);
    dnnl_primitive_desc_destroy(forward);
    return status == dnnl_success ? 0 : rs__dnnl_failed(err, status, n->name, "choosing layouts");
}

/* ---- operations ---- */

static int run_conv(const struct rs__op *op, const struct rs__call *call)
{
    return rs__dnnl_run(op->dnnl[0], call, call->plan->graph->nodes[op->node].name);
}

static float *bias_of(const struct rs_plan *plan, const struct rs_node *n, float *arena)
{
    return arena + plan->params[n->bias].offset;
}

/* Appends an operation of one pass; pd is taken over. */
static int append_pass(struct rs__program *p, int32_t node, const char *phase, dnnl_primitive_desc_t pd,
                       struct rs__op **out, struct rs_error *err)
{
    int code = rs__program_op(p, node, phase, run_conv, out, err);
    if (code >= 0)
        code = rs__op_reserve(*out, 1, err);
    if (code < 0) {
        dnnl_primitive_desc_destroy(pd);
        return code;
    }
    return rs__dnnl_create(&(*out)->dnnl[0], p->plan, pd, p->plan->graph->nodes[node].name, err);
}

static dnnl_status_t forward_pd(dnnl_primitive_desc_t *out, const struct rs__program *p, int32_t node)
{
    const struct rs__conv *conv = &p->plan->convs[node];
    dnnl_alg_kind_t algorithm = conv->forward_algorithm;
    return pass_pd(out, p->plan, conv->node, p->batch, RS__CONV_FORWARD, conv->forward, &algorithm, NULL);
}

int rs__conv_append_forward(struct rs__program *p, int32_t node, struct rs_error *err)
{
    struct rs_plan *plan = p->plan;
    const struct rs__conv *conv = &plan->convs[node];
    dnnl_primitive_desc_t pd;
    struct rs__op *op;
    int x = rs__value_conv(p, node, err);
    RS_TRY(x);
    dnnl_status_t status = forward_pd(&pd, p, node);
    if (status != dnnl_success)
        return rs__dnnl_failed(err, status, conv->node->name, "forward");
    RS_TRY(append_pass(p, node, "forward", pd, &op, err));
    op->in[0] = x;
    op->out[0] = p->blocked[node];
    rs__dnnl_use_tensor(op->dnnl[0], DNNL_ARG_SRC, x);
    rs__dnnl_use_block(op->dnnl[0], DNNL_ARG_WEIGHTS,
                       conv->forward_copy ? conv->forward_copy
                                          : plan->values + plan->params[conv->node->weight].offset);
    if (conv->node->bias != RS_NONE)
        rs__dnnl_use_block(op->dnnl[0], DNNL_ARG_BIAS, bias_of(plan, conv->node, plan->values));
    rs__dnnl_use_tensor(op->dnnl[0], DNNL_ARG_DST, op->out[0]);
    return 0;
}

static int append_weights(struct rs__program *p, int32_t node, int32_t src, int32_t gradient,
                          const_dnnl_primitive_desc_t hint, struct rs_error *err)
{
    struct rs_plan *plan = p->plan;
    const struct rs_node *n = &plan->graph->nodes[node];
    const struct rs__param *param = &plan->params[n->weight];
    dnnl_alg_kind_t algorithm = plan->convs[node].weights_algorithm;
    dnnl_primitive_desc_t pd;
    struct rs__op *op;
    dnnl_status_t status = pass_pd(&pd, plan, n, p->batch, RS__CONV_WEIGHTS, param->desc, &algorithm, hint);
    if (status != dnnl_success)
        return rs__dnnl_failed(err, status, n->name, "weight gradient");
    RS_TRY(append_pass(p, node, "weight gradient", pd, &op, err));
    op->in[0] = src;
    op->in[1] = gradient;
    rs__dnnl_use_tensor(op->dnnl[0], DNNL_ARG_SRC, src);
    rs__dnnl_use_tensor(op->dnnl[0], DNNL_ARG_DIFF_DST, gradient);
    rs__dnnl_use_block(op->dnnl[0], DNNL_ARG_DIFF_WEIGHTS, plan->gradients + param->offset);
    if (n->bias != RS_NONE)
        rs__dnnl_use_block(op->dnnl[0], DNNL_ARG_DIFF_BIAS, bias_of(plan, n, plan->gradients));
    return 0;
}

static int append_data(struct rs__program *p, int32_t node, int32_t gradient,
                       const_dnnl_primitive_desc_t hint, struct rs_error *err)
{
    struct rs_plan *plan = p->plan;
    const struct rs__conv *conv = &plan->convs[node];
    const struct rs_node *n = conv->node;
    dnnl_alg_kind_t algorithm = conv->data_algorithm;
    dnnl_primitive_desc_t pd;
    struct rs__op *op;
    dnnl_status_t status = pass_pd(&pd, plan, n, p->batch, RS__CONV_DATA, conv->backward, &algorithm, hint);
    if (status != dnnl_success)
        return rs__dnnl_failed(err, status, n->name, "data gradient");
    int dx = rs__program_tensor(p, RS__BLOCKED, input_shape(plan, n), 0, err);
    if (dx < 0) {
        dnnl_primitive_desc_destroy(pd);
        return dx;
    }
    RS_TRY(append_pass(p, node, "data gradient", pd, &op, err));
    op->in[0] = gradient;
    op->out[0] = dx;
    rs__dnnl_use_tensor(op->dnnl[0], DNNL_ARG_DIFF_DST, gradient);
    rs__dnnl_use_block(op->dnnl[0], DNNL_ARG_WEIGHTS,
                       conv->backward_copy ? conv->backward_copy
                                           : plan->values + plan->params[n->weight].offset);
    rs__dnnl_use_tensor(op->dnnl[0], DNNL_ARG_DIFF_SRC, dx);
    return dx;
}

int rs__conv_append_backward(struct rs__program *p, int32_t node, int32_t gradient, struct rs_error *err)
{
    const struct rs__conv *conv = &p->plan->convs[node];
    dnnl_primitive_desc_t hint;
    int src = rs__value_conv(p, node, err); /* there since the forward pass */
    RS_TRY(src);
    dnnl_status_t status = forward_pd(&hint, p, node);
    if (status != dnnl_success)
        return rs__dnnl_failed(err, status, conv->node->name, "forward");
    int code = conv->matmul_weights ? rs__conv_append_matmul(p, node, src, gradient, err)
                                    : append_weights(p, node, src, gradient, hint, err);
    if (code >= 0 && p->plan->needs_grad[conv->node->input[0]])
        code = append_data(p, node, gradient, hint, err);
    dnnl_primitive_desc_destroy(hint);
    return code;
}
