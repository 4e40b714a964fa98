/* normalize.c: pixels to the network's numbers: the choice of the code path, and plain C for any machine.
 *
 * How it works: every step is rounded to float32, in NumPy's order. Subtracting 0.5 and dividing by 0.5 is,
 * in the last two steps, one rounding: 2 q - 1 is twice q - 0.5, and doubling is exact. The tests compare all
 * 256 values.
 */
#include "image.h"
#include "paths.h"
#include <string.h>

static bool supported(void)
{
    return true;
}

static float normalized(uint8_t pixel)
{
    float scaled = (float)pixel / 255.0f;
    return (scaled - 0.5f) / 0.5f;
}

static void f32(const uint8_t *src, float *dst, size_t count)
{
    for (size_t i = 0; i < count; i++)
        dst[i] = normalized(src[i]);
}

/* To nearest, ties to even: adds just less than half a unit, and one more where the last bit kept is odd. */
static void bf16(const uint8_t *src, uint16_t *dst, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        float value = normalized(src[i]);
        uint32_t bits;
        memcpy(&bits, &value, sizeof bits);
        dst[i] = (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
    }
}

const struct rs__normalizer rs__normalizer_scalar = {
    .name = "scalar",
    .supported = supported,
    .f32 = f32,
    .bf16 = bf16,
};

static const struct rs__normalizer *fastest(void)
{
    uint32_t i = 0;
    while (!rs__normalizer_at(i)->supported())
        i++;
    return rs__normalizer_at(i);
}

void rs_normalize_f32(const uint8_t *src, float *dst, size_t count)
{
    fastest()->f32(src, dst, count);
}

void rs_normalize_bf16(const uint8_t *src, uint16_t *dst, size_t count)
{
    fastest()->bf16(src, dst, count);
}
