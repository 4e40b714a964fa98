/* The verdict names the stage that limits and the flag to change. */
#include "verdict.h"

#include "cmocka_all.h"

#include <stdio.h>
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
    assert_true(v.wait_share == 0.1 / 10);
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
    assert_string_equal(v.advice, "try --workers 2");
    assert_true(v.wait_share == 6.0 / 10);
    stages[2].figures.busy_ns = 8 * SECOND;
    in.workers = 4;
    rs_verdict_find(&in, &v);
    assert_string_equal(v.stage, "resize");
    assert_string_equal(v.advice,
                        "all 4 cores are at work; store the images smaller, or compute on another device");
    stages[1].figures.busy_ns = 8 * SECOND; /* of equals the first */
    rs_verdict_find(&in, &v);
    assert_string_equal(v.stage, "decode");
}

/* Twice the workers, but no more than there are cores. */
static void more_workers_are_advised_up_to_the_cores(void **state)
{
    (void)state;
    static const uint32_t cases[][3] = {/* workers, cores, advised */ {1, 2, 2},
                                        {1, 4, 2},
                                        {2, 3, 3},
                                        {2, 5, 4},
                                        {3, 4, 4},
                                        {4, 9, 8},
                                        {5, 64, 10}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rs_verdict v;
        char advice[32];
        struct rs_verdict_input in = scene(6);
        stages[1].figures.busy_ns = 7 * SECOND;
        in.workers = cases[i][0];
        in.cores = cases[i][1];
        rs_verdict_find(&in, &v);
        snprintf(advice, sizeof advice, "try --workers %u", cases[i][2]);
        assert_string_equal(v.advice, advice);
    }
}

/* The share from which on waiting counts is RS_VERDICT_WAIT itself. */
static void the_threshold_of_waiting(void **state)
{
    (void)state;
    struct rs_verdict v;
    struct rs_verdict_input in = scene(3);
    in.seconds = 100;
    stages[1].figures.busy_ns = 9 * SECOND;
    assert_true(3.0 / 100 == RS_VERDICT_WAIT);
    rs_verdict_find(&in, &v);
    assert_string_equal(v.stage, "decode");
    in.wait_seconds = 2.9999;
    rs_verdict_find(&in, &v);
    assert_string_equal(v.stage, "train");
    in.seconds = 0; /* no time was measured */
    rs_verdict_find(&in, &v);
    assert_string_equal(v.stage, "train");
    assert_true(v.wait_share == 0);
}

/* Without a stage of workers, and with one whose threads weren't counted, nothing is divided by zero. */
static void stages_may_be_missing(void **state)
{
    (void)state;
    struct rs_verdict v;
    struct rs_verdict_input in = scene(6);
    stages[1].figures.busy_ns = 7 * SECOND;
    in.input_stages = 1;
    rs_verdict_find(&in, &v);
    assert_string_equal(v.stage, "train");
    assert_string_equal(v.advice, "");
    in.input_stages = 4;
    stages[3].figures.busy_ns = 9 * SECOND;
    stages[3].figures.threads = 0;
    rs_verdict_find(&in, &v);
    assert_string_equal(v.stage, "decode");
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
    assert_string_equal(v.advice, "try --prefetch 16, or a faster disk");
    static const uint32_t slots[][2] = {{1, 2}, {31, 62}, {32, 64}, {33, 64}, {63, 64}};
    for (size_t i = 0; i < sizeof slots / sizeof *slots; i++) {
        char advice[64];
        in.slots = slots[i][0];
        rs_verdict_find(&in, &v);
        snprintf(advice, sizeof advice, "try --prefetch %u, or a faster disk", slots[i][1]);
        assert_string_equal(v.advice, advice);
    }
    in.slots = 64;
    rs_verdict_find(&in, &v);
    assert_string_equal(v.stage, "read");
    assert_string_equal(v.advice, "the disk is the limit; put the data on a faster one");
}

/* The disk limits only if the workers waited more than they worked, all stages together, and the read stage
 * for bytes more than for slots. */
static void a_disk_must_be_waited_for(void **state)
{
    (void)state;
    static const struct {
        uint64_t read_input, read_slot, busy, waited_decode, waited_normalize;
        const char *stage;
    } cases[] = {{9, 0, 5, 4, 0, "decode"}, {9, 0, 5, 5, 0, "decode"}, {9, 0, 5, 3, 3, "read"},
                 {0, 9, 1, 9, 0, "decode"}, {5, 5, 1, 9, 0, "decode"}, {6, 5, 1, 9, 0, "read"},
                 {9, 0, 6, 0, 6, "decode"}, {9, 0, 6, 0, 7, "read"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rs_verdict v;
        struct rs_verdict_input in = scene(6);
        stages[0].figures.wait_input_ns = cases[i].read_input * SECOND;
        stages[0].figures.wait_slot_ns = cases[i].read_slot * SECOND;
        stages[1].figures.busy_ns = cases[i].busy * SECOND;
        stages[1].figures.wait_input_ns = cases[i].waited_decode * SECOND;
        stages[3].figures.wait_input_ns = cases[i].waited_normalize * SECOND;
        rs_verdict_find(&in, &v);
        if (strcmp(v.stage, cases[i].stage) != 0)
            fail_msg("case %zu: %s", i, v.stage);
    }
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
    assert_string_equal(v.stage, "decode");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(train_limits_when_the_step_hardly_waits),
        cmocka_unit_test(the_busiest_worker_stage_limits),
        cmocka_unit_test(two_threads_count_half),
        cmocka_unit_test(more_workers_are_advised_up_to_the_cores),
        cmocka_unit_test(the_threshold_of_waiting),
        cmocka_unit_test(stages_may_be_missing),
        cmocka_unit_test(a_slow_disk_is_the_read_stage),
        cmocka_unit_test(a_disk_must_be_waited_for),
        cmocka_unit_test(a_few_steps_get_no_verdict),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
