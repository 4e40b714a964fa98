/* Memory runs out in whole runs: training, going on with a run, evaluation, the loader alone. With the small
 * network. */
#include "evaluation.h"
#include "fake_backend.h"
#include "feed.h"
#include "oom.h"
#include "scene.h"
#include "stand_ins.h"

#include "cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SIDE 16
#define TRACKS                                                                                               \
    12 /* more than a run has threads; one without memory for its track of a trace goes on without */
#define TRACE_MAX (1 << 20)

static struct scene cifar, folder;
static char out[400], kept[400], trace[400];
static struct fake_script script;
static struct rs_training_options options;

static const char *in(const char *dir, const char *name)
{
    static char path[500];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

/* A run of two steps and one validation batch. */
static void set_options(const struct scene *scene, const char *device)
{
    options = scene_options(scene);
    options.device = device;
    options.batch_size = 16;
    options.eval_batch_size = 10;
    options.prefetch = 2;
    options.threads = 1;
    options.image_size = SIDE;
    options.lr = 0.01f;
    options.out = out;
    options.config_json = "{}";
    options.optimizer = RS_OPTIMIZER_ADAM;
}

static void remove_out(void)
{
    char command[900];
    snprintf(command, sizeof command, "rm -rf '%s' '%s'", out, trace);
    assert_int_equal(system(command), 0);
}

/* A run that left a checkpoint is gone on with, as its last words say. */
static int train(uint64_t *result, struct rs_error *err)
{
    struct rs_training_outcome outcome;
    script = (struct fake_script){.seed = 1, .latency = 2};
    fake_set_script(&script);
    options.resume = access(in(out, "resume.safetensors"), F_OK) == 0;
    RS_TRY(rs_training_run(&options, &outcome, err));
    *result = oom_file_hash(in(out, "last.safetensors"), 0);
    return 0;
}

#ifndef __SANITIZE_THREAD__
static void train_on_the_cpu(void **unused)
{
    (void)unused;
    set_options(&cifar, "cpu");
    oom_sweep(
        &(struct oom_scenario){.name = "train, cpu", .run = train, .reset = remove_out, .optional = TRACKS});
}
#endif

static void train_on_a_folder(void **unused)
{
    (void)unused;
    set_options(&folder, "ref");
    options.fuse = RS_FUSE_NONE;
    oom_sweep(&(struct oom_scenario){
        .name = "train, ref, a pool per stage", .run = train, .reset = remove_out, .optional = TRACKS});
}

static void train_on_a_stream(void **unused)
{
    (void)unused;
    set_options(&cifar, "cuda");
    options.preprocess = RS_PREPROCESS_DEVICE;
    stand_in_device(&fake_stream);
    oom_sweep(&(struct oom_scenario){
        .name = "train, a device with a stream", .run = train, .reset = remove_out, .optional = TRACKS});
    stand_in_device(NULL);
}

/* Whether every thread and the device have a track, or the trace says that something is missing. */
static bool trace_is_honest(void)
{
    static const char *const tracks[] = {"main",     "train",    "checkpoint",  "decode.0",
                                         "decode.1", "GPU copy", "GPU compute", "epochs"};
    static char text[TRACE_MAX];
    FILE *file = fopen(trace, "r");
    if (!file)
        return false;
    size_t length = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[length] = '\0';
    if (!strstr(text, "\"dropped\":0}"))
        return strstr(text, "\"dropped\":") != NULL;
    bool whole = true;
    for (size_t i = 0; i < sizeof tracks / sizeof *tracks; i++) {
        char name[64];
        snprintf(name, sizeof name, "\"args\":{\"name\":\"%s\"}", tracks[i]);
        whole = whole && strstr(text, name);
    }
    return whole;
}

static int train_traced(uint64_t *result, struct rs_error *err)
{
    RS_TRY(train(result, err));
    /* a run of which nothing was left to do has no threads */
    *result += script.train_steps > 0 && !trace_is_honest();
    return 0;
}

static void trace_a_run(void **unused)
{
    (void)unused;
    set_options(&cifar, "cuda");
    options.trace = trace;
    stand_in_device(&fake_stream);
    oom_sweep(&(struct oom_scenario){
        .name = "train with a trace", .run = train_traced, .reset = remove_out, .optional = 4 * TRACKS});
    stand_in_device(NULL);
}

static void copy_kept(void)
{
    char command[900];
    remove_out();
    snprintf(command, sizeof command, "cp -r '%s' '%s'", kept, out);
    assert_int_equal(system(command), 0);
}

static int go_on(uint64_t *result, struct rs_error *err)
{
    options.epochs = 2;
    return train(result, err);
}

/* From the end of the first epoch; metrics.jsonl has lines behind it. */
static void resume(void **unused)
{
    char command[900];
    uint64_t result;
    struct rs_error err;
    (void)unused;
    set_options(&cifar, "ref");
    remove_out();
    assert_int_equal(train(&result, &err), 0);
    snprintf(command, sizeof command, "mv '%s' '%s'", out, kept);
    assert_int_equal(system(command), 0);
    copy_kept();
    oom_sweep(&(struct oom_scenario){.name = "resume", .run = go_on, .reset = copy_kept, .optional = TRACKS});
}

static int evaluate(uint64_t *result, struct rs_error *err)
{
    struct rs_evaluation e;
    RS_TRY(rs_evaluation_run(&options, in(kept, "last.safetensors"), &e, err));
    memcpy(result, &e.loss, sizeof *result);
    rs_evaluation_free(&e);
    return 0;
}

static void evaluation(void **unused)
{
    (void)unused;
    set_options(&cifar, "ref");
    oom_sweep(&(struct oom_scenario){.name = "eval", .run = evaluate});
}

static int hash_batch(void *arg, const struct rs_feed_batch *batch, struct rs_error *err)
{
    (void)err;
    uint64_t *hash = arg;
    const uint8_t *bytes = (const uint8_t *)batch->tensor;
    for (size_t i = 0; i < (size_t)batch->count * 3 * SIDE * SIDE * sizeof(float); i++)
        *hash = (*hash ^ bytes[i]) * 0x100000001b3u;
    return 0;
}

static int feed(uint64_t *result, struct rs_error *err)
{
    return rs_feed_run(&options, hash_batch, result, err);
}

static void loader(void **unused)
{
    (void)unused;
    set_options(&cifar, "ref");
    oom_sweep(&(struct oom_scenario){.name = "the loader, CIFAR", .run = feed});
    set_options(&folder, "ref");
    oom_sweep(&(struct oom_scenario){.name = "the loader, an image folder", .run = feed});
}

static int begin(void **unused)
{
    (void)unused;
    oom_files_in_memory();
    scene_begin(&cifar, RS_SYNTH_CIFAR10, 30, 10);
    scene_begin(&folder, RS_SYNTH_PNG, 30, 10);
    snprintf(out, sizeof out, "%s/out", cifar.root);
    snprintf(kept, sizeof kept, "%s/kept", cifar.root);
    snprintf(trace, sizeof trace, "%s/trace.json", cifar.root);
    return 0;
}

static int end(void **unused)
{
    (void)unused;
    scene_end(&cifar);
    scene_end(&folder);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#ifndef __SANITIZE_THREAD__
        cmocka_unit_test(train_on_the_cpu),
#endif
        cmocka_unit_test(train_on_a_folder),
        cmocka_unit_test(train_on_a_stream),
        cmocka_unit_test(trace_a_run),
        cmocka_unit_test(resume),
        cmocka_unit_test(evaluation), /* of what resume keeps */
        cmocka_unit_test(loader),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
