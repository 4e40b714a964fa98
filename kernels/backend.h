/* backend.h: what computes a network: one vtable a kind of device.
 *
 * How it works: a backend compiles a graph, batch sizes, a precision and an optimizer into a plan, with the
 * layouts and fusions that suit it. All memory and all primitives are made by compile; the steps allocate
 * nothing. Above this header nobody knows which backend runs.
 *
 * Owner: the caller owns devices and plans, destroys plans before their device, and keeps the graph alive.
 * @thread a plan belongs to the thread that runs its steps; compile, load, store may run on another while no
 * step runs.
 */
#ifndef RS_BACKEND_H
#define RS_BACKEND_H

#include "graph.h"
#include "state.h"
#include <stdbool.h>

/* What a network computes in. tf32: float32 tensors, products of 10-bit mantissas where a device multiplies
 * matrices so; fp32 never does that. */
enum rs_precision { RS_PRECISION_FP32, RS_PRECISION_TF32, RS_PRECISION_BF16 };
/* How a plan wants its input: N,3,S,S in this element type. bf16 is rounded to nearest even from the float.
 * u8: not a tensor but pixels, as rs_plan_options.pixels says. */
enum rs_element { RS_ELEMENT_F32, RS_ELEMENT_BF16, RS_ELEMENT_U8 };

/* Images of 3 channels of 8 bits without padding, all of one size; height 0: none. */
struct rs_pixel_format {
    uint32_t height, width;
    bool planar; /* N,3,height,width; else N,height,width,3 */
};

#define RS_BATCH_SIZES_MAX 4

struct rs_plan_options {
    enum rs_precision precision;
    enum rs_optimizer optimizer;
    double beta1, beta2, eps; /* Adam: 0.9, 0.999, 1e-8; doubles as in PyTorch, since 1 - beta2 is formed */
    float momentum;           /* SGD, without dampening */
    float weight_decay;       /* added to the gradient as PyTorch's Adam and SGD do (L2) */
    /* the numbers of samples that steps may have: full batches and a short last one; 0-terminated or full */
    uint32_t train_batches[RS_BATCH_SIZES_MAX];
    uint32_t eval_batches[RS_BATCH_SIZES_MAX];
    /* Batches come as pixels, which the device resizes and normalizes to the bits that kernels/image gives.
     * Only where the backend's stream says that its plans can. */
    struct rs_pixel_format pixels;
    /* A device with a stream starts every step call by call; else it may record one and start it as a whole.
     * The bits are the same. */
    bool eager;
};

struct rs_batch_input {
    const void *tensor;    /* count,3,S,S in the plan's element type, or pixels; 64-byte aligned */
    const int32_t *labels; /* count, each in [0, classes) */
    uint32_t count;        /* one of the compiled sizes */
};

struct rs_step_result {
    double loss_sum;  /* sum over the samples; the batch's loss is loss_sum / count */
    uint32_t correct; /* samples whose largest logit is the label's (first one wins a tie) */
    /* optional outputs, NULL if unwanted, eval only */
    float *probabilities; /* count x classes, softmax */
};

struct rs_device_info {
    char name[128];        /* "Intel Xeon …, 2 threads" */
    char library[96];      /* "oneDNN 2.6.3" */
    char precisions[32];   /* "fp32 bf16": words of --precision */
    uint64_t memory_bytes; /* of the device */
    uint32_t count;        /* devices of this kind here; their ordinals are below it */
};

struct rs_device_options {
    uint32_t threads; /* compute threads of a CPU, 1 or more */
    uint32_t ordinal; /* which of several devices, from 0 in the backend's own order */
};

struct rs_device; /* a backend's own; begins with nothing in common */
struct rs_plan;
struct rs_stream_ops;

struct rs_backend {
    const char *name; /* "cuda", "cpu", "ref" */

    /* 0 and info; or RS_E_DEVICE with the reason why it can't be used here. info->count is right either way:
     * another of them may be usable. */
    int (*probe)(uint32_t ordinal, struct rs_device_info *info, struct rs_error *err);
    int (*open)(struct rs_device **out, const struct rs_device_options *options, struct rs_error *err);
    void (*close)(struct rs_device *device);

    /* Memory for a batch's tensor that suits uploads. */
    void *(*host_alloc)(struct rs_device *device, size_t bytes);
    void (*host_free)(struct rs_device *device, void *block);

    /* Errors: RS_E_UNSUPPORTED (precision, with the remedy), RS_E_NOMEM, RS_E_BACKEND. */
    int (*compile)(struct rs_device *device, const struct rs_graph *graph,
                   const struct rs_plan_options *options, struct rs_plan **out, struct rs_error *err);
    void (*destroy)(struct rs_plan *plan);
    enum rs_element (*input_element)(const struct rs_plan *plan);

    /* Parameters, buffers, optimizer state, steps: into the plan, and back out. */
    int (*load)(struct rs_plan *plan, const struct rs_state *state, struct rs_error *err);
    int (*store)(struct rs_plan *plan, struct rs_state *state, struct rs_error *err);

    /* Forward, backward, optimizer step. Loss and hits are of the forward pass, before the step. */
    int (*train_step)(struct rs_plan *plan, const struct rs_batch_input *input, float lr,
                      struct rs_step_result *result, struct rs_error *err);
    /* Forward with running statistics. */
    int (*eval_step)(struct rs_plan *plan, const struct rs_batch_input *input, struct rs_step_result *result,
                     struct rs_error *err);

    /* For tests: the parameters' gradients of the last train_step, fp32, in the params arena's layout. */
    int (*store_gradients)(struct rs_plan *plan, float *gradients, struct rs_error *err);
    /* optional, NULL if the backend can't. For tests and summaries: ms a node of the last profiled step… */
    int (*profile)(struct rs_plan *plan, const struct rs_batch_input *input, char *text, size_t size,
                   struct rs_error *err);

    /* optional, NULL: the device computes in host memory. See stream.h. */
    const struct rs_stream_ops *stream;
};

/* By name, or NULL where this build has none of that name. "cuda" is always there: without its plugin
 * (plugin_load.h) probe and open say what is missing, and nothing else of it may be called. */
const struct rs_backend *rs_backend_find(const char *name);
/* The i-th, in order of preference for --device auto, or NULL past the end. */
const struct rs_backend *rs_backend_at(uint32_t i);

#endif
