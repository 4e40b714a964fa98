/* check_input.c: see check_input.h. @thread one. */
#include "check_input.h"

#include "alloc.h"
#include "clock.h"
#include "image.h"
#include "random.h"
#include "resnet.h"
#include "state.h"
#include "stream.h"
#include <string.h>

#define SIDE ((uint32_t)RS_RESNET_MIN_IMAGE)
#define VALUES ((size_t)3 * SIDE * SIDE)
#define BATCH 2u
#define STEPS 5u /* the last ones are captured */

struct side {
    const struct rs_backend *backend;
    struct rs_device *device;
    struct rs_graph *graph;
    struct rs_state *state;
    struct rs_plan *plan;
    void *batch; /* of the plan's elements */
    int32_t *labels;
};

static int open_side(struct side *s, const struct rs_plan_options *options, struct rs_error *err)
{
    const struct rs_pixel_format *f = &options->pixels;
    const size_t pixels = (size_t)3 * f->height * f->width;
    RS_TRY(rs_resnet_build(&s->graph, (int32_t)SIDE, 10, err));
    RS_TRY(rs_state_create(&s->state, s->graph, err));
    rs_state_init(s->state, 1);
    RS_TRY(s->backend->compile(s->device, s->graph, options, &s->plan, err));
    RS_TRY(s->backend->load(s->plan, s->state, err));
    s->batch = s->backend->host_alloc(s->device, BATCH * (f->height ? pixels : VALUES * sizeof(float)));
    s->labels = s->backend->host_alloc(s->device, BATCH * sizeof(int32_t));
    if (!s->batch || !s->labels)
        return rs_error_set(err, RS_E_NOMEM, "no pinned memory");
    memset(s->batch, 0, BATCH * (f->height ? pixels : VALUES * sizeof(float)));
    for (uint32_t i = 0; i < BATCH; i++)
        s->labels[i] = (int32_t)i;
    return 0;
}

static void close_side(struct side *s)
{
    if (s->plan)
        s->backend->destroy(s->plan);
    s->backend->host_free(s->device, s->batch);
    s->backend->host_free(s->device, s->labels);
    rs_state_destroy(s->state);
    rs_graph_destroy(s->graph);
}

/* The same image for both: as it is, and as the tensor made of it. */
static int put_image(const struct rs_pixel_format *f, uint32_t i, uint8_t *image, uint8_t *resized,
                     struct rs_resizer *resizer, struct rs_random *random, const struct side *on_device,
                     struct side *on_host, struct rs_error *err)
{
    const size_t pixels = (size_t)3 * f->height * f->width;
    const struct rs_resize_source source = {image, f->width, f->height, f->planar};
    for (size_t k = 0; k < pixels; k++)
        image[k] = (uint8_t)(rs_random_u32(random) >> 24);
    memcpy((uint8_t *)on_device->batch + i * pixels, image, pixels);
    RS_TRY(rs_resizer_run(resizer, &source, SIDE, SIDE, resized, err));
    if (on_host->backend->input_element(on_host->plan) == RS_ELEMENT_BF16)
        rs_normalize_bf16(resized, (uint16_t *)on_host->batch + i * VALUES, VALUES);
    else
        rs_normalize_f32(resized, (float *)on_host->batch + i * VALUES, VALUES);
    return 0;
}

static int step_both(const struct side sides[2], uint32_t step, struct rs_error *err)
{
    struct rs_step_result results[2] = {{.loss_sum = 0}, {.loss_sum = 0}};
    for (int i = 0; i < 2; i++) {
        const struct rs_batch_input input = {sides[i].batch, sides[i].labels, BATCH};
        RS_TRY(sides[i].backend->train_step(sides[i].plan, &input, 1e-3f, &results[i], err));
    }
    if (results[0].loss_sum != results[1].loss_sum)
        return rs_error_set(err, RS_E_BACKEND, "step %u: a loss of %.17g from tensors, %.17g from pixels",
                            step, results[0].loss_sum, results[1].loss_sum);
    return 0;
}

static int compare(struct side sides[2], const struct rs_pixel_format *f, struct rs_resizer *resizer,
                   uint8_t *image, uint8_t *resized, struct rs_error *err)
{
    struct rs_random random;
    rs_random_init(&random, 3, 0, 0);
    for (uint32_t step = 0; step < STEPS; step++) {
        for (uint32_t i = 0; i < BATCH; i++)
            RS_TRY(put_image(f, i, image, resized, resizer, &random, &sides[1], &sides[0], err));
        RS_TRY(step_both(sides, step, err));
    }
    return 0;
}

int rs_check_pixels(const struct rs_backend *backend, struct rs_device *device, enum rs_precision precision,
                    const struct rs_pixel_format *format, struct rs_error *err)
{
    struct side sides[2] = {{backend, device, NULL, NULL, NULL, NULL, NULL},
                            {backend, device, NULL, NULL, NULL, NULL, NULL}};
    struct rs_plan_options options = {
        .precision = precision, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .train_batches = {BATCH}};
    struct rs_resizer *resizer = NULL;
    uint8_t *image = rs_alloc((size_t)3 * format->height * format->width), *resized = rs_alloc(VALUES);
    int code = RS_E_NOMEM;
    if (!image || !resized) {
        rs_error_set(err, code, "no memory for an image");
        goto end;
    }
    code = rs_resizer_create(&resizer, err);
    if (code == 0)
        code = open_side(&sides[0], &options, err);
    options.pixels = *format;
    if (code == 0)
        code = open_side(&sides[1], &options, err);
    if (code == 0)
        code = compare(sides, format, resizer, image, resized, err);
end:
    close_side(&sides[0]);
    close_side(&sides[1]);
    rs_resizer_destroy(resizer);
    rs_free(image);
    rs_free(resized);
    return code;
}

struct seen {
    uint64_t began_ns;
    uint32_t copies[STEPS], kernels[STEPS], strange; /* strange: out of time, or of no batch */
};

static void see(void *arg, const struct rs_device_record *r)
{
    struct seen *s = arg;
    const bool mine = r->cause != RS_CAUSE_NONE;
    s->strange += r->begin_ns < s->began_ns || r->end_ns < r->begin_ns || r->end_ns > rs_now_ns() ||
                  (mine && r->number >= STEPS);
    if (!mine || r->number >= STEPS)
        return;
    s->copies[r->number] += r->cause == RS_CAUSE_UPLOAD && r->copies;
    s->kernels[r->number] += r->cause == RS_CAUSE_STEP && !r->copies;
}

static int record_steps(const struct side *s, struct seen *seen, uint64_t *lost, struct rs_error *err)
{
    const struct rs_stream_ops *ops = s->backend->stream;
    const struct rs_batch_input input = {s->batch, s->labels, BATCH};
    seen->began_ns = rs_now_ns();
    RS_TRY(ops->trace_begin(s->plan, err));
    for (uint64_t i = 0; i < STEPS; i++) {
        struct rs_step_result result = {.loss_sum = 0};
        RS_TRY(ops->upload(s->plan, (uint32_t)(i % ops->slots), &input, err));
        RS_TRY(ops->train(s->plan, (uint32_t)(i % ops->slots), 1e-3f, i, err));
        RS_TRY(ops->drain(s->plan, err));
        RS_TRY(ops->result(s->plan, i, &result, err));
    }
    return ops->trace_end(s->plan, see, seen, lost, err);
}

int rs_check_records(const struct rs_backend *backend, struct rs_device *device, struct rs_error *err)
{
    struct side s = {backend, device, NULL, NULL, NULL, NULL, NULL};
    const struct rs_plan_options options = {.eps = 1e-8, .train_batches = {BATCH}};
    struct seen seen = {.began_ns = 0};
    uint64_t lost = 0;
    int code = open_side(&s, &options, err);
    if (code == 0)
        code = record_steps(&s, &seen, &lost, err);
    close_side(&s);
    RS_TRY(code);
    if (seen.strange)
        return rs_error_set(err, RS_E_BACKEND, "%u records are out of time or of no batch", seen.strange);
    for (uint32_t i = 0; i < STEPS; i++)
        if (seen.copies[i] == 0 || seen.kernels[i] == 0)
            return rs_error_set(err, RS_E_BACKEND,
                                "batch %u has %u copies and %u kernels recorded (%llu records were lost)", i,
                                seen.copies[i], seen.kernels[i], (unsigned long long)lost);
    return 0;
}
