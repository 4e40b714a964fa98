/* test_cuda_step.c: whole plans on the test's device against ref: fusion, gradients, optimizer, captures,
 * short batches, streams. */
#include "alloc.h"
#include "cases.h"
#include "cuda_backend.h"
#include "host_gpu.h"
#include "image.h"
#include "random.h"
#include "stream.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void check_case(const struct rs_case *c, enum rs_precision precision, enum rs_optimizer optimizer)
{
    struct rs_device *device;
    struct rs_error err = {0};
    struct rs_case_report r;
    assert_int_equal(rs_backend_cuda.open(&device, &(struct rs_device_options){.threads = 1}, &err), 0);
    const int code = rs_case_compare(c, &rs_backend_cuda, device, precision, optimizer, &r, &err);
    if (code < 0)
        fail_msg("%s: %s", c->name, err.message);
    print_message(
        "%-10s %s %s, draw %u: loss %.1e gradients %.1e (%s) parameters %.1e moments %.1e statistics %.1e "
        "probabilities %.1e\n",
        c->name, precision == RS_PRECISION_BF16 ? "bf16" : "fp32",
        optimizer == RS_OPTIMIZER_SGD ? "SGD" : "Adam", r.draws, r.loss, r.gradients, r.worst, r.parameters,
        r.moments, r.statistics, r.probabilities);
    assert_true(rs_case_passed(c, &r, precision));
    rs_backend_cuda.close(device);
}

static void test_against_ref(void **state)
{
    (void)state;
    for (uint32_t i = 0; rs_case_at(i); i++) {
        check_case(rs_case_at(i), RS_PRECISION_FP32, RS_OPTIMIZER_SGD);
        check_case(rs_case_at(i), RS_PRECISION_BF16, RS_OPTIMIZER_SGD);
    }
    check_case(rs_case_at(2), RS_PRECISION_FP32, RS_OPTIMIZER_ADAM);
}

/* A plan of the residual case on the test's device, with batches in memory. */
struct scene {
    struct rs_device *device;
    struct rs_graph *graph;
    struct rs_state *state;
    struct rs_plan *plan;
    float *tensors[4];
    int32_t labels[4][64];
    uint32_t counts[4];
    struct rs_error err;
};

static const struct rs_case *scene_case(void)
{
    return rs_case_at(2);
}

static void close_scene(struct scene *s)
{
    rs_backend_cuda.destroy(s->plan);
    for (int i = 0; i < 4; i++)
        rs_backend_cuda.host_free(s->device, s->tensors[i]);
    rs_state_destroy(s->state);
    rs_graph_destroy(s->graph);
    rs_backend_cuda.close(s->device);
}

/* Everything but batches. */
static void open_plan(struct scene *s, const struct rs_case *c, const struct rs_plan_options *options)
{
    memset(s, 0, sizeof(*s));
    memset(&rs_host_wishes, 0, sizeof(rs_host_wishes));
    assert_int_equal(rs_backend_cuda.open(&s->device, &(struct rs_device_options){.threads = 1}, &s->err), 0);
    assert_int_equal(c->build(&s->graph, &s->err), 0);
    assert_int_equal(rs_state_create(&s->state, s->graph, &s->err), 0);
    rs_state_init(s->state, 5);
    assert_int_equal(rs_backend_cuda.compile(s->device, s->graph, options, &s->plan, &s->err), 0);
    assert_int_equal(rs_backend_cuda.load(s->plan, s->state, &s->err), 0);
}

static void open_scene_as(struct scene *s, bool steps_are_eager)
{
    const struct rs_case *c = scene_case();
    const struct rs_plan_options options = {.beta1 = 0.9,
                                            .beta2 = 0.999,
                                            .eps = 1e-8,
                                            .train_batches = {c->batch, c->rest},
                                            .eval_batches = {c->batch},
                                            .eager = steps_are_eager};
    open_plan(s, c, &options);
    const struct rs_shape in = s->graph->nodes[0].out;
    const size_t pixels = (size_t)in.c * (size_t)in.h * (size_t)in.w;
    for (uint32_t i = 0; i < 4; i++) {
        s->counts[i] = i == 3 ? c->rest : c->batch;
        s->tensors[i] = rs_backend_cuda.host_alloc(s->device, c->batch * pixels * sizeof(float));
        assert_non_null(s->tensors[i]);
        rs_case_fill(s->tensors[i], RS_ELEMENT_F32, s->counts[i] * pixels, s->labels[i], s->counts[i],
                     s->graph->classes, i);
    }
}

static void open_scene(struct scene *s)
{
    open_scene_as(s, false);
}

static struct rs_batch_input batch(const struct scene *s, uint64_t step)
{
    const uint64_t i = step % 4;
    return (struct rs_batch_input){s->tensors[i], s->labels[i], s->counts[i]};
}

/* Synchronous steps; losses of each. */
static void train(struct scene *s, uint32_t steps, double *losses)
{
    for (uint32_t i = 0; i < steps; i++) {
        const struct rs_batch_input input = batch(s, i);
        struct rs_step_result result = {.loss_sum = 0};
        assert_int_equal(rs_backend_cuda.train_step(s->plan, &input, 0.01f, &result, &s->err), 0);
        losses[i] = result.loss_sum;
    }
    assert_int_equal(rs_backend_cuda.store(s->plan, s->state, &s->err), 0);
}

#define STEPS 13u

static void assert_same_state(const struct scene *a, const struct scene *b)
{
    const size_t params = (size_t)a->graph->param_floats * sizeof(float);
    assert_memory_equal(a->state->params, b->state->params, params);
    assert_memory_equal(a->state->moment1, b->state->moment1, params);
    assert_memory_equal(a->state->moment2, b->state->moment2, params);
    assert_memory_equal(a->state->buffers, b->state->buffers,
                        (size_t)a->graph->buffer_floats * sizeof(float));
    assert_int_equal(a->state->steps, b->state->steps);
    assert_int_equal(a->state->batches_tracked[0], b->state->batches_tracked[0]);
}

static void test_graph_is_eager(void **state)
{
    struct scene captured, eager, failed;
    double losses[3][STEPS];
    (void)state;
    open_scene(&captured);
    train(&captured, STEPS, losses[0]);
    assert_int_equal(rs_host_wishes.captures, 1); /* the full batch; the short one stays eager */
    assert_int_equal(rs_host_wishes.launches, STEPS - 2 - STEPS / 4);

    open_scene_as(&eager, true);
    train(&eager, STEPS, losses[1]);
    assert_int_equal(rs_host_wishes.captures, 0);

    open_scene(&failed);
    rs_host_wishes.fail_capture = 1;
    train(&failed, STEPS, losses[2]);
    assert_int_equal(rs_host_wishes.launches, 0);

    assert_memory_equal(losses[0], losses[1], sizeof(losses[0]));
    assert_memory_equal(losses[0], losses[2], sizeof(losses[0]));
    assert_same_state(&captured, &eager);
    assert_same_state(&captured, &failed);
    close_scene(&captured);
    close_scene(&eager);
    close_scene(&failed);
}

/* Uploads run ahead into free slots; results are taken late; an evaluation between steps. */
static void test_stream_is_sync(void **state)
{
    struct scene sync, streamed;
    const struct rs_stream_ops *ops = rs_backend_cuda.stream;
    double losses[2][STEPS];
    (void)state;
    open_scene(&sync);
    train(&sync, STEPS, losses[0]);
    open_scene(&streamed);
    rs_host_wishes.late = 2;
    uint64_t uploads = 0, steps = 0, results = 0, again = 0;
    while (results < STEPS) {
        struct rs_step_result result = {.loss_sum = 0};
        const uint32_t next = (uint32_t)(uploads % ops->slots), slot = (uint32_t)(steps % ops->slots);
        if (uploads < STEPS && uploads < steps + ops->slots) {
            const int code = ops->released(streamed.plan, next, &streamed.err);
            assert_true(code == 0 || code == RS_AGAIN);
            const struct rs_batch_input input = batch(&streamed, uploads);
            if (code == 0)
                assert_int_equal(ops->upload(streamed.plan, next, &input, &streamed.err), 0);
            uploads += code == 0;
            again += code == RS_AGAIN;
        }
        if (steps < uploads) {
            assert_int_equal(ops->train(streamed.plan, slot, 0.01f, steps, &streamed.err), 0);
            steps++;
        }
        if (results < steps) {
            const int code = ops->result(streamed.plan, results, &result, &streamed.err);
            assert_true(code == 0 || code == RS_AGAIN);
            if (code == 0)
                losses[1][results++] = result.loss_sum;
        }
    }
    assert_true(again > 0);
    assert_int_equal(ops->drain(streamed.plan, &streamed.err), 0);
    assert_int_equal(rs_backend_cuda.store(streamed.plan, streamed.state, &streamed.err), 0);
    assert_memory_equal(losses[0], losses[1], sizeof(losses[0]));
    assert_same_state(&sync, &streamed);
    close_scene(&sync);
    close_scene(&streamed);
}

struct pixel_case {
    struct rs_pixel_format format;
    enum rs_precision precision;
    const struct rs_case *net;
};

/* Opens a scene whose plan takes pixels or, without on_device, tensors. */
static void open_pixels(struct scene *s, const struct pixel_case *c, bool on_device)
{
    struct rs_plan_options options = {.precision = c->precision,
                                      .train_batches = {c->net->batch, c->net->rest},
                                      .beta1 = 0.9,
                                      .beta2 = 0.999,
                                      .eps = 1e-8};
    if (on_device)
        options.pixels = c->format;
    open_plan(s, c->net, &options);
    const enum rs_element tensor = c->precision == RS_PRECISION_BF16 ? RS_ELEMENT_BF16 : RS_ELEMENT_F32;
    assert_int_equal(rs_backend_cuda.input_element(s->plan), on_device ? RS_ELEMENT_U8 : tensor);
}

/* Sample i of the scene's first batch: random pixels, as its plan wants them. */
static void put_image(struct scene *s, const struct pixel_case *c, struct rs_resizer *resizer,
                      struct rs_random *random, uint32_t i)
{
    static uint8_t image[3 * 128 * 128], resized[sizeof(image)];
    const struct rs_pixel_format *f = &c->format;
    const struct rs_resize_source source = {image, f->width, f->height, f->planar};
    const struct rs_shape in = s->graph->nodes[0].out;
    const size_t pixels = (size_t)3 * f->height * f->width, out = (size_t)in.c * (size_t)in.h * (size_t)in.w;
    assert_true(pixels <= sizeof(image) && out <= sizeof(resized));
    for (size_t k = 0; k < pixels; k++)
        image[k] = (uint8_t)(rs_random_u32(random) >> 24);
    assert_int_equal(rs_resizer_run(resizer, &source, (uint32_t)in.w, (uint32_t)in.h, resized, &s->err), 0);
    switch (rs_backend_cuda.input_element(s->plan)) {
    case RS_ELEMENT_U8:
        memcpy((uint8_t *)s->tensors[0] + i * pixels, image, pixels);
        break;
    case RS_ELEMENT_BF16:
        rs_normalize_bf16(resized, (uint16_t *)(void *)s->tensors[0] + i * out, out);
        break;
    case RS_ELEMENT_F32:
        rs_normalize_f32(resized, s->tensors[0] + i * out, out);
        break;
    }
    s->labels[0][i] = (int32_t)(i % (uint32_t)s->graph->classes);
}

#define PIXEL_STEPS 6u /* the second is a short batch; the last ones are captured */

static void train_pixels(const struct pixel_case *c, bool on_device, double *losses, struct scene *s)
{
    struct rs_resizer *resizer;
    struct rs_random random;
    open_pixels(s, c, on_device);
    assert_int_equal(rs_resizer_create(&resizer, &s->err), 0);
    rs_random_init(&random, 11, 0, 0);
    s->tensors[0] = rs_backend_cuda.host_alloc(s->device, c->net->batch * (size_t)3 * 128 * 128 * 4);
    assert_non_null(s->tensors[0]);
    for (uint32_t step = 0; step < PIXEL_STEPS; step++) {
        const uint32_t count = step == 1 ? c->net->rest : c->net->batch;
        for (uint32_t i = 0; i < count; i++)
            put_image(s, c, resizer, &random, i);
        const struct rs_batch_input input = {s->tensors[0], s->labels[0], count};
        struct rs_step_result result = {.loss_sum = 0};
        assert_int_equal(rs_backend_cuda.train_step(s->plan, &input, 0.01f, &result, &s->err), 0);
        losses[step] = result.loss_sum;
    }
    assert_true(rs_host_wishes.launches > 0);
    assert_int_equal(rs_backend_cuda.store(s->plan, s->state, &s->err), 0);
    rs_resizer_destroy(resizer);
}

static void compare_pixels(const struct pixel_case *c)
{
    struct scene host, device;
    double losses[2][PIXEL_STEPS];
    train_pixels(c, false, losses[0], &host);
    train_pixels(c, true, losses[1], &device);
    assert_memory_equal(losses[0], losses[1], sizeof(losses[0]));
    assert_memory_equal(host.state->params, device.state->params,
                        (size_t)host.graph->param_floats * sizeof(float));
    close_scene(&host);
    close_scene(&device);
}

/* Up, down, as large as the input, either way that pixels lie; nets with and without a folded input. */
static void test_pixels_are_tensors(void **state)
{
    static const struct rs_pixel_format formats[] = {
        {29, 29, true}, {29, 29, false}, {7, 50, true}, {100, 29, false}};
    (void)state;
    for (uint32_t i = 0; i < 12; i++) {
        const struct pixel_case c = {formats[i / 3], i % 2 ? RS_PRECISION_BF16 : RS_PRECISION_FP32,
                                     rs_case_at(i % 3)};
        compare_pixels(&c);
    }
    struct pixel_case as_large = {{0, 0, true}, RS_PRECISION_FP32, scene_case()}; /* no pass along the rows */
    struct rs_graph *graph;
    struct rs_error err;
    assert_int_equal(as_large.net->build(&graph, &err), 0);
    as_large.format.height = (uint32_t)graph->nodes[0].out.h;
    as_large.format.width = (uint32_t)graph->nodes[0].out.w;
    rs_graph_destroy(graph);
    compare_pixels(&as_large);
    as_large.format.planar = false;
    compare_pixels(&as_large);
}

static void test_pixels_want_three_channels(void **state)
{
    struct rs_device *device;
    struct rs_graph *graph;
    struct rs_plan *plan;
    struct rs_error err = {0};
    const struct rs_plan_options options = {.train_batches = {2}, .pixels = {8, 8, true}};
    (void)state;
    memset(&rs_host_wishes, 0, sizeof(rs_host_wishes));
    assert_int_equal(rs_backend_cuda.open(&device, &(struct rs_device_options){.threads = 1}, &err), 0);
    assert_int_equal(rs_case_at(3)->build(&graph, &err), 0); /* takes 4 */
    assert_int_equal(rs_backend_cuda.compile(device, graph, &options, &plan, &err), RS_E_SHAPE);
    rs_graph_destroy(graph);
    rs_backend_cuda.close(device);
}

static void test_stream_misuse(void **state)
{
    struct scene s;
    const struct rs_stream_ops *ops = rs_backend_cuda.stream;
    struct rs_step_result result = {.loss_sum = 0};
    (void)state;
    open_scene(&s);
    struct rs_batch_input input = batch(&s, 0);
    assert_int_equal(ops->released(s.plan, 0, &s.err), 0);
    assert_int_equal(ops->uploaded(s.plan, 0, &s.err), 0);
    assert_int_equal(ops->train(s.plan, 0, 0.01f, 0, &s.err), RS_E_USAGE); /* nothing there */
    assert_int_equal(ops->upload(s.plan, ops->slots, &input, &s.err), RS_E_USAGE);
    assert_int_equal(ops->upload(s.plan, 0, &input, &s.err), 0);
    assert_int_equal(ops->released(s.plan, 0, &s.err), RS_AGAIN);
    assert_int_equal(ops->upload(s.plan, 0, &input, &s.err), RS_E_USAGE);  /* would overwrite it */
    assert_int_equal(ops->train(s.plan, 0, 0.01f, 1, &s.err), RS_E_USAGE); /* ticket 0 comes first */
    assert_int_equal(ops->result(s.plan, 0, &result, &s.err), RS_E_USAGE);
    assert_int_equal(ops->train(s.plan, 0, 0.01f, 0, &s.err), 0);
    for (uint64_t ticket = 1; ticket < RS_STREAM_RESULTS; ticket++) {
        assert_int_equal(ops->upload(s.plan, 1, &input, &s.err), 0);
        assert_int_equal(ops->eval(s.plan, 1, ticket, &s.err), 0);
    }
    assert_int_equal(ops->upload(s.plan, 1, &input, &s.err), 0);
    assert_int_equal(ops->eval(s.plan, 1, RS_STREAM_RESULTS, &s.err), RS_E_USAGE); /* the ring is full */
    assert_int_equal(ops->result(s.plan, 0, &result, &s.err), 0);
    assert_int_equal(ops->eval(s.plan, 1, RS_STREAM_RESULTS, &s.err), 0);
    input.count = 63;
    assert_int_equal(ops->upload(s.plan, 0, &input, &s.err), RS_E_USAGE);
    close_scene(&s);
}

/* Whatever call fails, the step says so and nothing leaks; the next step runs. */
static void test_failing_calls(void **state)
{
    struct scene s;
    (void)state;
    open_scene(&s);
    const struct rs_batch_input input = batch(&s, 0);
    struct rs_step_result result = {.loss_sum = 0};
    rs_host_wishes.calls = 0;
    assert_int_equal(rs_backend_cuda.train_step(s.plan, &input, 0.01f, &result, &s.err), 0);
    const uint32_t calls = rs_host_wishes.calls;
    assert_true(calls > 50);
    for (uint32_t i = 3; i <= calls; i++) { /* 1 and 2 upload: the batch isn't there then */
        struct scene t;
        open_scene(&t);
        rs_host_wishes.calls = 0;
        rs_host_wishes.fail_after = i;
        assert_int_equal(rs_backend_cuda.train_step(t.plan, &input, 0.01f, &result, &t.err), RS_E_BACKEND);
        close_scene(&t);
    }
    close_scene(&s);
}

/* fp32 stays fp32; tf32 and bf16 need a GPU that has them. */
static void test_precisions(void **state)
{
    static const enum rs_precision precisions[] = {RS_PRECISION_FP32, RS_PRECISION_TF32, RS_PRECISION_BF16};
    static const enum rs__math maths[] = {RS__MATH_FP32, RS__MATH_TF32, RS__MATH_BF16};
    static const char *const names[] = {"fp32", "tf32", "bf16"};
    struct rs_device *device;
    struct rs_graph *g;
    struct rs_error err = {0};
    (void)state;
    assert_int_equal(rs_case_at(0)->build(&g, &err), 0);
    assert_int_equal(rs_backend_cuda.open(&device, &(struct rs_device_options){.threads = 1}, &err), 0);
    for (int old = 0; old < 2; old++)
        for (int i = 0; i < 3; i++) {
            const struct rs_plan_options options = {.precision = precisions[i], .train_batches = {2}};
            struct rs_plan *plan;
            memset(&rs_host_wishes, 0, sizeof(rs_host_wishes));
            rs_host_wishes.old = old;
            const int code = rs_backend_cuda.compile(device, g, &options, &plan, &err);
            assert_int_equal(code, old && i ? RS_E_UNSUPPORTED : 0);
            if (code < 0) {
                assert_non_null(strstr(err.message, names[i]));
                assert_non_null(strstr(err.message, "--precision fp32"));
                continue;
            }
            assert_int_equal(rs_host_wishes.math, maths[i]);
            assert_int_equal(rs_backend_cuda.input_element(plan), i == 2 ? RS_ELEMENT_BF16 : RS_ELEMENT_F32);
            rs_backend_cuda.destroy(plan);
        }
    rs_graph_destroy(g);
    rs_backend_cuda.close(device);
}

static void test_refusals(void **state)
{
    struct rs_device *device;
    struct rs_plan *plan;
    struct rs_error err = {0};
    struct rs_graph *g;
    (void)state;
    memset(&rs_host_wishes, 0, sizeof(rs_host_wishes));
    struct rs_plan_options options = {.train_batches = {2}};
    assert_int_equal(rs_backend_cuda.open(&device, &(struct rs_device_options){.threads = 1}, &err), 0);

    assert_int_equal(rs_graph_create(&g, (struct rs_shape){3, 8, 8}, &err), 0);
    int at = rs_graph_linear(g, "hidden", rs_graph_conv2d(g, "conv", 0, 8, 3, 1, 1, 0, &err), 16, &err);
    at = rs_graph_linear(g, "classifier", rs_graph_relu(g, "relu", at, &err), 3, &err);
    assert_true(rs_graph_cross_entropy(g, "loss", at, &err) > 0);
    assert_int_equal(rs_backend_cuda.compile(device, g, &options, &plan, &err), RS_E_UNSUPPORTED);
    assert_non_null(strstr(err.message, "hidden"));
    rs_graph_destroy(g);

    assert_int_equal(rs_graph_create(&g, (struct rs_shape){3, 8, 8}, &err), 0);
    (void)rs_graph_conv2d(g, "lost", 0, 8, 3, 1, 1, 0, &err);
    at = rs_graph_linear(g, "classifier", rs_graph_conv2d(g, "conv", 0, 8, 3, 1, 1, 0, &err), 3, &err);
    assert_true(rs_graph_cross_entropy(g, "loss", at, &err) > 0);
    assert_int_equal(rs_backend_cuda.compile(device, g, &options, &plan, &err), RS_E_UNSUPPORTED);
    assert_non_null(strstr(err.message, "lost"));
    rs_graph_destroy(g);

    options.train_batches[0] = 0;
    assert_int_equal(rs_case_at(0)->build(&g, &err), 0);
    assert_int_equal(rs_backend_cuda.compile(device, g, &options, &plan, &err), RS_E_USAGE);
    rs_graph_destroy(g);
    rs_backend_cuda.close(device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_ref),        cmocka_unit_test(test_graph_is_eager),
        cmocka_unit_test(test_stream_is_sync),     cmocka_unit_test(test_stream_misuse),
        cmocka_unit_test(test_pixels_are_tensors), cmocka_unit_test(test_pixels_want_three_channels),
        cmocka_unit_test(test_failing_calls),      cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_precisions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
