/* run_whole.c: see run_whole.h. */
#include "run_whole.h"

#include "checkpoint.h"
#include "cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX 65536

void run_whole_make(struct run_whole *whole, const struct rs_training_options *o, struct fake_script script)
{
    whole->result = fixture_run(o, script);
    assert_done(&whole->result);
    run_files_read(&whole->files, o->out);
    assert_whole(&whole->files);
    fixture_remove(o->out);
}

void run_whole_free(struct run_whole *whole)
{
    run_files_free(&whole->files);
}

static void assert_same_outcome(const struct run_result *whole, const struct run_result *last)
{
    const struct rs_training_outcome *a = &whole->outcome, *b = &last->outcome;
    assert_done(last);
    assert_int_equal(a->interrupted, b->interrupted);
    assert_int_equal(a->steps, b->steps);
    assert_int_equal(a->epochs_done, b->epochs_done);
    assert_memory_equal(whole->script.weights, last->script.weights, sizeof whole->script.weights);
    if (last->script.train_steps + last->script.valid_steps == 0)
        return; /* nothing was left: it ended no epoch */
    assert_true(a->train_loss == b->train_loss);
    assert_true(a->train_accuracy == b->train_accuracy);
    assert_true(a->valid_loss == b->valid_loss);
    assert_true(a->valid_accuracy == b->valid_accuracy);
}

void assert_as_whole(const struct run_whole *whole, const char *dir, const struct run_result *last)
{
    struct run_files files;
    assert_same_outcome(&whole->result, last);
    run_files_read(&files, dir);
    assert_whole(&files);
    assert_same_files(&whole->files, &files);
    run_files_free(&files);
}

static size_t read_metrics(const char *dir, char text[TEXT_MAX])
{
    char path[500];
    snprintf(path, sizeof path, "%s/metrics.jsonl", dir);
    FILE *f = fopen(path, "r");
    size_t length = f ? fread(text, 1, TEXT_MAX - 1, f) : 0;
    text[length] = '\0';
    if (f)
        fclose(f);
    return length;
}

/* Of text: the lines that a resume file counts. An epoch that max_steps cut short has its line after them. */
static size_t counted_length(const char *dir, const char *text)
{
    char path[500], *json = NULL;
    struct rs_error err = {0};
    struct rs_progress p = {0};
    snprintf(path, sizeof path, "%s/resume.safetensors", dir);
    if (rs_checkpoint_metadata(path, "progress", &json, &err) < 0 ||
        rs_progress_parse(json, path, &p, &err) < 0)
        fail_msg("%s", err.message);
    free(json);
    const char *at = text;
    for (uint64_t i = 0; i < p.steps + p.epoch; i++) {
        const char *end = strchr(at, '\n');
        if (!end)
            fail_msg("the resume file counts %llu lines, and metrics.jsonl has %llu",
                     (unsigned long long)(p.steps + p.epoch), (unsigned long long)i);
        else
            at = end + 1;
    }
    return (size_t)(at - text);
}

void assert_goes_on(const struct run_whole *whole, const struct rs_training_options *options,
                    struct fake_script script)
{
    static char before[TEXT_MAX], after[TEXT_MAX];
    struct rs_training_options o = *options;
    o.resume = has_file(o.out, "resume.safetensors");
    size_t kept = 0;
    if (o.resume && read_metrics(o.out, before) > 0)
        kept = counted_length(o.out, before);
    struct run_result last = fixture_run(&o, script);
    assert_as_whole(whole, o.out, &last);
    read_metrics(o.out, after);
    assert_memory_equal(before, after, kept);
    fixture_remove(o.out);
}

uint32_t sweep_step(uint32_t stride)
{
    const char *sweep = getenv("RS_SWEEP");
    return sweep && strcmp(sweep, "full") == 0 ? 1 : stride;
}

void run_scene_begin(struct run_scene *scene, uint32_t train, uint32_t valid)
{
    fixture_begin(&scene->fixture, train, valid);
    fixture_dir(&scene->fixture, scene->dir, "run");
}

int run_scene_fresh(void **state)
{
    const struct run_scene *scene = *state;
    fixture_remove(scene->dir);
    return 0;
}

int run_scene_end(void **state)
{
    struct run_scene *scene = *state;
    run_whole_free(&scene->whole);
    fixture_end(&scene->fixture);
    return 0;
}
