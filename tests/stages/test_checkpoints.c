/* What best.safetensors and last.safetensors hold after each sequence of validation accuracies, over resumes,
 * and over a death at any rename. */
#include "run_files.h"

#include "cmocka_all.h"

#include <stdio.h>
#include <string.h>

#define STEPS 5u /* of an epoch: 40 images in batches of 8 */
#define VALID 12u
#define EPOCHS 3u

static struct fixture fixture;
static char dir[400];

/* The epoch, from 1, whose weights are the best so far after the first epochs of them: the first of the
 * highest. 0: none. */
static uint32_t best_of(const uint32_t *correct, uint32_t epochs)
{
    uint32_t best = epochs ? 1 : 0;
    for (uint32_t i = 1; i < epochs; i++)
        if (correct[i] > correct[best - 1])
            best = i + 1;
    return best;
}

static struct fake_script accuracies(const uint32_t *correct)
{
    return (struct fake_script){.correct = correct, .epoch_steps = STEPS};
}

static struct rs_training_options options(const struct rs_backend *backend)
{
    struct rs_training_options o = fixture_options(&fixture, backend);
    o.out = dir;
    return o;
}

/* The folder after that many whole epochs. run's history has them all. */
static void assert_epochs(const uint32_t *correct, uint32_t epochs, const struct run_result *run)
{
    static const char classes[] =
        "hue-000\nhue-036\nhue-072\nhue-108\nhue-144\nhue-180\nhue-216\nhue-252\nhue-288\nhue-324";
    struct run_files files;
    uint32_t best = best_of(correct, epochs);
    run_files_read(&files, dir);
    assert_whole(&files);
    assert_int_equal(files.progress.epoch, epochs);
    assert_weights(&files.best, run, (uint64_t)best * STEPS);
    assert_weights(&files.last, run, (uint64_t)epochs * STEPS);
    assert_weights(&files.resume, run, (uint64_t)epochs * STEPS);
    assert_true(files.progress.best_accuracy == (double)correct[best - 1] / VALID);
    const struct saved_file *saved[] = {&files.best, &files.last, &files.resume};
    for (int i = 0; i < 3; i++) {
        assert_string_equal(saved[i]->classes, classes);
        assert_string_equal(saved[i]->image_size, "75");
        assert_int_equal(saved[i]->config != NULL, saved[i] == &files.resume);
        assert_int_equal(saved[i]->progress != NULL, saved[i] == &files.resume);
    }
    assert_string_equal(files.resume.config, "{\"made\":\"by a test\"}");
    run_files_free(&files);
}

static const uint32_t sequences[][EPOCHS] = {
    {3, 5, 7},   /* rises */
    {7, 5, 3},   /* falls */
    {5, 5, 5},   /* ties */
    {3, 7, 7},   /* rises, then ties */
    {7, 3, 7},   /* comes back to the best */
    {0, 0, 0},   /* nothing right is a best, too */
    {0, 12, 11}, /* all right */
};
#define SEQUENCES (sizeof sequences / sizeof *sequences)

static void the_first_of_the_highest_accuracies_is_the_best(void **state)
{
    (void)state;
    for (size_t i = 0; i < SEQUENCES; i++) {
        struct rs_training_options o = options(i % 2 ? &fake_stream : &fake_sync);
        struct run_result r = fixture_run(&o, accuracies(sequences[i]));
        assert_done(&r);
        assert_true(r.outcome.valid_accuracy == (double)sequences[i][EPOCHS - 1] / VALID);
        assert_epochs(sequences[i], EPOCHS, &r);
        fixture_remove(dir);
    }
}

/* Each sequence, one epoch in a process. The history of a resumed run begins where it does. */
static void the_best_lasts_over_resumes(void **state)
{
    (void)state;
    for (size_t i = 0; i < SEQUENCES; i++) {
        struct rs_training_options o = options(i % 2 ? &fake_sync : &fake_stream);
        struct run_result all = {0};
        for (uint32_t epochs = 1; epochs <= EPOCHS; epochs++) {
            o.epochs = epochs;
            o.resume = epochs > 1;
            struct run_result r = fixture_run(&o, accuracies(sequences[i]));
            assert_done(&r);
            assert_int_equal(r.script.train_steps, STEPS);
            for (uint32_t s = (epochs - 1) * STEPS; s <= epochs * STEPS; s++)
                memcpy(all.script.history[s], r.script.history[s], sizeof r.script.history[s]);
            assert_epochs(sequences[i], epochs, &all);
        }
        fixture_remove(dir);
    }
}

/* Inside an epoch last has the step's weights, and best still those of the best epoch. */
static void an_interrupt_leaves_the_best_as_it_is(void **state)
{
    (void)state;
    for (int valid = 0; valid < 2; valid++) {
        static const uint32_t correct[EPOCHS] = {4, 9, 1};
        struct rs_training_options o = options(&fake_sync);
        struct run_files files;
        struct fake_script script = accuracies(correct);
        script.interrupt_at = valid ? 0 : 8;
        script.valid_interrupt_at = valid ? 3 : 0;
        struct run_result r = fixture_run(&o, script);
        assert_done(&r);
        assert_true(r.outcome.interrupted);
        run_files_read(&files, dir);
        assert_whole(&files);
        assert_weights(&files.best, &r, 5);
        assert_weights(&files.last, &r, valid ? 10 : 8);
        assert_weights(&files.resume, &r, valid ? 10 : 8);
        assert_true(files.progress.best_accuracy == 4.0 / VALID);
        run_files_free(&files);
        o.resume = true;
        struct run_result rest = fixture_run(&o, accuracies(correct));
        assert_done(&rest);
        memcpy(r.script.history[10], rest.script.history[10], sizeof r.script.history[10]);
        memcpy(r.script.history[15], rest.script.history[15], sizeof r.script.history[15]);
        assert_epochs(correct, EPOCHS, &r);
        fixture_remove(dir);
    }
}

static void without_validation_there_is_no_best(void **state)
{
    (void)state;
    struct fixture plain;
    struct run_files files;
    fixture_begin(&plain, 40, 0);
    struct rs_training_options o = fixture_options(&plain, &fake_stream);
    o.out = dir;
    struct run_result r = fixture_run(&o, (struct fake_script){.interrupt_at = 7, .latency = 3});
    assert_done(&r);
    o.resume = true;
    r = fixture_run(&o, (struct fake_script){0});
    assert_done(&r);
    run_files_read(&files, dir);
    assert_whole(&files);
    assert_false(files.best.there);
    assert_weights(&files.last, &r, 15);
    assert_weights(&files.resume, &r, 15);
    assert_true(files.progress.best_accuracy == -1);
    for (uint32_t i = 0; i < files.line_count; i++)
        assert_null(strstr(files.lines[i], "\"valid_"));
    run_files_free(&files);
    fixture_remove(dir);
    fixture_end(&plain);
}

/* What the end of an epoch could not store is stored when the run ends, as the best if it is. */
static void a_store_that_fails_once_loses_no_best(void **state)
{
    (void)state;
    static const uint32_t correct[EPOCHS] = {4, 9, 1};
    for (uint32_t at = 1; at <= 3; at++) {
        struct rs_training_options o = options(at % 2 ? &fake_stream : &fake_sync);
        struct fake_script script = accuracies(correct);
        struct run_result whole = fixture_run(&o, script);
        fixture_remove(dir);
        script.fail = FAKE_STORE;
        script.fail_at = at;
        struct run_result r = fixture_run(&o, script);
        assert_int_equal(r.code, RS_E_BACKEND);
        assert_epochs(correct, at, &whole); /* stored when the run ended */
        o.resume = true;
        r = fixture_run(&o, accuracies(correct));
        assert_done(&r);
        assert_epochs(correct, EPOCHS, &whole);
        fixture_remove(dir);
    }
}

static int begin(void **state)
{
    (void)state;
    fixture_begin(&fixture, 40, VALID);
    fixture_dir(&fixture, dir, "run");
    return 0;
}

static int fresh(void **state)
{
    (void)state;
    fixture_remove(dir);
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
        cmocka_unit_test_setup(the_first_of_the_highest_accuracies_is_the_best, fresh),
        cmocka_unit_test_setup(the_best_lasts_over_resumes, fresh),
        cmocka_unit_test_setup(an_interrupt_leaves_the_best_as_it_is, fresh),
        cmocka_unit_test_setup(without_validation_there_is_no_best, fresh),
        cmocka_unit_test_setup(a_store_that_fails_once_loses_no_best, fresh),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
