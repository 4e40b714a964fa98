/* plan.h: a compiled network on a device; private to this folder.
 *
 * How it works: plan.c makes a plan: the program, its memory, the convolutions of every batch size, tuned.
 * pixels.c is the input where it comes as uint8 pixels. run.c runs a program: forward, backward, update; it
 * knows kernels and nothing of slots. graph.c improves what was captured of it. stream.c is the asynchronous
 * interface and, on top of it, the synchronous one. params.c moves states in and out.
 *
 * A step on slot s, all on the compute queue: wait for the upload; input kernel and labels into the program's
 * memory; record released; set_hyper; the step (captured once it has run twice, for the first train and eval
 * size); copy the result to the host ring; record the ticket's event.
 *
 * Owner: a plan owns all of it but device and graph. @thread the plan's.
 */
#ifndef RS_CUDA_PLAN_H
#define RS_CUDA_PLAN_H

#include "backend.h"
#include "conv.h"
#include "gpu.h"
#include "program.h"
#include "stream.h"

#define RS__SLOTS 3u
#define RS__RING (RS_STREAM_RESULTS + 1u) /* one more for the synchronous steps */
#define RS__EAGER_STEPS 2u /* before a capture: libraries load their kernels in the first ones */

struct rs_device {
    struct rs__gpu *gpu;
};

struct rs__conv_passes { /* of one convolution and batch size */
    struct rs__conv *forward, *data, *weight;
};

enum rs__capture_state { RS__CAPTURE_LATER, RS__CAPTURE_DONE, RS__CAPTURE_NEVER };

struct rs__size { /* a compiled number of samples, for training or evaluation */
    uint32_t count;
    bool train;
    struct rs__conv_passes *convs; /* [program.op_count] */
    enum rs__capture_state state;
    uint32_t eager_steps;
    struct rs__captured *captured;
};

struct rs__slot {
    void *tensor; /* the batch as uploaded */
    int32_t *labels;
    uint32_t count; /* of the batch in it; 0: none */
    struct rs__event *uploaded, *released;
};

struct rs__pixels {                         /* where batches come as pixels */
    void *block;                            /* device memory of all that follows */
    struct rs__resize_weights across, down; /* identity where nothing is resized */
    uint8_t *rows; /* batch,3,height,w: resized along x; NULL: the pixels lie so as they come */
};

struct rs_plan {
    struct rs__gpu *gpu;
    struct rs_plan_options options;
    enum rs__math math;
    struct rs__program program;
    void *block;     /* device memory */
    void *workspace; /* of one convolution after the other */
    void *counters;  /* small workspaces, a part for each pass: a captured step zeroes them all at once */
    size_t workspace_bytes, counter_bytes;
    float *staging; /* pinned host memory for one arena; NULL before its first use */
    struct rs__size sizes[2 * RS_BATCH_SIZES_MAX];
    uint32_t size_count;
    size_t sample_bytes; /* of a batch's tensor or pixels */
    struct rs__pixels pixels;
    void *slot_block;
    struct rs__slot slots[RS__SLOTS];
    struct rs__result *ring; /* [RS__RING], pinned */
    struct rs__event *ring_events[RS__RING];
    uint64_t next_ticket, next_result; /* tickets given, results taken */
    bool traced;                       /* the device's work is recorded */
    uint64_t uploads;                  /* through the stream, since then */
    int64_t steps;                     /* optimizer steps done */
    int64_t *batches_tracked;          /* [norm_count] */
    uint32_t last_count;               /* samples of the last step, for its probabilities */
};

/* run.c */
int rs__run_forward(struct rs_plan *plan, const struct rs__size *size, struct rs_error *err);
int rs__run_backward(struct rs_plan *plan, const struct rs__size *size, struct rs_error *err);
int rs__run_update(struct rs_plan *plan, struct rs_error *err);
/* Forward; for a training size backward and update too. */
int rs__run_step(struct rs_plan *plan, const struct rs__size *size, struct rs_error *err);
/* The factors of optimizer step number step (from 1), as torch.optim forms them. */
struct rs__hyper rs__make_hyper(const struct rs_plan_options *options, double lr, int64_t step);

/* pixels.c: only with options.pixels. Errors: RS_E_SHAPE, RS_E_NOMEM. */
int rs__pixels_create(struct rs_plan *plan, struct rs_error *err);
void rs__pixels_destroy(struct rs_plan *plan);
/* Enqueues resize and normalize of count images at src (device memory) into the program's input. */
int rs__pixels_run(struct rs_plan *plan, const uint8_t *src, uint32_t count, struct rs_error *err);

/* trace.c */
int rs__trace_begin(struct rs_plan *plan, struct rs_error *err);
int rs__trace_end(struct rs_plan *plan, rs_device_record_fn take, void *arg, uint64_t *lost,
                  struct rs_error *err);
/* What the calls to the device from here on belong to. */
void rs__trace_cause(struct rs_plan *plan, enum rs_device_cause cause, uint64_t number);

/* params.c */
int rs__load_state(struct rs_plan *plan, const struct rs_state *state, struct rs_error *err);
int rs__store_state(struct rs_plan *plan, struct rs_state *state, struct rs_error *err);
int rs__store_gradients(struct rs_plan *plan, float *gradients, struct rs_error *err);

/* plan.c */
int rs__plan_compile(struct rs_device *device, const struct rs_graph *graph,
                     const struct rs_plan_options *options, struct rs_plan **out, struct rs_error *err);
void rs__plan_destroy(struct rs_plan *plan);
/* NULL: not compiled. */
struct rs__size *rs__plan_find_size(struct rs_plan *plan, uint32_t count, bool train);
/* A line for each convolution pass of the first size of each kind: what was chosen, and its time. */
void rs__plan_describe(const struct rs_plan *plan, char *text, size_t size);

/* stream.c */
extern const struct rs_stream_ops rs__stream_ops;
int rs__stream_create(struct rs_plan *plan, struct rs_error *err);
void rs__stream_destroy(struct rs_plan *plan);
int rs__train_step(struct rs_plan *plan, const struct rs_batch_input *input, float lr,
                   struct rs_step_result *result, struct rs_error *err);
int rs__eval_step(struct rs_plan *plan, const struct rs_batch_input *input, struct rs_step_result *result,
                  struct rs_error *err);

#endif
