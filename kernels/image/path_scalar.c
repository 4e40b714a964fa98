/* path_scalar.c: the resizer's kernels in plain C, for any machine; what the other paths are compared with.
 */
#include "paths.h"
#include <string.h>

static bool supported(void)
{
    return true;
}

static uint8_t round_clip(uint32_t sum)
{
    uint32_t value = sum >> RS__WEIGHT_BITS;
    return (uint8_t)(value > 255 ? 255 : value);
}

static void deinterleave(const uint8_t *row, uint32_t width, uint8_t *planes, size_t plane_stride)
{
    uint8_t *red = planes, *green = planes + plane_stride, *blue = planes + 2 * plane_stride;
    for (size_t x = 0; x < width; x++) {
        red[x] = row[3 * x];
        green[x] = row[3 * x + 1];
        blue[x] = row[3 * x + 2];
    }
}

static void horizontal(const struct rs__weights *weights, const uint8_t *src, size_t stride, size_t rows,
                       uint8_t *out, size_t out_stride)
{
    size_t taps = (size_t)weights->quads * RS__QUAD;
    for (size_t y = 0; y < rows; y++) {
        for (size_t x = 0; x < weights->out; x++) {
            const uint8_t *pixels = src + y * stride + weights->first[x];
            const uint32_t *fixed = weights->fixed + x * taps;
            uint32_t sum = (uint32_t)1 << (RS__WEIGHT_BITS - 1);
            for (uint32_t t = 0; t < weights->count[x]; t++)
                sum += fixed[t] * pixels[t];
            out[y * out_stride + x] = round_clip(sum);
        }
    }
}

/* Columns x to x + n (RS__BLOCK at most) of an output row: tap by tap, so that the inner loop runs along a
 * row. */
static void vertical_block(const uint32_t *fixed, uint32_t count, const uint8_t *src, size_t stride, size_t n,
                           uint8_t *out)
{
    uint32_t sums[RS__BLOCK];
    for (size_t i = 0; i < RS__BLOCK; i++)
        sums[i] = (uint32_t)1 << (RS__WEIGHT_BITS - 1);
    for (uint32_t t = 0; t < count; t++)
        for (size_t i = 0; i < RS__BLOCK; i++)
            sums[i] += fixed[t] * src[t * stride + i];
    for (size_t i = 0; i < n; i++)
        out[i] = round_clip(sums[i]);
}

static void vertical(const struct rs__weights *weights, const uint8_t *src, size_t stride, uint32_t width,
                     uint8_t *out)
{
    size_t taps = (size_t)weights->quads * RS__QUAD;
    for (size_t y = 0; y < weights->out; y++) {
        const uint8_t *rows = src + weights->first[y] * stride;
        for (size_t x = 0; x < width; x += RS__BLOCK) {
            size_t n = width - x < RS__BLOCK ? width - x : RS__BLOCK;
            vertical_block(weights->fixed + y * taps, weights->count[y], rows + x, stride, n,
                           out + y * width + x);
        }
    }
}

const struct rs__path rs__path_scalar = {
    .name = "scalar",
    .supported = supported,
    .layout = RS__LAYOUT_PLAIN,
    .deinterleave = deinterleave,
    .horizontal = horizontal,
    .vertical = vertical,
};
