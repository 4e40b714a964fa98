/* The process dies at any rename, or a rename or an fsync fails: the folder can be gone on with, and in the
 * end holds what an undisturbed run leaves. */
#include "run_whole.h"

#include "cmocka_all.h"

#include <stdio.h>
#include <string.h>

static const uint32_t correct[] = {3, 7, 5}; /* of 12: best.safetensors is written twice */
static struct run_scene scene;

static struct fake_script script(void)
{
    return (struct fake_script){.correct = correct, .epoch_steps = 5};
}

static struct rs_training_options options(uint32_t n)
{
    struct rs_training_options o = fixture_options(&scene.fixture, n % 2 ? &fake_stream : &fake_sync);
    o.out = scene.dir;
    return o;
}

static struct run_result run_with(const struct rs_training_options *o, enum disk_call call,
                                  enum disk_event event, uint32_t at, const char *match)
{
    struct disk_script disk = {.event = event, .call = call, .at = at, .match = match};
    return fixture_run_disk(o, script(), &disk);
}

/* Before it and after it in turn; both in a full sweep. */
static void a_death_at_a_rename(void **state)
{
    (void)state;
    uint32_t renames = scene.whole.result.renames;
    assert_int_equal(renames, 2 + 3 * 2 + 2); /* the folder's probe, config.json; last and resume; best */
    for (uint32_t n = 0; n < 2 * renames; n += sweep_step(2)) {
        uint32_t at = n / 2 + 1;
        struct rs_training_options o = options(at / 2);
        struct run_result r =
            run_with(&o, DISK_RENAME, (n + at) % 2 ? DISK_KILL_AFTER : DISK_KILL_BEFORE, at, NULL);
        assert_true(r.killed);
        assert_goes_on(&scene.whole, &o, script());
    }
}

static void interrupt_at(struct rs_training_options *o, uint64_t at)
{
    struct fake_script s = script();
    o->resume = false;
    s.interrupt_at = at;
    struct run_result r = fixture_run(o, s);
    assert_done(&r);
    assert_true(r.outcome.interrupted);
    o->resume = true;
}

/* The same of a run that goes on: there metrics.jsonl is renamed as well. */
static void a_death_at_a_rename_of_a_resumed_run(void **state)
{
    (void)state;
    uint32_t renames = 3 + 2 * 2 + 1;
    for (uint32_t n = 0; n < 2 * renames; n += sweep_step(3)) {
        uint32_t at = n / 2 + 1;
        struct rs_training_options o = options(n);
        interrupt_at(&o, 7);
        struct run_result r = run_with(&o, DISK_RENAME, n % 2 ? DISK_KILL_AFTER : DISK_KILL_BEFORE, at, NULL);
        assert_true(r.killed);
        assert_goes_on(&scene.whole, &o, script());
    }
}

/* Dead right after the resume file's rename: the lines of what it counts are there, however slow their
 * writer. */
static void a_checkpoint_s_lines_are_written_before_it(void **state)
{
    (void)state;
    for (uint32_t n = 0; n < 4; n++) {
        struct rs_training_options o = options(n);
        struct fake_script s = script();
        struct disk_script disk = {
            .event = DISK_KILL_AFTER, .call = DISK_RENAME, .at = 1, .match = "resume.safetensors"};
        s.interrupt_at = n < 2 ? 4 : 0;
        disk.hold_after = n < 2 ? 0 : 2; /* else lines are held back by a buffer alone */
        struct run_result r = fixture_run_disk(&o, s, &disk);
        assert_true(r.killed);
        assert_goes_on(&scene.whole, &o, script());
    }
}

static void a_rename_or_an_fsync_that_fails(void **state)
{
    (void)state;
    static const char *const names[] = {"best.safetensors", "last.safetensors", "resume.safetensors"};
    for (uint32_t n = 0; n < 3 * 3 * 2; n += sweep_step(5)) {
        const char *match = names[n % 3];
        uint32_t at = n / 3 % 3 + 1;
        struct rs_training_options o = options(n);
        if (n % 3 == 0 && at == 3)
            continue; /* the best is written twice */
        struct run_result r = run_with(&o, n < 9 ? DISK_RENAME : DISK_FSYNC, DISK_FAIL, at, match);
        assert_int_equal(r.code, RS_E_IO);
        assert_non_null(strstr(r.err.message, match));
        assert_non_null(strstr(r.err.message, "checkpoint: "));
        assert_goes_on(&scene.whole, &o, script());
    }
}

/* The folder's own fsync comes after the rename: the file is new, and the run fails. */
static void a_folder_that_can_t_be_synced(void **state)
{
    (void)state;
    for (uint32_t at = 4; at <= 18; at += sweep_step(4)) { /* of all fsyncs */
        struct rs_training_options o = options(at);
        struct run_result r = run_with(&o, DISK_FSYNC, DISK_FAIL, at, NULL);
        assert_int_equal(r.code, RS_E_IO);
        assert_goes_on(&scene.whole, &o, script());
    }
}

/* The last checkpoint of an interrupted run fails; the one before it is there, and its best. */
static void the_checkpoint_of_an_interrupt_fails(void **state)
{
    (void)state;
    static const char *const names[] = {"last.safetensors", "resume.safetensors"};
    for (uint32_t n = 0; n < 4; n++) {
        struct rs_training_options o = options(n / 2);
        struct fake_script s = script();
        struct disk_script disk = {
            .event = DISK_FAIL, .call = n % 2 ? DISK_FSYNC : DISK_RENAME, .at = 2, .match = names[n / 2]};
        s.interrupt_at = 8;
        struct run_result r = fixture_run_disk(&o, s, &disk);
        assert_int_equal(r.code, RS_E_IO);
        assert_non_null(strstr(r.err.message, names[n / 2]));
        assert_goes_on(&scene.whole, &o, script());
    }
}

static void a_folder_that_fails_before_the_first_step(void **state)
{
    (void)state;
    struct rs_training_options o = options(0);
    for (uint32_t at = 1; at <= 2; at++) {
        struct run_result r = run_with(&o, DISK_RENAME, DISK_FAIL, at, NULL);
        assert_int_equal(r.code, RS_E_IO);
        assert_non_null(strstr(r.err.message, at == 1 ? "writable.tmp" : "config.json"));
        assert_int_equal(r.script.train_steps, 0);
        assert_goes_on(&scene.whole, &o, script());
    }
    for (uint32_t at = 1; at <= 3; at++) {
        interrupt_at(&o, 7);
        struct run_result r = run_with(&o, DISK_RENAME, DISK_FAIL, at, NULL);
        assert_int_equal(r.code, RS_E_IO);
        assert_non_null(strstr(r.err.message, scene.dir));
        assert_int_equal(r.script.train_steps, 0);
        assert_goes_on(&scene.whole, &o, script());
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
        cmocka_unit_test_setup(a_death_at_a_rename, run_scene_fresh),
        cmocka_unit_test_setup(a_death_at_a_rename_of_a_resumed_run, run_scene_fresh),
        cmocka_unit_test_setup(a_checkpoint_s_lines_are_written_before_it, run_scene_fresh),
        cmocka_unit_test_setup(a_rename_or_an_fsync_that_fails, run_scene_fresh),
        cmocka_unit_test_setup(a_folder_that_can_t_be_synced, run_scene_fresh),
        cmocka_unit_test_setup(the_checkpoint_of_an_interrupt_fails, run_scene_fresh),
        cmocka_unit_test_setup(a_folder_that_fails_before_the_first_step, run_scene_fresh),
    };
    return cmocka_run_group_tests(tests, begin, run_scene_end);
}
