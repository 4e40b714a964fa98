/* run.c: a program's operations as kernel launches, forward and backward. See plan.h. @thread the plan's. */
#include "plan.h"

#include <math.h>

struct run {
    struct rs_plan *plan;
    const struct rs__size *size;
    struct rs_error *err;
};

static const struct rs__value *value(const struct run *r, int32_t i)
{
    return &r->plan->program.values[i];
}

/* Where parameter i lies in one of the fp32 arenas, or NULL. */
static float *parameter(const struct run *r, float *arena, int32_t i)
{
    return i == RS_NONE ? NULL : arena + r->plan->program.weights[i].offset;
}

static const float *master(const struct run *r, int32_t i)
{
    return parameter(r, r->plan->program.masters, i);
}

static float *gradient(const struct run *r, int32_t i)
{
    return parameter(r, r->plan->program.gradients, i);
}

static struct rs__window window_of(const struct run *r, const struct rs__op *op)
{
    const struct rs__value *x = value(r, op->x), *y = value(r, op->y);
    return rs__make_window((struct rs__window){.n = r->size->count,
                                               .h = x->h,
                                               .w = x->w,
                                               .cp = x->cp,
                                               .p = y->h,
                                               .q = y->w,
                                               .kernel = (uint32_t)op->node->kernel,
                                               .stride = (uint32_t)op->node->stride});
}

static struct rs__norm_values norm_of(const struct run *r, const struct rs__op *op)
{
    struct rs__norm_values norm = {NULL, NULL, NULL, NULL};
    if (op->norm != RS_NONE)
        norm = (struct rs__norm_values){op->mean, op->inv_std, master(r, op->norm_weight),
                                        master(r, op->norm_bias)};
    return norm;
}

/* Mean and deviation for apply: the batch's, which move the running ones, or the running ones. */
static int forward_statistics(const struct run *r, const struct rs__op *op)
{
    const struct rs__program *p = &r->plan->program;
    const struct rs__value *x = value(r, op->x);
    const uint32_t rows = rs__value_rows(x, r->size->count);
    float *running = p->running + p->statistics[op->norm];
    if (!r->size->train) {
        const struct rs__norm_running a = {p->bf16, x->cp, running, running + x->cp, op->mean, op->inv_std};
        return rs__launch_norm_running(r->plan->gpu, &a, r->err);
    }
    const struct rs__norm_sums sums = {p->bf16, rows, x->cp, x->data, p->partial};
    const struct rs__norm_finish finish = {p->bf16,  rows,        x->cp,   x->data,        p->partial,
                                           op->mean, op->inv_std, running, running + x->cp};
    RS_TRY(rs__launch_norm_sums(r->plan->gpu, &sums, r->err));
    return rs__launch_norm_finish(r->plan->gpu, &finish, r->err);
}

static int forward_apply(const struct run *r, const struct rs__op *op)
{
    const struct rs__value *y = value(r, op->y);
    if (op->norm != RS_NONE)
        RS_TRY(forward_statistics(r, op));
    const struct rs__apply a = {.bf16 = r->plan->program.bf16,
                                .rows = rs__value_rows(y, r->size->count),
                                .cp = y->cp,
                                .x = value(r, op->x)->data,
                                .add = op->add == RS_NONE ? NULL : value(r, op->add)->data,
                                .y = y->data,
                                .norm = norm_of(r, op),
                                .x_bias = master(r, op->x_bias),
                                .add_bias = master(r, op->add_bias),
                                .relu_norm = op->relu_norm,
                                .relu_sum = op->relu_sum};
    return rs__launch_apply(r->plan->gpu, &a, r->err);
}

static int forward_max_pool(const struct run *r, const struct rs__op *op)
{
    const struct rs__pool_max a = {.bf16 = r->plan->program.bf16,
                                   .window = window_of(r, op),
                                   .x = value(r, op->x)->data,
                                   .bias = master(r, op->x_bias),
                                   .y = value(r, op->y)->data,
                                   .index = r->size->train ? op->index : NULL};
    return rs__launch_pool_max(r->plan->gpu, &a, r->err);
}

static int forward_avg_pool(const struct run *r, const struct rs__op *op)
{
    const struct rs__pool_avg a = {r->plan->program.bf16, window_of(r, op), value(r, op->x)->data,
                                   value(r, op->y)->data};
    return rs__launch_pool_avg(r->plan->gpu, &a, r->err);
}

static uint32_t features_of(const struct rs__value *x)
{
    return x->h * x->w * x->cp;
}

static int forward_linear(const struct run *r, const struct rs__op *op)
{
    const struct rs__program *p = &r->plan->program;
    const struct rs__linear a = {.bf16 = p->bf16,
                                 .n = r->size->count,
                                 .features = features_of(value(r, op->x)),
                                 .classes = (uint32_t)p->graph->classes,
                                 .x = value(r, op->x)->data,
                                 .weight = master(r, op->node->weight),
                                 .bias = master(r, op->node->bias),
                                 .logits = p->logits};
    return rs__launch_linear(r->plan->gpu, &a, r->err);
}

static int forward_loss(const struct run *r)
{
    const struct rs__program *p = &r->plan->program;
    const struct rs__loss loss = {.bf16 = p->bf16,
                                  .n = r->size->count,
                                  .classes = (uint32_t)p->graph->classes,
                                  .logits = p->logits,
                                  .labels = p->labels,
                                  .probabilities = p->probabilities,
                                  .dlogits = r->size->train ? p->dlogits : NULL,
                                  .losses = p->losses,
                                  .hits = p->hits};
    const struct rs__loss_sum sum = {p->bf16, r->size->count, p->losses, p->hits, p->result};
    RS_TRY(rs__launch_loss(r->plan->gpu, &loss, r->err));
    return rs__launch_loss_sum(r->plan->gpu, &sum, r->err);
}

int rs__run_forward(struct rs_plan *plan, const struct rs__size *size, struct rs_error *err)
{
    const struct run r = {plan, size, err};
    for (int32_t i = 0; i < plan->program.op_count; i++) {
        const struct rs__op *op = &plan->program.ops[i];
        switch (op->kind) {
        case RS__KIND_CONV:
            RS_TRY(rs__conv_run(size->convs[i].forward, err));
            break;
        case RS__KIND_APPLY:
            RS_TRY(forward_apply(&r, op));
            break;
        case RS__KIND_MAX_POOL:
            RS_TRY(forward_max_pool(&r, op));
            break;
        case RS__KIND_AVG_POOL:
            RS_TRY(forward_avg_pool(&r, op));
            break;
        case RS__KIND_LINEAR:
            RS_TRY(forward_linear(&r, op));
            break;
        case RS__KIND_LOSS:
            RS_TRY(forward_loss(&r));
            break;
        }
    }
    return 0;
}

/* to = a + b, arrays like value v. */
static int add_arrays(const struct run *r, const struct rs__value *v, const void *a, const void *b, void *to)
{
    const struct rs__apply sum = {.bf16 = r->plan->program.bf16,
                                  .rows = rs__value_rows(v, r->size->count),
                                  .cp = v->cp,
                                  .x = a,
                                  .add = b,
                                  .y = to};
    return rs__launch_apply(r->plan->gpu, &sum, r->err);
}

static struct rs__back back_of(const struct run *r, const struct rs__op *op)
{
    const struct rs__value *y = value(r, op->y);
    return (struct rs__back){.bf16 = r->plan->program.bf16,
                             .rows = rs__value_rows(y, r->size->count),
                             .cp = y->cp,
                             .dy1 = op->dy1,
                             .dy2 = op->dy2,
                             .y = y->data,
                             .x = value(r, op->x)->data,
                             .norm = norm_of(r, op),
                             .relu_norm = op->relu_norm,
                             .relu_sum = op->relu_sum};
}

/* The biases' gradients, and with a norm its parameters' and what back_apply needs. */
static int finish_sums(const struct run *r, const struct rs__op *op)
{
    const struct rs__program *p = &r->plan->program;
    const struct rs__value *y = value(r, op->y);
    const bool norm = op->norm != RS_NONE;
    const struct rs__back_finish a = {.bf16 = p->bf16,
                                      .rows = rs__value_rows(y, r->size->count),
                                      .cp = y->cp,
                                      .partial = p->partial,
                                      .inv_std = norm ? op->inv_std : NULL,
                                      .weight = norm ? master(r, op->norm_weight) : NULL,
                                      .dweight = norm ? gradient(r, op->norm_weight) : NULL,
                                      .dbias = norm ? gradient(r, op->norm_bias) : NULL,
                                      .coefficients = norm ? op->coefficients : NULL,
                                      .add_dbias = gradient(r, op->add_bias),
                                      .x_dbias = gradient(r, op->x_bias)};
    return rs__launch_back_finish(r->plan->gpu, &a, r->err);
}

static int backward_apply(const struct run *r, const struct rs__op *op)
{
    const struct rs__program *p = &r->plan->program;
    const bool norm = op->norm != RS_NONE, sums = norm || op->x_bias != RS_NONE || op->add_bias != RS_NONE;
    const struct rs__back_sums first = {
        .bf16 = p->bf16, .back = back_of(r, op), .g = op->g, .partial = sums ? p->partial : NULL};
    if (sums || op->g)
        RS_TRY(rs__launch_back_sums(r->plan->gpu, &first, r->err));
    if (sums)
        RS_TRY(finish_sums(r, op));
    if (!norm || !op->dx)
        return 0;
    struct rs__back_apply second = {
        .bf16 = p->bf16, .back = first.back, .coefficients = op->coefficients, .dx = op->dx};
    if (op->g) { /* masked and added already */
        second.back.dy1 = op->g;
        second.back.dy2 = NULL;
        second.back.relu_sum = false;
    }
    return rs__launch_back_apply(r->plan->gpu, &second, r->err);
}

static int backward_conv(const struct run *r, const struct rs__op *op, const struct rs__conv_passes *convs)
{
    const struct rs__program *p = &r->plan->program;
    if (op->dy_sum)
        RS_TRY(add_arrays(r, value(r, op->y), op->dy1, op->dy2, op->dy_sum));
    RS_TRY(rs__conv_run(convs->weight, r->err));
    if (op->folded) {
        const struct rs__weight_layout *l = &p->weights[op->node->weight];
        const struct rs__clear_folded clear = {.bf16 = p->bf16,
                                               .k = l->kp,
                                               .kernel = l->r,
                                               .folded_kernel = l->rp,
                                               .c = l->c,
                                               .cp = l->cp,
                                               .dw =
                                                   (char *)p->conv_gradients + l->offset * (p->bf16 ? 2 : 4)};
        RS_TRY(rs__launch_clear_folded(r->plan->gpu, &clear, r->err));
    }
    return convs->data ? rs__conv_run(convs->data, r->err) : 0;
}

static int backward_max_pool(const struct run *r, const struct rs__op *op)
{
    const struct rs__program *p = &r->plan->program;
    if (op->x_bias != RS_NONE) { /* every window's gradient goes to one pixel, so the sum may be taken here */
        const struct rs__back_sums sums = {.bf16 = p->bf16, .back = back_of(r, op), .partial = p->partial};
        RS_TRY(rs__launch_back_sums(r->plan->gpu, &sums, r->err));
        RS_TRY(finish_sums(r, op));
    }
    if (!op->dx)
        return 0;
    const struct rs__pool_max_back a = {p->bf16, window_of(r, op), op->dy1, op->dy2, op->index, op->dx};
    return rs__launch_pool_max_back(r->plan->gpu, &a, r->err);
}

static int backward_avg_pool(const struct run *r, const struct rs__op *op)
{
    if (!op->dx)
        return 0;
    const struct rs__pool_avg_back a = {r->plan->program.bf16, window_of(r, op), op->dy1, op->dy2, op->dx};
    return rs__launch_pool_avg_back(r->plan->gpu, &a, r->err);
}

static int backward_linear(const struct run *r, const struct rs__op *op)
{
    const struct rs__program *p = &r->plan->program;
    const uint32_t features = features_of(value(r, op->x)), classes = (uint32_t)p->graph->classes;
    const struct rs__linear_back_w w = {.bf16 = p->bf16,
                                        .n = r->size->count,
                                        .features = features,
                                        .classes = classes,
                                        .dlogits = p->dlogits,
                                        .x = value(r, op->x)->data,
                                        .dweight = gradient(r, op->node->weight),
                                        .dbias = gradient(r, op->node->bias)};
    RS_TRY(rs__launch_linear_back_w(r->plan->gpu, &w, r->err));
    if (!op->dx)
        return 0;
    const struct rs__linear_back_x x = {
        p->bf16, r->size->count, features, classes, p->dlogits, master(r, op->node->weight), op->dx};
    return rs__launch_linear_back_x(r->plan->gpu, &x, r->err);
}

static int backward_op(const struct run *r, int32_t i)
{
    const struct rs__op *op = &r->plan->program.ops[i];
    switch (op->kind) {
    case RS__KIND_CONV:
        return backward_conv(r, op, &r->size->convs[i]);
    case RS__KIND_APPLY:
        return backward_apply(r, op);
    case RS__KIND_MAX_POOL:
        return backward_max_pool(r, op);
    case RS__KIND_AVG_POOL:
        return backward_avg_pool(r, op);
    case RS__KIND_LINEAR:
        return backward_linear(r, op);
    case RS__KIND_LOSS:
        break; /* made with the loss */
    }
    return 0;
}

int rs__run_backward(struct rs_plan *plan, const struct rs__size *size, struct rs_error *err)
{
    const struct run r = {plan, size, err};
    for (int32_t i = plan->program.op_count - 1; i >= 0; i--) {
        const struct rs__op *op = &plan->program.ops[i];
        RS_TRY(backward_op(&r, i));
        for (int m = 0; m < 2; m++)
            if (op->merges[m].to)
                RS_TRY(add_arrays(&r, value(&r, op->merges[m].value), op->merges[m].a, op->merges[m].b,
                                  op->merges[m].to));
    }
    return 0;
}

int rs__run_update(struct rs_plan *plan, struct rs_error *err)
{
    const struct rs__program *p = &plan->program;
    const int64_t split = p->bf16 ? p->conv_elements : 0; /* convolutions' gradients are of another type */
    struct rs__update a = {.bf16 = p->bf16,
                           .vectors = (uint32_t)(split / RS__VECTOR),
                           .adam = plan->options.optimizer == RS_OPTIMIZER_ADAM,
                           .hyper = p->hyper,
                           .g = p->conv_gradients,
                           .p = p->masters,
                           .m = p->moment1,
                           .v = p->moment2,
                           .shadow = p->shadows};
    if (split > 0)
        RS_TRY(rs__launch_update(plan->gpu, &a, err));
    a.bf16 = 0;
    a.vectors = (uint32_t)((p->elements - split) / RS__VECTOR);
    a.g = p->gradients + split;
    a.p += split;
    a.m += split;
    a.v += split;
    a.shadow = NULL;
    return rs__launch_update(plan->gpu, &a, err);
}

int rs__run_step(struct rs_plan *plan, const struct rs__size *size, struct rs_error *err)
{
    RS_TRY(rs__run_forward(plan, size, err));
    if (!size->train)
        return 0;
    RS_TRY(rs__run_backward(plan, size, err));
    return rs__run_update(plan, err);
}

struct rs__hyper rs__make_hyper(const struct rs_plan_options *options, double lr, int64_t step)
{
    const double beta1 = options->beta1, beta2 = options->beta2;
    struct rs__hyper h = {.beta1 = (float)options->beta1,
                          .rest1 = (float)(1 - beta1),
                          .beta2 = (float)options->beta2,
                          .rest2 = (float)(1 - beta2),
                          .eps = (float)options->eps,
                          .lr = (float)lr,
                          .momentum = options->momentum,
                          .decay = options->weight_decay};
    h.size = (float)(lr / (1 - pow(beta1, (double)step)));
    h.root2 = (float)sqrt(1 - pow(beta2, (double)step));
    return h;
}
