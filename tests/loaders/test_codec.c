/* test_codec.c: what a decoder promises beside the pixels, which golden_decode compares with Pillow's. */
#include "codec.h"

#include "support.h"
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#define CLASSES 10
#define MAX_PIXELS 4096

struct fixture {
    struct rs_decoder *decoder;
    struct rs_buffer storage;
    struct rs_pixels pixels;
    struct rs_error err;
    int32_t label;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    assert_int_equal(rs_decoder_create(&f->decoder, MAX_PIXELS, CLASSES, &f->err), 0);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    rs_decoder_destroy(f->decoder);
    rs_buffer_free(&f->storage);
    free(f);
    return 0;
}

static int decode(struct fixture *f, enum rs_codec_id codec, struct blob blob, uint64_t offset, int32_t label)
{
    struct rs_sample_ref ref = {
        .path = "dir/file.img", .offset = offset, .length = blob.length, .codec = codec, .label = label};
    return rs_decoder_run(f->decoder, &ref, blob.data, blob.length, &f->storage, &f->pixels, &f->label,
                          &f->err);
}

static void cifar_is_a_view(void **state)
{
    struct fixture *f = *state;
    static const enum rs_codec_id codecs[] = {RS_CODEC_CIFAR10, RS_CODEC_CIFAR100};
    for (size_t label_bytes = 1; label_bytes <= 2; label_bytes++) {
        struct blob blob = support_cifar(1, label_bytes, CLASSES);
        blob.data[0] = 200; /* the coarse label, which doesn't count */
        blob.data[label_bytes - 1] = 7;
        assert_int_equal(decode(f, codecs[label_bytes - 1], blob, 0, -1), 0);
        assert_int_equal(f->label, 7);
        assert_ptr_equal(f->pixels.data, blob.data + label_bytes);
        assert_int_equal(f->pixels.width, 32);
        assert_int_equal(f->pixels.height, 32);
        assert_true(f->pixels.planar);
        assert_null(f->storage.data);
        free(blob.data);
    }
}

static void cifar_label_out_of_range(void **state)
{
    struct fixture *f = *state;
    struct blob blob = support_cifar(1, 1, CLASSES);
    blob.data[0] = CLASSES;
    assert_int_equal(decode(f, RS_CODEC_CIFAR10, blob, 15365, -1), RS_E_CORRUPT);
    assert_string_equal(f->err.message,
                        "dir/file.img: record 5 has label 10 at offset 15365, but there are 10 "
                        "classes (0 to 9); the file is damaged or of another data set");
    assert_int_equal(decode(f, RS_CODEC_CIFAR10, blob, 9999 * UINT64_C(3073), -1), RS_E_CORRUPT);
    support_says(f->err.message, "record 9999 has label 10 at offset 30726927,");
    free(blob.data);
    blob = support_cifar(1, 2, CLASSES);
    blob.data[1] = 255;
    assert_int_equal(decode(f, RS_CODEC_CIFAR100, blob, 3074, -1), RS_E_CORRUPT);
    support_says(f->err.message, "record 1 has label 255 at offset 3075");
    blob.length--;
    assert_int_equal(decode(f, RS_CODEC_CIFAR100, blob, 3074, -1), RS_E_CORRUPT);
    support_says(f->err.message, "3073 bytes at offset 3074 where a record of 3074 is wanted");
    free(blob.data);
}

static void label_is_the_references(void **state)
{
    struct fixture *f = *state;
    struct blob blob = support_make_png(SUPPORT_PNG_RGB, 3, 2);
    assert_int_equal(decode(f, RS_CODEC_PNG, blob, 0, 4), 0);
    assert_int_equal(f->label, 4);
    assert_int_equal(f->pixels.width, 3);
    assert_int_equal(f->pixels.height, 2);
    assert_false(f->pixels.planar);
    blob.length = 0;
    assert_int_equal(decode(f, RS_CODEC_PNG, blob, 0, 6), RS_E_CORRUPT);
    assert_int_equal(f->label, 6);
    support_says(f->err.message, "dir/file.img: the file is empty");
    free(blob.data);
}

static void content_beats_name(void **state)
{
    struct fixture *f = *state;
    struct blob png = support_make_png(SUPPORT_PNG_RGB, 5, 2);
    struct blob jpeg = support_make_jpeg(SUPPORT_JPEG_BASELINE, 6, 3);
    assert_int_equal(decode(f, RS_CODEC_JPEG, png, 0, 0), 0);
    assert_int_equal(f->pixels.width, 5);
    assert_int_equal(decode(f, RS_CODEC_PNG, jpeg, 0, 0), 0);
    assert_int_equal(f->pixels.width, 6);
    png.data[0] ^= 1;
    assert_int_equal(decode(f, RS_CODEC_PNG, png, 0, 0), RS_E_CORRUPT);
    support_says(f->err.message, "dir/file.img: corrupt PNG");
    assert_int_equal(decode(f, RS_CODEC_JPEG, png, 0, 0), RS_E_CORRUPT);
    support_says(f->err.message, "dir/file.img: corrupt JPEG");
    free(png.data);
    free(jpeg.data);
}

static void pixels_have_a_limit(void **state)
{
    struct fixture *f = *state;
    static const unsigned wide[] = {64, 65};
    for (int over = 0; over <= 1; over++) {
        struct blob png = support_make_png(SUPPORT_PNG_RGB, wide[over], 64);
        struct blob jpeg = support_make_jpeg(SUPPORT_JPEG_PROGRESSIVE, wide[over], 64);
        for (int kind = 0; kind <= 1; kind++) {
            int code = decode(f, kind ? RS_CODEC_JPEG : RS_CODEC_PNG, kind ? jpeg : png, 0, 0);
            assert_int_equal(code, over ? RS_E_LIMIT : 0);
            if (over)
                support_says(f->err.message, "65x64 = 4160 pixels");
            if (over)
                support_says(f->err.message, "--max-pixels 4096");
        }
        free(png.data);
        free(jpeg.data);
    }
}

static void recognise(void **state)
{
    (void)state;
    struct blob png = support_make_png(SUPPORT_PNG_RGB, 1, 1);
    struct blob jpeg = support_make_jpeg(SUPPORT_JPEG_GREY, 1, 1);
    enum rs_codec_id codec = RS_CODEC_CIFAR10;
    struct rs_error err = {0};
    assert_int_equal(rs_codec_recognise(png.data, png.length, "p", &codec, &err), 0);
    assert_int_equal(codec, RS_CODEC_PNG);
    assert_int_equal(rs_codec_recognise(jpeg.data, jpeg.length, "p", &codec, &err), 0);
    assert_int_equal(codec, RS_CODEC_JPEG);
    assert_int_equal(rs_codec_recognise(png.data, 7, "some/path", &codec, &err), RS_E_UNSUPPORTED);
    support_says(err.message, "some/path: neither a PNG nor a JPEG");
    assert_int_equal(rs_codec_recognise(jpeg.data, 2, "p", &codec, &err), RS_E_UNSUPPORTED);
    assert_int_equal(rs_codec_recognise(jpeg.data, 0, "some/path", &codec, &err), RS_E_CORRUPT);
    support_says(err.message, "some/path: the file is empty");
    free(png.data);
    free(jpeg.data);
}

static void same_pixels(const struct fixture *f, const uint8_t *wanted)
{
    assert_memory_equal(f->pixels.data, wanted, (size_t)f->pixels.width * f->pixels.height * 3);
}

/* A JPEG without tables must not be decoded by the tables of the file before it. */
static void jpeg_tables_are_forgotten(void **state)
{
    struct fixture *f = *state;
    uint8_t wanted[32 * 24 * 3];
    struct blob plain = support_make_jpeg(SUPPORT_JPEG_BASELINE, 32, 24);
    struct blob other = support_make_jpeg(SUPPORT_JPEG_OPTIMIZED, 32, 24);
    struct blob no_huffman = support_without(plain, 0xC4), no_quantization = support_without(plain, 0xDB);
    assert_int_equal(decode(f, RS_CODEC_JPEG, plain, 0, 0), 0);
    memcpy(wanted, f->pixels.data, sizeof wanted);
    for (int round = 0; round < 3; round++) {
        assert_int_equal(decode(f, RS_CODEC_JPEG, other, 0, 0), 0);
        assert_int_equal(decode(f, RS_CODEC_JPEG, no_huffman, 0, 0),
                         0); /* the standard's tables, as in motion JPEG */
        same_pixels(f, wanted);
        assert_int_equal(decode(f, RS_CODEC_JPEG, no_quantization, 0, 0), RS_E_CORRUPT);
        support_says(f->err.message, "Quantization table 0x00 was not defined");
    }
    free(plain.data);
    free(other.data);
    free(no_huffman.data);
    free(no_quantization.data);
}

/* From the second image on memory stays where it is, whatever the files' tables and failures. */
static void memory_is_steady(void **state)
{
    struct fixture *f = *state;
    struct blob blobs[] = {
        support_make_jpeg(SUPPORT_JPEG_BASELINE, 33, 17),
        support_make_jpeg(SUPPORT_JPEG_OPTIMIZED, 33, 17),
        support_make_jpeg(SUPPORT_JPEG_CMYK, 33, 17),
        support_make_jpeg(SUPPORT_JPEG_PROGRESSIVE, 33, 17),
        support_make_png(SUPPORT_PNG_GREY_ALPHA_16, 9, 9),
        support_make_jpeg(SUPPORT_JPEG_RESTARTS, 33, 17),
    };
    size_t count = sizeof blobs / sizeof blobs[0];
    blobs[count - 1].length /= 2; /* fails half-way */
    uint64_t allocations = 0;
    size_t used = 0;
    for (int round = 0; round < 400; round++) {
        for (size_t b = 0; b < count; b++)
            assert_int_equal(decode(f, RS_CODEC_JPEG, blobs[b], 0, 0), b == count - 1 ? RS_E_CORRUPT : 0);
        if (round == 20) {
            allocations = rs_alloc_count();
            used = mallinfo2().uordblks;
        }
    }
    assert_int_equal(rs_alloc_count(), allocations);
    assert_true(mallinfo2().uordblks <= used + 4096);
    for (size_t b = 0; b < count; b++)
        free(blobs[b].data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(cifar_is_a_view, set_up, tear_down),
        cmocka_unit_test_setup_teardown(cifar_label_out_of_range, set_up, tear_down),
        cmocka_unit_test_setup_teardown(label_is_the_references, set_up, tear_down),
        cmocka_unit_test_setup_teardown(content_beats_name, set_up, tear_down),
        cmocka_unit_test_setup_teardown(pixels_have_a_limit, set_up, tear_down),
        cmocka_unit_test(recognise),
        cmocka_unit_test_setup_teardown(jpeg_tables_are_forgotten, set_up, tear_down),
        cmocka_unit_test_setup_teardown(memory_is_steady, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
