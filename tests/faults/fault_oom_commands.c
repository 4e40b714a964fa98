/* Memory runs out in the commands, from the reading of their options on. With the small network. */
#include "commands.h"
#include "fake_backend.h"
#include "oom.h"
#include "scene.h"
#include "stand_ins.h"

#include "cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ARGS_MAX 32
#define LINE_MAX_BYTES 2048
#define FILES_MAX 3
#define NETWORK " --image-size 75 --device cuda" /* the device is the test's */
#define TRACKS 12                                /* more than a run has threads: their tracks are optional */

static int (*const commands[RS_COMMAND_COUNT])(const struct rs_config *, struct rs_error *) = {
    [RS_COMMAND_TRAIN] = rs_command_train,     [RS_COMMAND_EVAL] = rs_command_eval,
    [RS_COMMAND_PREDICT] = rs_command_predict, [RS_COMMAND_PREVIEW] = rs_command_preview,
    [RS_COMMAND_SUMMARY] = rs_command_summary, [RS_COMMAND_SYNTH] = rs_command_synth,
    [RS_COMMAND_BENCH] = rs_command_bench,     [RS_COMMAND_DEVICES] = rs_command_devices,
};

static struct scene cifar, folder;
static char root[300];

static struct fake_script script; /* of the device */

/* The scenario at work. */
static char line[LINE_MAX_BYTES];
static const char
    *files[FILES_MAX]; /* in root; what the command writes, NULL-terminated where there are fewer */

static int run_line(char *text, struct rs_error *err)
{
    char *args[ARGS_MAX] = {NULL}, *rest = text;
    int count = 0;
    const struct rs_config *config;
    for (char *word; (word = strsep(&rest, " "));)
        if (*word && count < ARGS_MAX)
            args[count++] = word;
    int command = count > 0 ? rs_command_find(args[0]) : -1;
    if (command < 0 || command >= RS_COMMAND_COUNT) {
        fail_msg("the command '%s' does not exist", text);
        return RS_E_USAGE;
    }
    RS_TRY(rs_config_create(&config, (enum rs_command)command, count, args, err));
    int code = commands[command](config, err);
    rs_config_destroy(config);
    return code;
}

static int run(uint64_t *result, struct rs_error *err)
{
    char text[LINE_MAX_BYTES], path[600];
    snprintf(text, sizeof text, "%s", line);
    RS_TRY(run_line(text, err));
    for (size_t i = 0; i < FILES_MAX && files[i]; i++) {
        snprintf(path, sizeof path, "%s/%s", root, files[i]);
        *result = oom_file_hash(path, *result);
        if (!*result)
            return rs_error_set(err, RS_E_NOT_FOUND, "%s was not written", path);
    }
    return 0;
}

/* A run that left a checkpoint is gone on with, as its last words say. */
static int run_train(uint64_t *result, struct rs_error *err)
{
    char first[LINE_MAX_BYTES], path[600];
    snprintf(path, sizeof path, "%s/made/resume.safetensors", root);
    if (access(path, F_OK) != 0)
        return run(result, err);
    snprintf(first, sizeof first, "%s", line);
    snprintf(line, sizeof line, "train --resume %s/made --data %s --quiet", root, cifar.data);
    int code = run(result, err);
    snprintf(line, sizeof line, "%s", first);
    return code;
}

/* predict prints to stderr what is wrong with each image, and continues with the next. */
static int run_predict(uint64_t *result, struct rs_error *err)
{
    FILE *errors = stderr;
    stderr = stdout;
    int code = run(result, err);
    stderr = errors;
    if (code == RS_E_NOMEM && strstr(err->message, " images failed"))
        rs_error_set(err, code, "out of memory, which stderr says");
    return code;
}

/* What a command wrote is in root/made. */
static void remove_made(void)
{
    char command[400];
    snprintf(command, sizeof command, "rm -rf '%s/made'", root);
    assert_int_equal(system(command), 0);
}

static void set_line(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void set_line(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    assert_true(vsnprintf(line, sizeof line, format, args) < (int)sizeof line);
    va_end(args);
    memset(files, 0, sizeof files);
}

static void summary(void **unused)
{
    (void)unused;
    set_line("summary");
    stand_in_network(false);
    oom_sweep(&(struct oom_scenario){.name = "summary", .run = run});
    stand_in_network(true);
}

static void devices(void **unused)
{
    (void)unused;
    set_line("devices");
    oom_sweep(&(struct oom_scenario){.name = "devices", .run = run});
}

static void synth(void **unused)
{
    (void)unused;
    set_line("synth %s/made --train 20 --test 10", root);
    files[0] = "made/data_batch_5.bin";
    files[1] = "made/batches.meta.txt";
    oom_sweep(&(struct oom_scenario){.name = "synth", .run = run, .reset = remove_made});
    set_line("synth %s/made --train 20 --test 10 --format png", root);
    oom_sweep(&(struct oom_scenario){.name = "synth, PNG", .run = run, .reset = remove_made});
}

static void preview(void **unused)
{
    (void)unused;
    set_line("preview --data %s --png %s/sheet.png --npy %s/tensor.npy --image-size 75 --count 20",
             folder.data, root, root);
    files[0] = "sheet.png";
    files[1] = "tensor.npy";
    oom_sweep(&(struct oom_scenario){.name = "preview", .run = run});
}

static void train(void **unused)
{
    (void)unused;
    set_line("train --data %s --out %s/made --epochs 1 --batch-size 16 --prefetch 2" NETWORK, cifar.data,
             root);
    files[0] = "made/last.safetensors";
    char first[LINE_MAX_BYTES];
    snprintf(first, sizeof first, "%s", line);
    struct rs_error err;
    assert_int_equal(run_line(first, &err), 0);
    snprintf(first, sizeof first, "mv '%s/made' '%s/kept'", root, root);
    assert_int_equal(system(first), 0);
    set_line("train --data %s --init %s/kept/last.safetensors --out %s/made --max-steps 1 --batch-size 16 "
             "--prefetch 2 --quiet" NETWORK,
             cifar.data, root, root);
    oom_sweep(&(struct oom_scenario){
        .name = "the train command", .run = run_train, .reset = remove_made, .optional = TRACKS});
}

static void copy_kept(void)
{
    char command[700];
    remove_made();
    snprintf(command, sizeof command, "cp -r '%s/kept' '%s/made'", root, root);
    assert_int_equal(system(command), 0);
}

static void resume(void **unused)
{
    (void)unused;
    copy_kept();
    set_line("train --resume %s/made --data %s --epochs 2", root, cifar.data);
    files[0] = "made/last.safetensors";
    oom_sweep(&(struct oom_scenario){.name = "the train command, resuming",
                                     .points = 30,
                                     .run = run,
                                     .reset = copy_kept,
                                     .optional = TRACKS});
}

static void eval(void **unused)
{
    (void)unused;
    set_line(
        "eval --data %s --weights %s/kept/last.safetensors --eval-batch-size 10 --prefetch 2 --device cuda",
        cifar.data, root);
    oom_sweep(&(struct oom_scenario){.name = "the eval command", .run = run});
}

static void predict(void **unused)
{
    (void)unused;
    set_line("predict --weights %s/kept/last.safetensors --data %s --device cuda %s/sheet.png %s/sheet.png",
             root, cifar.data, root, root);
    oom_sweep(&(struct oom_scenario){.name = "predict", .run = run_predict});
}

static void bench(void **unused)
{
    (void)unused;
    set_line("bench pipeline --data %s --steps 2 --repeats 1 --batch-size 8 --prefetch 2", folder.data);
    oom_sweep(&(struct oom_scenario){.name = "bench pipeline", .run = run});
    set_line("bench train --data %s --steps 2 --batch-size 4 --prefetch 2" NETWORK, cifar.data);
    oom_sweep(&(struct oom_scenario){.name = "bench train", .run = run, .points = 20, .optional = TRACKS});
    stand_in_device(&fake_stream);
    oom_sweep(&(struct oom_scenario){
        .name = "bench train, a device with a stream", .points = 20, .run = run, .optional = TRACKS});
}

static int begin(void **unused)
{
    (void)unused;
    fake_set_script(&script);
    stand_in_device(&fake_sync);
    oom_files_in_memory();
    scene_begin(&cifar, RS_SYNTH_CIFAR10, 30, 10);
    scene_begin(&folder, RS_SYNTH_PNG, 30, 10);
    snprintf(root, sizeof root, "%s", cifar.root);
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
        cmocka_unit_test(summary), cmocka_unit_test(devices),
        cmocka_unit_test(synth),   cmocka_unit_test(preview),
        cmocka_unit_test(train),   cmocka_unit_test(resume), /* with what train keeps */
        cmocka_unit_test(eval),    cmocka_unit_test(predict),
        cmocka_unit_test(bench),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
