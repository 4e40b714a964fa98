/* ref.c: the reference network behind the backend's vtable. @thread as backend.h says. */
#include "ref.h"

#include "alloc.h"
#include "net.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct rs_device {
    uint32_t threads; /* asked for; one is used */
};

struct rs_plan {
    struct rs__ref_net *net;
    struct rs_plan_options options;
};

static int ref_probe(uint32_t ordinal, struct rs_device_info *info, struct rs_error *err)
{
    (void)ordinal, (void)err; /* there is one */
    memset(info, 0, sizeof(*info));
    snprintf(info->name, sizeof(info->name), "any CPU, 1 thread");
    snprintf(info->library, sizeof(info->library), "plain C loops");
    snprintf(info->precisions, sizeof(info->precisions), "fp32");
    info->count = 1;
    info->memory_bytes = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    return 0;
}

static int ref_open(struct rs_device **out, const struct rs_device_options *options, struct rs_error *err)
{
    *out = rs_calloc(1, sizeof(**out));
    if (!*out)
        return rs_error_set(err, RS_E_NOMEM, "out of memory for a device");
    (*out)->threads = options->threads;
    return 0;
}

static void ref_close(struct rs_device *device)
{
    rs_free(device);
}

static void *ref_host_alloc(struct rs_device *device, size_t bytes)
{
    (void)device;
    return rs_alloc(bytes);
}

static void ref_host_free(struct rs_device *device, void *block)
{
    (void)device;
    rs_free(block);
}

static bool in_sizes(const uint32_t sizes[RS_BATCH_SIZES_MAX], uint32_t count)
{
    for (int i = 0; i < RS_BATCH_SIZES_MAX; i++)
        if (count > 0 && sizes[i] == count)
            return true;
    return false;
}

static uint32_t largest_size(const struct rs_plan_options *options)
{
    uint32_t largest = 0;
    for (int i = 0; i < RS_BATCH_SIZES_MAX; i++) {
        if (options->train_batches[i] > largest)
            largest = options->train_batches[i];
        if (options->eval_batches[i] > largest)
            largest = options->eval_batches[i];
    }
    return largest;
}

/* The unbiased variance of one value is 0/0. */
static int check_norms(const struct rs_graph *graph, const struct rs_plan_options *options,
                       struct rs_error *err)
{
    for (int32_t i = 0; in_sizes(options->train_batches, 1) && i < graph->node_count; i++) {
        const struct rs_node *node = &graph->nodes[i];
        if (node->op == RS_OP_BATCH_NORM && node->out.h * node->out.w == 1)
            return rs_error_set(err, RS_E_SHAPE,
                                "%s: batch norm can't train on one sample of 1 x 1; use batches of 2 or more",
                                node->name);
    }
    return 0;
}

static int ref_compile(struct rs_device *device, const struct rs_graph *graph,
                       const struct rs_plan_options *options, struct rs_plan **out, struct rs_error *err)
{
    (void)device;
    *out = NULL;
    if (options->precision != RS_PRECISION_FP32)
        return rs_error_set(err, RS_E_UNSUPPORTED,
                            "the device ref computes in fp32 only; use --precision fp32%s",
                            options->precision == RS_PRECISION_BF16 ? " or --device cpu" : "");
    RS_ASSERT(graph->nodes[graph->node_count - 1].op == RS_OP_SOFTMAX_CROSS_ENTROPY);
    RS_ASSERT(options->pixels.height == 0);
    RS_TRY(check_norms(graph, options, err));
    struct rs_plan *plan = rs_calloc(1, sizeof(*plan));
    if (!plan)
        return rs_error_set(err, RS_E_NOMEM, "out of memory for a plan");
    plan->options = *options;
    int code = rs__ref_f32_net_create(&plan->net, graph, largest_size(options), err);
    if (code < 0) {
        rs_free(plan);
        return code;
    }
    *out = plan;
    return 0;
}

static void ref_destroy(struct rs_plan *plan)
{
    if (!plan)
        return;
    rs__ref_f32_net_destroy(plan->net);
    rs_free(plan);
}

static enum rs_element ref_input_element(const struct rs_plan *plan)
{
    (void)plan;
    return RS_ELEMENT_F32;
}

static int ref_load(struct rs_plan *plan, const struct rs_state *state, struct rs_error *err)
{
    (void)err;
    rs__ref_f32_net_load(plan->net, state);
    return 0;
}

static int ref_store(struct rs_plan *plan, struct rs_state *state, struct rs_error *err)
{
    (void)err;
    rs__ref_f32_net_store(plan->net, state);
    return 0;
}

static int forward(struct rs_plan *plan, const struct rs_batch_input *input, bool train,
                   struct rs_step_result *result, struct rs_error *err)
{
    if (!in_sizes(train ? plan->options.train_batches : plan->options.eval_batches, input->count))
        return rs_error_set(err, RS_E_USAGE, "the plan was not compiled for %s batches of %u samples",
                            train ? "training" : "evaluation", input->count);
    /* the walk keeps the pointer beside its own arrays and never writes through it */
    rs__ref_f32_net_forward(plan->net, (float *)input->tensor, input->labels, input->count, train, result);
    return 0;
}

static int ref_train_step(struct rs_plan *plan, const struct rs_batch_input *input, float lr,
                          struct rs_step_result *result, struct rs_error *err)
{
    RS_TRY(forward(plan, input, true, result, err));
    rs__ref_f32_net_backward(plan->net, input->labels, input->count);
    rs__ref_f32_net_update(plan->net, &plan->options, lr);
    return 0;
}

static int ref_eval_step(struct rs_plan *plan, const struct rs_batch_input *input,
                         struct rs_step_result *result, struct rs_error *err)
{
    RS_TRY(forward(plan, input, false, result, err));
    if (result->probabilities)
        memcpy(result->probabilities, plan->net->probabilities,
               (size_t)input->count * (size_t)plan->net->graph->classes * sizeof(float));
    return 0;
}

static int ref_store_gradients(struct rs_plan *plan, float *gradients, struct rs_error *err)
{
    (void)err;
    memcpy(gradients, plan->net->gradients, (size_t)plan->net->graph->param_floats * sizeof(float));
    return 0;
}

const struct rs_backend rs_backend_ref = {
    .name = "ref",
    .probe = ref_probe,
    .open = ref_open,
    .close = ref_close,
    .host_alloc = ref_host_alloc,
    .host_free = ref_host_free,
    .compile = ref_compile,
    .destroy = ref_destroy,
    .input_element = ref_input_element,
    .load = ref_load,
    .store = ref_store,
    .train_step = ref_train_step,
    .eval_step = ref_eval_step,
    .store_gradients = ref_store_gradients,
    .profile = NULL, /* not offered: its times would say nothing about others */
};
