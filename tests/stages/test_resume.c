/* A run that is interrupted, killed or broken at any point goes on to the bits, the files and the lines of an
 * undisturbed one. */
#include "run_whole.h"

#include "cmocka_all.h"

#include <stdio.h>
#include <string.h>

#define STEPS 15u /* three epochs of 40 images in batches of 8 */
#define VALID 6u  /* of 12 images */
#define SLOTS 3u  /* of the device: steps that may be started when an interrupt comes */

static struct run_scene scene;

static struct rs_training_options options(const struct rs_backend *backend, uint32_t prefetch)
{
    struct rs_training_options o = fixture_options(&scene.fixture, backend);
    o.out = scene.dir;
    o.prefetch = prefetch;
    return o;
}

/* The n-th of the backends and slots that cases go through. */
static struct rs_training_options mixed(uint32_t n)
{
    return options(n % 2 ? &fake_stream : &fake_sync, (const uint32_t[]){8, 1, 1, 8}[n % 4]);
}

static struct fake_script lazy(uint32_t n)
{
    return (struct fake_script){.seed = n, .latency = n % 3 * 4};
}

/* After a SIGINT: a checkpoint of the step that was done, and lines up to it. */
static void assert_stopped(const struct run_result *r, uint64_t least, uint64_t most)
{
    struct run_files files;
    assert_done(r);
    assert_true(r->outcome.interrupted);
    assert_in_range(r->outcome.steps, least, most);
    run_files_read(&files, scene.dir);
    assert_whole(&files);
    assert_int_equal(files.progress.steps, r->outcome.steps);
    assert_int_equal(files.progress.epoch, r->outcome.epochs_done);
    assert_weights(&files.last, r, r->outcome.steps);
    assert_weights(&files.resume, r, r->outcome.steps);
    assert_true(files.progress.valid.batches == 0);
    run_files_free(&files);
}

static void an_interrupt_at_a_step(void **state)
{
    (void)state;
    for (uint32_t at = 1; at <= STEPS; at++)
        for (uint32_t n = at; n < at + 2; n++) {
            struct rs_training_options o = mixed(n);
            struct fake_script script = lazy(at);
            uint32_t most = o.backend == &fake_stream ? at + SLOTS : at;
            if (n > at && at % sweep_step(4) != 1 % sweep_step(4))
                continue;
            script.interrupt_at = at;
            struct run_result r = fixture_run(&o, script);
            assert_stopped(&r, at, most < STEPS ? most : STEPS);
            assert_goes_on(&scene.whole, &o, lazy(at + 1));
        }
}

static void an_interrupt_in_a_validation(void **state)
{
    (void)state;
    for (uint32_t at = 1; at < VALID; at++) {
        struct rs_training_options o = mixed(at);
        struct fake_script script = lazy(at);
        uint64_t steps = (at + 1) / 2 * 5;
        script.valid_interrupt_at = at;
        struct run_result r = fixture_run(&o, script);
        assert_stopped(&r, steps, steps);
        assert_goes_on(&scene.whole, &o, lazy(at + 1));
    }
}

/* All is done by then. */
static void an_interrupt_in_the_last_batch_interrupts_nothing(void **state)
{
    (void)state;
    struct rs_training_options o = options(&fake_sync, 4);
    struct run_result r = fixture_run(&o, (struct fake_script){.valid_interrupt_at = VALID});
    assert_as_whole(&scene.whole, scene.dir, &r);
    assert_goes_on(&scene.whole, &o, lazy(0));
}

static void a_death_at_a_step(void **state)
{
    (void)state;
    for (uint32_t at = 1; at <= STEPS; at += sweep_step(2)) {
        struct rs_training_options o = mixed(at / 2);
        struct fake_script script = lazy(at);
        script.kill_at = at;
        struct run_result r = fixture_run(&o, script);
        assert_true(r.killed);
        assert_goes_on(&scene.whole, &o, lazy(at + 1));
    }
}

static void a_death_in_a_validation(void **state)
{
    (void)state;
    for (uint32_t at = 1; at <= VALID; at += sweep_step(2)) {
        struct rs_training_options o = mixed(at / 2);
        struct fake_script script = lazy(at);
        script.valid_kill_at = at;
        struct run_result r = fixture_run(&o, script);
        assert_true(r.killed);
        assert_goes_on(&scene.whole, &o, lazy(at + 1));
    }
}

/* Counts of a script begin anew in each process. How far a run comes depends on time: an epoch's checkpoint
 * may be on disk at the death or not, and on a stream an interrupt comes up to SLOTS steps late. So the last
 * scripts may find nothing to stop: then the run is whole. */
static void one_interruption_after_the_other(void **state)
{
    (void)state;
    static const struct fake_script scripts[] = {
        {.interrupt_at = 2},       {.valid_interrupt_at = 1}, {.kill_at = 1},
        {.valid_interrupt_at = 1}, {.interrupt_at = 1},       {.valid_interrupt_at = 2},
        {.not_finite_at = 3},      {.interrupt_at = 4},       {.valid_kill_at = 1},
    };
    for (uint32_t b = 0; b < 2; b++) {
        struct rs_training_options o = mixed(b);
        for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++) {
            struct fake_script script = scripts[i];
            script.latency = (uint32_t)i % 3;
            o.resume = i > 0;
            struct run_result r = fixture_run(&o, script);
            if (!r.killed && r.code == 0 && !r.outcome.interrupted) {
                assert_true(i > 4);
                assert_as_whole(&scene.whole, scene.dir, &r);
                break;
            }
            assert_true(r.killed || r.outcome.interrupted || r.code == RS_E_NOT_FINITE);
        }
        assert_goes_on(&scene.whole, &o, lazy(b));
    }
}

static void a_loss_that_is_not_finite(void **state)
{
    (void)state;
    for (uint32_t at = 1; at <= STEPS + VALID; at += sweep_step(3)) {
        struct rs_training_options o = mixed(at / 3);
        struct fake_script script = lazy(at);
        script.not_finite_at = at <= STEPS ? at : 0;
        script.valid_not_finite_at = at <= STEPS ? 0 : at - STEPS;
        struct run_result r = fixture_run(&o, script);
        assert_int_equal(r.code, RS_E_NOT_FINITE);
        assert_goes_on(&scene.whole, &o, lazy(at + 1));
    }
}

static void append_line(const char *text)
{
    char path[500];
    snprintf(path, sizeof path, "%s/metrics.jsonl", scene.dir);
    FILE *f = fopen(path, "a");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

/* What a dead process may leave: part of a line, or lines of steps that no checkpoint has. */
static void lines_after_the_checkpoint_are_dropped(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{\"event\":\"step\",\"epo",
        "{\"event\":\"step\",\"epoch\":1,\"step\":8,\"loss\":1}\n{\"event\":\"step\",\"epoch\":1,\"step\":9",
        "{\"event\":\"step\",\"epoch\":1,\"step\":8,\"loss\":1}",
        "{\"event\":\"epoch\",\"epoch\":1,\"step\":7,\"train_loss\":1}\n",
        "\n",
    };
    for (uint32_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct rs_training_options o = options(&fake_sync, 4);
        struct run_result r = fixture_run(&o, (struct fake_script){.interrupt_at = 7});
        assert_stopped(&r, 7, 7);
        append_line(texts[i]);
        assert_goes_on(&scene.whole, &o, lazy(i));
    }
}

static int begin(void **state)
{
    run_scene_begin(&scene, 40, 12);
    struct rs_training_options o = options(&fake_sync, 4);
    run_whole_make(&scene.whole, &o, (struct fake_script){0});
    assert_int_equal(scene.whole.files.line_count, STEPS + 3);
    *state = &scene;
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(an_interrupt_at_a_step, run_scene_fresh),
        cmocka_unit_test_setup(an_interrupt_in_a_validation, run_scene_fresh),
        cmocka_unit_test_setup(an_interrupt_in_the_last_batch_interrupts_nothing, run_scene_fresh),
        cmocka_unit_test_setup(a_death_at_a_step, run_scene_fresh),
        cmocka_unit_test_setup(a_death_in_a_validation, run_scene_fresh),
        cmocka_unit_test_setup(one_interruption_after_the_other, run_scene_fresh),
        cmocka_unit_test_setup(a_loss_that_is_not_finite, run_scene_fresh),
        cmocka_unit_test_setup(lines_after_the_checkpoint_are_dropped, run_scene_fresh),
    };
    return cmocka_run_group_tests(tests, begin, run_scene_end);
}
