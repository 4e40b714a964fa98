/* Steps on cached batches through a stream: the same losses and weights as one after another, whatever the
 * device's lateness; the times; each failing call ends them with nothing under way. */
#include "stream_steps.h"

#include "clock.h"
#include "cmocka_all.h"
#include "fake_backend.h"
#include "graph.h"

#include <string.h>

#define SIDE 4
#define BATCH 2u
#define BATCHES 4u
#define STEPS 25u

struct fixture {
    struct rs_graph *graph;
    struct rs_plan *plan;
    struct fake_script script;
    float tensors[BATCHES][BATCH * 3 * SIDE * SIDE];
    int32_t labels[BATCHES][BATCH];
    struct rs_batch_input batches[BATCHES];
    struct rs_stream_steps steps;
    struct rs_error err;
};

static void open_plan(struct fixture *f, const struct rs_backend *backend, struct fake_script script)
{
    const struct rs_plan_options options = {.train_batches = {BATCH}};
    memset(f, 0, sizeof *f);
    f->script = script;
    fake_set_script(&f->script);
    assert_int_equal(rs_graph_create(&f->graph, (struct rs_shape){3, SIDE, SIDE}, &f->err), 0);
    assert_int_equal(backend->compile(NULL, f->graph, &options, &f->plan, &f->err), 0);
    for (uint32_t i = 0; i < BATCHES; i++) {
        for (uint32_t k = 0; k < BATCH * 3 * SIDE * SIDE; k++)
            f->tensors[i][k] = (float)(i * 1000 + k);
        f->batches[i] = (struct rs_batch_input){f->tensors[i], f->labels[i], BATCH};
    }
    f->steps = (struct rs_stream_steps){
        .stream = backend->stream, .plan = f->plan, .batches = f->batches, .count = BATCHES, .lr = 0.25f};
}

/* The script has the weights after it. */
static void close_plan(struct fixture *f, const struct rs_backend *backend)
{
    backend->destroy(f->plan);
    rs_graph_destroy(f->graph);
}

static void the_same_bits_as_one_after_another(void **state)
{
    (void)state;
    struct fixture f, g;
    double expected[STEPS], losses[STEPS], seconds[STEPS];
    open_plan(&f, &fake_sync, (struct fake_script){0});
    for (uint32_t i = 0; i < STEPS; i++) {
        struct rs_step_result result = {0};
        assert_int_equal(fake_sync.train_step(f.plan, &f.batches[i % BATCHES], f.steps.lr, &result, &f.err),
                         0);
        expected[i] = result.loss_sum;
    }
    close_plan(&f, &fake_sync);
    for (uint32_t seed = 0; seed < 40; seed++) {
        open_plan(&g, &fake_stream, (struct fake_script){.seed = seed, .latency = seed % 8});
        /* in two runs, of which the first ends in the middle of the batches and of the device's slots */
        assert_int_equal(rs_stream_steps_run(&g.steps, 10, NULL, losses, &g.err), 0);
        assert_int_equal(rs_stream_steps_run(&g.steps, STEPS - 10, seconds, losses + 10, &g.err), 0);
        assert_int_equal(g.steps.next, STEPS);
        assert_int_equal(g.script.copies, STEPS);
        assert_int_equal(g.script.train_steps, STEPS);
        assert_true(seed % 8 < 4 || g.script.overlaps > STEPS / 2); /* uploads go ahead of steps */
        close_plan(&g, &fake_stream);
        assert_memory_equal(losses, expected, sizeof losses);
        assert_memory_equal(g.script.weights, f.script.weights, sizeof f.script.weights);
    }
}

static void times_are_the_whole_time(void **state)
{
    (void)state;
    struct fixture f;
    double seconds[STEPS], sum = 0;
    open_plan(&f, &fake_stream, (struct fake_script){.latency = 1000});
    uint64_t begin = rs_now_ns();
    assert_int_equal(rs_stream_steps_run(&f.steps, STEPS, seconds, NULL, &f.err), 0);
    double whole = (double)(rs_now_ns() - begin) * 1e-9;
    close_plan(&f, &fake_stream);
    for (uint32_t i = 0; i < STEPS; i++) {
        assert_true(seconds[i] > 0);
        sum += seconds[i];
    }
    assert_true(sum <= whole * 1.000001);
}

static void nothing_to_do(void **state)
{
    (void)state;
    struct fixture f;
    double seconds = 7;
    open_plan(&f, &fake_stream, (struct fake_script){0});
    assert_int_equal(rs_stream_steps_run(&f.steps, 0, &seconds, NULL, &f.err), 0);
    close_plan(&f, &fake_stream);
    assert_true(seconds == 7);
    assert_int_equal(f.script.train_steps, 0);
}

static void errors_end_it(void **state)
{
    (void)state;
    static const enum fake_call calls[] = {FAKE_UPLOAD, FAKE_TRAIN, FAKE_RELEASED, FAKE_RESULT, FAKE_DRAIN};
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        for (uint32_t at = 1; at <= (calls[i] == FAKE_DRAIN ? 2 : 9); at++) {
            struct fixture f;
            open_plan(&f, &fake_stream,
                      (struct fake_script){.seed = at, .latency = 5, .fail = calls[i], .fail_at = at});
            assert_int_equal(rs_stream_steps_run(&f.steps, STEPS, NULL, NULL, &f.err), RS_E_BACKEND);
            assert_non_null(strstr(f.err.message, "made to fail"));
            assert_int_equal(f.script.train_steps, f.steps.next); /* all that was started has ended */
            assert_true(calls[i] == FAKE_DRAIN || f.steps.next < STEPS);
            close_plan(&f, &fake_stream);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_bits_as_one_after_another),
        cmocka_unit_test(times_are_the_whole_time),
        cmocka_unit_test(nothing_to_do),
        cmocka_unit_test(errors_end_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
