/* conv_copy.c: from a convolution's fp32 master to the layouts and elements that its passes read, once a
 * step.
 *
 * How it works: oneDNN's layouts are made of tiles of 16 input by 16 output channels. Where the master's and
 * the copies' layouts are known ones, one pass reads each tile once and writes both copies; else the library
 * reorders. A pass whose layout and element are the master's reads the master. Copies of a RS__WIDE plan are
 * rounded to bf16 values. */
#include "alloc.h"
#include "plan.h"

#define TILE 16

struct steps { /* distances in elements: to the next tile of outputs, of inputs, to the next tap; rows in a
                  tile */
    size_t out, in, tap, row;
};

struct rs__tile_copy {
    struct steps master, forward, backward;
    size_t outs, ins, taps; /* tiles each way */
    int to_forward, to_backward;
};

struct known { /* a layout by its tag */
    dnnl_format_tag_t tag;
    int inputs_outside; /* IOhw: the input tiles vary slowest */
};

static const struct known master_tags[] = {{dnnl_OIhw16i16o, 0}, {dnnl_hwio, 0}};
static const struct known forward_f32_tags[] = {{dnnl_OIhw16i16o, 0}};
static const struct known forward_bf16_tags[] = {{dnnl_OIhw8i16o2i, 0}};
static const struct known backward_f32_tags[] = {{dnnl_OIhw16o16i, 0}, {dnnl_IOhw16o16i, 1}};
static const struct known backward_bf16_tags[] = {{dnnl_OIhw8o16i2o, 0}, {dnnl_IOhw8o16i2o, 1}};

struct weights_shape {
    dnnl_dim_t out, in, kernel;
};

/* 1 or 0; or RS_E_NOMEM. */
static int has_tag(rs__desc desc, const struct weights_shape *s, dnnl_data_type_t type, dnnl_format_tag_t tag)
{
    const dnnl_dims_t dims = {s->out, s->in, s->kernel, s->kernel};
    rs__desc other;
    dnnl_status_t status = rs__desc_create_tag(&other, 4, dims, type, tag);
    if (status != dnnl_success)
        return status == dnnl_out_of_memory ? RS_E_NOMEM : 0;
    int equal = dnnl_memory_desc_equal(desc, other);
    rs__desc_destroy(other);
    return equal;
}

/* 1 and steps if desc has one of the layouts, else 0; or RS_E_NOMEM. */
static int find_steps(struct steps *steps, rs__desc desc, const struct weights_shape *s,
                      dnnl_data_type_t type, const struct known *tags, int count)
{
    const size_t taps = (size_t)(s->kernel * s->kernel), area = (size_t)TILE * TILE;
    const size_t outs = ((size_t)s->out + TILE - 1) / TILE, ins = ((size_t)s->in + TILE - 1) / TILE;
    for (int i = 0; i < count; i++) {
        int found = has_tag(desc, s, type, tags[i].tag);
        RS_TRY(found);
        if (!found)
            continue;
        if (tags[i].tag == dnnl_hwio)
            *steps = (struct steps){TILE, TILE * (size_t)s->out, (size_t)(s->in * s->out), (size_t)s->out};
        else if (tags[i].inputs_outside)
            *steps = (struct steps){taps * area, outs * taps * area, area, TILE};
        else
            *steps = (struct steps){ins * taps * area, taps * area, area, TILE};
        return tags[i].tag != dnnl_hwio || (s->out % TILE == 0 && s->in % TILE == 0);
    }
    return 0;
}

/* Gives the convolution the hand-written copy, if that knows all layouts. */
static int find_tiles(const struct rs_plan *plan, struct rs__conv *conv, struct rs_error *err)
{
    const struct rs_node *n = conv->node;
    const int bf16 = plan->element == RS__BF16;
    const dnnl_data_type_t type = rs__element_type(plan->element);
    const struct weights_shape s = {n->out.c, plan->graph->nodes[n->input[0]].out.c, n->kernel};
    struct rs__tile_copy t = {
        .outs = ((size_t)s.out + TILE - 1) / TILE,
        .ins = ((size_t)s.in + TILE - 1) / TILE,
        .taps = (size_t)(s.kernel * s.kernel),
        .to_forward = conv->forward_copy != NULL,
        .to_backward = conv->backward_copy && conv->backward_copy != conv->forward_copy,
    };
    int known = find_steps(&t.master, plan->params[n->weight].desc, &s, dnnl_f32, master_tags, 2);
    if (known > 0 && t.to_forward)
        known =
            find_steps(&t.forward, conv->forward, &s, type, bf16 ? forward_bf16_tags : forward_f32_tags, 1);
    if (known > 0 && t.to_backward)
        known = find_steps(&t.backward, conv->backward, &s, type,
                           bf16 ? backward_bf16_tags : backward_f32_tags, 2);
    if (known == 0)
        return 0;
    if (known > 0)
        conv->tiles = rs_alloc(sizeof(*conv->tiles));
    if (!conv->tiles)
        return rs_error_set(err, RS_E_NOMEM, "%s: out of memory for copies of its weights", n->name);
    *conv->tiles = t;
    return 0;
}

/* The library's copy into *block. */
static int make_reorder(struct rs_plan *plan, const struct rs__conv *conv, rs__desc to, void *block,
                        struct rs__dnnl **out, struct rs_error *err)
{
    const struct rs__param *param = &plan->params[conv->node->weight];
    dnnl_primitive_desc_t pd;
    dnnl_status_t status = rs__reorder_pd_create(&pd, plan->device->engine, param->desc, to);
    if (status != dnnl_success)
        return rs__dnnl_failed(err, status, conv->node->name, "copying weights");
    RS_TRY(rs__dnnl_create(out, plan, pd, conv->node->name, err));
    rs__dnnl_use_block(*out, DNNL_ARG_FROM, plan->values + param->offset);
    rs__dnnl_use_block(*out, DNNL_ARG_TO, block);
    return 0;
}

int rs__conv_copy_prepare(struct rs_plan *plan, int32_t node, struct rs_error *err)
{
    struct rs__conv *conv = &plan->convs[node];
    rs__desc master = plan->params[conv->node->weight].desc;
    const int shares_master = plan->element == RS__F32;

    if (!shares_master || !dnnl_memory_desc_equal(master, conv->forward))
        conv->forward_copy = rs_calloc(1, dnnl_memory_desc_get_size(conv->forward) + 64);
    else
        conv->forward_is_master = 1;
    if (conv->backward && shares_master && dnnl_memory_desc_equal(master, conv->backward))
        conv->backward_is_master = 1;
    else if (conv->backward && dnnl_memory_desc_equal(conv->forward, conv->backward))
        conv->backward_copy = conv->forward_copy;
    else if (conv->backward)
        conv->backward_copy = rs_calloc(1, dnnl_memory_desc_get_size(conv->backward) + 64);
    if ((!conv->forward_copy && !conv->forward_is_master) ||
        (conv->backward && !conv->backward_copy && !conv->backward_is_master))
        return rs_error_set(err, RS_E_NOMEM, "%s: out of memory for copies of its weights", conv->node->name);

    if (!conv->forward_copy && !conv->backward_copy)
        return 0;
    RS_TRY(find_tiles(plan, conv, err));
    if (conv->tiles)
        return 0;
    if (conv->forward_copy)
        RS_TRY(make_reorder(plan, conv, conv->forward, conv->forward_copy, &conv->forward_reorder, err));
    if (conv->backward_copy && conv->backward_copy != conv->forward_copy)
        RS_TRY(make_reorder(plan, conv, conv->backward, conv->backward_copy, &conv->backward_reorder, err));
    return 0;
}

static void copy_tile(const struct rs_plan *plan, const struct rs__conv *conv, size_t o, size_t i, size_t k)
{
    const struct rs__tile_copy *t = conv->tiles;
    const struct rs__kernels *kernels = plan->device->kernels;
    const float *from = plan->values + plan->params[conv->node->weight].offset + o * t->master.out +
                        i * t->master.in + k * t->master.tap;
    const size_t forward = o * t->forward.out + i * t->forward.in + k * t->forward.tap;
    const size_t backward = o * t->backward.out + i * t->backward.in + k * t->backward.tap;
    if (plan->element == RS__BF16)
        kernels->pack_bf16(from, t->master.row,
                           t->to_forward ? (uint16_t *)conv->forward_copy + forward : NULL,
                           t->to_backward ? (uint16_t *)conv->backward_copy + backward : NULL);
    else
        kernels->pack_f32(from, t->master.row, t->to_forward ? (float *)conv->forward_copy + forward : NULL,
                          t->to_backward ? (float *)conv->backward_copy + backward : NULL,
                          plan->element == RS__WIDE);
}

static void copy_tiles(const struct rs_plan *plan, const struct rs__conv *conv)
{
    const struct rs__tile_copy *t = conv->tiles;
#pragma omp parallel for schedule(static)
    for (size_t oi = 0; oi < t->outs * t->ins; oi++)
        for (size_t k = 0; k < t->taps; k++)
            copy_tile(plan, conv, oi / t->ins, oi % t->ins, k);
}

static int copy_by_library(struct rs_plan *plan, const struct rs__conv *conv, const struct rs__dnnl *reorder,
                           rs__desc desc, float *block, struct rs_error *err)
{
    const struct rs__call call = {.plan = plan, .err = err};
    if (!reorder)
        return 0;
    RS_TRY(rs__dnnl_run(reorder, &call, conv->node->name));
    if (plan->element == RS__WIDE)
        plan->device->kernels->round(block, block, dnnl_memory_desc_get_size(desc) / sizeof(float));
    return 0;
}

int rs__conv_copy_all(struct rs_plan *plan, struct rs_error *err)
{
    for (int32_t i = 0; i < plan->graph->node_count; i++) {
        const struct rs__conv *conv = &plan->convs[i];
        if (!conv->node)
            continue;
        if (conv->tiles)
            copy_tiles(plan, conv);
        RS_TRY(copy_by_library(plan, conv, conv->forward_reorder, conv->forward, conv->forward_copy, err));
        RS_TRY(copy_by_library(plan, conv, conv->backward_reorder, conv->backward, conv->backward_copy, err));
    }
    return 0;
}

void rs__conv_release(struct rs__conv *conv)
{
    rs__dnnl_destroy(conv->forward_reorder);
    rs__dnnl_destroy(conv->backward_reorder);
    if (conv->backward_copy != conv->forward_copy)
        rs_free(conv->backward_copy);
    rs_free(conv->forward_copy);
    rs_free(conv->tiles);
    rs__desc_destroy(conv->forward);
    rs__desc_destroy(conv->backward);
}
