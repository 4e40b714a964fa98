/* Whole runs on scripted devices: same results whatever the placement, the latencies and the interruptions.
 */
#include "run_fixture.h"

#include "cmocka_all.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static struct fixture fixture;

/* Weights begin as the seed's: none are given. */
static struct rs_training_options options(const struct rs_backend *backend)
{
    struct rs_training_options o = scene_options(&fixture.scene);
    o.backend = backend;
    o.device = "fake";
    o.epochs = 3;
    o.lr = 0.25f;
    o.config_json = "{}";
    return o;
}

static void assert_same(const struct run_result *a, const struct run_result *b)
{
    assert_done(a);
    assert_done(b);
    assert_true(a->script.weights[0] == b->script.weights[0] && a->script.weights[1] == b->script.weights[1]);
    assert_true(a->outcome.train_loss == b->outcome.train_loss);
    assert_true(a->outcome.valid_loss == b->outcome.valid_loss);
    assert_true(a->outcome.valid_accuracy == b->outcome.valid_accuracy);
    assert_int_equal(a->outcome.steps, b->outcome.steps);
    assert_int_equal(a->outcome.epochs_done, b->outcome.epochs_done);
}

static struct run_result plain_run(void)
{
    struct rs_training_options o = options(&fake_sync);
    struct run_result r = fixture_run(&o, (struct fake_script){0});
    assert_done(&r);
    assert_int_equal(r.outcome.steps, 18);
    assert_int_equal(r.outcome.epochs_done, 3);
    assert_true(r.outcome.valid_loss != 0);
    return r;
}

static void placement_changes_no_bit(void **state)
{
    (void)state;
    struct run_result plain = plain_run();
    for (uint32_t i = 0; i < 8; i++) {
        struct rs_training_options o = options(&fake_sync);
        o.prefetch = (const uint32_t[]){1, 2, 8, 64}[i % 4];
        o.workers = 1 + i % 2;
        o.fuse = i < 4 ? RS_FUSE_AUTO : RS_FUSE_NONE;
        struct run_result r = fixture_run(&o, (struct fake_script){0});
        assert_same(&r, &plain);
    }
    struct rs_training_options o = options(&fake_sync);
    o.seed++;
    struct run_result other = fixture_run(&o, (struct fake_script){0});
    assert_true(other.outcome.train_loss != plain.outcome.train_loss);
}

static void a_device_that_completes_late_changes_no_bit(void **state)
{
    (void)state;
    struct run_result plain = plain_run();
    uint32_t overlaps = 0;
    for (uint32_t i = 0; i < 24; i++) {
        struct rs_training_options o = options(&fake_stream);
        o.prefetch = (const uint32_t[]){1, 2, 3, 8}[i % 4];
        o.fuse = i % 3 ? RS_FUSE_AUTO : RS_FUSE_NONE;
        o.preprocess = i % 2 ? RS_PREPROCESS_HOST : RS_PREPROCESS_DEVICE;
        struct run_result r = fixture_run(&o, (struct fake_script){.seed = i, .latency = i % 5 * 4});
        assert_same(&r, &plain);
        assert_int_equal(r.script.copies, 18 + 3 * 2);
        overlaps += r.script.overlaps;
    }
    assert_true(overlaps > 24); /* copies were started under steps, not after them */
}

static void a_failure_of_the_device_ends_the_run(void **state)
{
    (void)state;
    static const struct rs_backend *const backends[] = {&fake_sync, &fake_stream};
    for (int b = 0; b < 2; b++)
        for (enum fake_call call = FAKE_UPLOAD; call <= FAKE_RESULT; call++)
            for (uint32_t at = 1; at <= 11; at += 5) {
                struct rs_training_options o = options(backends[b]);
                o.preprocess = at % 2 ? RS_PREPROCESS_AUTO : RS_PREPROCESS_HOST;
                struct run_result r =
                    fixture_run(&o, (struct fake_script){.latency = 3, .fail = call, .fail_at = at});
                bool calls = b == 1 || call == FAKE_TRAIN || (call == FAKE_EVAL && at < 7);
                if (call == FAKE_EVAL && at > 6)
                    calls = false; /* there are six in all */
                if (!calls) {
                    assert_done(&r);
                    continue;
                }
                assert_int_equal(r.code, RS_E_BACKEND);
                assert_non_null(strstr(r.err.message, "train: made to fail"));
            }
}

/* The wish reaches the plan; a device that has no graphs refuses either word. */
static void graphs_are_for_devices_with_a_stream(void **state)
{
    (void)state;
    for (int wish = RS_STEP_GRAPH_DEFAULT; wish <= RS_STEP_GRAPH_OFF; wish++) {
        struct rs_training_options o = options(&fake_stream);
        o.step_graph = (enum rs_step_graph)wish;
        o.max_steps = 1;
        struct run_result r = fixture_run(&o, (struct fake_script){0});
        assert_done(&r);
        assert_true(r.script.eager == (wish == RS_STEP_GRAPH_OFF));
        o.backend = &fake_sync;
        r = fixture_run(&o, (struct fake_script){0});
        assert_int_equal(r.code, wish == RS_STEP_GRAPH_DEFAULT ? 0 : RS_E_USAGE);
        if (r.code < 0)
            assert_non_null(strstr(r.err.message, wish == RS_STEP_GRAPH_ON
                                                      ? "--cuda-graph on: the device fake"
                                                      : "--cuda-graph off: the device fake"));
    }
}

static size_t line_count(const char *dir, const char *what)
{
    char path[500], *line = NULL;
    size_t size = 0, count = 0;
    snprintf(path, sizeof path, "%s/metrics.jsonl", dir);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    while (getline(&line, &size, f) > 0)
        count += strstr(line, what) != NULL;
    free(line);
    fclose(f);
    return count;
}

static void an_interrupted_run_goes_on_to_the_same_bits(void **state)
{
    (void)state;
    struct run_result plain = plain_run();
    static const uint64_t at[] = {1, 5, 6, 7, 17};
    for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
        char dir[400];
        fixture_dir(&fixture, dir, "interrupted");
        struct rs_training_options o = options(i % 2 ? &fake_stream : &fake_sync);
        o.out = dir;
        struct run_result r = fixture_run(&o, (struct fake_script){.interrupt_at = at[i], .latency = 5});
        assert_done(&r);
        assert_true(r.outcome.interrupted);
        assert_true(r.outcome.steps >= at[i]);
        o.resume = true;
        r = fixture_run(&o, (struct fake_script){0});
        assert_same(&r, &plain);
        assert_int_equal(line_count(dir, "\"event\":\"step\""), 18);
        assert_int_equal(line_count(dir, "\"event\":\"epoch\""), 3);
        fixture_remove(dir);
    }
}

static void max_steps_can_be_raised_on_resume(void **state)
{
    (void)state;
    char dir[400];
    struct rs_training_options o = options(&fake_sync);
    o.max_steps = 9;
    struct run_result whole = fixture_run(&o, (struct fake_script){0});
    fixture_dir(&fixture, dir, "raised");
    o.out = dir;
    o.max_steps = 4;
    struct run_result r = fixture_run(&o, (struct fake_script){0});
    assert_done(&r);
    assert_int_equal(r.outcome.steps, 4);
    o.resume = true;
    r = fixture_run(&o, (struct fake_script){0}); /* nothing is left to do */
    assert_done(&r);
    assert_int_equal(r.script.train_steps, 0);
    assert_int_equal(line_count(dir, "\"event\":\"step\""), 4);
    assert_int_equal(line_count(dir, "\"event\":\"epoch\""), 1);
    o.max_steps = 3; /* fewer than are done */
    r = fixture_run(&o, (struct fake_script){0});
    assert_done(&r);
    assert_int_equal(r.script.train_steps, 0);
    o.max_steps = 9;
    r = fixture_run(&o, (struct fake_script){0});
    assert_int_equal(r.script.train_steps, 5);
    assert_same(&r, &whole);
    assert_int_equal(line_count(dir, "\"event\":\"step\""), 9);
    assert_int_equal(line_count(dir, "\"event\":\"epoch\""), 2);
    fixture_remove(dir);
}

static void other_data_is_refused_on_resume(void **state)
{
    (void)state;
    char dir[400];
    struct fixture other;
    struct rs_training_options o = options(&fake_sync);
    fixture_dir(&fixture, dir, "other-data");
    o.out = dir;
    o.max_steps = 4;
    struct run_result r = fixture_run(&o, (struct fake_script){0});
    assert_done(&r);
    fixture_begin(&other, 80, 30);
    o.data = other.scene.data;
    o.resume = true;
    o.max_steps = 9;
    r = fixture_run(&o, (struct fake_script){0});
    assert_int_equal(r.code, RS_E_USAGE);
    assert_non_null(strstr(r.err.message, "90 images"));
    assert_non_null(strstr(r.err.message, "80"));
    fixture_end(&other);
    fixture_remove(dir);
}

static void a_run_that_fails_before_its_first_step_can_be_repeated(void **state)
{
    (void)state;
    char dir[400];
    struct rs_training_options o = options(&fake_sync);
    fixture_dir(&fixture, dir, "repeated");
    o.out = dir;
    struct run_result r = fixture_run(&o, (struct fake_script){.fail = FAKE_TRAIN, .fail_at = 1});
    assert_int_equal(r.code, RS_E_BACKEND);
    r = fixture_run(&o, (struct fake_script){0});
    assert_done(&r);
    fixture_remove(dir);
}

static void a_validation_that_is_not_finite_keeps_the_last_checkpoint(void **state)
{
    (void)state;
    char dir[400];
    struct rs_training_options o = options(&fake_sync);
    fixture_dir(&fixture, dir, "nan-valid");
    o.out = dir;
    struct run_result r = fixture_run(&o, (struct fake_script){.valid_not_finite_at = 3});
    assert_int_equal(r.code, RS_E_NOT_FINITE);
    assert_non_null(strstr(r.err.message, "validation loss after step 12 "));
    o.resume = true; /* from the first epoch's end */
    r = fixture_run(&o, (struct fake_script){0});
    assert_done(&r);
    assert_int_equal(r.script.train_steps, 12);
    fixture_remove(dir);
}

/* device: one that resizes, so that decoding is all that the workers do. */
static void corrupt_record(bool device)
{
    char dir[400], path[500];
    struct run_result plain = plain_run();
    fixture_dir(&fixture, dir, "corrupt");
    snprintf(path, sizeof path, "%s/data_batch_3.bin", fixture.scene.data);
    struct rs_training_options o = options(device ? &fake_stream : &fake_sync);
    o.out = dir;
    o.prefetch = 1;
    FILE *f = fopen(path, "r+");
    assert_non_null(f);
    int good = fgetc(f);
    rewind(f);
    fputc(77, f);
    fclose(f);
    struct run_result r = fixture_run(&o, (struct fake_script){0});
    assert_int_equal(r.code, RS_E_CORRUPT);
    assert_non_null(strstr(r.err.message, "data_batch_3.bin"));
    f = fopen(path, "r+");
    fputc(good, f);
    fclose(f);
    snprintf(path, sizeof path, "%s/resume.safetensors", dir);
    struct stat st;
    o.resume = stat(path, &st) == 0; /* not if the first batch had the record */
    r = fixture_run(&o, (struct fake_script){0});
    assert_same(&r, &plain);
    fixture_remove(dir);
}

static void a_corrupt_record_leaves_a_checkpoint(void **state)
{
    (void)state;
    corrupt_record(false);
    corrupt_record(true);
}

static void a_loss_that_is_not_finite_names_the_step(void **state)
{
    (void)state;
    char dir[400];
    fixture_dir(&fixture, dir, "nan");
    for (int b = 0; b < 2; b++) {
        struct rs_training_options o = options(b ? &fake_stream : &fake_sync);
        o.out = dir;
        struct run_result r = fixture_run(&o, (struct fake_script){.not_finite_at = 9, .latency = 2});
        assert_int_equal(r.code, RS_E_NOT_FINITE);
        assert_non_null(strstr(r.err.message, "step 9 "));
        assert_non_null(strstr(r.err.message, "0.25"));
        o.resume = true; /* from the first epoch's end, not from the broken weights */
        r = fixture_run(&o, (struct fake_script){0});
        assert_done(&r);
        assert_int_equal(r.script.train_steps, 12);
        fixture_remove(dir);
    }
}

static void a_file_that_can_t_grow_fails_the_checkpoint(void **state)
{
    (void)state;
    char dir[400];
    fixture_dir(&fixture, dir, "full");
    struct rs_training_options o = options(&fake_sync);
    o.out = dir;
    struct rlimit before, limit = {.rlim_cur = 10 << 20};
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit.rlim_max = before.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    struct run_result r = fixture_run(&o, (struct fake_script){0});
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_true(r.code < 0);
    assert_non_null(strstr(r.err.message, "checkpoint: "));
    assert_non_null(strstr(r.err.message, dir));
    fixture_remove(dir);
}

static void a_store_that_fails_is_the_run_s_error(void **state)
{
    (void)state;
    char dir[400];
    fixture_dir(&fixture, dir, "store");
    struct rs_training_options o = options(&fake_stream);
    o.out = dir;
    struct run_result r = fixture_run(&o, (struct fake_script){.fail = FAKE_STORE, .fail_at = 1});
    assert_int_equal(r.code, RS_E_BACKEND);
    fixture_remove(dir);
}

static int begin(void **state)
{
    (void)state;
    fixture_begin(&fixture, 90, 30);
    return 0;
}

static int end(void **state)
{
    (void)state;
    fixture_end(&fixture);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(placement_changes_no_bit),
        cmocka_unit_test(a_device_that_completes_late_changes_no_bit),
        cmocka_unit_test(a_failure_of_the_device_ends_the_run),
        cmocka_unit_test(graphs_are_for_devices_with_a_stream),
        cmocka_unit_test(an_interrupted_run_goes_on_to_the_same_bits),
        cmocka_unit_test(max_steps_can_be_raised_on_resume),
        cmocka_unit_test(other_data_is_refused_on_resume),
        cmocka_unit_test(a_run_that_fails_before_its_first_step_can_be_repeated),
        cmocka_unit_test(a_validation_that_is_not_finite_keeps_the_last_checkpoint),
        cmocka_unit_test(a_corrupt_record_leaves_a_checkpoint),
        cmocka_unit_test(a_loss_that_is_not_finite_names_the_step),
        cmocka_unit_test(a_file_that_can_t_grow_fails_the_checkpoint),
        cmocka_unit_test(a_store_that_fails_is_the_run_s_error),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
