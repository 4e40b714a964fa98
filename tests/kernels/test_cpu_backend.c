/* test_cpu_backend.c: the CPU backend behind its vtable: same bits, round trips, no allocation, refusals, and
 * the real network beside the reference. */
#include "alloc.h"
#include "cpu_compare.h"
#include "resnet.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SIDE 96

static struct rs_plan_options adam_options(enum rs_precision precision, uint32_t batch)
{
    return (struct rs_plan_options){.precision = precision,
                                    .optimizer = RS_OPTIMIZER_ADAM,
                                    .beta1 = 0.9,
                                    .beta2 = 0.999,
                                    .eps = 1e-8,
                                    .train_batches = {batch, batch - 1},
                                    .eval_batches = {batch + 1}};
}

static struct rs_graph *resnet(void)
{
    struct rs_graph *graph;
    assert_int_equal(rs_resnet_build(&graph, SIDE, 10, NULL), 0);
    return graph;
}

#ifndef __SANITIZE_THREAD__
/* Three steps of the real network: the first gradients, then losses along the way, then running statistics.
 * In bf16 the gradients may lie twice as far off as the reference's own move when its weights are rounded. */
static void compare_resnet(enum rs_precision precision, enum rs_cpu_bf16 how, double gradient, double loss,
                           double state)
{
    const struct rs_plan_options options = adam_options(precision, 4);
    struct pair p;
    pair_open(&p, resnet(), &options, how);
    if (precision == RS_PRECISION_BF16)
        gradient = 2 * pair_bf16_sensitivity(&p, 4, 0, 2);
    for (uint64_t i = 0; i < 3; i++) {
        pair_train(&p, 4, i, 1e-4f);
        double error = fabs(p.cpu.result.loss_sum - p.ref.result.loss_sum) / p.ref.result.loss_sum;
        print_message("step %d: loss %.6f, reference %.6f\n", (int)i + 1, p.cpu.result.loss_sum / 4,
                      p.ref.result.loss_sum / 4);
        assert_true(error <= (i == 0 ? loss / 100 : loss));
        if (i == 0)
            assert_true(pair_gradient_error(&p, gradient) <= gradient);
        if (i == 0)
            assert_true(pair_state_error(&p, state) <= state);
    }
    pair_eval(&p, 5, 9);
    assert_true(isfinite(p.cpu.result.loss_sum));
    pair_close(&p);
}

static void test_resnet_fp32(void **state)
{
    (void)state;
    compare_resnet(RS_PRECISION_FP32, RS_CPU_BF16_AUTO, 2e-2, 2e-3, 1e-3);
}

static void test_resnet_bf16(void **state)
{
    (void)state;
    if (!cpu_has_bf16())
        skip();
    compare_resnet(RS_PRECISION_BF16, RS_CPU_BF16_AUTO, 0, 1e-1, 2e-2);
}
#endif

/* Runs of the CPU backend alone. */
struct run {
    struct rs_graph *graph;
    struct rs_device *device;
    struct rs_plan *plan;
    struct rs_state *state;
    float *floats;
    int32_t labels[8];
    struct rs_error err;
};

static void open_run(struct run *r, const struct rs_plan_options *options)
{
    memset(r, 0, sizeof *r);
    r->graph = resnet();
    assert_int_equal(rs_state_create(&r->state, r->graph, &r->err), 0);
    rs_state_init(r->state, 1);
    assert_int_equal(rs_backend_cpu.open(&r->device, &(struct rs_device_options){.threads = 2}, &r->err), 0);
    assert_int_equal(rs_backend_cpu.compile(r->device, r->graph, options, &r->plan, &r->err), 0);
    assert_int_equal(rs_backend_cpu.load(r->plan, r->state, &r->err), 0);
    const size_t count = (size_t)8 * 3 * SIDE * SIDE;
    r->floats = rs_backend_cpu.host_alloc(r->device, count * sizeof(float));
    assert_int_equal((uintptr_t)r->floats % 64, 0);
    for (size_t i = 0; i < count; i++) /* as bf16 they are numbers below 1 too */
        r->floats[i] = (float)((i * 7919) % 1000) / 1000.0f - 0.5f;
    for (int32_t i = 0; i < 8; i++)
        r->labels[i] = i % 10;
}

static void close_run(struct run *r)
{
    rs_backend_cpu.host_free(r->device, r->floats);
    rs_backend_cpu.destroy(r->plan);
    rs_backend_cpu.close(r->device);
    rs_state_destroy(r->state);
    rs_graph_destroy(r->graph);
}

/* Steps of a full and a short batch and an evaluation; the sum of what they say goes out. */
static double steps(struct run *r, uint32_t batch)
{
    struct rs_step_result result = {0};
    const struct rs_batch_input full = {r->floats, r->labels, batch},
                                rest = {r->floats, r->labels, batch - 1};
    const struct rs_batch_input valid = {r->floats, r->labels, batch + 1};
    assert_int_equal(rs_backend_cpu.train_step(r->plan, &full, 1e-3f, &result, &r->err), 0);
    double sum = result.loss_sum;
    assert_int_equal(rs_backend_cpu.train_step(r->plan, &rest, 1e-3f, &result, &r->err), 0);
    sum += result.loss_sum;
    assert_int_equal(rs_backend_cpu.eval_step(r->plan, &valid, &result, &r->err), 0);
    return sum + result.loss_sum;
}

static void same_bits(enum rs_precision precision)
{
    const struct rs_plan_options options = adam_options(precision, 4);
    struct run r[2];
    double sums[2];
    for (int i = 0; i < 2; i++) {
        open_run(&r[i], &options);
        sums[i] = steps(&r[i], 4);
        assert_int_equal(rs_backend_cpu.store(r[i].plan, r[i].state, &r[i].err), 0);
    }
    const size_t bytes = (size_t)r[0].graph->param_floats * sizeof(float);
    assert_memory_equal(&sums[0], &sums[1], sizeof sums[0]);
    assert_memory_equal(r[0].state->params, r[1].state->params, bytes);
    assert_memory_equal(r[0].state->moment1, r[1].state->moment1, bytes);
    assert_memory_equal(r[0].state->moment2, r[1].state->moment2, bytes);
    assert_memory_equal(r[0].state->buffers, r[1].state->buffers,
                        (size_t)r[0].graph->buffer_floats * sizeof(float));
    close_run(&r[0]);
    close_run(&r[1]);
}

static void test_same_bits(void **state)
{
    (void)state;
    same_bits(RS_PRECISION_FP32);
    if (cpu_has_bf16())
        same_bits(RS_PRECISION_BF16);
}

/* What is stored is what was loaded, in every tensor, through every layout. */
static void test_round_trip(void **state)
{
    (void)state;
    const struct rs_plan_options options = adam_options(RS_PRECISION_FP32, 2);
    struct run r;
    struct rs_state *back;
    open_run(&r, &options);
    const size_t bytes = (size_t)r.graph->param_floats * sizeof(float);
    for (int64_t i = 0; i < r.graph->param_floats; i++) {
        r.state->params[i] = (float)i;
        r.state->moment1[i] = (float)(i + 1);
        r.state->moment2[i] = (float)-i;
    }
    for (int64_t i = 0; i < r.graph->buffer_floats; i++)
        r.state->buffers[i] = (float)i / 3;
    for (int32_t i = 0; i < r.graph->norm_count; i++)
        r.state->batches_tracked[i] = i + 7;
    r.state->steps = 23;
    assert_int_equal(rs_state_create(&back, r.graph, &r.err), 0);
    assert_int_equal(rs_backend_cpu.load(r.plan, r.state, &r.err), 0);
    assert_int_equal(rs_backend_cpu.store(r.plan, back, &r.err), 0);
    assert_memory_equal(back->params, r.state->params, bytes);
    assert_memory_equal(back->moment1, r.state->moment1, bytes);
    assert_memory_equal(back->moment2, r.state->moment2, bytes);
    assert_memory_equal(back->buffers, r.state->buffers, (size_t)r.graph->buffer_floats * sizeof(float));
    assert_memory_equal(back->batches_tracked, r.state->batches_tracked,
                        (size_t)r.graph->norm_count * sizeof(int64_t));
    assert_int_equal(back->steps, 23);
    rs_state_destroy(back);
    close_run(&r);
}

static void test_steps_allocate_nothing(void **state)
{
    (void)state;
    const struct rs_plan_options options = adam_options(RS_PRECISION_FP32, 2);
    struct run r;
    open_run(&r, &options);
    steps(&r, 2);
    const uint64_t before = rs_alloc_count();
    steps(&r, 2);
    assert_int_equal(rs_alloc_count(), before);
    close_run(&r);
}

/* A profile names every node that computes, and leaves the state as it was. */
static void test_profile(void **state)
{
    (void)state;
    const struct rs_plan_options options = adam_options(RS_PRECISION_FP32, 2);
    struct run r;
    struct rs_state *after;
    static char text[32768];
    open_run(&r, &options);
    const struct rs_batch_input input = {r.floats, r.labels, 2};
    assert_int_equal(rs_backend_cpu.profile(r.plan, &input, text, sizeof text, &r.err), 0);
    assert_non_null(strstr(text, "block2.1.conv1"));
    assert_non_null(strstr(text, "weight gradient"));
    assert_non_null(strstr(text, "total"));
    assert_int_equal(rs_state_create(&after, r.graph, &r.err), 0);
    assert_int_equal(rs_backend_cpu.store(r.plan, after, &r.err), 0);
    assert_memory_equal(after->params, r.state->params, (size_t)r.graph->param_floats * sizeof(float));
    assert_memory_equal(after->buffers, r.state->buffers, (size_t)r.graph->buffer_floats * sizeof(float));
    assert_int_equal(after->steps, 0);
    assert_int_equal(rs_backend_cpu.profile(r.plan, &input, text, 100, &r.err), 0); /* cut, not overrun */
    assert_true(strlen(text) < 100);
    rs_state_destroy(after);
    close_run(&r);
}

/* An evaluation plan alone has no gradients; it gives what a plan for both gives, to rounding. */
static void test_eval_only(void **state)
{
    (void)state;
    struct rs_plan_options both = adam_options(RS_PRECISION_FP32, 4), eval = both;
    double loss[2];
    eval.train_batches[0] = eval.train_batches[1] = 0;
    for (int i = 0; i < 2; i++) {
        struct run r;
        struct rs_step_result result = {0};
        open_run(&r, i ? &eval : &both);
        const struct rs_batch_input input = {r.floats, r.labels, 5};
        assert_int_equal(rs_backend_cpu.eval_step(r.plan, &input, &result, &r.err), 0);
        loss[i] = result.loss_sum;
        if (i)
            assert_int_equal(rs_backend_cpu.train_step(r.plan, &input, 0.1f, &result, &r.err), RS_E_USAGE);
        close_run(&r);
    }
    assert_true(fabs(loss[0] - loss[1]) <= 1e-6 * fabs(loss[0]));
}

static void test_refusals(void **state)
{
    (void)state;
    const struct rs_plan_options options = adam_options(RS_PRECISION_FP32, 2);
    struct rs_plan_options none = options, one = options, bf16 = options;
    struct rs_step_result result;
    struct rs_plan *plan;
    struct rs_device *device;
    struct run r;
    open_run(&r, &options);
    const struct rs_batch_input five = {r.floats, r.labels, 5}, two = {r.floats, r.labels, 2};
    assert_int_equal(rs_backend_cpu.train_step(r.plan, &five, 0.1f, &result, &r.err), RS_E_USAGE);
    r.labels[1] = 10;
    assert_int_equal(rs_backend_cpu.train_step(r.plan, &two, 0.1f, &result, &r.err), RS_E_LIMIT);
    assert_non_null(strstr(r.err.message, "sample 1"));
    none.train_batches[0] = none.eval_batches[0] = 0;
    assert_int_equal(rs_backend_cpu.compile(r.device, r.graph, &none, &plan, &r.err), RS_E_USAGE);
    bf16.precision = RS_PRECISION_TF32;
    assert_int_equal(rs_backend_cpu.compile(r.device, r.graph, &bf16, &plan, &r.err), RS_E_UNSUPPORTED);
    assert_non_null(strstr(r.err.message, "tf32"));
    assert_non_null(strstr(r.err.message, "--precision fp32"));
    bf16.precision = RS_PRECISION_BF16;
    if (!cpu_has_bf16()) {
        assert_int_equal(rs_backend_cpu.compile(r.device, r.graph, &bf16, &plan, &r.err), RS_E_UNSUPPORTED);
        assert_non_null(strstr(r.err.message, "--precision fp32"));
    }
    assert_int_equal(rs_backend_cpu.open(&device, &(struct rs_device_options){.threads = 0}, &r.err),
                     RS_E_USAGE);
    struct rs_graph *g; /* one value a channel has no variance */
    assert_int_equal(rs_graph_create(&g, (struct rs_shape){3, 1, 1}, NULL), 0);
    assert_true(rs_graph_cross_entropy(g, "loss", rs_graph_batch_norm(g, "bn", 0, NULL), NULL) > 0);
    one.train_batches[1] = 1;
    assert_int_equal(rs_backend_cpu.compile(r.device, g, &one, &plan, &r.err), RS_E_SHAPE);
    assert_non_null(strstr(r.err.message, "bn"));
    rs_graph_destroy(g);
    close_run(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#ifndef __SANITIZE_THREAD__ /* the reference has one thread and takes minutes there; test_cpu_ops runs every \
                               operator */
        cmocka_unit_test(test_resnet_fp32),
        cmocka_unit_test(test_resnet_bf16),
#endif
        cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_steps_allocate_nothing),
        cmocka_unit_test(test_profile),
        cmocka_unit_test(test_eval_only),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
