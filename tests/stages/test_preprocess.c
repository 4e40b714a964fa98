/* Where images are resized and normalized: the choice, and the same bits from the host's way and the
 * device's in whole runs. */
#include "preprocess.h"

#include "fake_backend.h"
#include "scene.h"
#include "stream.h"

#include "cmocka_all.h"

#include <string.h>

static struct scene cifar, png;
static struct rs_source *files, *folder;

static struct rs_preprocess_choice choose(enum rs_preprocess wish, const struct rs_backend *backend,
                                          struct rs_source *train, struct rs_source *valid)
{
    struct rs_preprocess_choice choice;
    struct rs_error err = {0};
    struct rs_source *const sources[2] = {train, valid};
    if (rs_preprocess_choose(wish, backend, sources, 96, &choice, &err) < 0)
        fail_msg("%s", err.message);
    return choice;
}

static void assert_choice(struct rs_preprocess_choice choice, uint32_t stages, uint32_t side)
{
    assert_int_equal(choice.image_stages, stages);
    assert_int_equal(choice.pixels.height, side);
    assert_int_equal(choice.pixels.width, side);
    assert_true(choice.pixels.planar == (side > 0));
    assert_string_equal(rs_preprocess_text(&choice),
                        stages == 3 ? ""
                        : stages == 1
                            ? "; the device resizes and normalizes"
                            : "; the device normalizes (it resizes only images that all have one size)");
}

static void the_device_does_what_it_can(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        enum rs_preprocess wish = i ? RS_PREPROCESS_AUTO : RS_PREPROCESS_DEVICE;
        assert_choice(choose(wish, &fake_stream, files, files), 1, 32);
        assert_choice(choose(wish, &fake_stream, files, NULL), 1, 32);
        assert_choice(choose(wish, &fake_stream, folder, folder), 2, 96);
        assert_choice(choose(wish, &fake_stream, files, folder), 2, 96);
        assert_choice(choose(wish, &fake_stream, folder, files), 2, 96);
    }
    assert_choice(choose(RS_PREPROCESS_HOST, &fake_stream, files, files), 3, 0);
    assert_choice(choose(RS_PREPROCESS_HOST, &fake_sync, files, files), 3, 0);
    assert_choice(choose(RS_PREPROCESS_AUTO, &fake_sync, files, files), 3, 0);
}

static void a_device_in_host_memory_refuses(void **state)
{
    (void)state;
    struct rs_preprocess_choice choice;
    struct rs_error err = {0};
    struct rs_source *const sources[2] = {files, NULL};
    assert_int_equal(rs_preprocess_choose(RS_PREPROCESS_DEVICE, &fake_sync, sources, 96, &choice, &err),
                     RS_E_USAGE);
    assert_string_equal(
        err.message,
        "--preprocess device: the device fake computes in the host's memory; use --preprocess host or "
        "leave it out");
}

/* A device with memory of its own whose plans take tensors alone. */
static void a_device_without_pixels(void **state)
{
    (void)state;
    struct rs_stream_ops ops = *fake_stream.stream;
    struct rs_backend tensors_only = fake_stream;
    struct rs_preprocess_choice choice;
    struct rs_error err = {0};
    struct rs_source *const sources[2] = {files, NULL};
    ops.pixels = false;
    tensors_only.stream = &ops;
    assert_choice(choose(RS_PREPROCESS_AUTO, &tensors_only, files, files), 3, 0);
    assert_choice(choose(RS_PREPROCESS_HOST, &tensors_only, files, NULL), 3, 0);
    assert_int_equal(rs_preprocess_choose(RS_PREPROCESS_DEVICE, &tensors_only, sources, 96, &choice, &err),
                     RS_E_USAGE);
    assert_non_null(strstr(err.message, " takes no pixels; use --preprocess host or leave it out"));
}

struct result {
    struct rs_training_outcome outcome;
    struct fake_script script;
};

static struct result run(const struct rs_training_options *o, struct fake_script script)
{
    struct result r = {.script = script};
    struct rs_error err = {0};
    fake_set_script(&r.script);
    if (rs_training_run(o, &r.outcome, &err) < 0)
        fail_msg("%s", err.message);
    return r;
}

static void assert_same(const struct result *a, const struct result *b)
{
    assert_memory_equal(a->script.weights, b->script.weights, sizeof a->script.weights);
    assert_true(a->outcome.train_loss == b->outcome.train_loss);
    assert_true(a->outcome.valid_loss == b->outcome.valid_loss);
    assert_true(a->outcome.valid_accuracy == b->outcome.valid_accuracy);
    assert_true(a->outcome.valid_loss != 0);
    assert_int_equal(a->outcome.steps, b->outcome.steps);
}

static void same_bits(const struct scene *scene, size_t pixels)
{
    struct rs_training_options o = scene_options(scene);
    o.epochs = 2;
    o.lr = 0.25f;
    o.backend = &fake_sync;
    struct result plain = run(&o, (struct fake_script){0});
    assert_int_equal(plain.script.sample_bytes, 110592);
    o.backend = &fake_stream;
    for (uint32_t i = 0; i < 12; i++) {
        o.preprocess = (enum rs_preprocess)(i % 3);
        o.prefetch = (const uint32_t[]){1, 2, 8, 64}[i % 4];
        o.workers = 1 + i % 2;
        o.fuse = i < 6 ? RS_FUSE_AUTO : RS_FUSE_NONE;
        struct result r = run(&o, (struct fake_script){.seed = i, .latency = i % 5 * 3});
        assert_int_equal(r.script.sample_bytes, o.preprocess == RS_PREPROCESS_HOST ? 110592 : pixels);
        assert_same(&r, &plain);
    }
}

static void pixels_of_one_size_go_up_as_decoded(void **state)
{
    (void)state;
    same_bits(&cifar, 3072);
}

static void images_of_many_sizes_go_up_resized(void **state)
{
    (void)state;
    same_bits(&png, 27648);
}

static int begin(void **state)
{
    (void)state;
    struct rs_error err;
    scene_begin(&cifar, RS_SYNTH_CIFAR10, 90, 20);
    scene_begin(&png, RS_SYNTH_PNG, 90, 20);
    return rs_source_open(&files, cifar.data, RS_SPLIT_TRAIN, &err) < 0 ||
           rs_source_open(&folder, png.data, RS_SPLIT_TRAIN, &err) < 0;
}

static int end(void **state)
{
    (void)state;
    rs_source_destroy(files);
    rs_source_destroy(folder);
    scene_end(&cifar);
    scene_end(&png);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_device_does_what_it_can),
        cmocka_unit_test(a_device_in_host_memory_refuses),
        cmocka_unit_test(a_device_without_pixels),
        cmocka_unit_test(pixels_of_one_size_go_up_as_decoded),
        cmocka_unit_test(images_of_many_sizes_go_up_resized),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
