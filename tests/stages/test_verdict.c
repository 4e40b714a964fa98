/* The verdict names the stage that limits and the flag to change. */
#include "verdict.h"

#include "cmocka_all.h"

#include <string.h>

#define SECOND 1000000000ull

static struct rs_named_figures stages[4];

static struct rs_verdict_input scene(double wait_seconds)
{
    memset(stages, 0, sizeof stages);
    stages[0].name = "read";
    stages[1].name = "decode";
    stages[2].name = "resize";
    stages[3].name = "normalize";
    for (int i = 0; i < 4; i++)
        stages[i].figures.threads = 1;
    return (struct rs_verdict_input){.stages = stages,
                                     .input_stages = 4,
                                     .seconds = 10,
                                     .wait_seconds = wait_seconds,
                                     .batches = 100,
                                     .workers = 1,
                                     .cores = 4,
                                     .slots = 8};
}

static void train_limits_when_the_step_hardly_waits(void **state)
{
    (void)state;
    struct rs_verdict v;
    struct rs_verdict_input in = scene(0.1);
    stages[1].figures.busy_ns = 9 * SECOND;
    rs_verdict_find(&in, &v);
    assert_string_equal(v.stage, "train");
    assert_string_equal(v.advice, "");
    assert_true(v.wait_share > 0.0099 && v.wait_share < 0.0101);
}

static void the_busiest_worker_stage_limits(void **state)
{
    (void)state;
    struct rs_verdict v;
    struct rs_verdict_input in = scene(6);
    stages[1].figures.busy_ns = 7 * SECOND;
    stages[2].figures.busy_ns = 2 * SECOND;
    stages[1].figures.wait_input_ns = SECOND;
    rs_verdict_find(&in, &v);
    assert_string_equal(v.stage, "decode");
    assert_non_null(strstr(v.advice, "--workers 2"));
    stages[2].figures.busy_ns = 8 * SECOND;
    in.workers = 4;
    rs_verdict_find(&in, &v);
    assert_string_equal(v.stage, "resize");
    assert_null(strstr(v.advice, "--workers"));
    assert_non_null(strstr(v.advice, "4 cores"));
}

static void two_threads_count_half(void **state)
{
    (void)state;
    struct rs_verdict v;
    struct rs_verdict_input in = scene(6);
    stages[1].figures.busy_ns = 8 * SECOND;
    stages[1].figures.threads = 4;
    stages[3].figures.busy_ns = 3 * SECOND;
    rs_verdict_find(&in, &v);
    assert_string_equal(v.stage, "normalize");
}

static void a_slow_disk_is_the_read_stage(void **state)
{
    (void)state;
    struct rs_verdict v;
    struct rs_verdict_input in = scene(6);
    stages[0].figures.wait_input_ns = 9 * SECOND;
    stages[1].figures.busy_ns = SECOND;
    stages[1].figures.wait_input_ns = 9 * SECOND;
    rs_verdict_find(&in, &v);
    assert_string_equal(v.stage, "read");
    assert_non_null(strstr(v.advice, "--prefetch 16"));
    in.slots = 64;
    rs_verdict_find(&in, &v);
    assert_null(strstr(v.advice, "--prefetch"));
}

static void a_few_steps_get_no_verdict(void **state)
{
    (void)state;
    struct rs_verdict v;
    struct rs_verdict_input in = scene(6);
    in.batches = RS_VERDICT_BATCHES - 1;
    rs_verdict_find(&in, &v);
    assert_string_equal(v.stage, "unknown");
    assert_string_equal(v.advice, "9 steps are too few to tell");
    in.batches++;
    rs_verdict_find(&in, &v);
    assert_string_not_equal(v.stage, "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(train_limits_when_the_step_hardly_waits),
        cmocka_unit_test(the_busiest_worker_stage_limits),
        cmocka_unit_test(two_threads_count_half),
        cmocka_unit_test(a_slow_disk_is_the_read_stage),
        cmocka_unit_test(a_few_steps_get_no_verdict),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
