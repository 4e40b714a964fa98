/* conv_weights.c: a convolution's weight gradient as one matrix product a tap.
 *
 * How it works: dW[kh][kw] = X^T dY over all outputs whose tap (kh, kw) falls inside the input. For each tap
 * the valid pixels of both tensors are gathered as rows of channels, then multiplied: [input channels x
 * pixels] by [pixels x output channels]. The masters of such a convolution lie tap by tap (hwio), so each
 * product writes its part.
 *
 * Tensors: in x, dy; out the two matrices. */
#include "plan.h"
#include <string.h>

struct tap { /* the outputs whose tap is inside: [first, end) in each direction */
    int32_t h_first, h_end, w_first, w_end;
};

static void range(int32_t tap, int32_t stride, int32_t padding, int32_t in, int32_t out, int32_t *first,
                  int32_t *end)
{
    int32_t need = padding - tap; /* o * stride >= need */
    *first = need > 0 ? (need + stride - 1) / stride : 0;
    int32_t room = in - 1 + padding - tap; /* o * stride <= room */
    *end = room < 0 ? 0 : room / stride + 1;
    *end = *end > out ? out : *end;
    *first = *first > *end ? *end : *first;
}

static struct tap tap_of(const struct rs_graph *graph, const struct rs_node *n, uint32_t index)
{
    const struct rs_shape in = graph->nodes[n->input[0]].out;
    struct tap t;
    range((int32_t)index / n->kernel, n->stride, n->padding, in.h, n->out.h, &t.h_first, &t.h_end);
    range((int32_t)index % n->kernel, n->stride, n->padding, in.w, n->out.w, &t.w_first, &t.w_end);
    return t;
}

static size_t tap_rows(struct tap t)
{
    return (size_t)(t.h_end - t.h_first) * (size_t)(t.w_end - t.w_first);
}

struct gather { /* from a blocked tensor's pixels (h * step + h_offset, …) to rows of channels */
    const char *from;
    char *to;
    size_t blocks, cell; /* cell: bytes of a vector */
    int32_t h, w, step, h_offset, w_offset;
};

/* One sample's rows. */
static void gather_sample(const struct gather *g, struct tap t, size_t sample)
{
    const size_t row = g->blocks * g->cell, plane = (size_t)g->h * (size_t)g->w * g->cell;
    char *to = g->to + sample * tap_rows(t) * row;
    for (int32_t oh = t.h_first; oh < t.h_end; oh++)
        for (int32_t ow = t.w_first; ow < t.w_end; ow++, to += row) {
            int32_t h = oh * g->step + g->h_offset, w = ow * g->step + g->w_offset;
            size_t pixel = (size_t)h * (size_t)g->w + (size_t)w;
            const char *from = g->from + sample * g->blocks * plane + pixel * g->cell;
            for (size_t b = 0; b < g->blocks; b++)
                memcpy(to + b * g->cell, from + b * plane, g->cell);
        }
}

static int run_matmul(const struct rs__op *op, const struct rs__call *call)
{
    const struct rs_plan *plan = call->plan;
    const struct rs_node *n = &plan->graph->nodes[op->node];
    const struct rs_shape in = plan->graph->nodes[n->input[0]].out;
    const size_t cell = plan->lanes * rs__element_bytes(plan->element);
    const uint32_t taps = (uint32_t)(n->kernel * n->kernel);

    for (uint32_t i = 0; i < taps; i++) {
        const struct tap t = tap_of(plan->graph, n, i);
        const struct gather x = {call->program->at[op->in[0]],
                                 call->program->at[op->out[0]],
                                 rs__blocks(plan, in.c),
                                 cell,
                                 in.h,
                                 in.w,
                                 n->stride,
                                 (int32_t)i / n->kernel - n->padding,
                                 (int32_t)i % n->kernel - n->padding};
        const struct gather dy = {call->program->at[op->in[1]],
                                  call->program->at[op->out[1]],
                                  rs__blocks(plan, n->out.c),
                                  cell,
                                  n->out.h,
                                  n->out.w,
                                  1,
                                  0,
                                  0};
        if (!op->dnnl[i])
            continue; /* no pixel: the gradient stays 0 */
#pragma omp parallel for schedule(static)
        for (uint32_t sample = 0; sample < call->program->batch; sample++) {
            gather_sample(&x, t, sample);
            gather_sample(&dy, t, sample);
        }
        RS_TRY(rs__dnnl_run(op->dnnl[i], call, n->name));
    }
    return 0;
}

/* [in x rows] by [rows x out] in fp32. */
static dnnl_status_t tap_pd(dnnl_primitive_desc_t *out, const struct rs_plan *plan, dnnl_dim_t in,
                            dnnl_dim_t rows, dnnl_dim_t columns)
{
    const dnnl_dims_t a_dims = {in, rows}, a_strides = {1, in}, b_dims = {rows, columns};
    const dnnl_dims_t b_strides = {columns, 1}, c_dims = {in, columns};
    const dnnl_data_type_t type = rs__element_type(plan->element);
    rs__desc a = NULL, b = NULL, c = NULL;
    dnnl_status_t status = rs__desc_create_strides(&a, 2, a_dims, type, a_strides);
    if (status == dnnl_success)
        status = rs__desc_create_strides(&b, 2, b_dims, type, b_strides);
    if (status == dnnl_success)
        status = rs__desc_create_strides(&c, 2, c_dims, dnnl_f32, b_strides);
    if (status == dnnl_success)
        status = rs__matmul_pd_create(out, plan->device->engine, a, b, c);
    rs__desc_destroy(a);
    rs__desc_destroy(b);
    rs__desc_destroy(c);
    return status;
}

int rs__conv_append_matmul(struct rs__program *p, int32_t node, int32_t src, int32_t gradient,
                           struct rs_error *err)
{
    const struct rs_plan *plan = p->plan;
    const struct rs_node *n = &plan->graph->nodes[node];
    const struct rs_shape in = plan->graph->nodes[n->input[0]].out;
    const size_t rows = p->batch * rs__pixels(n->out), bytes = rs__element_bytes(plan->element);
    const uint32_t taps = (uint32_t)(n->kernel * n->kernel);
    struct rs__op *op;

    int a = rs__program_tensor(p, RS__RAW, in, rows * (size_t)in.c * bytes, err);
    RS_TRY(a);
    int b = rs__program_tensor(p, RS__RAW, n->out, rows * (size_t)n->out.c * bytes, err);
    RS_TRY(b);
    RS_TRY(rs__program_op(p, node, "weight gradient", run_matmul, &op, err));
    op->in[0] = src;
    op->in[1] = gradient;
    op->out[0] = a;
    op->out[1] = b;
    RS_TRY(rs__op_reserve(op, taps, err));
    for (uint32_t i = 0; i < taps; i++) {
        dnnl_primitive_desc_t pd;
        size_t valid = p->batch * tap_rows(tap_of(plan->graph, n, i));
        if (valid == 0)
            continue;
        dnnl_status_t status = tap_pd(&pd, plan, in.c, (dnnl_dim_t)valid, n->out.c);
        if (status != dnnl_success)
            return rs__dnnl_failed(err, status, n->name, "weight gradient by matrix products");
        RS_TRY(rs__dnnl_create(&op->dnnl[i], p->plan, pd, n->name, err));
        rs__dnnl_use_tensor(op->dnnl[i], DNNL_ARG_SRC, a);
        rs__dnnl_use_tensor(op->dnnl[i], DNNL_ARG_WEIGHTS, b);
        rs__dnnl_use_block(op->dnnl[i], DNNL_ARG_DST,
                           plan->gradients + plan->params[n->weight].offset +
                               i * (size_t)in.c * (size_t)n->out.c);
    }
    return 0;
}
