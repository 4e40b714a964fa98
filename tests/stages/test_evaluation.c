/* rs_evaluation_run on a scripted device: which samples it measures, and what it makes of their
 * probabilities. */
#include "evaluation.h"

#include "checkpoint.h"
#include "fake_backend.h"
#include "resnet.h"
#include "scene.h"

#include "cmocka_all.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CLASSES 10
#define TRAIN 40
#define TEST 37
#define RECORD 3073
#define NONE CLASSES

static struct scene scene;
static char weights[320];

/* What the device is to give for the samples in their order, and what it was given. */
static struct {
    uint32_t seen, batches, counts[TEST];
    int32_t labels[TRAIN];
} device;

static int32_t test_label(uint32_t i)
{
    static const int32_t labels[] = {3, 3, 0, 1, 3, 9, 0, 8, 3, 2}; /* no 4, 5, 6, 7 */
    return labels[i * 7 % 10];
}

static int32_t train_label(uint32_t i)
{
    return i % 3 ? 5 : 6;
}

static int32_t predicted(uint32_t i)
{
    return (int32_t)(i % 4 ? i % 8 : i * 3 % CLASSES);
}

/* Of every second sample the last class has the same probability as the predicted one: the first wins. */
static int32_t tied(uint32_t i)
{
    return i % 2 ? NONE : CLASSES - 1;
}

static double loss(uint32_t i)
{
    return 0.25 + 0.5 * (double)(i % 16); /* sums are exact */
}

static void evaluate(const struct rs_batch_input *in, struct rs_step_result *result)
{
    device.counts[device.batches++] = in->count;
    result->loss_sum = 0;
    result->correct = 0;
    for (uint32_t n = 0; n < in->count; n++, device.seen++) {
        assert_true(device.seen < TRAIN);
        float *p = result->probabilities + (size_t)n * CLASSES;
        for (int32_t c = 0; c < CLASSES; c++)
            p[c] = c == predicted(device.seen) || c == tied(device.seen) ? 0.375f : 0.03125f;
        device.labels[device.seen] = in->labels[n];
        result->loss_sum += loss(device.seen);
        result->correct += predicted(device.seen) == in->labels[n];
    }
}

static void set_labels(const char *name, uint32_t first, uint32_t count, int32_t (*label)(uint32_t))
{
    char path[400];
    snprintf(path, sizeof path, "%s/%s", scene.data, name);
    FILE *f = fopen(path, "r+");
    assert_non_null(f);
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(fseek(f, (long)i * RECORD, SEEK_SET), 0);
        fputc(label(first + i), f);
    }
    assert_int_equal(fclose(f), 0);
}

static struct rs_training_options options(const struct rs_backend *backend, uint32_t batch)
{
    struct rs_training_options o = scene_options(&scene);
    o.backend = backend;
    o.device = "fake";
    o.eval_batch_size = batch;
    return o;
}

static int run(const struct rs_training_options *o, struct fake_script script, struct rs_evaluation *e,
               struct rs_error *err)
{
    memset(&device, 0, sizeof device);
    script.evaluate = evaluate;
    fake_set_script(&script);
    int code = rs_evaluation_run(o, weights, e, err);
    fake_set_script(NULL);
    return code;
}

/* count samples with these labels, in order, in batches of o's size and a last one of the rest. */
static void assert_measured(const struct rs_training_options *o, uint32_t count, int32_t (*label)(uint32_t))
{
    struct rs_evaluation e;
    struct rs_error err;
    uint64_t confusion[CLASSES * CLASSES] = {0}, hits = 0;
    double sum = 0;
    if (run(o, (struct fake_script){0}, &e, &err) < 0)
        fail_msg("%s", err.message);
    assert_int_equal(device.seen, count);
    assert_int_equal(device.batches, (count + o->eval_batch_size - 1) / o->eval_batch_size);
    for (uint32_t b = 0; b + 1 < device.batches; b++)
        assert_int_equal(device.counts[b], o->eval_batch_size);
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(device.labels[i], label(i));
        confusion[label(i) * CLASSES + predicted(i)]++;
        hits += label(i) == predicted(i);
        sum += loss(i);
    }
    assert_int_equal(e.classes, CLASSES);
    assert_int_equal(e.samples, count);
    assert_true(e.loss == sum / count);
    assert_true(e.accuracy == (double)hits / count);
    assert_true(e.seconds > 0);
    assert_memory_equal(e.confusion, confusion, sizeof confusion);
    rs_evaluation_free(&e);
    assert_null(e.confusion);
}

static void every_batch_size_gives_the_same_sums(void **state)
{
    (void)state;
    static const uint32_t batches[] = {1, 8, TEST - 1, TEST, 64};
    for (size_t i = 0; i < sizeof batches / sizeof *batches; i++) {
        struct rs_training_options o = options(i % 2 ? &fake_stream : &fake_sync, batches[i]);
        o.prefetch = (const uint32_t[]){1, 2, 8}[i % 3];
        o.workers = 1 + i % 2;
        o.fuse = i % 2 ? RS_FUSE_NONE : RS_FUSE_AUTO;
        assert_measured(&o, TEST, test_label);
    }
}

static void names_are_the_data_s(void **state)
{
    (void)state;
    struct rs_training_options o = options(&fake_sync, 8);
    struct rs_evaluation e;
    struct rs_error err;
    char path[400];
    snprintf(path, sizeof path, "%s/batches.meta.txt", scene.data);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    for (int i = 0; i < CLASSES; i++)
        fprintf(f, "name %d\n", i * i);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(run(&o, (struct fake_script){0}, &e, &err), 0);
    for (int i = 0; i < CLASSES; i++) {
        char name[16];
        snprintf(name, sizeof name, "name %d", i * i);
        assert_string_equal(e.class_names[i], name);
    }
    rs_evaluation_free(&e);
}

static void a_failing_step_leaves_nothing(void **state)
{
    (void)state;
    static const struct rs_backend *const backends[] = {&fake_sync, &fake_stream};
    for (int b = 0; b < 2; b++)
        for (uint32_t at = 1; at <= 5; at += 2) {
            struct rs_training_options o = options(backends[b], 8);
            struct rs_evaluation e;
            struct rs_error err;
            int code = run(&o, (struct fake_script){.fail = FAKE_EVAL, .fail_at = at}, &e, &err);
            assert_int_equal(code, RS_E_BACKEND);
            assert_non_null(strstr(err.message, "evaluate: made to fail"));
            assert_int_equal(device.batches, at - 1);
            assert_null(e.confusion);
            assert_null(e.class_names);
        }
}

static void without_test_files_the_training_files_are_measured(void **state)
{
    (void)state;
    char path[400], aside[400];
    struct rs_training_options o = options(&fake_sync, 16);
    snprintf(path, sizeof path, "%s/test_batch.bin", scene.data);
    snprintf(aside, sizeof aside, "%s/aside.bin", scene.root);
    assert_int_equal(rename(path, aside), 0);
    assert_measured(&o, TRAIN, train_label);
    assert_int_equal(rename(aside, path), 0);
    assert_measured(&o, TEST, test_label);
}

static void write_weights(void)
{
    struct rs_graph *graph;
    struct rs_state *values;
    struct rs_error err;
    snprintf(weights, sizeof weights, "%s/weights.safetensors", scene.root);
    assert_int_equal(rs_resnet_build(&graph, 96, CLASSES, &err), 0);
    assert_int_equal(rs_state_create(&values, graph, &err), 0);
    assert_int_equal(rs_checkpoint_save(weights, values, 0, NULL, 0, &err), 0);
    rs_state_destroy(values);
    rs_graph_destroy(graph);
}

static int setup(void **state)
{
    (void)state;
    scene_begin(&scene, RS_SYNTH_CIFAR10, TRAIN, TEST);
    set_labels("test_batch.bin", 0, TEST, test_label);
    for (uint32_t i = 0; i < 5; i++) {
        char name[32];
        snprintf(name, sizeof name, "data_batch_%u.bin", i + 1);
        set_labels(name, i * TRAIN / 5, TRAIN / 5, train_label);
    }
    write_weights();
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
        cmocka_unit_test(every_batch_size_gives_the_same_sums),
        cmocka_unit_test(names_are_the_data_s),
        cmocka_unit_test(a_failing_step_leaves_nothing),
        cmocka_unit_test(without_test_files_the_training_files_are_measured),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
