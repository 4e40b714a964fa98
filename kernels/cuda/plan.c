/* plan.c: compiling and destroying plans. See plan.h. @thread as backend.h says. */
#include "plan.h"

#include "alloc.h"
#include <stdio.h>
#include <string.h>

/* The unbiased variance of one value is 0/0. */
static int check_norms(const struct rs_graph *graph, const struct rs_plan_options *options,
                       struct rs_error *err)
{
    bool one = false;
    for (int i = 0; i < RS_BATCH_SIZES_MAX; i++)
        one = one || options->train_batches[i] == 1;
    for (int32_t i = 0; one && i < graph->node_count; i++) {
        const struct rs_node *node = &graph->nodes[i];
        if (node->op == RS_OP_BATCH_NORM && node->out.h * node->out.w == 1)
            return rs_error_set(err, RS_E_SHAPE,
                                "%s: batch norm can't train on one sample of 1 x 1; use batches of 2 or more",
                                node->name);
    }
    return 0;
}

static void list_sizes(struct rs_plan *plan, const uint32_t counts[RS_BATCH_SIZES_MAX], bool train)
{
    for (int i = 0; i < RS_BATCH_SIZES_MAX && counts[i] > 0; i++) {
        if (rs__plan_find_size(plan, counts[i], train))
            continue;
        /* only the first of each kind is worth a capture: the others are the short last batches */
        const bool first = i == 0 && !plan->options.eager;
        plan->sizes[plan->size_count++] = (struct rs__size){
            .count = counts[i], .train = train, .state = first ? RS__CAPTURE_LATER : RS__CAPTURE_NEVER};
    }
}

static uint32_t largest_size(const struct rs_plan *plan)
{
    uint32_t largest = 0;
    for (uint32_t i = 0; i < plan->size_count; i++)
        largest = plan->sizes[i].count > largest ? plan->sizes[i].count : largest;
    return largest;
}

struct rs__size *rs__plan_find_size(struct rs_plan *plan, uint32_t count, bool train)
{
    for (uint32_t i = 0; i < plan->size_count; i++)
        if (plan->sizes[i].count == count && plan->sizes[i].train == train)
            return &plan->sizes[i];
    return NULL;
}

static struct rs__conv_shape shape_of(const struct rs__program *p, const struct rs__op *op, uint32_t count)
{
    const struct rs__value *x = &p->values[op->x], *y = &p->values[op->y];
    const struct rs_node *node = op->node;
    return (struct rs__conv_shape){.n = count,
                                   .c = x->cp,
                                   .h = x->h,
                                   .w = x->w,
                                   .k = y->cp,
                                   .r = op->folded ? (node->kernel + 1) / 2 : node->kernel,
                                   .s = op->folded ? 1 : node->kernel,
                                   .stride = op->folded ? 1 : node->stride,
                                   .padding = node->padding,
                                   .p = y->h,
                                   .q = y->w};
}

struct conv_memory { /* what a convolution's passes read and write */
    void *x, *w, *y, *dx, *dw, *dy;
};

static struct conv_memory memory_of(const struct rs__program *p, const struct rs__op *op)
{
    const int64_t offset = p->weights[op->node->weight].offset * (p->bf16 ? 2 : 4);
    /* the gradient of y is only read, but the library's interface takes plain pointers */
    return (struct conv_memory){.x = p->values[op->x].data,
                                .w = (char *)p->shadows + offset,
                                .y = p->values[op->y].data,
                                .dx = op->dx,
                                .dw = (char *)p->conv_gradients + offset,
                                .dy = op->dy_sum ? op->dy_sum : (void *)op->dy1};
}

static int create_convs(struct rs_plan *plan, struct rs__size *size, struct rs_error *err)
{
    const struct rs__program *p = &plan->program;
    size->convs = rs_calloc((size_t)p->op_count, sizeof(*size->convs));
    if (!size->convs)
        return rs_error_set(err, RS_E_NOMEM, "out of memory for the plan's convolutions");
    for (int32_t i = 0; i < p->op_count; i++) {
        const struct rs__op *op = &p->ops[i];
        if (op->kind != RS__KIND_CONV)
            continue;
        const struct rs__conv_shape shape = shape_of(p, op, size->count);
        struct rs__conv_passes *c = &size->convs[i];
        RS_TRY(rs__conv_create(&c->forward, plan->gpu, op->node->name, &shape, RS__CONV_FORWARD, plan->math,
                               err));
        if (!size->train)
            continue;
        RS_TRY(rs__conv_create(&c->weight, plan->gpu, op->node->name, &shape, RS__CONV_WEIGHT_GRADIENT,
                               plan->math, err));
        if (op->dx)
            RS_TRY(rs__conv_create(&c->data, plan->gpu, op->node->name, &shape, RS__CONV_DATA_GRADIENT,
                                   plan->math, err));
    }
    return 0;
}

typedef int (*conv_visit)(struct rs_plan *plan, struct rs__conv *conv, void *x, void *w, void *y,
                          struct rs_error *err);

/* Calls visit for every pass, with the memory it is about. */
static int each_conv(struct rs_plan *plan, conv_visit visit, struct rs_error *err)
{
    const struct rs__program *p = &plan->program;
    for (uint32_t s = 0; s < plan->size_count; s++)
        for (int32_t i = 0; i < p->op_count; i++) {
            if (p->ops[i].kind != RS__KIND_CONV)
                continue;
            const struct rs__conv_passes *c = &plan->sizes[s].convs[i];
            const struct conv_memory m = memory_of(p, &p->ops[i]);
            RS_TRY(visit(plan, c->forward, m.x, m.w, m.y, err));
            if (c->weight)
                RS_TRY(visit(plan, c->weight, m.x, m.dw, m.dy, err));
            if (c->data)
                RS_TRY(visit(plan, c->data, m.dx, m.w, m.dy, err));
        }
    return 0;
}

#define COUNTERS_MAX ((size_t)4096) /* workspaces up to this are a pass's own */
#define COUNTERS_UNIT ((size_t)256) /* and begin on a multiple of this, as an allocation does */

static size_t counters_of(const struct rs__conv *conv)
{
    const size_t bytes = rs__conv_workspace(conv);
    return bytes <= COUNTERS_MAX ? (bytes + COUNTERS_UNIT - 1) / COUNTERS_UNIT * COUNTERS_UNIT : 0;
}

static int visit_size(struct rs_plan *plan, struct rs__conv *conv, void *x, void *w, void *y,
                      struct rs_error *err)
{
    const size_t bytes = rs__conv_workspace(conv);
    (void)x, (void)w, (void)y, (void)err;
    plan->workspace_bytes = bytes > plan->workspace_bytes ? bytes : plan->workspace_bytes;
    plan->counter_bytes += counters_of(conv);
    return 0;
}

static int visit_tune(struct rs_plan *plan, struct rs__conv *conv, void *x, void *w, void *y,
                      struct rs_error *err)
{
    return rs__conv_tune(conv, x, w, y, plan->workspace, err);
}

/* A pass's part of the counters lies behind those of the passes before it. */
static int visit_bind(struct rs_plan *plan, struct rs__conv *conv, void *x, void *w, void *y,
                      struct rs_error *err)
{
    const size_t own = counters_of(conv);
    void *workspace = own > 0 ? (char *)plan->counters + plan->counter_bytes : plan->workspace;
    plan->counter_bytes += own;
    return rs__conv_bind(conv, x, w, y, workspace, err);
}

/* A workspace for the hungriest pass, and all counters. */
static int alloc_workspaces(struct rs_plan *plan, struct rs_error *err)
{
    rs__gpu_free(plan->gpu, plan->workspace);
    rs__gpu_free(plan->gpu, plan->counters);
    plan->workspace = plan->counters = NULL;
    plan->workspace_bytes = 256;
    plan->counter_bytes = 0;
    RS_TRY(each_conv(plan, visit_size, err));
    RS_TRY(rs__gpu_alloc(plan->gpu, plan->workspace_bytes, &plan->workspace, err));
    /* not of 0 bytes, where no pass has counters */
    return rs__gpu_alloc(plan->gpu, plan->counter_bytes + COUNTERS_UNIT, &plan->counters, err);
}

/* Tries the candidates with all the workspace that they want, then keeps what the chosen ones want. */
static int plan_convs(struct rs_plan *plan, struct rs_error *err)
{
    for (uint32_t s = 0; s < plan->size_count; s++)
        RS_TRY(create_convs(plan, &plan->sizes[s], err));
    RS_TRY(alloc_workspaces(plan, err));
    RS_TRY(each_conv(plan, visit_tune, err));
    rs__gpu_save_choices(plan->gpu);
    RS_TRY(alloc_workspaces(plan, err));
    plan->counter_bytes = 0; /* counted again */
    return each_conv(plan, visit_bind, err);
}

/* fp32 leaves out every engine that multiplies in TF32 (cudnn_engines.c), whatever the library prefers. */
static enum rs__math math_of(enum rs_precision precision)
{
    switch (precision) {
    case RS_PRECISION_TF32:
        return RS__MATH_TF32;
    case RS_PRECISION_BF16:
        return RS__MATH_BF16;
    case RS_PRECISION_FP32:
        break;
    }
    return RS__MATH_FP32;
}

static int check_precision(const struct rs_plan *plan, struct rs_error *err)
{
    if (plan->math != RS__MATH_FP32 && !rs__gpu_has_bf16(plan->gpu))
        return rs_error_set(err, RS_E_UNSUPPORTED,
                            "this GPU has no %s (compute capability 8.0 or newer has); use --precision fp32",
                            plan->math == RS__MATH_BF16 ? "bf16" : "tf32");
    return 0;
}

static int build(struct rs_plan *plan, const struct rs_graph *graph, struct rs_error *err)
{
    RS_TRY(check_precision(plan, err));
    RS_TRY(check_norms(graph, &plan->options, err));
    list_sizes(plan, plan->options.train_batches, true);
    list_sizes(plan, plan->options.eval_batches, false);
    if (plan->size_count == 0)
        return rs_error_set(err, RS_E_USAGE, "a plan needs a batch size");
    struct rs__program *p = &plan->program;
    RS_TRY(
        rs__program_create(p, graph, plan->options.precision == RS_PRECISION_BF16, largest_size(plan), err));
    RS_TRY(rs__gpu_alloc(plan->gpu, p->bytes, &plan->block, err));
    rs__program_place(p, plan->block);
    plan->batches_tracked = rs_calloc((size_t)graph->norm_count + 1, sizeof(int64_t));
    if (!plan->batches_tracked)
        return rs_error_set(err, RS_E_NOMEM, "out of memory for a plan");
    RS_TRY(plan_convs(plan, err));
    return rs__stream_create(plan, err);
}

int rs__plan_compile(struct rs_device *device, const struct rs_graph *graph,
                     const struct rs_plan_options *options, struct rs_plan **out, struct rs_error *err)
{
    *out = NULL;
    RS_ASSERT(graph->nodes[graph->node_count - 1].op == RS_OP_SOFTMAX_CROSS_ENTROPY);
    RS_TRY(rs__gpu_enter(device->gpu, err));
    struct rs_plan *plan = rs_calloc(1, sizeof(*plan));
    if (!plan)
        return rs_error_set(err, RS_E_NOMEM, "out of memory for a plan");
    plan->gpu = device->gpu;
    plan->options = *options;
    plan->math = math_of(options->precision);
    const int code = build(plan, graph, err);
    if (code < 0) {
        rs__plan_destroy(plan);
        return code;
    }
    *out = plan;
    return 0;
}

void rs__plan_destroy(struct rs_plan *plan)
{
    if (!plan)
        return;
    (void)rs__gpu_enter(plan->gpu, NULL);
    rs__stream_destroy(plan);
    for (uint32_t s = 0; s < plan->size_count; s++) {
        struct rs__size *size = &plan->sizes[s];
        rs__captured_destroy(plan->gpu, size->captured);
        for (int32_t i = 0; size->convs && i < plan->program.op_count; i++) {
            rs__conv_destroy(size->convs[i].forward);
            rs__conv_destroy(size->convs[i].data);
            rs__conv_destroy(size->convs[i].weight);
        }
        rs_free(size->convs);
    }
    rs__gpu_host_free(plan->gpu, plan->staging);
    rs__gpu_free(plan->gpu, plan->counters);
    rs__gpu_free(plan->gpu, plan->workspace);
    rs__gpu_free(plan->gpu, plan->block);
    rs_free(plan->batches_tracked);
    rs__program_destroy(&plan->program);
    rs_free(plan);
}

void rs__plan_describe(const struct rs_plan *plan, char *text, size_t size)
{
    size_t used = 0;
    if (size > 0)
        *text = 0;
    for (uint32_t s = 0; s < plan->size_count; s++)
        for (int32_t i = 0; plan->sizes[s].convs && i < plan->program.op_count; i++) {
            const struct rs__conv_passes *c = &plan->sizes[s].convs[i];
            const struct rs__conv *const passes[] = {c->forward, c->data, c->weight};
            for (int k = 0; k < 3; k++) {
                char line[256];
                if (!passes[k])
                    continue;
                rs__conv_describe(passes[k], line, sizeof(line));
                if (used + strlen(line) + 2 > size)
                    return;
                used += (size_t)snprintf(text + used, size - used, "%s\n", line);
            }
        }
}
