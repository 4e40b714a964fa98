/* The input half end to end: same bits whatever the placement, every sample once, order. */
#include "feed.h"
#include "scene.h"

#include "cmocka_all.h"

#include <stdlib.h>
#include <string.h>

static struct scene cifar, png;

struct record { /* of what a run saw: a running hash of every byte, in order */
    uint64_t hash, samples, index_sum;
    uint32_t batches, short_batches, last_epoch;
    float low, high;
};

static uint64_t mix(uint64_t hash, const void *data, size_t size)
{
    const uint8_t *at = data;
    for (size_t i = 0; i < size; i++) /* FNV-1a */
        hash = (hash ^ at[i]) * 0x100000001b3u;
    return hash;
}

static int take(void *arg, const struct rs_feed_batch *b, struct rs_error *err)
{
    (void)err;
    struct record *r = arg;
    size_t floats = (size_t)3 * 96 * 96;
    r->hash = mix(r->hash, b->tensor, floats * b->count * sizeof(float));
    r->hash = mix(r->hash, b->labels, b->count * sizeof *b->labels);
    for (uint32_t i = 0; i < b->count; i++)
        r->index_sum += b->samples[i];
    for (size_t i = 0; i < floats; i++) {
        r->low = b->tensor[i] < r->low ? b->tensor[i] : r->low;
        r->high = b->tensor[i] > r->high ? b->tensor[i] : r->high;
    }
    r->samples += b->count;
    r->batches++;
    r->short_batches += b->count < 16;
    r->last_epoch = b->epoch;
    return 0;
}

static struct record run(const struct rs_training_options *o)
{
    struct record r = {.hash = 0xcbf29ce484222325u};
    struct rs_error err = {0};
    if (rs_feed_run(o, take, &r, &err) < 0)
        fail_msg("%s", err.message);
    return r;
}

static void same_bits_for_every_placement(const struct scene *scene)
{
    struct rs_training_options o = scene_options(scene);
    o.epochs = 2;
    struct record first = run(&o);
    assert_int_equal(first.samples, 2 * 90);
    assert_int_equal(first.index_sum, 2 * 90 * 89 / 2);
    assert_int_equal(first.batches, 2 * 6);
    assert_int_equal(first.short_batches, 2);
    assert_int_equal(first.last_epoch, 1);
    assert_true(first.low >= -1 && first.high <= 1 && first.high - first.low > 0.5f);
    for (int i = 0; i < 12; i++) {
        o.prefetch = (const uint32_t[]){1, 2, 8, 64}[i % 4];
        o.workers = 1 + (uint32_t)i % 3;
        o.fuse = i % 2 ? RS_FUSE_NONE : RS_FUSE_AUTO;
        struct record again = run(&o);
        assert_true(again.hash == first.hash);
        assert_int_equal(again.batches, first.batches);
    }
    o.seed++;
    assert_true(run(&o).hash != first.hash);
}

static void cifar_files(void **state)
{
    (void)state;
    same_bits_for_every_placement(&cifar);
}

static void png_folder(void **state)
{
    (void)state;
    same_bits_for_every_placement(&png);
}

static void max_steps_ends_the_run(void **state)
{
    (void)state;
    struct rs_training_options o = scene_options(&cifar);
    o.epochs = 5;
    o.max_steps = 8;
    assert_int_equal(run(&o).batches, 8);
}

static void without_shuffle_samples_come_in_index_order(void **state)
{
    (void)state;
    struct rs_training_options o = scene_options(&png);
    o.shuffle = false;
    o.max_steps = 1;
    assert_int_equal(run(&o).index_sum, 15 * 16 / 2);
}

static void more_slots_than_batches_and_tiny_batches(void **state)
{
    (void)state;
    struct rs_training_options o = scene_options(&png);
    o.prefetch = 64;
    o.batch_size = 1000;
    assert_int_equal(run(&o).batches, 1);
    o.batch_size = 1;
    assert_int_equal(run(&o).batches, 90);
}

static int begin(void **state)
{
    (void)state;
    scene_begin(&cifar, RS_SYNTH_CIFAR10, 90, 20);
    scene_begin(&png, RS_SYNTH_PNG, 90, 20);
    return 0;
}

static int end(void **state)
{
    (void)state;
    scene_end(&cifar);
    scene_end(&png);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cifar_files),
        cmocka_unit_test(png_folder),
        cmocka_unit_test(max_steps_ends_the_run),
        cmocka_unit_test(without_shuffle_samples_come_in_index_order),
        cmocka_unit_test(more_slots_than_batches_and_tiny_batches),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
