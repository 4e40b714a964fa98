/* plan.h: the inside of the CPU backend: devices, plans, programs, operations, tensors.
 *
 * How it works: compile (plan.c) looks for nodes to fuse (fuse.c), chooses every convolution's layouts
 * (conv.c), lays out the parameters (params.c), and builds one program a batch size and mode (forward.c,
 * backward.c append operations). A tensor knows its first and last operation; arena.c gives tensors that
 * never live at once the same memory. All programs share one arena, one scratchpad and the parameters. Last,
 * operations are bound to addresses.
 *
 * Owner: the plan owns everything here; a program owns its operations and tensors.
 * @thread the plan's; operations open OpenMP parallel regions of device->threads threads.
 */
#ifndef RS_CPU_PLAN_H
#define RS_CPU_PLAN_H

#include "cpu.h"
#include "dnnl_compat.h"
#include "kernels.h"

struct rs_device {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    uint32_t threads;
    const struct rs__kernels *kernels; /* its lanes are the channels of a block */
    enum rs_cpu_bf16 bf16;
};

#define RS__BATCH_NORM_EPS 1e-5
#define RS__BATCH_NORM_MOMENTUM 0.1

/* ---- tensors ---- */

enum rs__form {
    RS__BLOCKED, /* n, blocks of channels, h, w, lanes; in the plan's element */
    RS__PLAIN,   /* n, c, h, w floats */
    RS__INPUT,   /* the caller's batch: n, c, h, w in the plan's input element */
    RS__RAW,     /* bytes that one operation, or a pair of them, knows about */
};

struct rs__tensor {
    enum rs__form form;
    struct rs_shape shape;
    size_t bytes, offset; /* in the arena */
    int32_t first, last;  /* operations that write it first and touch it last */
};

/* ---- operations ---- */

#define RS__OP_IN 5
#define RS__OP_OUT 3

struct rs__program;

struct rs__call { /* one run of a program */
    struct rs_plan *plan;
    struct rs__program *program;
    const struct rs_batch_input *input;
    struct rs_step_result *result;
    struct rs_error *err;
};

enum { RS__RELU = 1, RS__POST_RELU = 2 };

struct rs__op {
    int (*run)(const struct rs__op *op, const struct rs__call *call);
    int32_t node;                           /* whose work this is */
    const char *phase;                      /* "forward", "data gradient", … */
    int32_t in[RS__OP_IN], out[RS__OP_OUT]; /* tensors or RS_NONE; their meaning is the operation's */
    int flags;                              /* RS__RELU, RS__POST_RELU */
    struct rs__dnnl **dnnl;                 /* owned: primitives, or NULL */
    uint32_t dnnl_count;
};

/* ---- one oneDNN primitive with its arguments ---- */

#define RS__DNNL_ARGS 6

struct rs__dnnl {
    dnnl_primitive_desc_t pd;
    dnnl_primitive_t primitive;
    dnnl_exec_arg_t args[RS__DNNL_ARGS];
    int32_t tensors[RS__DNNL_ARGS]; /* where the argument's address comes from: a tensor… */
    void *blocks[RS__DNNL_ARGS];    /* …or, where that is RS_NONE, a fixed block */
    int count;
};

/* Takes pd over, also when it fails. Errors: RS_E_BACKEND, RS_E_NOMEM, with what's name. */
int rs__dnnl_create(struct rs__dnnl **out, struct rs_plan *plan, dnnl_primitive_desc_t pd, const char *what,
                    struct rs_error *err);
void rs__dnnl_destroy(struct rs__dnnl *d);
void rs__dnnl_use_tensor(struct rs__dnnl *d, int argument, int32_t tensor);
void rs__dnnl_use_block(struct rs__dnnl *d, int argument, void *block);
/* Makes the memory objects; program is NULL where no tensor is used. After the arenas are there. */
int rs__dnnl_bind(struct rs__dnnl *d, struct rs_plan *plan, const struct rs__program *program,
                  const char *what, struct rs_error *err);
int rs__dnnl_run(const struct rs__dnnl *d, const struct rs__call *call, const char *what);
/* A oneDNN status as ours, with the name of what was asked for. */
int rs__dnnl_failed(struct rs_error *err, dnnl_status_t status, const char *what, const char *phase);
/* Reorders once, outside of steps: load and store. */
int rs__dnnl_reorder_now(struct rs_device *device, rs__desc from_desc, const void *from, rs__desc to_desc,
                         void *to, const char *what, struct rs_error *err);

/* ---- programs ---- */

struct rs__program {
    struct rs_plan *plan;
    uint32_t batch;
    int training;
    /* owned */
    struct rs__tensor *tensors;
    int32_t tensor_count, tensor_room;
    struct rs__op *ops;
    int32_t op_count, op_room;
    void **at;          /* addresses of tensors; the input's changes with every call */
    double *seconds;    /* of each operation in the last profiled run */
    size_t arena_bytes; /* what its tensors need */
    /* while building: a node's output in each form, and its gradient as one or two tensors to be summed;
     * RS_NONE: not there */
    int32_t *blocked, *plain;
    int32_t (*grads)[2];
};

/* Appends a tensor or an operation; an index, or RS_E_NOMEM. */
int rs__program_tensor(struct rs__program *program, enum rs__form form, struct rs_shape shape,
                       size_t raw_bytes, struct rs_error *err);
int rs__program_op(struct rs__program *program, int32_t node, const char *phase,
                   int (*run)(const struct rs__op *, const struct rs__call *), struct rs__op **out,
                   struct rs_error *err);
/* Gives the operation room for count primitives. */
int rs__op_reserve(struct rs__op *op, uint32_t count, struct rs_error *err);
int rs__program_create(struct rs__program **out, struct rs_plan *plan, uint32_t batch, int training,
                       struct rs_error *err);
void rs__program_destroy(struct rs__program *program);
/* Addresses and memory objects, once the plan's memory is there. */
int rs__program_bind(struct rs__program *program, struct rs_error *err);
int rs__program_run(const struct rs__call *call, int timed);
/* Gives tensors offsets so that those that live at once don't overlap; returns the bytes needed. */
size_t rs__arena_assign(struct rs__tensor *tensors, int32_t count, int32_t *order);

/* Appends a graph's operations (forward.c) and their gradients (backward.c). */
int rs__forward_append(struct rs__program *program, struct rs_error *err);
int rs__backward_append(struct rs__program *program, struct rs_error *err);
/* A node's output in a form, converted where it is in the other one; an index or an error. */
int rs__value_blocked(struct rs__program *program, int32_t node, struct rs_error *err);
int rs__value_plain(struct rs__program *program, int32_t node, struct rs_error *err);
/* Where a convolution reads its input: plain for the first one, blocked else. */
int rs__value_conv(struct rs__program *program, int32_t node, struct rs_error *err);

/* ---- fusion ---- */

struct rs__group {    /* what one node's operation computes; for nodes without a part in another's: that node
                         alone */
    int32_t norm;     /* the batch norm that leads, or RS_NONE */
    int32_t residual; /* the node whose output is added, or RS_NONE */
    int flags;        /* RS__RELU: a ReLU before the sum; RS__POST_RELU: one after it */
    int absorbed;     /* computed by a later node's operation */
};

/* Fills groups[node_count]. */
int rs__fuse(const struct rs_graph *graph, struct rs__group *groups, struct rs_error *err);

/* ---- plans ---- */

struct rs__param { /* a parameter's place, the same in the arenas of values, gradients and moments */
    size_t offset; /* floats */
    size_t floats; /* with padding, a multiple of 16 */
    rs__desc desc; /* owned: a convolution's weights, else NULL: plain */
};

struct rs__conv { /* a convolution's choices, the same in all programs */
    const struct rs_node *node;
    int plain_source;   /* reads plain input */
    int matmul_weights; /* weight gradient as matrix products */
    dnnl_alg_kind_t forward_algorithm, data_algorithm, weights_algorithm;
    rs__desc forward,
        backward; /* owned: layouts of the weights that the passes read; backward NULL if unused */
    int forward_is_master, backward_is_master; /* the pass reads the master itself */
    void *forward_copy, *backward_copy;        /* owned, one block if both are the same layout; else NULL */
    struct rs__dnnl *forward_reorder,
        *backward_reorder;       /* owned, where no hand-written copy knows the layout */
    struct rs__tile_copy *tiles; /* owned, the hand-written copy, or NULL */
};

struct rs__norm { /* a batch norm between its passes; each has the channels of its blocks */
    float *scale, *shift, *mean, *inverse_std, *sum_factor, *x_factor;
};

struct rs_plan {
    struct rs_device *device;
    const struct rs_graph *graph;
    struct rs_plan_options options;
    enum rs__element element;
    uint32_t lanes;
    /* owned */
    struct rs__group *groups;
    struct rs__param *params;
    struct rs__conv *convs; /* by node; empty for other nodes */
    struct rs__norm *norms;
    int *needs_grad;                               /* by node: a parameter lies in or before it */
    float *values, *gradients, *moment1, *moment2; /* param_floats each */
    size_t param_floats;
    float *buffers; /* in the graph's layout */
    int64_t *batches_tracked;
    int64_t steps;
    float *norm_block; /* behind norms' pointers */
    float *sums;       /* scratch of batch norms: two vectors a plane */
    size_t sums_floats;
    float *pool_scratch; /* a plane of floats a thread */
    size_t pool_floats;
    void *arena, *scratchpad;
    size_t scratchpad_bytes;
    struct rs__program *programs[2][RS_BATCH_SIZES_MAX]; /* [training] */
};

/* conv.c: choices; operations. conv_weights.c: the weight gradient as matrix products. */
int rs__conv_choose(struct rs_plan *plan, int32_t node, uint32_t batch, int training, struct rs_error *err);
void rs__conv_release(struct rs__conv *conv);
int rs__conv_append_forward(struct rs__program *p, int32_t node, struct rs_error *err);
int rs__conv_append_backward(struct rs__program *p, int32_t node, int32_t gradient, struct rs_error *err);
int rs__conv_append_matmul(struct rs__program *p, int32_t node, int32_t src, int32_t gradient,
                           struct rs_error *err);
/* conv_copy.c: from the masters to the layouts and elements that convolutions read. */
int rs__conv_copy_prepare(struct rs_plan *plan, int32_t node, struct rs_error *err);
int rs__conv_copy_all(struct rs_plan *plan, struct rs_error *err);

/* norm.c, pointwise.c, pool.c, head.c: run functions; their files say which tensors they take. */
int rs__run_norm_train(const struct rs__op *op, const struct rs__call *call);
int rs__run_norm_eval(const struct rs__op *op, const struct rs__call *call);
int rs__run_norm_backward(const struct rs__op *op, const struct rs__call *call);
int rs__run_add(const struct rs__op *op, const struct rs__call *call);
int rs__run_mask(const struct rs__op *op, const struct rs__call *call);
int rs__run_widen(const struct rs__op *op, const struct rs__call *call);
int rs__run_to_plain(const struct rs__op *op, const struct rs__call *call);
int rs__run_from_plain(const struct rs__op *op, const struct rs__call *call);
int rs__run_pool(const struct rs__op *op, const struct rs__call *call);
int rs__run_pool_backward(const struct rs__op *op, const struct rs__call *call);
int rs__run_linear(const struct rs__op *op, const struct rs__call *call);
int rs__run_linear_backward(const struct rs__op *op, const struct rs__call *call);
int rs__run_loss(const struct rs__op *op, const struct rs__call *call);
int rs__linear_append_forward(struct rs__program *p, int32_t node, struct rs_error *err);
int rs__linear_append_backward(struct rs__program *p, int32_t node, int32_t gradient, struct rs_error *err);

/* params.c, optimizer.c */
int rs__params_layout(struct rs_plan *plan, struct rs_error *err);
int rs__params_load(struct rs_plan *plan, const struct rs_state *state, struct rs_error *err);
int rs__params_store(struct rs_plan *plan, struct rs_state *state, struct rs_error *err);
int rs__params_store_gradients(struct rs_plan *plan, float *gradients, struct rs_error *err);
void rs__optimizer_step(struct rs_plan *plan, float lr);

/* plan.c */
int rs__plan_create(struct rs_device *device, const struct rs_graph *graph,
                    const struct rs_plan_options *options, enum rs__element element, struct rs_plan **out,
                    struct rs_error *err);
void rs__plan_destroy(struct rs_plan *plan);
/* steps.c */
int rs__train_step(struct rs_plan *plan, const struct rs_batch_input *input, float lr,
                   struct rs_step_result *result, struct rs_error *err);
int rs__eval_step(struct rs_plan *plan, const struct rs_batch_input *input, struct rs_step_result *result,
                  struct rs_error *err);
int rs__profile(struct rs_plan *plan, const struct rs_batch_input *input, char *text, size_t size,
                struct rs_error *err);

/* ---- small helpers ---- */

static inline size_t rs__element_bytes(enum rs__element element)
{
    return element == RS__BF16 ? 2 : 4;
}

static inline dnnl_data_type_t rs__element_type(enum rs__element element)
{
    return element == RS__BF16 ? dnnl_bf16 : dnnl_f32;
}

/* Channel blocks of a shape, and vectors of one sample. */
static inline size_t rs__blocks(const struct rs_plan *plan, int32_t channels)
{
    return ((size_t)channels + plan->lanes - 1) / plan->lanes;
}

static inline size_t rs__pixels(struct rs_shape shape)
{
    return (size_t)shape.h * (size_t)shape.w;
}

static inline const struct rs__element_kernels *rs__kernels_for(const struct rs_plan *plan)
{
    return &plan->device->kernels->of[plan->element];
}

#endif
