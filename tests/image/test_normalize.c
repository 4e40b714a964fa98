/* test_normalize.c: normalization against the formula in plain steps, for all values, counts and alignments.
 *
 * The steps go through volatile floats, so each is rounded to float32 as NumPy's arrays are. A few values
 * that NumPy printed stand beside them, so that the formula itself is checked as well. rs_normalize uses the
 * machine's fastest path; the others are reached through the folder's private table.
 */
#include "guarded.h"
#include "image.h"
#include "paths.h"
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static uint32_t expected_f32(uint8_t pixel)
{
    volatile float value = (float)pixel / 255.0f;
    value = value - 0.5f;
    value = value / 0.5f;
    return bits_of(value);
}

/* The nearer of the two bf16 values around the float; the one with an even last bit if both are as near. */
static uint16_t expected_bf16(uint8_t pixel)
{
    uint32_t bits = expected_f32(pixel);
    uint32_t below = bits >> 16, rest = bits & 0xffff;
    return (uint16_t)(rest > 0x8000 || (rest == 0x8000 && below % 2 == 1) ? below + 1 : below);
}

/* numpy.float32: ((numpy.array([x], 'float32') / 255 - 0.5) / 0.5).view('uint32') */
static void formula_is_numpys(void **state)
{
    (void)state;
    static const struct {
        uint8_t pixel;
        uint32_t bits;
    } numpys[] = {{0, 0xbf800000},   {1, 0xbf7dfdfe},   {2, 0xbf7bfbfc},   {63, 0xbf018182},
                  {64, 0xbefefefe},  {127, 0xbb808080}, {128, 0x3b808100}, {129, 0x3c40c100},
                  {200, 0x3f119192}, {254, 0x3f7dfdfe}, {255, 0x3f800000}};
    for (size_t i = 0; i < sizeof numpys / sizeof *numpys; i++)
        assert_int_equal(expected_f32(numpys[i].pixel), numpys[i].bits);
}

static void check(const struct rs__normalizer *n, size_t count, size_t shift)
{
    struct guarded src = guarded_alloc(count), f32 = guarded_alloc(count * 4),
                   bf16 = guarded_alloc(count * 2);
    for (size_t i = 0; i < count; i++)
        src.data[i] = (uint8_t)(i + shift);
    n->f32(src.data, (float *)(void *)f32.data, count);
    n->bf16(src.data, (uint16_t *)(void *)bf16.data, count);
    for (size_t i = 0; i < count; i++) {
        uint32_t wide;
        uint16_t narrow;
        memcpy(&wide, f32.data + 4 * i, sizeof wide);
        memcpy(&narrow, bf16.data + 2 * i, sizeof narrow);
        if (wide != expected_f32(src.data[i]) || narrow != expected_bf16(src.data[i]))
            fail_msg("%s: pixel %u of %zu: %08x and %04x, expected %08x and %04x", n->name, src.data[i],
                     count, wide, narrow, expected_f32(src.data[i]), expected_bf16(src.data[i]));
    }
    guarded_free(&src);
    guarded_free(&f32);
    guarded_free(&bf16);
}

static void all_values_and_counts(void **state)
{
    (void)state;
    const struct rs__normalizer *n;
    for (uint32_t i = 0; (n = rs__normalizer_at(i)) != NULL; i++) {
        if (!n->supported()) {
            print_message("this machine can't run %s: not tested\n", n->name);
            continue;
        }
        check(n, 256, 0);
        for (size_t count = 1; count < 70; count++)
            check(n, count, count * 37);
    }
}

/* Nothing is written in front, behind, or at all for a count of 0; odd addresses of the source are fine. */
static void writes_what_it_should(void **state)
{
    (void)state;
    uint8_t src[80];
    for (size_t i = 0; i < sizeof src; i++)
        src[i] = (uint8_t)(3 * i);
    for (size_t from = 0; from < 5; from++) {
        for (size_t count = 0; count <= 40; count++) {
            float f32[50];
            uint16_t bf16[50];
            memset(f32, 0x5a, sizeof f32);
            memset(bf16, 0x5a, sizeof bf16);
            rs_normalize_f32(src + from, f32 + 3, count);
            rs_normalize_bf16(src + from, bf16 + 3, count);
            for (size_t i = 0; i < 50; i++) {
                int inside = i >= 3 && i < 3 + count;
                uint8_t pixel = src[inside ? from + i - 3 : 0];
                assert_int_equal(bits_of(f32[i]), inside ? expected_f32(pixel) : 0x5a5a5a5a);
                assert_int_equal(bf16[i], inside ? expected_bf16(pixel) : 0x5a5a);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formula_is_numpys),
        cmocka_unit_test(all_values_and_counts),
        cmocka_unit_test(writes_what_it_should),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
