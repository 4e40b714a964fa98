/* What each stage says it did in an epoch: of the device's stages and metrics exactly its batches, of the
 * input's as much by then, and all of the run at its end. */
#include "fake_backend.h"
#include "scene.h"

#include "cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EPOCHS 3
#define TRAIN 45
#define TEST 21
#define BATCHES (3 + 2)        /* of 16, the last of each phase shorter */
#define SAMPLES (TRAIN + TEST) /* an epoch */

static struct scene scene;

struct counts {
    unsigned long long batches, samples;
};

static const char *const stages[] = {"read", "decode", "resize", "normalize", "upload", "train", "metrics"};
#define STAGES (sizeof stages / sizeof *stages)
#define RESIZE 2 /* from here to upload missing where the device does it */
#define UPLOAD 4 /* from here on nothing is ahead of the step */

static struct counts counts[EPOCHS][STAGES]; /* of the last run */

static void read_counts(const char *line, struct counts of[STAGES])
{
    for (size_t s = 0; s < STAGES; s++) {
        char key[64];
        snprintf(key, sizeof key, "\"%s\":{\"batches\":", stages[s]);
        const char *at = strstr(line, key);
        of[s] = (struct counts){0, 0};
        if (at)
            assert_int_equal(
                sscanf(at + strlen(key), "%llu,\"samples\":%llu,", &of[s].batches, &of[s].samples), 2);
    }
}

static void read_epochs(const char *dir)
{
    char path[400], *line = NULL;
    size_t size = 0;
    int count = 0;
    snprintf(path, sizeof path, "%s/metrics.jsonl", dir);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    while (getline(&line, &size, f) > 0)
        if (strstr(line, "\"event\":\"epoch\"")) {
            assert_true(count < EPOCHS);
            read_counts(line, counts[count++]);
        }
    free(line);
    fclose(f);
    assert_int_equal(count, EPOCHS);
}

static void assert_exact(size_t stage)
{
    for (int e = 0; e < EPOCHS; e++) {
        assert_int_equal(counts[e][stage].batches, BATCHES);
        assert_int_equal(counts[e][stage].samples, SAMPLES);
    }
}

/* Input reads ahead of an epoch's end, so that only the sums have bounds. */
static void assert_ahead(size_t stage)
{
    struct counts sum = {0, 0};
    for (unsigned e = 0; e < EPOCHS; e++) {
        sum.batches += counts[e][stage].batches;
        sum.samples += counts[e][stage].samples;
        assert_true(sum.batches >= (e + 1) * BATCHES && sum.batches <= EPOCHS * BATCHES);
        assert_true(sum.samples >= (e + 1) * SAMPLES && sum.samples <= EPOCHS * SAMPLES);
    }
    assert_int_equal(sum.batches, EPOCHS * BATCHES);
    assert_int_equal(sum.samples, EPOCHS * SAMPLES);
}

static void check_run(const struct rs_backend *backend, enum rs_fuse fuse, enum rs_preprocess preprocess)
{
    char dir[300];
    struct rs_error err;
    struct rs_training_outcome outcome;
    struct fake_script script = {.latency = 4};
    struct rs_training_options o = scene_options(&scene);
    snprintf(dir, sizeof dir, "%s/run-%s-%d-%d", scene.root, backend->name, (int)fuse, (int)preprocess);
    o.backend = backend;
    o.device = "fake";
    o.epochs = EPOCHS;
    o.lr = 0.25f;
    o.config_json = "{}";
    o.out = dir;
    o.fuse = fuse;
    o.preprocess = preprocess;
    fake_set_script(&script);
    if (rs_training_run(&o, &outcome, &err) < 0)
        fail_msg("%s", err.message);
    read_epochs(dir);
    for (size_t stage = 0; stage < STAGES; stage++)
        if (stage >= UPLOAD)
            assert_exact(stage);
        else if (preprocess == RS_PREPROCESS_HOST || stage < RESIZE)
            assert_ahead(stage);
}

static void in_host_memory(void **state)
{
    (void)state;
    check_run(&fake_sync, RS_FUSE_AUTO, RS_PREPROCESS_HOST);
    check_run(&fake_sync, RS_FUSE_NONE, RS_PREPROCESS_HOST);
}

static void on_a_device_with_a_stream(void **state)
{
    (void)state;
    check_run(&fake_stream, RS_FUSE_AUTO, RS_PREPROCESS_HOST);
    check_run(&fake_stream, RS_FUSE_NONE, RS_PREPROCESS_HOST);
    check_run(&fake_stream, RS_FUSE_AUTO, RS_PREPROCESS_DEVICE);
}

static int setup(void **state)
{
    (void)state;
    scene_begin(&scene, RS_SYNTH_CIFAR10, TRAIN, TEST);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    scene_end(&scene);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_host_memory),
        cmocka_unit_test(on_a_device_with_a_stream),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
