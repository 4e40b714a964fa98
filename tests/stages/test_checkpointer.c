/* The thread that writes checkpoints: which files, in which order, with what in them, and how it fails. */
#include "checkpointer.h"

#include "cmocka_all.h"
#include "disk_script.h"
#include "small_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define HOLD_MS 50

struct setting {
    struct small_state *small; /* cmocka's fixture of the model's tests: a network and a folder */
    struct rs_run *run;
    struct rs_checkpointer *checkpointer;
};

static struct disk_script disk;
static char
    renamed[256]; /* names in order, a blank after each; the checkpoint thread's until it is waited for */
static const char *slow; /* the rename that takes its time */

static void before_call(enum disk_call call, const char *path)
{
    const struct timespec hold = {.tv_nsec = HOLD_MS * 1000000L};
    const char *name = strrchr(path, '/') + 1;
    if (call != DISK_RENAME)
        return;
    size_t length = strlen(renamed);
    snprintf(renamed + length, sizeof renamed - length, "%.*s ", (int)strcspn(name, "."), name);
    if (slow && strstr(name, slow))
        nanosleep(&hold, NULL);
}

static struct rs_checkpointer_options options(const struct setting *s)
{
    return (struct rs_checkpointer_options){
        .run = s->run,
        .dir = s->small->folder,
        .graph = s->small->graph,
        .config_json = "{\"a\":\"\\u00e9 \\\"b\\\"\"}",
        .classes = "cat\ndog",
        .image_size = 224,
    };
}

static int set_up(void **state)
{
    struct setting *s = calloc(1, sizeof *s);
    assert_non_null(s);
    small_state_set_up((void **)&s->small);
    assert_int_equal(rs_run_create(&s->run, NULL), 0);
    struct rs_checkpointer_options o = options(s);
    assert_int_equal(rs_checkpointer_create(&s->checkpointer, &o, NULL), 0);
    renamed[0] = '\0';
    slow = NULL;
    disk = (struct disk_script){.before = before_call};
    disk_set_script(&disk);
    *state = s;
    return 0;
}

static void path_of(const struct setting *s, char path[128], const char *name)
{
    snprintf(path, 128, "%s/%s.safetensors", s->small->folder, name);
}

/* Beside these three no file may be left: the folder must be empty then. */
static int tear_down(void **state)
{
    struct setting *s = *state;
    char path[128];
    rs_checkpointer_destroy(s->checkpointer);
    disk_set_script(NULL);
    static const char *const names[] = {"best", "last", "resume"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        path_of(s, path, names[i]);
        unlink(path);
    }
    rs_run_destroy(s->run);
    small_state_tear_down((void **)&s->small);
    free(s);
    return 0;
}

/* A snapshot whose first weight tells it apart. */
static void commit(const struct setting *s, float mark, enum rs_checkpoint_kind kind)
{
    struct rs_state *snapshot;
    struct rs_progress progress = {.epoch = 3, .steps = 33, .best_accuracy = mark};
    assert_int_equal(rs_checkpointer_begin(s->checkpointer, &snapshot, NULL), 0);
    rs_state_copy(snapshot, s->small->state);
    snapshot->params[0] = mark;
    rs_checkpointer_commit(s->checkpointer, &progress, kind);
}

static bool is_there(const struct setting *s, const char *name)
{
    char path[128];
    struct stat st;
    path_of(s, path, name);
    return stat(path, &st) == 0;
}

static void assert_metadata(const char *path, const char *key, const char *expected)
{
    char *value;
    assert_int_equal(rs_checkpoint_metadata(path, key, &value, NULL), 0);
    if (expected)
        assert_string_equal(value, expected);
    else
        assert_null(value);
    free(value);
}

/* The whole state, and the metadata that the file has to have. */
static void assert_file(const struct setting *s, const char *name, float mark)
{
    char path[128];
    struct rs_state *found;
    bool resume = strcmp(name, "resume") == 0;
    path_of(s, path, name);
    assert_int_equal(rs_state_create(&found, s->small->graph, NULL), 0);
    assert_int_equal(rs_checkpoint_load(path, found, resume, NULL), 0);
    assert_true(found->params[0] == mark);
    found->params[0] = s->small->state->params[0];
    assert_true(small_state_same(found, s->small->state, resume));
    if (!resume) /* it has no optimizer */
        assert_int_equal(rs_checkpoint_load(path, found, true, NULL), RS_E_NOT_FOUND);
    rs_state_destroy(found);
    assert_metadata(path, "classes", "cat\ndog");
    assert_metadata(path, "image_size", "224");
    assert_metadata(path, "config", resume ? options(s).config_json : NULL);
    if (!resume) {
        assert_metadata(path, "progress", NULL);
        return;
    }
    struct rs_progress progress;
    char *text;
    assert_int_equal(rs_checkpoint_metadata(path, "progress", &text, NULL), 0);
    assert_int_equal(rs_progress_parse(text, path, &progress, NULL), 0);
    assert_int_equal(progress.epoch, 3);
    assert_int_equal(progress.steps, 33);
    assert_true(progress.best_accuracy == (double)mark);
    free(text);
}

static void the_kind_decides_which_files_are_written(void **state)
{
    struct setting *s = *state;
    commit(s, 1, RS_CHECKPOINT_EPOCH);
    assert_int_equal(rs_checkpointer_wait(s->checkpointer, NULL), 0);
    assert_string_equal(renamed, "last resume ");
    assert_false(is_there(s, "best"));
    assert_file(s, "last", 1);
    assert_file(s, "resume", 1);
    commit(s, 2, RS_CHECKPOINT_BEST);
    commit(s, 3, RS_CHECKPOINT_EPOCH);
    commit(s, 4, RS_CHECKPOINT_INTERRUPTED);
    assert_int_equal(rs_checkpointer_wait(s->checkpointer, NULL), 0);
    assert_string_equal(renamed, "last resume best last resume last resume last resume ");
    assert_file(s, "best", 2);
    assert_file(s, "last", 4);
    assert_file(s, "resume", 4);
}

static void without_a_commit_nothing_is_written(void **state)
{
    struct setting *s = *state;
    struct rs_state *snapshot;
    assert_int_equal(rs_checkpointer_wait(s->checkpointer, NULL), 0);
    assert_int_equal(rs_checkpointer_begin(s->checkpointer, &snapshot, NULL), 0);
    snapshot->params[0] = 1;
    assert_int_equal(rs_checkpointer_wait(s->checkpointer, NULL), 0);
    rs_checkpointer_destroy(s->checkpointer);
    s->checkpointer = NULL;
    assert_string_equal(renamed, "");
}

/* The snapshot is its own again only when all files of the one before are there. */
static void begin_waits_for_the_one_before(void **state)
{
    struct setting *s = *state;
    struct rs_state *snapshot;
    slow = "last";
    for (int i = 0; i < 3; i++) {
        commit(s, 5, RS_CHECKPOINT_BEST);
        assert_int_equal(rs_checkpointer_begin(s->checkpointer, &snapshot, NULL), 0);
        snapshot->params[0] = 6;
        assert_file(s, "best", 5);
        assert_file(s, "last", 5);
        assert_file(s, "resume", 5);
        slow = i ? "best" : "resume";
    }
}

static void destroy_writes_what_was_committed(void **state)
{
    struct setting *s = *state;
    slow = "best";
    commit(s, 7, RS_CHECKPOINT_BEST);
    rs_checkpointer_destroy(s->checkpointer);
    s->checkpointer = NULL;
    assert_string_equal(renamed, "best last resume ");
    assert_file(s, "best", 7);
    assert_file(s, "resume", 7);
}

static void fail_next(const char *match, enum disk_call call)
{
    disk = (struct disk_script){
        .event = DISK_FAIL, .call = call, .at = 1, .match = match, .before = before_call};
}

static void what_follows_a_failure_is_not_written(void **state)
{
    struct setting *s = *state;
    commit(s, 1, RS_CHECKPOINT_BEST);
    assert_int_equal(rs_checkpointer_wait(s->checkpointer, NULL), 0);
    fail_next("best", DISK_FSYNC);
    commit(s, 2, RS_CHECKPOINT_BEST);
    assert_int_equal(rs_checkpointer_wait(s->checkpointer, NULL), RS_E_IO);
    assert_file(s, "best", 1);
    assert_file(s, "last", 1);
    assert_file(s, "resume", 1);
}

static void a_resume_file_comes_after_the_weights(void **state)
{
    struct setting *s = *state;
    fail_next("last", DISK_RENAME);
    commit(s, 2, RS_CHECKPOINT_BEST);
    assert_int_equal(rs_checkpointer_wait(s->checkpointer, NULL), RS_E_IO);
    assert_file(s, "best", 2);
    assert_false(is_there(s, "last"));
    assert_false(is_there(s, "resume"));
}

static void the_first_failure_stays(void **state)
{
    struct setting *s = *state;
    struct rs_state *snapshot;
    struct rs_progress progress = {0};
    struct rs_error err = {0};
    fail_next("last", DISK_RENAME);
    commit(s, 1, RS_CHECKPOINT_EPOCH);
    assert_int_equal(rs_checkpointer_wait(s->checkpointer, &err), RS_E_IO);
    assert_non_null(strstr(err.message, "last.safetensors"));
    assert_true(rs_run_stopped(s->run));
    assert_int_equal(rs_run_error(s->run, &err), RS_E_IO);
    assert_non_null(strstr(err.message, "checkpoint: "));
    fail_next("resume", DISK_RENAME);
    rs_checkpointer_commit(s->checkpointer, &progress, RS_CHECKPOINT_EPOCH);
    for (int i = 0; i < 2; i++) {
        err = (struct rs_error){0};
        int code = i ? rs_checkpointer_begin(s->checkpointer, &snapshot, &err)
                     : rs_checkpointer_wait(s->checkpointer, &err);
        assert_int_equal(code, RS_E_IO);
        assert_non_null(strstr(err.message, "last.safetensors"));
    }
    disk.event = DISK_NOTHING; /* a commit that works changes nothing */
    rs_checkpointer_commit(s->checkpointer, &progress, RS_CHECKPOINT_EPOCH);
    assert_int_equal(rs_checkpointer_wait(s->checkpointer, &err), RS_E_IO);
}

static void a_path_that_is_too_long_is_refused(void **state)
{
    struct setting *s = *state;
    static char dir[4090];
    struct rs_error err = {0};
    struct rs_checkpointer_options o = options(s);
    memset(dir, 'x', sizeof dir - 1);
    o.dir = dir;
    rs_checkpointer_destroy(s->checkpointer);
    assert_int_equal(rs_checkpointer_create(&s->checkpointer, &o, NULL), 0);
    commit(s, 1, RS_CHECKPOINT_EPOCH);
    assert_int_equal(rs_checkpointer_wait(s->checkpointer, &err), RS_E_LIMIT);
    assert_string_equal(renamed, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_kind_decides_which_files_are_written, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_a_commit_nothing_is_written, set_up, tear_down),
        cmocka_unit_test_setup_teardown(begin_waits_for_the_one_before, set_up, tear_down),
        cmocka_unit_test_setup_teardown(destroy_writes_what_was_committed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_follows_a_failure_is_not_written, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_resume_file_comes_after_the_weights, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_first_failure_stays, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_path_that_is_too_long_is_refused, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
