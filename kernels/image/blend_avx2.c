/* blend_avx2.c: the fast way to grow: two taps as one multiplication of 16 bits, where that gives Pillow's
 * bits.
 *
 * How it works: with two taps p, q the result is nearly p + (q - p) * w, with q's weight w. One instruction
 * multiplies 16-bit numbers, rounds and shifts by 15, so w has 15 bits in place of 22. Whether some such w
 * gives Pillow's result depends on the output's weights alone, and is found out by trying all differences q -
 * p: all outputs of sizes like 64, 96, 128 and 256 pass, and nine of ten of 224. The other outputs keep the
 * full weights. The AVX-512 paths use these kernels too: rows of small images fill no longer vectors.
 *
 * Compiled with flags of its own; nothing here may run before a path's supported() said yes.
 */
#include "avx2.h"
#include "paths.h"

#define BLEND_BITS 15

/* Whether blending with weight equals Pillow for all pixels p, q. Pillow's sum is, with first + second = 2^22
 * + excess, first * p + second * q + 2^21 = 2^22 * p + second * (q - p) + excess * p + 2^21, so what the
 * shift leaves is p plus a number that, for a given difference, grows or falls with p: equal at both ends of
 * p's range, it is equal between. Both sides are within 0 to 255, so clipping changes neither. */
static bool blend_is_exact(int32_t weight, int32_t second, int32_t excess)
{
    int32_t wrong = 0;
    for (int32_t d = -255; d <= 255; d++) {
        int32_t least = d < 0 ? -d : 0, most = d < 0 ? 255 : 255 - d;
        int32_t sum = second * d + (1 << (RS__WEIGHT_BITS - 1));
        int32_t blended = (weight * d + (1 << (BLEND_BITS - 1))) >> BLEND_BITS;
        wrong |= (sum + excess * least) >> RS__WEIGHT_BITS ^ blended;
        wrong |= (sum + excess * most) >> RS__WEIGHT_BITS ^ blended;
    }
    return wrong == 0;
}

int16_t rs__blend_find_avx2(uint32_t first, uint32_t second)
{
    const int shift = RS__WEIGHT_BITS - BLEND_BITS;
    int32_t excess = (int32_t)(first + second) - (1 << RS__WEIGHT_BITS);
    int32_t nearest = (int32_t)(second + (1u << (shift - 1))) >> shift;
    const int32_t tries[] = {nearest, nearest - 1, nearest + 1}; /* a tie may need the other rounding */
    for (size_t i = 0; i < sizeof tries / sizeof *tries; i++)
        if (tries[i] >= 0 && tries[i] <= INT16_MAX && blend_is_exact(tries[i], (int32_t)second, excess))
            return (int16_t)tries[i];
    return -1;
}

/* 16-bit lanes. */
RS__ALWAYS_INLINE __m256i blend(__m256i p, __m256i q, __m256i weight)
{
    return _mm256_add_epi16(p, _mm256_mulhrs_epi16(_mm256_sub_epi16(q, p), weight));
}

void rs__blend_horizontal_avx2(const struct rs__weights *weights, const uint8_t *src, size_t stride,
                               size_t rows, uint8_t *out, size_t out_stride)
{
    const __m256i low = _mm256_set1_epi16(0xff);
    for (size_t g = 0; g < weights->groups; g++) {
        const uint8_t *from = src + weights->base[g];
        uint8_t *to = out + g * RS__GROUP;
        __m256i index = rs__load_avx2(weights->pairs + g * RS__GROUP * 2);
        __m256i weight = rs__load_avx2(weights->blend + g * RS__GROUP);
        for (size_t y = 0; y < rows; y++) {
            __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)(from + y * stride));
            __m256i pairs = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(bytes), index);
            __m256i v = blend(_mm256_and_si256(pairs, low), _mm256_srli_epi16(pairs, 8), weight);
            __m128i packed = _mm_packus_epi16(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
            _mm_storeu_si128((__m128i *)(void *)(to + y * out_stride), packed);
        }
    }
}

void rs__blend_row_avx2(const struct rs__weights *weights, size_t output, const uint8_t *src, size_t stride,
                        uint32_t width, uint8_t *out)
{
    const uint8_t *rows[RS__QUAD];
    rs__quad_rows(weights, src, stride, output, 0, rows);
    __m256i zero = _mm256_setzero_si256(), weight = _mm256_set1_epi16(weights->blend[output]);
    for (size_t x = 0; x < width; x += RS__COLUMNS) {
        __m256i p = rs__load_avx2(rows[0] + x), q = rs__load_avx2(rows[1] + x);
        __m256i low = blend(_mm256_unpacklo_epi8(p, zero), _mm256_unpacklo_epi8(q, zero), weight);
        __m256i high = blend(_mm256_unpackhi_epi8(p, zero), _mm256_unpackhi_epi8(q, zero), weight);
        rs__store_columns_avx2(out + x, width - x, _mm256_packus_epi16(low, high));
    }
}
