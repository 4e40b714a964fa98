/* test_synth.c: the generated data set and the PNG writer: same bytes everywhere, readable by the loaders,
 * nothing half-written. */
#include "synth.h"

#include "codec.h"
#include "png_writer.h"
#include "support.h"
#include <dirent.h>
#include <signal.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIXELS 3072
#define PLANE 1024
#define SEED 7
#define NOBODY 65534

/* FNV-1a, 64 bits. */
static uint64_t hash(uint64_t value, const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        value = (value ^ bytes[i]) * UINT64_C(0x100000001B3);
    return value;
}

static void pixels_are_a_function_of_the_key(void **state)
{
    (void)state;
    uint8_t one[PIXELS], other[PIXELS];
    uint64_t all = UINT64_C(0xCBF29CE484222325);
    for (uint64_t i = 0; i < 40; i++) {
        assert_int_equal(rs_synth_sample(SEED, (int)(i & 1), i, one), i % 10);
        all = hash(all, one, PIXELS);
    }
    /* The bytes as x86-64 makes them; another machine or compiler must make the same. */
    assert_int_equal(all, UINT64_C(0x6BE92922BE855578));
    rs_synth_sample(SEED, 0, 5, one);
    rs_synth_sample(SEED, 0, 5, other);
    assert_memory_equal(one, other, PIXELS);
    rs_synth_sample(SEED + 1, 0, 5, other);
    assert_memory_not_equal(one, other, PIXELS);
    rs_synth_sample(SEED, 1, 5, other);
    assert_memory_not_equal(one, other, PIXELS);
    rs_synth_sample(SEED, 0, 15, other);
    assert_memory_not_equal(one, other, PIXELS);
}

/* Mean levels of the channels, without their common part. */
static void colour_of(int test, uint64_t index, double colour[3])
{
    uint8_t pixels[PIXELS];
    double sums[3] = {0, 0, 0};
    rs_synth_sample(SEED, test, index, pixels);
    for (size_t i = 0; i < PIXELS; i++)
        sums[i / PLANE] += (double)pixels[i] / PLANE;
    for (int c = 0; c < 3; c++)
        colour[c] = sums[c] - (sums[0] + sums[1] + sums[2]) / 3;
}

/* The plainest classifier, the nearest class mean of three numbers, tells all ten classes apart far better
 * than by chance; so a network can. */
static void all_classes_can_be_learnt(void **state)
{
    (void)state;
    enum { EACH = 40 }; /* of a class, in each split */
    double means[10][3] = {{0}};
    int hits[10] = {0};
    for (uint64_t i = 0; i < 10 * EACH; i++) {
        double colour[3];
        colour_of(0, i, colour);
        for (int c = 0; c < 3; c++)
            means[i % 10][c] += colour[c] / EACH;
    }
    for (uint64_t i = 0; i < 10 * EACH; i++) {
        double colour[3], best = INFINITY;
        uint64_t guess = 0;
        colour_of(1, i, colour);
        for (uint64_t k = 0; k < 10; k++) {
            double distance = 0;
            for (int c = 0; c < 3; c++)
                distance += (colour[c] - means[k][c]) * (colour[c] - means[k][c]);
            if (distance < best) {
                best = distance;
                guess = k;
            }
        }
        hits[i % 10] += guess == i % 10;
    }
    for (int k = 0; k < 10; k++) {
        print_message("class %d: %d of %d\n", k, hits[k], EACH);
        assert_true(hits[k] >= EACH / 4);
    }
}

static int write_set(const char *dir, const char *sub, enum rs_synth_format format, uint32_t train,
                     uint32_t test, struct rs_error *err)
{
    char path[1024];
    struct rs_synth_options options = {.format = format, .seed = SEED, .train = train, .test = test};
    snprintf(path, sizeof path, "%s%s", dir, sub);
    *err = (struct rs_error){0};
    return rs_synth_write(path, &options, err);
}

/* Sample i of the source holds the pixels of rs_synth_sample(index). */
static void check_sample(const struct rs_source *source, struct rs_decoder *decoder, uint64_t i, int test,
                         uint64_t index)
{
    struct rs_sample_ref ref;
    struct rs_buffer storage = {0};
    struct rs_pixels pixels;
    struct rs_error err;
    uint8_t chw[PIXELS];
    int32_t label;
    rs_source_sample(source, i, &ref);
    struct blob file = support_read("%s", ref.path);
    assert_true(ref.offset + ref.length <= file.length);
    assert_int_equal(
        rs_decoder_run(decoder, &ref, file.data + ref.offset, ref.length, &storage, &pixels, &label, &err),
        0);
    assert_int_equal(label, rs_synth_sample(SEED, test, index, chw));
    for (size_t p = 0; p < PIXELS / 3; p++)
        for (size_t c = 0; c < 3; c++)
            assert_int_equal(chw[c * 1024 + p], pixels.data[pixels.planar ? c * 1024 + p : 3 * p + c]);
    free(file.data);
    rs_buffer_free(&storage);
}

static size_t entries(const char *dir)
{
    size_t count = 0;
    DIR *stream = opendir(dir);
    assert_non_null(stream);
    while (readdir(stream))
        count++;
    closedir(stream);
    return count - 2;
}

static void loaders_read_it(void **state)
{
    (void)state;
    char *dir = support_folder(), path[1024];
    struct rs_decoder *decoder;
    struct rs_error err = {0};
    assert_int_equal(rs_decoder_create(&decoder, 1024, 10, &err), 0);
    for (int format = RS_SYNTH_CIFAR10; format <= RS_SYNTH_PNG; format++) {
        const char *sub = format == RS_SYNTH_PNG ? "/new/png" : "/new/deep/cifar/";
        if (write_set(dir, sub, (enum rs_synth_format)format, 53, 20, &err) != 0)
            fail_msg("%s", err.message);
        snprintf(path, sizeof path, "%s%s", dir, sub);
        assert_int_equal(entries(path),
                         format == RS_SYNTH_PNG ? 2 : 7); /* train/, test/; or the .bin and .txt files */
        for (int test = 0; test <= 1; test++) {
            struct rs_source *source;
            assert_int_equal(rs_source_open(&source, path, test ? RS_SPLIT_VALID : RS_SPLIT_TRAIN, &err), 0);
            assert_string_equal(rs_source_kind(source), format == RS_SYNTH_PNG ? "folder" : "cifar10");
            assert_int_equal(rs_source_count(source), test ? 20 : 53);
            assert_int_equal(rs_source_classes(source), 10);
            assert_string_equal(rs_source_class_name(source, 0), "hue-000");
            assert_string_equal(rs_source_class_name(source, 9), "hue-324");
            assert_int_equal(rs_source_file_count(source), format == RS_SYNTH_PNG ? (test ? 20 : 53)
                                                           : test                 ? 1
                                                                                  : 5);
            check_sample(source, decoder, 0, test, 0);
            /* A folder lists class by class: its second picture is the class's second. */
            check_sample(source, decoder, 1, test, format == RS_SYNTH_PNG ? 10 : 1);
            check_sample(source, decoder, test ? 19 : 52, test,
                         format == RS_SYNTH_PNG ? (test ? 19 : 49) : (test ? 19u : 52u));
            rs_source_destroy(source);
        }
        assert_int_equal(write_set(dir, sub, (enum rs_synth_format)format, 53, 20, &err), RS_E_USAGE);
        support_says(err.message, "already");
    }
    rs_decoder_destroy(decoder);
    support_remove(dir);
}

static void same_seed_same_files(void **state)
{
    (void)state;
    char *dir = support_folder();
    struct rs_error err;
    assert_int_equal(write_set(dir, "/a", RS_SYNTH_CIFAR10, 30, 10, &err), 0);
    support_write("left by a killed run", 20, "%s/b/.rstream-synth.partial/data_batch_1.bin", dir);
    assert_int_equal(write_set(dir, "/b", RS_SYNTH_CIFAR10, 30, 10, &err), 0);
    static const char *const names[] = {"data_batch_1.bin", "data_batch_5.bin", "test_batch.bin",
                                        "batches.meta.txt"};
    for (size_t n = 0; n < sizeof names / sizeof names[0]; n++) {
        struct blob a = support_read("%s/a/%s", dir, names[n]), b = support_read("%s/b/%s", dir, names[n]);
        assert_int_equal(a.length, b.length);
        assert_memory_equal(a.data, b.data, a.length);
        free(a.data);
        free(b.data);
    }
    support_remove(dir);
}

static void refusals(void **state)
{
    (void)state;
    char *dir = support_folder();
    struct rs_error err;
    assert_int_equal(write_set(dir, "/few", RS_SYNTH_PNG, 9, 10, &err), RS_E_USAGE);
    support_says(err.message, "at least 10");
    assert_int_equal(write_set(dir, "/few", RS_SYNTH_PNG, 10, 9, &err), RS_E_USAGE);
    assert_int_equal(entries(dir), 0);
    support_write("x", 1, "%s/file", dir);
    assert_int_equal(write_set(dir, "/file/below", RS_SYNTH_PNG, 10, 10, &err), RS_E_IO);
    support_says(err.message, "/file/below");
    assert_int_equal(write_set(dir, "/file", RS_SYNTH_PNG, 10, 10, &err), RS_E_IO);
    int was_root = geteuid() == 0;
    if (!was_root || seteuid(NOBODY) == 0) {
        assert_int_equal(was_root ? 0 : chmod(dir, 0555), 0);
        assert_int_equal(write_set(dir, "/closed/below", RS_SYNTH_CIFAR10, 10, 10, &err), RS_E_PERMISSION);
        support_says(err.message, "/closed: can't make this folder");
        assert_int_equal(was_root ? seteuid(0) : chmod(dir, 0755), 0);
    }
    support_remove(dir);
}

/* A limit on file sizes stands for a full disk: the same call fails, in the same place. */
static void limit_files(rlim_t bytes)
{
    signal(SIGXFSZ, bytes == RLIM_INFINITY ? SIG_DFL : SIG_IGN);
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes == RLIM_INFINITY ? limit.rlim_max : bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void full_disk_leaves_nothing(void **state)
{
    (void)state;
    char *dir = support_folder(), path[1024];
    uint8_t rgb[64 * 64 * 3];
    struct rs_error err;
    for (size_t i = 0; i < sizeof rgb; i++)
        rgb[i] = (uint8_t)(i * 2654435761u >> 20);
    for (int format = RS_SYNTH_CIFAR10; format <= RS_SYNTH_PNG; format++) {
        limit_files(500);
        int code = write_set(dir, "/set", (enum rs_synth_format)format, 50, 50, &err);
        limit_files(RLIM_INFINITY);
        assert_int_equal(code, RS_E_IO);
        support_says(err.message, format == RS_SYNTH_PNG ? ".png" : "test_batch.bin");
        snprintf(path, sizeof path, "%s/set", dir);
        assert_int_equal(entries(path), 0);
    }
    snprintf(path, sizeof path, "%s/picture.png", dir);
    limit_files(500);
    int code = rs_png_write(path, rgb, 64, 64, &err);
    limit_files(RLIM_INFINITY);
    assert_int_equal(code, RS_E_IO);
    support_says(err.message, path);
    assert_int_equal(entries(dir), 1);
    support_remove(dir);
}

static void png_round_trip(void **state)
{
    (void)state;
    char *dir = support_folder(), path[1024];
    uint8_t rgb[5 * 7 * 3];
    struct rs_error err = {0};
    struct rs_decoder *decoder;
    struct rs_buffer storage = {0};
    struct rs_pixels pixels;
    int32_t label;
    for (size_t i = 0; i < sizeof rgb; i++)
        rgb[i] = (uint8_t)(i * 37);
    snprintf(path, sizeof path, "%s/picture.png", dir);
    support_write("older", 5, "%s", path);
    assert_int_equal(rs_png_write(path, rgb, 5, 7, &err), 0);
    assert_int_equal(entries(dir), 1);
    struct blob file = support_read("%s", path);
    struct rs_sample_ref ref = {.path = path, .length = file.length, .codec = RS_CODEC_PNG};
    assert_int_equal(rs_decoder_create(&decoder, 35, 1, &err), 0);
    assert_int_equal(rs_decoder_run(decoder, &ref, file.data, file.length, &storage, &pixels, &label, &err),
                     0);
    assert_int_equal(pixels.width, 5);
    assert_memory_equal(pixels.data, rgb, sizeof rgb);
    assert_int_equal(rs_png_write(path, rgb, 0, 7, &err), RS_E_IO); /* libpng's own refusal */
    support_says(err.message, "picture.png");
    snprintf(path, sizeof path, "%s/missing/picture.png", dir);
    assert_int_equal(rs_png_write(path, rgb, 5, 7, &err), RS_E_NOT_FOUND);
    support_says(err.message, path);
    assert_int_equal(entries(dir), 1);
    rs_decoder_destroy(decoder);
    rs_buffer_free(&storage);
    free(file.data);
    support_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pixels_are_a_function_of_the_key),
        cmocka_unit_test(all_classes_can_be_learnt),
        cmocka_unit_test(loaders_read_it),
        cmocka_unit_test(same_seed_same_files),
        cmocka_unit_test(refusals),
        cmocka_unit_test(full_disk_leaves_nothing),
        cmocka_unit_test(png_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
