/* fault_codec.c: damaged images: cut at every byte, flipped bits, bombs. Nothing may crash, hang or read
 * outside; run it under ASan.
 *
 * One decoder serves all of a kind's attempts, as a worker's does, and must still decode the whole file at
 * the end.
 */
#include "codec.h"

#include "png_chunks.h"
#include "random.h"
#include "support.h"
#include <stdlib.h>
#include <string.h>

#define CLASSES 10
#define MAX_PIXELS 16384
#define SEED 20261124
#define FLIPS 1000 /* a file */
#define PNG_KINDS 3
#define JPEG_KINDS 6

static const char path[] = "dir/damaged.img";

struct victim {
    struct rs_decoder *decoder;
    struct rs_buffer storage;
    struct blob whole;
    uint8_t *wanted; /* pixels of the whole file */
    uint32_t width, height;
    enum rs_codec_id codec;
};

static int decode(struct victim *victim, const uint8_t *bytes, size_t length, struct rs_pixels *pixels,
                  struct rs_error *err)
{
    int32_t label;
    struct rs_sample_ref ref = {.path = path, .length = length, .codec = victim->codec};
    return rs_decoder_run(victim->decoder, &ref, bytes, length, &victim->storage, pixels, &label, err);
}

static void check_whole(struct victim *victim)
{
    struct rs_pixels pixels;
    struct rs_error err;
    if (decode(victim, victim->whole.data, victim->whole.length, &pixels, &err) != 0)
        fail_msg("%s", err.message);
    assert_int_equal(pixels.width, victim->width);
    assert_memory_equal(pixels.data, victim->wanted, (size_t)pixels.width * pixels.height * 3);
}

static void victim_init(struct victim *victim, int kind)
{
    struct rs_pixels pixels;
    struct rs_error err;
    *victim =
        (struct victim){.codec = kind < PNG_KINDS ? RS_CODEC_PNG : RS_CODEC_JPEG, .width = 33, .height = 26};
    victim->whole = kind < PNG_KINDS ? support_make_png((enum support_png)kind, victim->width, victim->height)
                                     : support_make_jpeg((enum support_jpeg)(kind - PNG_KINDS), victim->width,
                                                         victim->height);
    assert_int_equal(rs_decoder_create(&victim->decoder, MAX_PIXELS, CLASSES, &err), 0);
    assert_int_equal(decode(victim, victim->whole.data, victim->whole.length, &pixels, &err), 0);
    size_t size = (size_t)pixels.width * pixels.height * 3;
    victim->wanted = malloc(size);
    assert_non_null(victim->wanted);
    memcpy(victim->wanted, pixels.data, size);
    check_whole(victim);
}

static void victim_free(struct victim *victim)
{
    check_whole(victim);
    rs_decoder_destroy(victim->decoder);
    rs_buffer_free(&victim->storage);
    free(victim->wanted);
    free(victim->whole.data);
}

static void cut_at_every_byte(void **state)
{
    (void)state;
    for (int kind = 0; kind < PNG_KINDS + JPEG_KINDS; kind++) {
        struct victim victim;
        victim_init(&victim, kind);
        for (size_t length = 0; length < victim.whole.length; length++) {
            struct rs_pixels pixels;
            struct rs_error err = {0};
            uint8_t *cut = malloc(length ? length : 1); /* exactly as long, so that ASan sees a step beyond */
            assert_non_null(cut);
            memcpy(cut, victim.whole.data, length);
            if (decode(&victim, cut, length, &pixels, &err) != RS_E_CORRUPT)
                fail_msg("kind %d cut to %zu of %zu bytes: %s", kind, length, victim.whole.length,
                         err.message);
            support_says(err.message, path);
            free(cut);
        }
        victim_free(&victim);
    }
}

/* Whatever comes out must be an error of ours or pixels that can be read. */
static void check_result(struct victim *victim, const uint8_t *bytes, size_t length)
{
    struct rs_pixels pixels;
    struct rs_error err = {0};
    volatile unsigned sum = 0;
    int code = decode(victim, bytes, length, &pixels, &err);
    if (code == 0) {
        assert_true((uint64_t)pixels.width * pixels.height <= MAX_PIXELS);
        for (size_t p = 0; p < (size_t)pixels.width * pixels.height * 3; p++)
            sum += pixels.data[p];
        return;
    }
    assert_true(code == RS_E_CORRUPT || code == RS_E_LIMIT || code == RS_E_UNSUPPORTED);
    assert_int_equal(err.code, code);
    support_says(err.message, path);
}

static void flipped_bytes(void **state)
{
    (void)state;
    for (int kind = 0; kind < PNG_KINDS + JPEG_KINDS; kind++) {
        struct victim victim;
        victim_init(&victim, kind);
        uint8_t *bytes = malloc(victim.whole.length);
        assert_non_null(bytes);
        for (uint32_t flip = 0; flip < FLIPS; flip++) {
            struct rs_random random;
            rs_random_init(&random, SEED, (uint32_t)kind, flip);
            memcpy(bytes, victim.whole.data, victim.whole.length);
            for (uint32_t n = 1 + flip % 4; n > 0; n--)
                bytes[rs_random_u32(&random) % victim.whole.length] ^=
                    (uint8_t)(1 + rs_random_u32(&random) % 255);
            if (victim.codec == RS_CODEC_PNG && flip % 4 != 0)
                png_chunks_repair(bytes, victim.whole.length);
            check_result(&victim, bytes, victim.whole.length);
        }
        free(bytes);
        victim_free(&victim);
    }
}

static void png_of_enormous_size(void **state)
{
    (void)state;
    struct victim victim;
    struct rs_pixels pixels;
    struct rs_error err = {0};
    victim_init(&victim, SUPPORT_PNG_RGB);
    struct blob bomb = {malloc(victim.whole.length), victim.whole.length};
    assert_non_null(bomb.data);
    memcpy(bomb.data, victim.whole.data, bomb.length);
    png_chunks_put(bomb.data + 16, 0x7FFFFFFF);
    png_chunks_put(bomb.data + 20, 0x7FFFFFFF);
    png_chunks_repair(bomb.data, bomb.length);
    assert_int_equal(decode(&victim, bomb.data, bomb.length, &pixels, &err), RS_E_LIMIT);
    support_says(err.message, "2147483647x2147483647 = 4611686014132420609 pixels");
    support_says(err.message, "--max-pixels");
    free(bomb.data);
    victim_free(&victim);
}

/* Texts and profiles are never inflated: one that is no zlib stream at all does no harm, but a wrong CRC
 * does. */
static void png_ancillary_chunks_are_not_unpacked(void **state)
{
    (void)state;
    static const char *const types[] = {"zTXt", "iCCP", "iTXt", "tRNS", "prIv"};
    for (size_t t = 0; t < sizeof types / sizeof types[0]; t++) {
        struct victim victim;
        struct rs_pixels pixels;
        struct rs_error err = {0};
        uint8_t chunk[12 + 6] = {0, 0, 0, 6, 0, 0, 0, 0, 'a', 0, 0, 0xFF, 0xFF, 0xFF};
        victim_init(&victim, SUPPORT_PNG_RGB);
        for (int i = 0; i < 4; i++)
            chunk[4 + i] = (uint8_t)types[t][i];
        png_chunks_put(chunk + 14, png_chunks_crc(chunk + 4, 10));
        struct blob more = {malloc(victim.whole.length + sizeof chunk), victim.whole.length + sizeof chunk};
        assert_non_null(more.data);
        memcpy(more.data, victim.whole.data, 33); /* signature and IHDR */
        memcpy(more.data + 33, chunk, sizeof chunk);
        memcpy(more.data + 33 + sizeof chunk, victim.whole.data + 33, victim.whole.length - 33);
        if (decode(&victim, more.data, more.length, &pixels, &err) != 0)
            fail_msg("%s: %s", types[t], err.message);
        assert_memory_equal(pixels.data, victim.wanted, (size_t)33 * 26 * 3);
        more.data[33 + sizeof chunk - 1] ^= 1;
        assert_int_equal(decode(&victim, more.data, more.length, &pixels, &err), RS_E_CORRUPT);
        support_says(err.message, "CRC error");
        free(more.data);
        victim_free(&victim);
    }
}

/* The first scan (of DC values, which can be read again) over and over: minutes of work in a small file. */
static void jpeg_of_many_scans(void **state)
{
    (void)state;
    struct victim victim;
    struct rs_pixels pixels;
    struct rs_error err = {0};
    victim_init(&victim, PNG_KINDS + SUPPORT_JPEG_PROGRESSIVE);
    const uint8_t *whole = victim.whole.data;
    size_t scan = 2, repeats = 600;
    while (whole[scan] != 0xFF || whole[scan + 1] != 0xDA)
        scan++;
    size_t end = scan + 2;
    while (whole[end] != 0xFF || whole[end + 1] == 0)
        end++;
    size_t size = end - scan;
    struct blob bomb = {malloc(victim.whole.length + repeats * size), victim.whole.length + repeats * size};
    assert_non_null(bomb.data);
    memcpy(bomb.data, whole, end);
    for (size_t r = 0; r < repeats; r++)
        memcpy(bomb.data + end + r * size, whole + scan, size);
    memcpy(bomb.data + end + repeats * size, whole + end, victim.whole.length - end);
    assert_int_equal(decode(&victim, bomb.data, bomb.length, &pixels, &err), RS_E_LIMIT);
    support_says(err.message, "500 scans");
    free(bomb.data);
    victim_free(&victim);
}

/* A lenient decoder fills the rest with grey and says nothing. */
static void jpeg_with_an_early_end_marker(void **state)
{
    (void)state;
    struct victim victim;
    struct rs_pixels pixels;
    struct rs_error err = {0};
    victim_init(&victim, PNG_KINDS + SUPPORT_JPEG_BASELINE);
    size_t length = victim.whole.length - 100;
    uint8_t *bytes = malloc(length);
    assert_non_null(bytes);
    memcpy(bytes, victim.whole.data, length);
    bytes[length - 3] = 0;
    bytes[length - 2] = 0xFF;
    bytes[length - 1] = 0xD9;
    assert_int_equal(decode(&victim, bytes, length, &pixels, &err), RS_E_CORRUPT);
    support_says(err.message, "truncated JPEG");
    free(bytes);
    victim_free(&victim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cut_at_every_byte),    cmocka_unit_test(flipped_bytes),
        cmocka_unit_test(png_of_enormous_size), cmocka_unit_test(png_ancillary_chunks_are_not_unpacked),
        cmocka_unit_test(jpeg_of_many_scans),   cmocka_unit_test(jpeg_with_an_early_end_marker),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
