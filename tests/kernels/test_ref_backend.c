/* test_ref_backend.c: the backend "ref" behind its vtable, and the table of backends. */
#include "alloc.h"
#include "backend.h"
#include "random.h"
#include "resnet.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define BATCH ((size_t)4)
#define SIDE 6
#define PIXELS ((size_t)3 * SIDE * SIDE)

struct fixture {
    const struct rs_backend *backend;
    struct rs_graph *graph;
    struct rs_state *state;
    struct rs_device *device;
    struct rs_plan *plan;
    float *tensor;
    int32_t labels[BATCH];
    struct rs_plan_options options;
    struct rs_error err;
};

static int set_up(void **out)
{
    struct fixture *f = rs_calloc(1, sizeof(*f));
    *out = f;
    f->backend = rs_backend_find("ref");
    assert_non_null(f->backend);
    assert_int_equal(rs_graph_create(&f->graph, (struct rs_shape){3, SIDE, SIDE}, &f->err), 0);
    int at = rs_graph_conv2d(f->graph, "conv", 0, 8, 3, 1, 1, 0, &f->err);
    at = rs_graph_relu(f->graph, "relu", rs_graph_batch_norm(f->graph, "bn", at, &f->err), &f->err);
    at = rs_graph_linear(f->graph, "classifier", rs_graph_max_pool(f->graph, "pool", at, 2, 2, &f->err), 3,
                         &f->err);
    assert_true(rs_graph_cross_entropy(f->graph, "loss", at, &f->err) > 0);
    assert_int_equal(rs_state_create(&f->state, f->graph, &f->err), 0);
    rs_state_init(f->state, 3);

    f->options = (struct rs_plan_options){.beta1 = 0.9,
                                          .beta2 = 0.999,
                                          .eps = 1e-8,
                                          .train_batches = {BATCH, BATCH - 1},
                                          .eval_batches = {BATCH, 1}};
    assert_int_equal(f->backend->open(&f->device, &(struct rs_device_options){.threads = 1}, &f->err), 0);
    assert_int_equal(f->backend->compile(f->device, f->graph, &f->options, &f->plan, &f->err), 0);
    assert_int_equal(f->backend->load(f->plan, f->state, &f->err), 0);
    f->tensor = f->backend->host_alloc(f->device, BATCH * PIXELS * sizeof(float));
    struct rs_random random;
    rs_random_init(&random, 1, 0, 0);
    for (size_t i = 0; i < BATCH * PIXELS; i++)
        f->tensor[i] = 2 * rs_random_float(&random) - 1;
    for (uint32_t i = 0; i < BATCH; i++)
        f->labels[i] = (int32_t)(i % 3);
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    f->backend->host_free(f->device, f->tensor);
    f->backend->destroy(f->plan);
    f->backend->destroy(NULL);
    f->backend->close(f->device);
    rs_state_destroy(f->state);
    rs_graph_destroy(f->graph);
    rs_free(f);
    return 0;
}

static void test_table(void **state)
{
    (void)state;
    uint32_t count = 0;
    for (; rs_backend_at(count); count++)
        assert_ptr_equal(rs_backend_find(rs_backend_at(count)->name), rs_backend_at(count));
    assert_true(count >= 1);
    assert_string_equal(rs_backend_at(count - 1)->name, "ref"); /* the last choice */
    assert_null(rs_backend_find("abacus"));
    assert_null(rs_backend_at(UINT32_MAX));
}

static void test_probe(void **state)
{
    struct fixture *f = *state;
    struct rs_device_info info;
    assert_int_equal(f->backend->probe(0, &info, &f->err), 0);
    assert_string_equal(info.precisions, "fp32");
    assert_true(info.name[0] && info.library[0] && info.memory_bytes > 1 << 20);
    assert_int_equal(f->backend->input_element(f->plan), RS_ELEMENT_F32);
}

static void test_refuses_other_precisions(void **state)
{
    struct fixture *f = *state;
    struct rs_plan *plan = f->plan;
    f->options.precision = RS_PRECISION_BF16;
    assert_int_equal(f->backend->compile(f->device, f->graph, &f->options, &plan, &f->err), RS_E_UNSUPPORTED);
    assert_null(plan);
    assert_non_null(strstr(f->err.message, "--precision fp32 or --device cpu"));
    f->options.precision = RS_PRECISION_TF32;
    assert_int_equal(f->backend->compile(f->device, f->graph, &f->options, &plan, &f->err), RS_E_UNSUPPORTED);
    assert_non_null(strstr(f->err.message, "--precision fp32"));
    assert_null(strstr(f->err.message, "--device cpu")); /* has none either */
}

static void test_refuses_other_batches(void **state)
{
    struct fixture *f = *state;
    struct rs_step_result result;
    const struct rs_batch_input two = {f->tensor, f->labels, 2}, one = {f->tensor, f->labels, 1};
    assert_int_equal(f->backend->train_step(f->plan, &two, 0.1f, &result, &f->err), RS_E_USAGE);
    assert_int_equal(f->backend->eval_step(f->plan, &two, &result, &f->err), RS_E_USAGE);
    assert_int_equal(f->backend->train_step(f->plan, &one, 0.1f, &result, &f->err), RS_E_USAGE);
}

/* Batch norm over one value of one sample has no variance. */
static void test_refuses_single_values(void **state)
{
    struct fixture *f = *state;
    struct rs_graph *g;
    struct rs_plan *plan;
    assert_int_equal(rs_graph_create(&g, (struct rs_shape){3, 1, 1}, &f->err), 0);
    assert_true(rs_graph_cross_entropy(g, "loss", rs_graph_batch_norm(g, "bn", 0, &f->err), &f->err) > 0);
    f->options.train_batches[0] = 2;
    f->options.train_batches[1] = 0;
    assert_int_equal(f->backend->compile(f->device, g, &f->options, &plan, &f->err), 0);
    f->backend->destroy(plan);
    f->options.train_batches[1] = 1;
    assert_int_equal(f->backend->compile(f->device, g, &f->options, &plan, &f->err), RS_E_SHAPE);
    assert_non_null(strstr(f->err.message, "bn"));
    rs_graph_destroy(g);
}

static void test_store_gives_what_was_loaded(void **state)
{
    struct fixture *f = *state;
    struct rs_state *copy;
    const size_t params = (size_t)f->graph->param_floats * sizeof(float);
    for (int64_t i = 0; i < f->graph->param_floats; i++) {
        f->state->moment1[i] = (float)i;
        f->state->moment2[i] = (float)-i;
    }
    f->state->steps = 17;
    f->state->batches_tracked[0] = 19;
    f->state->buffers[3] = 0.25f;
    assert_int_equal(rs_state_create(&copy, f->graph, &f->err), 0);
    assert_int_equal(f->backend->load(f->plan, f->state, &f->err), 0);
    assert_int_equal(f->backend->store(f->plan, copy, &f->err), 0);
    assert_memory_equal(copy->params, f->state->params, params);
    assert_memory_equal(copy->moment1, f->state->moment1, params);
    assert_memory_equal(copy->moment2, f->state->moment2, params);
    assert_memory_equal(copy->buffers, f->state->buffers, (size_t)f->graph->buffer_floats * sizeof(float));
    assert_int_equal(copy->steps, 17);
    assert_int_equal(copy->batches_tracked[0], 19);
    rs_state_destroy(copy);
}

/* Overfits four samples: loss falls, all hit; the same steps again give the same bits. */
static void test_learns_and_repeats(void **state)
{
    struct fixture *f = *state;
    const struct rs_batch_input input = {f->tensor, f->labels, BATCH};
    struct rs_step_result result = {0};
    double losses[2][60];
    const uint64_t allocations = rs_alloc_count();
    for (int run = 0; run < 2; run++) {
        assert_int_equal(f->backend->load(f->plan, f->state, &f->err), 0);
        for (int step = 0; step < 60; step++) {
            assert_int_equal(f->backend->train_step(f->plan, &input, 0.01f, &result, &f->err), 0);
            losses[run][step] = result.loss_sum / BATCH;
        }
    }
    assert_memory_equal(losses[0], losses[1], sizeof(losses[0]));
    assert_true(losses[0][59] < 0.1 * losses[0][0]);
    assert_int_equal(result.correct, BATCH);
    assert_int_equal(rs_alloc_count(), allocations); /* steps allocate nothing */
    assert_int_equal(f->backend->store(f->plan, f->state, &f->err), 0);
    assert_int_equal(f->state->steps, 60);
    assert_int_equal(f->state->batches_tracked[0], 60);
}

/* Evaluation changes nothing, one sample's result doesn't depend on its neighbours, and probabilities are
 * some. */
static void test_eval(void **state)
{
    struct fixture *f = *state;
    float all[BATCH * 3], one[3];
    struct rs_step_result whole = {.probabilities = all}, single = {.probabilities = one};
    struct rs_state *after;
    double loss = 0;
    uint32_t correct = 0;
    const struct rs_batch_input input = {f->tensor, f->labels, BATCH};
    assert_int_equal(f->backend->eval_step(f->plan, &input, &whole, &f->err), 0);
    for (uint32_t i = 0; i < BATCH; i++) {
        const struct rs_batch_input sample = {f->tensor + i * PIXELS, f->labels + i, 1};
        assert_int_equal(f->backend->eval_step(f->plan, &sample, &single, &f->err), 0);
        assert_memory_equal(one, all + (size_t)i * 3, sizeof(one));
        assert_true(fabs((double)one[0] + one[1] + one[2] - 1) < 1e-6);
        assert_true(fabs(-log((double)one[f->labels[i]]) - single.loss_sum) < 1e-5);
        loss += single.loss_sum;
        correct += single.correct;
    }
    assert_true(fabs(loss - whole.loss_sum) < 1e-12);
    assert_int_equal(correct, whole.correct);
    assert_int_equal(rs_state_create(&after, f->graph, &f->err), 0);
    assert_int_equal(f->backend->store(f->plan, after, &f->err), 0);
    assert_memory_equal(after->params, f->state->params, (size_t)f->graph->param_floats * sizeof(float));
    assert_memory_equal(after->buffers, f->state->buffers, (size_t)f->graph->buffer_floats * sizeof(float));
    rs_state_destroy(after);
}

/* SGD's step is lr times the gradient that store_gradients gives. */
static void test_gradients_are_those_of_the_step(void **state)
{
    struct fixture *f = *state;
    struct rs_plan *plan;
    struct rs_state *after;
    struct rs_step_result result;
    const struct rs_batch_input input = {f->tensor, f->labels, BATCH - 1};
    float *gradients = rs_calloc((size_t)f->graph->param_floats, sizeof(float));
    f->options.optimizer = RS_OPTIMIZER_SGD;
    assert_int_equal(rs_state_create(&after, f->graph, &f->err), 0);
    assert_int_equal(f->backend->compile(f->device, f->graph, &f->options, &plan, &f->err), 0);
    assert_int_equal(f->backend->load(plan, f->state, &f->err), 0);
    assert_int_equal(f->backend->train_step(plan, &input, 0.5f, &result, &f->err), 0);
    assert_int_equal(f->backend->store_gradients(plan, gradients, &f->err), 0);
    assert_int_equal(f->backend->store(plan, after, &f->err), 0);
    double largest = 0;
    for (int64_t i = 0; i < f->graph->param_floats; i++) {
        assert_true(after->params[i] == f->state->params[i] - 0.5f * gradients[i]);
        largest = fmax(largest, fabs((double)gradients[i]));
    }
    assert_true(largest > 1e-3);
    f->backend->destroy(plan);
    rs_state_destroy(after);
    rs_free(gradients);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test_setup_teardown(test_probe, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refuses_other_precisions, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refuses_other_batches, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refuses_single_values, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_store_gives_what_was_loaded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_learns_and_repeats, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_eval, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_gradients_are_those_of_the_step, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
