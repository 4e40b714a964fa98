/* Resuming with other limits and other data: more steps, more epochs, nothing left, and what is refused. */
#include "run_whole.h"

#include "cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EPOCH 5u /* steps */

static const uint32_t correct[] = {3, 7, 5}; /* of 12 */
static struct run_scene scene;

static struct fake_script script(void)
{
    return (struct fake_script){.correct = correct, .epoch_steps = EPOCH};
}

static struct rs_training_options options(uint32_t n)
{
    struct rs_training_options o = fixture_options(&scene.fixture, n % 2 ? &fake_stream : &fake_sync);
    o.out = scene.dir;
    o.prefetch = n % 2 ? 8 : 1;
    return o;
}

/* max_steps cuts the epoch short: last and resume have that step's weights, and its validation counts. */
static void assert_cut(const struct run_result *r, uint64_t steps)
{
    struct run_files files;
    assert_done(r);
    assert_false(r->outcome.interrupted);
    assert_int_equal(r->outcome.steps, steps);
    run_files_read(&files, scene.dir);
    assert_whole(&files);
    assert_int_equal(files.progress.epoch, steps / EPOCH);
    assert_int_equal(files.progress.validated, steps % EPOCH != 0);
    assert_weights(&files.last, &scene.whole.result, steps);
    assert_weights(&files.resume, &scene.whole.result, steps);
    run_files_free(&files);
}

/* As the whole run, except that a validation after best steps was the first with the highest accuracy. */
static void assert_whole_but_best(uint64_t best)
{
    struct run_files files;
    run_files_read(&files, scene.dir);
    assert_whole(&files);
    assert_weights(&files.best, &scene.whole.result, best);
    memcpy(files.best.weights, scene.whole.files.best.weights, sizeof files.best.weights);
    assert_same_files(&scene.whole.files, &files);
    run_files_free(&files);
}

static void max_steps_can_be_raised(void **state)
{
    (void)state;
    for (uint32_t at = 1; at < 3 * EPOCH; at += sweep_step(2)) {
        struct rs_training_options o = options(at / 2);
        o.max_steps = at;
        struct run_result r = fixture_run(&o, script());
        assert_cut(&r, at);
        o.max_steps = 0;
        o.resume = true;
        r = fixture_run(&o, script());
        assert_done(&r);
        assert_int_equal(r.script.train_steps, 3 * EPOCH - at);
        assert_whole_but_best(at > EPOCH && at < 2 * EPOCH ? at : 2 * EPOCH);
        fixture_remove(scene.dir);
    }
}

/* Several times, in one epoch and over its end. */
static void max_steps_can_be_raised_again(void **state)
{
    (void)state;
    static const uint64_t limits[] = {1, 2, 5, 8, 11, 14};
    struct rs_training_options o = options(0);
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        o.max_steps = limits[i];
        struct run_result r = fixture_run(&o, script());
        assert_cut(&r, limits[i]);
        o.resume = true;
    }
    o.max_steps = 0;
    struct run_result r = fixture_run(&o, script());
    assert_done(&r);
    assert_whole_but_best(8);
    fixture_remove(scene.dir);
}

/* Interrupted before the cut and in the validation after it, then resumed with the same limit, or with none.
 */
static void a_cut_epoch_can_be_interrupted(void **state)
{
    (void)state;
    for (uint32_t n = 0; n < 4; n++) {
        struct rs_training_options o = options(n);
        struct fake_script s = script();
        struct run_whole cut;
        o.max_steps = 8;
        run_whole_make(&cut, &o, s);
        s.interrupt_at = n < 2 ? 7 : 0;
        s.valid_interrupt_at = n < 2 ? 0 : 3;
        o.backend = &fake_sync; /* stops at once */
        struct run_result r = fixture_run(&o, s);
        assert_done(&r);
        assert_true(r.outcome.interrupted);
        assert_int_equal(r.outcome.steps, n < 2 ? 7 : 8);
        if (n % 2)
            o.max_steps = 0;
        assert_goes_on(n % 2 ? &scene.whole : &cut, &o, script());
        run_whole_free(&cut);
    }
}

/* A cut and its validation, more steps to another cut, and an interrupt before or in its validation: that one
 * is still to do. */
static void a_later_cut_has_a_validation_of_its_own(void **state)
{
    (void)state;
    for (uint32_t n = 0; n < 2; n++) {
        struct rs_training_options o = options(0);
        struct fake_script s = script();
        struct run_whole cut;
        o.max_steps = 9;
        run_whole_make(&cut, &o, s);
        o.max_steps = 7;
        struct run_result r = fixture_run(&o, s);
        assert_cut(&r, 7);
        o.max_steps = 9;
        o.resume = true;
        s.interrupt_at = n ? 0 : 2; /* step 9 */
        s.valid_interrupt_at = n ? 1 : 0;
        r = fixture_run(&o, s);
        assert_true(r.outcome.interrupted);
        assert_int_equal(r.outcome.steps, 9);
        r = fixture_run(&o, script());
        assert_done(&r);
        assert_int_equal(r.script.valid_steps, 2);
        struct run_files files;
        run_files_read(&files, scene.dir);
        assert_whole(&files);
        assert_weights(&files.best, &scene.whole.result, 7); /* the first validation with 7 of 12 */
        memcpy(files.best.weights, cut.files.best.weights, sizeof files.best.weights);
        assert_same_files(&cut.files, &files);
        run_files_free(&files);
        run_whole_free(&cut);
        fixture_remove(scene.dir);
    }
}

static void epochs_can_be_raised(void **state)
{
    (void)state;
    struct rs_training_options o = options(1);
    for (uint32_t epochs = 1; epochs < 3; epochs++) {
        o.epochs = epochs;
        struct run_result r = fixture_run(&o, script());
        assert_done(&r);
        assert_int_equal(r.outcome.epochs_done, epochs);
        o.resume = true;
    }
    o.epochs = 3;
    assert_goes_on(&scene.whole, &o, script());
}

static void assert_nothing_left(struct rs_training_options o, uint64_t steps)
{
    uint64_t before = folder_hash(scene.dir);
    o.resume = true;
    o.config_json = "{\"another\":1}"; /* not even config.json */
    struct run_result r = fixture_run(&o, script());
    assert_done(&r);
    assert_int_equal(r.script.train_steps + r.script.valid_steps, 0);
    assert_false(r.outcome.interrupted);
    assert_int_equal(r.outcome.steps, steps);
    assert_true(folder_hash(scene.dir) == before);
}

static void when_nothing_is_left_no_file_changes(void **state)
{
    (void)state;
    struct rs_training_options o = options(0);
    struct run_result r = fixture_run(&o, script());
    assert_done(&r);
    assert_nothing_left(o, 15);
    o.max_steps = 15;
    assert_nothing_left(o, 15);
    o.max_steps = 7; /* less than was done */
    assert_nothing_left(o, 15);
    o.max_steps = 0;
    o.epochs = 2;
    assert_nothing_left(o, 15);
    fixture_remove(scene.dir);
    o.max_steps = 7; /* cut, and validated */
    r = fixture_run(&o, script());
    assert_done(&r);
    assert_nothing_left(o, 7);
    o.max_steps = 6;
    assert_nothing_left(o, 7);
    o.epochs = 1;
    assert_nothing_left(o, 7);
    fixture_remove(scene.dir);
}

static void assert_refused(const struct rs_training_options *o, int code, const char *part)
{
    uint64_t before = folder_hash(scene.dir);
    struct run_result r = fixture_run(o, script());
    assert_int_equal(r.code, code);
    if (!strstr(r.err.message, part))
        fail_msg("no '%s' in: %s", part, r.err.message);
    assert_int_equal(r.script.train_steps, 0);
    assert_true(folder_hash(scene.dir) == before);
}

static void data_of_another_size_is_refused(void **state)
{
    (void)state;
    static const uint32_t sizes[][2] = {{39, 12}, {41, 12}, {40, 11}, {40, 13}, {40, 0}};
    struct rs_training_options o = options(0);
    struct fake_script s = script();
    s.interrupt_at = 7;
    struct run_result r = fixture_run(&o, s);
    assert_true(r.outcome.interrupted);
    o.resume = true;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct fixture other;
        char part[64];
        fixture_begin(&other, sizes[i][0], sizes[i][1]);
        o.data = other.scene.data;
        snprintf(part, sizeof part, "has %u and %u;", sizes[i][0], sizes[i][1]);
        assert_refused(&o, RS_E_USAGE, part);
        fixture_end(&other);
    }
    o.data = scene.fixture.scene.data;
    o.batch_size = 16; /* step 7 is another one then */
    assert_refused(&o, RS_E_CORRUPT, "step 7 is not step 2 of epoch 1 with 3 steps an epoch");
    o.batch_size = 8;
    o.resume = false;
    assert_refused(&o, RS_E_USAGE, "--resume");
    assert_goes_on(&scene.whole, &o, script());
}

static void a_folder_without_a_run_has_none_to_go_on_with(void **state)
{
    (void)state;
    struct rs_training_options o = options(0);
    struct fake_script s = script();
    s.kill_at = 3;
    struct run_result r = fixture_run(&o, s);
    assert_true(r.killed);
    o.resume = true;
    assert_refused(&o, RS_E_USAGE, "without --resume");
    assert_goes_on(&scene.whole, &o, script());
}

/* A file of weights alone, in the resume file's place. */
static void a_resume_file_without_progress_is_refused(void **state)
{
    (void)state;
    char command[900];
    struct rs_training_options o = options(0);
    o.epochs = 1;
    struct run_result r = fixture_run(&o, script());
    assert_done(&r);
    snprintf(command, sizeof command, "cp '%s/last.safetensors' '%s/resume.safetensors'", scene.dir,
             scene.dir);
    assert_int_equal(system(command), 0);
    o.epochs = 3;
    o.resume = true;
    assert_refused(&o, RS_E_CORRUPT, "holds no progress");
    fixture_remove(scene.dir);
}

static void assert_sizes(const uint32_t sizes[RS_BATCH_SIZES_MAX], uint32_t first, uint32_t second)
{
    assert_int_equal(sizes[0], first);
    assert_int_equal(sizes[1], second);
    for (int i = 2; i < RS_BATCH_SIZES_MAX; i++)
        assert_int_equal(sizes[i], 0);
}

/* A network is compiled for the sizes that occur, with max_steps and in a resumed run as well. */
static void the_sizes_of_batches_are_those_that_occur(void **state)
{
    (void)state;
    static const struct {
        uint32_t batch, eval_batch, sizes[4];
    } cases[] = {
        {8, 8, {8, 0, 8, 4}},     {16, 12, {16, 8, 12, 0}}, {40, 5, {40, 0, 5, 2}},
        {41, 13, {40, 0, 12, 0}}, {39, 11, {39, 1, 11, 1}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rs_training_options o = options((uint32_t)i);
        o.epochs = 2;
        o.batch_size = cases[i].batch;
        o.eval_batch_size = cases[i].eval_batch;
        o.max_steps = 1;
        for (int resumed = 0; resumed < 2; resumed++) {
            o.resume = resumed;
            struct run_result r = fixture_run(&o, (struct fake_script){0});
            assert_done(&r);
            assert_sizes(r.script.train_sizes, cases[i].sizes[0], cases[i].sizes[1]);
            assert_sizes(r.script.eval_sizes, cases[i].sizes[2], cases[i].sizes[3]);
            o.max_steps = 0;
        }
        fixture_remove(scene.dir);
    }
}

static int begin(void **state)
{
    run_scene_begin(&scene, 40, 12);
    struct rs_training_options o = options(0);
    run_whole_make(&scene.whole, &o, script());
    *state = &scene;
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(max_steps_can_be_raised, run_scene_fresh),
        cmocka_unit_test_setup(max_steps_can_be_raised_again, run_scene_fresh),
        cmocka_unit_test_setup(a_cut_epoch_can_be_interrupted, run_scene_fresh),
        cmocka_unit_test_setup(a_later_cut_has_a_validation_of_its_own, run_scene_fresh),
        cmocka_unit_test_setup(epochs_can_be_raised, run_scene_fresh),
        cmocka_unit_test_setup(when_nothing_is_left_no_file_changes, run_scene_fresh),
        cmocka_unit_test_setup(data_of_another_size_is_refused, run_scene_fresh),
        cmocka_unit_test_setup(a_folder_without_a_run_has_none_to_go_on_with, run_scene_fresh),
        cmocka_unit_test_setup(a_resume_file_without_progress_is_refused, run_scene_fresh),
        cmocka_unit_test_setup(the_sizes_of_batches_are_those_that_occur, run_scene_fresh),
    };
    return cmocka_run_group_tests(tests, begin, run_scene_end);
}
