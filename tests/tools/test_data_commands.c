/* test_data_commands.c: rstream synth and rstream preview: every file, every pixel and every line that they
 * write, compared with the generator's own samples (rs_synth_sample). At 32 x 32 pixels resizing changes
 * nothing, so that a tensor's value is (byte / 255 - 0.5) / 0.5. */
#include "support.h"

#include "codec.h"
#include "scratch.h"
#include "synth.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEED 5u
#define TRAIN 90u
#define TEST 13u
#define SIDE 32u
#define PLANE (SIDE * SIDE)
#define PIXELS (3 * PLANE)
#define RECORD (PIXELS + 1)
#define NPY_HEADER 128u

static struct rs_scratch scratch;
static struct outcome o;
static char cifar[300], png[300];

static void expect_run(int exit_code, const char *out, const char *err)
{
    assert_string_equal(o.err, err);
    assert_string_equal(o.out, out);
    assert_int_equal(o.exit_code, exit_code);
}

static long size_of(const char *path)
{
    struct stat about;
    assert_int_equal(stat(path, &about), 0);
    return (long)about.st_size;
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

/* The pixels of an image file, interleaved; its size must be width x height. */
static void read_image(const char *path, uint32_t width, uint32_t height, uint8_t *rgb)
{
    struct rs_error err = {0};
    struct rs_decoder *decoder;
    struct rs_buffer storage = {0};
    struct rs_pixels pixels;
    int32_t label;
    size_t length = (size_t)size_of(path);
    char *bytes = malloc(length + 1);
    assert_non_null(bytes);
    assert_int_equal(read_bytes(path, bytes, length + 1), length);
    struct rs_sample_ref ref = {.path = path, .length = length, .codec = RS_CODEC_PNG};
    assert_int_equal(rs_decoder_create(&decoder, 1 << 24, 10, &err), 0);
    if (rs_decoder_run(decoder, &ref, (uint8_t *)bytes, length, &storage, &pixels, &label, &err) < 0)
        fail_msg("%s", err.message);
    assert_int_equal(pixels.width, width);
    assert_int_equal(pixels.height, height);
    assert_false(pixels.planar);
    memcpy(rgb, pixels.data, (size_t)width * height * 3);
    rs_decoder_destroy(decoder);
    rs_buffer_free(&storage);
    free(bytes);
}

/* The records first..first+count-1 of a split are the generator's. */
static void check_records(const char *file, int test, unsigned first, unsigned count)
{
    const char *path = in(cifar, file);
    char *bytes = malloc((size_t)RECORD * (count + 1));
    uint8_t chw[PIXELS];
    assert_non_null(bytes);
    assert_int_equal(read_bytes(path, bytes, (size_t)RECORD * (count + 1)), (size_t)RECORD * count);
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(bytes[(size_t)i * RECORD], rs_synth_sample(SEED, test, first + i, chw));
        assert_memory_equal(bytes + (size_t)i * RECORD + 1, chw, PIXELS);
    }
    free(bytes);
}

static void test_synth_cifar10(void **unused)
{
    (void)unused;
    char expected[1024], names[256];
    run_rstream(&o, scratch.path, "synth %s --train %u --test %u --seed %u", cifar, TRAIN, TEST, SEED);
    snprintf(expected, sizeof expected,
             "%s: %u training and %u test images of ten generated classes, seed %u\nTrain on it: rstream "
             "train --data %s\n",
             cifar, TRAIN, TEST, SEED, cifar);
    expect_run(0, expected, "");
    assert_int_equal(entries(cifar), 7);
    for (unsigned part = 0; part < 5; part++) {
        char file[32];
        snprintf(file, sizeof file, "data_batch_%u.bin", part + 1);
        check_records(file, 0, part * TRAIN / 5, TRAIN / 5);
    }
    check_records("test_batch.bin", 1, 0, TEST);
    names[read_bytes(in(cifar, "batches.meta.txt"), names, sizeof names - 1)] = '\0';
    assert_string_equal(
        names, "hue-000\nhue-036\nhue-072\nhue-108\nhue-144\nhue-180\nhue-216\nhue-252\nhue-288\nhue-324\n");
}

static void test_synth_png(void **unused)
{
    (void)unused;
    uint8_t chw[PIXELS], rgb[PIXELS];
    run_rstream(&o, scratch.path, "synth %s --format png --train %u --test %u --seed %u", png, TRAIN, TEST,
                SEED);
    assert_int_equal(o.exit_code, 0);
    assert_int_equal(entries(png), 2);
    for (int test = 0; test <= 1; test++) {
        size_t files = 0;
        for (unsigned label = 0; label < 10; label++) {
            char folder[32];
            snprintf(folder, sizeof folder, "%s/hue-%03u", test ? "test" : "train", label * 36);
            files += entries(in(png, folder));
        }
        assert_int_equal(files, test ? TEST : TRAIN);
        for (unsigned i = 0; i < (test ? TEST : TRAIN); i++) {
            char file[64];
            const unsigned label = (unsigned)rs_synth_sample(SEED, test, i, chw);
            snprintf(file, sizeof file, "%s/hue-%03u/%010u.png", test ? "test" : "train", label * 36, i);
            read_image(in(png, file), SIDE, SIDE, rgb);
            for (size_t p = 0; p < PIXELS; p++)
                assert_int_equal(rgb[p], chw[p % 3 * PLANE + p / 3]);
        }
    }
}

static void test_synth_refusals(void **unused)
{
    (void)unused;
    char expected[1024];
    run_rstream(&o, scratch.path, "synth %s --train %u --test %u", cifar, TRAIN, TEST);
    assert_int_equal(o.exit_code, 2);
    snprintf(expected, sizeof expected, "rstream synth: %s: holds '", cifar);
    assert_memory_equal(o.err, expected, strlen(expected));
    assert_int_equal(entries(cifar), 7);
    run_rstream(&o, scratch.path, "synth %s --train 9", in(scratch.path, "few"));
    expect_run(2, "", "rstream synth: --train 9: a whole number from 10 to 10000000 is allowed\n");
    run_rstream(&o, scratch.path, "synth %s --test 9", in(scratch.path, "few"));
    expect_run(2, "", "rstream synth: --test 9: a whole number from 10 to 10000000 is allowed\n");
    run_rstream(&o, scratch.path, "synth %s --format jpeg", in(scratch.path, "few"));
    expect_run(2, "", "rstream synth: --format jpeg: one of cifar10, png is allowed\n");
    run_rstream(&o, scratch.path, "synth");
    expect_run(2, "", "rstream synth: OUT_DIR is missing: see rstream synth --help\n");
    assert_int_equal(access(in(scratch.path, "few"), F_OK), -1);
}

/* The value of a byte in the tensor. */
static float value_of(uint8_t byte)
{
    return ((float)byte / 255.0F - 0.5F) / 0.5F;
}

/* The tensor's images are the samples of these indices. */
static void check_npy(const char *path, const unsigned *indices, unsigned count)
{
    uint8_t chw[PIXELS];
    const size_t bytes = (size_t)count * PIXELS * sizeof(float);
    char header[NPY_HEADER], dict[128];
    float *values = malloc(bytes);
    FILE *file = fopen(path, "rb");
    assert_non_null(values);
    assert_non_null(file);
    assert_int_equal(fread(header, 1, sizeof header, file), sizeof header);
    assert_int_equal(fread(values, 1, bytes, file), bytes);
    assert_int_equal(fgetc(file), EOF);
    fclose(file);
    snprintf(dict, sizeof dict, "{'descr': '<f4', 'fortran_order': False, 'shape': (%u, 3, %u, %u), }", count,
             SIDE, SIDE);
    assert_memory_equal(header + 10, dict, strlen(dict));
    for (unsigned i = 0; i < count; i++) {
        rs_synth_sample(SEED, 0, indices[i], chw);
        for (size_t p = 0; p < PIXELS; p++)
            assert_true(fabsf(values[(size_t)i * PIXELS + p] - value_of(chw[p])) < 1e-6F);
    }
    free(values);
}

/* The sheet's tiles are the samples of these indices, between white lines of two pixels; the rest of it is
 * white. */
static void check_sheet(const char *path, const unsigned *indices, unsigned count, unsigned columns,
                        unsigned rows)
{
    uint8_t chw[PIXELS];
    const unsigned step = SIDE + 2, width = columns * step - 2, height = rows * step - 2;
    uint8_t *rgb = malloc((size_t)width * height * 3);
    assert_non_null(rgb);
    read_image(path, width, height, rgb);
    for (unsigned tile = 0; tile < columns * rows; tile++) {
        const unsigned left = tile % columns * step, top = tile / columns * step;
        if (tile < count)
            rs_synth_sample(SEED, 0, indices[tile], chw);
        else
            memset(chw, 255, sizeof chw);
        for (unsigned p = 0; p < PIXELS; p++) {
            const size_t x = left + p % SIDE, y = top + p / SIDE % SIDE;
            assert_int_equal(rgb[(y * width + x) * 3 + p / PLANE], chw[p]);
        }
    }
    for (size_t y = 0; y < height; y++)
        for (size_t x = 0; x < width; x++)
            for (size_t c = 0; c < 3 && (x % step >= SIDE || y % step >= SIDE); c++)
                assert_int_equal(rgb[(y * width + x) * 3 + c], 255);
    free(rgb);
}

/* The first line: how many images, and the least, greatest and mean value of these samples. */
static const char *check_first_line(const char *kind, const unsigned *indices, unsigned count)
{
    uint8_t chw[PIXELS];
    uint8_t least = 255, most = 0;
    double sum = 0, mean;
    char begin[256];
    for (unsigned i = 0; i < count; i++) {
        rs_synth_sample(SEED, 0, indices[i], chw);
        for (size_t p = 0; p < PIXELS; p++) {
            least = chw[p] < least ? chw[p] : least;
            most = chw[p] > most ? chw[p] : most;
            sum += (double)value_of(chw[p]);
        }
    }
    int length = snprintf(
        begin, sizeof begin,
        "%u x 3 x 32 x 32 float32 of %u training images (%s), 10 classes; least %.6f, most %.6f, mean ",
        count, TRAIN, kind, (double)value_of(least), (double)value_of(most));
    assert_memory_equal(o.out, begin, (size_t)length);
    assert_int_equal(sscanf(o.out + length, "%lf\n", &mean), 1);
    assert_true(fabs(mean - sum / ((double)count * PIXELS)) < 1.1e-6);
    return strchr(o.out, '\n') + 1;
}

/* 70 images: more than a batch of the loader. */
static void test_preview_of_cifar(void **unused)
{
    (void)unused;
    char expected[2048];
    unsigned indices[70];
    for (unsigned i = 0; i < 70; i++)
        indices[i] = i;
    run_rstream(&o, scratch.path, "preview --data %s --count 70 --image-size 32 --npy %s --png %s", cifar,
                in(scratch.path, "a.npy"), in(scratch.path, "a.png"));
    assert_int_equal(o.exit_code, 0);
    assert_string_equal(o.err, "");
    snprintf(expected, sizeof expected,
             "Classes of the first images: hue-000, hue-036, hue-072, hue-108, hue-144, hue-180, hue-216, "
             "hue-252, hue-288, hue-324, "
             "hue-000, hue-036, hue-072, hue-108, hue-144, hue-180\nWrote %s\nWrote %s (9 x 8 tiles)\n",
             in(scratch.path, "a.npy"), in(scratch.path, "a.png"));
    assert_string_equal(check_first_line("cifar10", indices, 70), expected);
    check_npy(in(scratch.path, "a.npy"), indices, 70);
    check_sheet(in(scratch.path, "a.png"), indices, 70, 9, 8);
}

/* A folder's order is its classes'; three images of one of them are asked for. */
static void test_preview_of_a_folder(void **unused)
{
    (void)unused;
    char expected[512];
    static const unsigned indices[] = {0, 10, 20};
    run_rstream(&o, scratch.path, "preview --data %s --count 3 --image-size 32 --png %s --npy %s", png,
                in(scratch.path, "b.png"), in(scratch.path, "b.npy"));
    assert_int_equal(o.exit_code, 0);
    snprintf(expected, sizeof expected,
             "Classes of the first images: hue-000, hue-000, hue-000\nWrote %s\nWrote %s (2 x 2 tiles)\n",
             in(scratch.path, "b.npy"), in(scratch.path, "b.png"));
    assert_string_equal(check_first_line("folder", indices, 3), expected);
    check_npy(in(scratch.path, "b.npy"), indices, 3);
    check_sheet(in(scratch.path, "b.png"), indices, 3, 2, 2);
}

static void test_preview_writes_what_is_asked_for(void **unused)
{
    (void)unused;
    unsigned indices[TRAIN];
    for (unsigned i = 0; i < TRAIN; i++)
        indices[i] = i;
    const size_t before = entries(scratch.path);
    run_rstream(&o, scratch.path, "preview --data %s --count 1 --image-size 32", cifar);
    assert_string_equal(check_first_line("cifar10", indices, 1), "Classes of the first images: hue-000\n");
    assert_int_equal(entries(scratch.path), before);
    /* more than there are: all of them */
    run_rstream(&o, scratch.path, "preview --data %s --count 1000 --image-size 32 --png %s", cifar,
                in(scratch.path, "c.png"));
    check_first_line("cifar10", indices, TRAIN);
    check_sheet(in(scratch.path, "c.png"), indices, TRAIN, 10, 9);
    assert_int_equal(entries(scratch.path), before + 1);
    run_rstream(&o, scratch.path, "preview --data %s --image-size 32 --npy %s", cifar,
                in(scratch.path, "d.npy")); /* 64 by default */
    check_npy(in(scratch.path, "d.npy"), indices, 64);
    run_rstream(&o, scratch.path, "preview --data %s --count 2 --image-size 8 --npy %s", cifar,
                in(scratch.path, "e.npy"));
    assert_int_equal(size_of(in(scratch.path, "e.npy")), NPY_HEADER + 2 * 3 * 8 * 8 * 4);
}

/* Pixels of one value, bright or dark: it is the least, the greatest and the mean. */
static void test_preview_of_one_value(void **unused)
{
    (void)unused;
    static const struct {
        int byte;
        const char *value;
    } cases[] = {{200, "0.568627"}, {50, "-0.607843"}, {255, "1.000000"}, {0, "-1.000000"}};
    assert_int_equal(mkdir(in(scratch.path, "plain"), 0700), 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char record[RECORD], expected[256];
        memset(record, cases[i].byte, sizeof record);
        record[0] = 3;
        FILE *file = fopen(in(scratch.path, "plain/data_batch_1.bin"), "wb");
        assert_non_null(file);
        assert_int_equal(fwrite(record, 1, sizeof record, file), sizeof record);
        assert_int_equal(fclose(file), 0);
        run_rstream(&o, scratch.path, "preview --data %s --image-size 32", in(scratch.path, "plain"));
        snprintf(
            expected, sizeof expected,
            "1 x 3 x 32 x 32 float32 of 1 training images (cifar10), 10 classes; least %s, most %s, mean %s\n"
            "Classes of the first images: 3\n",
            cases[i].value, cases[i].value, cases[i].value);
        expect_run(0, expected, "");
    }
}

static void test_preview_refusals(void **unused)
{
    (void)unused;
    char expected[1024];
    run_rstream(&o, scratch.path, "preview --data %s --npy %s", cifar, in(scratch.path, "no/a.npy"));
    snprintf(expected, sizeof expected,
             "rstream preview: %s can't be opened for writing: No such file or directory\n",
             in(scratch.path, "no/a.npy"));
    expect_run(1, "", expected);
    run_rstream(&o, scratch.path, "preview --data %s --png %s", cifar, in(scratch.path, "no/a.png"));
    assert_int_equal(o.exit_code, 1);
    assert_string_equal(o.out, "");
    snprintf(expected, sizeof expected, "rstream preview: %s: can't create this file",
             in(scratch.path, "no/a.png"));
    assert_memory_equal(o.err, expected, strlen(expected));
    /* a sheet of 4096 tiles is allowed where there are as many images, one more isn't */
    run_rstream(&o, scratch.path, "preview --data %s --count 4096 --image-size 8 --png %s", cifar,
                in(scratch.path, "f.png"));
    assert_int_equal(o.exit_code, 0);
    run_rstream(&o, scratch.path, "preview --data %s --count 4097 --png x", cifar);
    expect_run(2, "", "rstream preview: --count 4097 with --png: a contact sheet holds 1 to 4096 images\n");
    run_rstream(&o, scratch.path, "preview --data %s --count 4097 --image-size 8", cifar);
    assert_int_equal(o.exit_code, 0);
    run_rstream(&o, scratch.path, "preview --data %s --max-pixels 1023 --image-size 32", png);
    assert_int_equal(o.exit_code, 1);
    assert_non_null(strstr(o.err, "32x32 = 1024 pixels"));
    assert_non_null(strstr(o.err, "--max-pixels 1023"));
}

/* A tensor that fails half-way doesn't stay: it would look whole. */
static void test_preview_leaves_no_half_tensor(void **unused)
{
    (void)unused;
    char command[1024];
    snprintf(command, sizeof command, "cp -r %s %s && printf x > %s", png, in(scratch.path, "broken"),
             in(scratch.path, "broken/train/hue-324/0000000089.png"));
    assert_int_equal(system(command), 0);
    run_rstream(&o, scratch.path, "preview --data %s --count 90 --image-size 32 --npy %s",
                in(scratch.path, "broken"), in(scratch.path, "g.npy"));
    assert_int_equal(o.exit_code, 1);
    assert_non_null(strstr(o.err, "0000000089.png"));
    assert_int_equal(access(in(scratch.path, "g.npy"), F_OK), -1);
}

static int set_up(void **unused)
{
    (void)unused;
    if (rs__scratch_create(&scratch, NULL) != 0)
        return -1;
    snprintf(cifar, sizeof cifar, "%s", in(scratch.path, "cifar"));
    snprintf(png, sizeof png, "%s", in(scratch.path, "png"));
    return 0;
}

static int tear_down(void **unused)
{
    (void)unused;
    rs__scratch_remove(&scratch);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_synth_cifar10),
        cmocka_unit_test(test_synth_png), /* these two make the sets that the others read */
        cmocka_unit_test(test_synth_refusals),
        cmocka_unit_test(test_preview_of_cifar),
        cmocka_unit_test(test_preview_of_a_folder),
        cmocka_unit_test(test_preview_writes_what_is_asked_for),
        cmocka_unit_test(test_preview_of_one_value),
        cmocka_unit_test(test_preview_refusals),
        cmocka_unit_test(test_preview_leaves_no_half_tensor),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
