/* cuda_backend.c: plans behind the backend's vtable. @thread as backend.h says. */
#include "cuda_backend.h"

#include "alloc.h"
#include "plan.h"

/* Ordinals are CUDA's own, in which CUDA_VISIBLE_DEVICES has its say. */
static int cuda_probe(uint32_t ordinal, struct rs_device_info *info, struct rs_error *err)
{
    return rs__gpu_probe(ordinal, info, err);
}

static int cuda_open(struct rs_device **out, const struct rs_device_options *options, struct rs_error *err)
{
    *out = NULL;
    struct rs_device *device = rs_calloc(1, sizeof(*device));
    if (!device)
        return rs_error_set(err, RS_E_NOMEM, "out of memory for a device");
    const int code = rs__gpu_open(&device->gpu, options->ordinal, err);
    if (code < 0) {
        rs_free(device);
        return code;
    }
    *out = device;
    return 0;
}

static void cuda_close(struct rs_device *device)
{
    if (!device)
        return;
    rs__gpu_close(device->gpu);
    rs_free(device);
}

static void *cuda_host_alloc(struct rs_device *device, size_t bytes)
{
    return rs__gpu_host_alloc(device->gpu, bytes);
}

static void cuda_host_free(struct rs_device *device, void *block)
{
    rs__gpu_host_free(device->gpu, block);
}

static enum rs_element cuda_input_element(const struct rs_plan *plan)
{
    if (plan->options.pixels.height > 0)
        return RS_ELEMENT_U8;
    return plan->program.bf16 ? RS_ELEMENT_BF16 : RS_ELEMENT_F32;
}

static int cuda_load(struct rs_plan *plan, const struct rs_state *state, struct rs_error *err)
{
    RS_TRY(rs__gpu_enter(plan->gpu, err));
    return rs__load_state(plan, state, err);
}

static int cuda_store(struct rs_plan *plan, struct rs_state *state, struct rs_error *err)
{
    RS_TRY(rs__gpu_enter(plan->gpu, err));
    return rs__store_state(plan, state, err);
}

static int cuda_store_gradients(struct rs_plan *plan, float *gradients, struct rs_error *err)
{
    RS_TRY(rs__gpu_enter(plan->gpu, err));
    return rs__store_gradients(plan, gradients, err);
}

/* The convolutions' table as compile timed it; no step is run for it. */
static int cuda_profile(struct rs_plan *plan, const struct rs_batch_input *input, char *text, size_t size,
                        struct rs_error *err)
{
    (void)input, (void)err;
    rs__plan_describe(plan, text, size);
    return 0;
}

const struct rs_backend rs_backend_cuda = {
    .name = "cuda",
    .probe = cuda_probe,
    .open = cuda_open,
    .close = cuda_close,
    .host_alloc = cuda_host_alloc,
    .host_free = cuda_host_free,
    .compile = rs__plan_compile,
    .destroy = rs__plan_destroy,
    .input_element = cuda_input_element,
    .load = cuda_load,
    .store = cuda_store,
    .train_step = rs__train_step,
    .eval_step = rs__eval_step,
    .store_gradients = cuda_store_gradients,
    .profile = cuda_profile,
    .stream = &rs__stream_ops,
};
