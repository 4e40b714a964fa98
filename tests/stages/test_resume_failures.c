/* A call of the device fails, once or from then on: the run ends with that error, and goes on to what an
 * undisturbed one comes to. */
#include "run_whole.h"

#include "cmocka_all.h"

#include <stdio.h>
#include <string.h>

static const uint32_t correct[] = {3, 5, 7}; /* of 12: each epoch is the best */
static struct run_scene scene;

static struct fake_script script(uint32_t n)
{
    return (struct fake_script){.correct = correct, .epoch_steps = 5, .seed = n, .latency = n % 3 * 3};
}

static struct rs_training_options options(const struct rs_backend *backend, uint32_t n)
{
    struct rs_training_options o = fixture_options(&scene.fixture, backend);
    o.out = scene.dir;
    o.prefetch = n % 2 ? 1 : 8;
    return o;
}

/* calls: how many there are in a run; the polls of a stream are as many as it takes. */
static void sweep(const struct rs_backend *backend, enum fake_call call, const uint32_t *at, uint32_t count,
                  uint32_t calls)
{
    for (uint32_t i = call % sweep_step(2); i < count; i += sweep_step(2)) {
        struct rs_training_options o = options(backend, i);
        struct fake_script s = script(call + i);
        s.fail = call;
        s.fail_at = at[i];
        s.fail_again = i % 4 > 1;
        struct run_result r = fixture_run(&o, s);
        if (at[i] > calls) {
            assert_as_whole(&scene.whole, scene.dir, &r);
        } else {
            assert_int_equal(r.code, RS_E_BACKEND);
            assert_non_null(strstr(r.err.message, "train: made to fail"));
            assert_false(r.outcome.interrupted);
        }
        assert_goes_on(&scene.whole, &o, script(i));
    }
}

#define SWEEP(backend, call, calls, ...)                                                                     \
    sweep(backend, call, (const uint32_t[]){__VA_ARGS__},                                                    \
          sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t), calls)

static void in_host_memory(void **state)
{
    (void)state;
    SWEEP(&fake_sync, FAKE_TRAIN, 15, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16);
    SWEEP(&fake_sync, FAKE_EVAL, 6, 1, 2, 3, 4, 5, 6, 7);
    SWEEP(&fake_sync, FAKE_STORE, 3, 1, 2, 3, 4);
}

static void starting_work_on_a_stream(void **state)
{
    (void)state;
    SWEEP(&fake_stream, FAKE_UPLOAD, 21, 1, 2, 3, 6, 7, 8, 14, 15, 21, 22);
    SWEEP(&fake_stream, FAKE_TRAIN, 15, 1, 2, 4, 5, 6, 7, 10, 11, 15, 16);
    SWEEP(&fake_stream, FAKE_EVAL, 6, 1, 2, 3, 4, 5, 6, 7);
}

static void looking_at_a_stream(void **state)
{
    (void)state;
    SWEEP(&fake_stream, FAKE_UPLOADED, 21, 1, 2, 3, 5, 8, 11, 15, 21);
    SWEEP(&fake_stream, FAKE_RELEASED, 21, 1, 2, 3, 5, 8, 11, 15, 21);
    SWEEP(&fake_stream, FAKE_RESULT, 21, 1, 2, 3, 5, 8, 11, 15, 21);
}

static void storing_from_a_stream(void **state)
{
    (void)state;
    SWEEP(&fake_stream, FAKE_STORE, 3, 1, 2, 3, 4);
}

/* The end of a run drains the device, of whatever kind the end is; what was started then is lost. */
static void draining_a_stream(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 4; i++) {
        struct rs_training_options o = options(&fake_stream, i);
        struct fake_script s = script(2);
        s.fail = FAKE_DRAIN;
        s.fail_at = 1;
        s.interrupt_at = i < 2 ? 3 + 5 * i : 0;
        s.valid_interrupt_at = i == 2 ? 3 : 0;
        struct run_result r = fixture_run(&o, s);
        if (i < 3)
            assert_true(r.outcome.interrupted);
        if (i == 2 && r.code == 0) /* both batches were done, and saved */
            assert_int_equal(r.outcome.epochs_done, 2);
        else
            assert_int_equal(r.code, RS_E_BACKEND);
        assert_int_equal(has_file(scene.dir, "resume.safetensors"), i > 0);
        assert_goes_on(&scene.whole, &o, script(i));
    }
}

/* A resumed run that gets nowhere: what it began with is saved already. */
static void failing_before_the_first_step_writes_no_checkpoint(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 2; i++) {
        struct rs_training_options o = options(i ? &fake_stream : &fake_sync, i);
        struct disk_script disk = {.event = DISK_NOTHING, .match = ".safetensors"};
        struct fake_script s = script(i);
        s.valid_interrupt_at = 1;
        struct run_result r = fixture_run(&o, s);
        assert_true(r.outcome.interrupted);
        o.resume = true;
        s = script(i);
        s.fail = i ? FAKE_UPLOAD : FAKE_EVAL;
        s.fail_at = 1;
        r = fixture_run_disk(&o, s, &disk);
        assert_int_equal(r.code, RS_E_BACKEND);
        assert_int_equal(r.renames, 0);
        assert_goes_on(&scene.whole, &o, script(i));
    }
}

/* Once a run is interrupted, a step that fails leaves nothing to save: the error says why. */
static void failing_after_an_interrupt(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 4; i++) {
        struct rs_training_options o = options(i % 2 ? &fake_stream : &fake_sync, i);
        struct fake_script s = script(i);
        s.interrupt_at = i < 2 ? 8 : 0;
        s.not_finite_at = i < 2 ? 8 : 0;
        s.valid_interrupt_at = i < 2 ? 0 : 3;
        s.valid_not_finite_at = i < 2 ? 0 : 3;
        struct run_result r = fixture_run(&o, s);
        assert_int_equal(r.code, RS_E_NOT_FINITE);
        assert_non_null(strstr(r.err.message, "train: the "));
        assert_goes_on(&scene.whole, &o, script(i));
    }
}

/* The last checkpoint of an interrupted run. */
static void storing_after_an_interrupt(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 4; i++) {
        struct rs_training_options o = options(i % 2 ? &fake_stream : &fake_sync, i);
        struct fake_script s = script(i);
        s.fail = FAKE_STORE;
        s.fail_at = 1 + i / 2;
        s.interrupt_at = 3 + i / 2 * 5;
        struct run_result r = fixture_run(&o, s);
        assert_int_equal(r.code, RS_E_BACKEND);
        assert_non_null(strstr(r.err.message, "checkpoint: made to fail"));
        assert_int_equal(has_file(scene.dir, "resume.safetensors"), i / 2);
        assert_goes_on(&scene.whole, &o, script(i));
    }
}

static int begin(void **state)
{
    run_scene_begin(&scene, 40, 12);
    struct rs_training_options o = options(&fake_sync, 0);
    run_whole_make(&scene.whole, &o, script(0));
    *state = &scene;
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(in_host_memory, run_scene_fresh),
        cmocka_unit_test_setup(starting_work_on_a_stream, run_scene_fresh),
        cmocka_unit_test_setup(looking_at_a_stream, run_scene_fresh),
        cmocka_unit_test_setup(storing_from_a_stream, run_scene_fresh),
        cmocka_unit_test_setup(draining_a_stream, run_scene_fresh),
        cmocka_unit_test_setup(failing_before_the_first_step_writes_no_checkpoint, run_scene_fresh),
        cmocka_unit_test_setup(failing_after_an_interrupt, run_scene_fresh),
        cmocka_unit_test_setup(storing_after_an_interrupt, run_scene_fresh),
    };
    return cmocka_run_group_tests(tests, begin, run_scene_end);
}
