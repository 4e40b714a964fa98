/* test_cuda_trace.c: which upload or step a plan's calls to the device belong to, on the test's device. */
#include "cases.h"
#include "check_input.h"
#include "cuda_backend.h"
#include "host_gpu.h"
#include "stream.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define STEPS 5u /* the last ones are captured */

struct scene {
    struct rs_device *device;
    struct rs_graph *graph;
    struct rs_state *state;
    struct rs_plan *plan;
    float *tensor;
    int32_t labels[64];
    uint32_t count;
    struct rs_error err;
};

static void open_scene(struct scene *s)
{
    const struct rs_case *c = rs_case_at(0);
    memset(s, 0, sizeof(*s));
    memset(&rs_host_wishes, 0, sizeof(rs_host_wishes));
    s->count = c->batch;
    const struct rs_plan_options options = {.train_batches = {s->count}, .eval_batches = {s->count}};
    assert_int_equal(rs_backend_cuda.open(&s->device, &(struct rs_device_options){.threads = 1}, &s->err), 0);
    assert_int_equal(c->build(&s->graph, &s->err), 0);
    assert_int_equal(rs_state_create(&s->state, s->graph, &s->err), 0);
    rs_state_init(s->state, 5);
    assert_int_equal(rs_backend_cuda.compile(s->device, s->graph, &options, &s->plan, &s->err), 0);
    assert_int_equal(rs_backend_cuda.load(s->plan, s->state, &s->err), 0);
    const struct rs_shape in = s->graph->nodes[0].out;
    const size_t values = s->count * (size_t)in.c * (size_t)in.h * (size_t)in.w;
    s->tensor = rs_backend_cuda.host_alloc(s->device, values * sizeof(float));
    assert_non_null(s->tensor);
    rs_case_fill(s->tensor, RS_ELEMENT_F32, values, s->labels, s->count, s->graph->classes, 1);
}

static void close_scene(struct scene *s)
{
    rs_backend_cuda.destroy(s->plan);
    rs_backend_cuda.host_free(s->device, s->tensor);
    rs_state_destroy(s->state);
    rs_graph_destroy(s->graph);
    rs_backend_cuda.close(s->device);
}

/* Uploads and steps one batch; every third one validates. */
static void run_batch(struct scene *s, uint64_t ticket)
{
    const struct rs_stream_ops *ops = rs_backend_cuda.stream;
    const struct rs_batch_input input = {s->tensor, s->labels, s->count};
    const uint32_t slot = (uint32_t)(ticket % ops->slots);
    struct rs_step_result result = {.loss_sum = 0};
    assert_int_equal(ops->upload(s->plan, slot, &input, &s->err), 0);
    if (ticket % 3 == 2)
        assert_int_equal(ops->eval(s->plan, slot, ticket, &s->err), 0);
    else
        assert_int_equal(ops->train(s->plan, slot, 0.01f, ticket, &s->err), 0);
    assert_int_equal(ops->result(s->plan, ticket, &result, &s->err), 0);
}

struct tally { /* records by cause and number */
    uint32_t upload_copies[STEPS], step_copies[STEPS], step_kernels[STEPS], others;
};

static void count(void *arg, const struct rs_device_record *r)
{
    struct tally *t = arg;
    assert_true(r->begin_ns <= r->end_ns && strlen(r->name) > 0);
    if (r->cause == RS_CAUSE_NONE) {
        t->others++;
        return;
    }
    assert_true(r->number < STEPS);
    if (r->cause == RS_CAUSE_UPLOAD && r->copies)
        t->upload_copies[r->number]++;
    else if (r->cause == RS_CAUSE_STEP && r->copies)
        t->step_copies[r->number]++;
    else if (r->cause == RS_CAUSE_STEP)
        t->step_kernels[r->number]++;
    else
        fail_msg("an upload computes: %s", r->name);
}

static void test_causes(void **state)
{
    struct scene s;
    struct tally t = {.others = 0};
    uint64_t lost;
    const struct rs_stream_ops *ops = rs_backend_cuda.stream;
    (void)state;
    open_scene(&s);
    assert_int_equal(ops->trace_begin(s.plan, &s.err), 0);
    for (uint64_t i = 0; i < STEPS; i++)
        run_batch(&s, i);
    assert_int_equal(rs_backend_cuda.store(s.plan, s.state, &s.err), 0); /* belongs to no batch */
    assert_int_equal(ops->trace_end(s.plan, count, &t, &lost, &s.err), 0);
    assert_int_equal(lost, 7);
    for (int i = 0; i < (int)STEPS; i++) {
        assert_int_equal(t.upload_copies[i], 2); /* tensor and labels */
        assert_int_equal(t.step_copies[i], 2);   /* labels and result */
        assert_true(t.step_kernels[i] >= 2);     /* input and, at least, the graph */
    }
    assert_int_equal(t.step_kernels[4], 3); /* input, hyper, graph */
    assert_true(t.step_kernels[0] > 10);
    assert_true(t.others > 0);
    memset(&t, 0, sizeof(t));
    assert_int_equal(ops->trace_end(s.plan, count, &t, &lost, &s.err), 0); /* it has ended */
    assert_int_equal(lost + t.others + t.step_kernels[0], 0);
    run_batch(&s, STEPS);
    close_scene(&s);
}

static void test_without_records(void **state)
{
    struct scene s;
    (void)state;
    open_scene(&s);
    rs_host_wishes.no_records = 1;
    assert_int_equal(rs_backend_cuda.stream->trace_begin(s.plan, &s.err), RS_E_UNSUPPORTED);
    run_batch(&s, 0);
    rs_host_wishes.no_records = 0;
    assert_int_equal(rs_backend_cuda.stream->trace_begin(s.plan, &s.err), 0);
    run_batch(&s, 1);
    close_scene(&s); /* ends it */
}

/* What cuda_check asks of a GPU, of the test's device; and that it notices what is wrong. */
static void test_checks(void **state)
{
    struct rs_device *device;
    struct rs_error err = {0};
    const struct rs_pixel_format format = {32, 32, true};
    (void)state;
    memset(&rs_host_wishes, 0, sizeof(rs_host_wishes));
    assert_int_equal(rs_backend_cuda.open(&device, &(struct rs_device_options){.threads = 1}, &err), 0);
    if (rs_check_pixels(&rs_backend_cuda, device, RS_PRECISION_FP32, &format, &err) < 0 ||
        rs_check_records(&rs_backend_cuda, device, &err) < 0)
        fail_msg("%s", err.message);
    rs_host_wishes.no_records = 1;
    assert_int_equal(rs_check_records(&rs_backend_cuda, device, &err), RS_E_UNSUPPORTED);
    rs_host_wishes.no_records = 0;
    rs_host_wishes.forget_causes = 1;
    assert_int_equal(rs_check_records(&rs_backend_cuda, device, &err), RS_E_BACKEND);
    assert_non_null(strstr(err.message, "batch 0 has 0 copies"));
    rs_backend_cuda.close(device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_causes),
        cmocka_unit_test(test_without_records),
        cmocka_unit_test(test_checks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
