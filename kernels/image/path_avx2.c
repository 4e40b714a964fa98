/* path_avx2.c: the resizer's kernels for AVX2.
 *
 * How it works: as path_avx512.c, half as wide: a group is done in two halves of 8 outputs, and columns
 * by 32.
 *
 * Compiled with flags of its own; nothing here may run before supported() said yes.
 */
#include "avx2.h"
#include "paths.h"

#define ALWAYS_INLINE RS__ALWAYS_INLINE
#define ROUNDING (1 << (RS__WEIGHT_BITS - 1 - RS__WORD_BITS))

static bool supported(void)
{
    return __builtin_cpu_supports("avx2");
}

enum { HALF = 8 }; /* outputs of half a group */

struct sums {
    __m256i high, low;
};

struct weights {
    __m256i high_even, high_odd, low_even, low_odd;
};

ALWAYS_INLINE struct sums sums_begin(void)
{
    return (struct sums){_mm256_set1_epi32(ROUNDING), _mm256_setzero_si256()};
}

ALWAYS_INLINE void sums_add(struct sums *sums, __m256i quads, const struct weights *w)
{
    __m256i even = _mm256_and_si256(quads, _mm256_set1_epi16(0xff));
    __m256i odd = _mm256_srli_epi16(quads, 8);
    __m256i high =
        _mm256_add_epi32(_mm256_madd_epi16(even, w->high_even), _mm256_madd_epi16(odd, w->high_odd));
    __m256i low = _mm256_add_epi32(_mm256_madd_epi16(even, w->low_even), _mm256_madd_epi16(odd, w->low_odd));
    sums->high = _mm256_add_epi32(sums->high, high);
    sums->low = _mm256_add_epi32(sums->low, low);
}

/* Rounded, as 32-bit lanes, not yet clipped to 255. */
ALWAYS_INLINE __m256i sums_end(const struct sums *sums)
{
    __m256i sum = _mm256_add_epi32(_mm256_slli_epi32(sums->high, RS__WORD_BITS), sums->low);
    return _mm256_srli_epi32(sum, RS__WEIGHT_BITS);
}

/* part: the weights of a quad, of the first output meant. */
ALWAYS_INLINE struct weights load_weights(const uint32_t *part)
{
    return (struct weights){rs__load_avx2(part), rs__load_avx2(part + RS__GROUP),
                            rs__load_avx2(part + 2 * RS__GROUP), rs__load_avx2(part + 3 * RS__GROUP)};
}

ALWAYS_INLINE __m256i fetch_quads(bool near, const uint8_t *at, __m256i index)
{
    if (near) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)at);
        return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(bytes), index);
    }
    return _mm256_i32gather_epi32((const int *)(const void *)at, index, 1);
}

/* Eight 32-bit lanes, clipped to bytes in order. */
ALWAYS_INLINE void store_half(uint8_t *out, __m256i values)
{
    __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(values), _mm256_extracti128_si256(values, 1));
    _mm_storel_epi64((__m128i *)(void *)out, _mm_packus_epi16(words, words));
}

/* half: 0 or HALF, the first of the group's outputs that are meant. */
ALWAYS_INLINE void horizontal_half(bool near, const struct rs__weights *w, size_t group, size_t half,
                                   const uint8_t *src, size_t stride, size_t rows, uint8_t *out,
                                   size_t out_stride)
{
    __m256i index = near ? rs__load_avx2(w->shuffle + group * 64 + half * RS__QUAD)
                         : rs__load_avx2(w->offset + group * RS__GROUP + half);
    const uint32_t *part = rs__weights_part(w, RS__WORD_PARTS, group, 0, 0) + half;
    struct weights weights = load_weights(part);
    for (size_t y = 0; y < rows; y++) {
        const uint8_t *row = src + y * stride;
        struct sums sums = sums_begin();
        sums_add(&sums, fetch_quads(near, row, index), &weights);
        for (size_t q = 1; q < w->quads; q++) {
            struct weights next = load_weights(part + q * RS__WORD_PARTS * RS__GROUP);
            sums_add(&sums, fetch_quads(near, row + q * RS__QUAD, index), &next);
        }
        store_half(out + y * out_stride, sums_end(&sums));
    }
}

static void horizontal(const struct rs__weights *weights, const uint8_t *src, size_t stride, size_t rows,
                       uint8_t *out, size_t out_stride)
{
    if (weights->blends) {
        rs__blend_horizontal_avx2(weights, src, stride, rows, out, out_stride);
        return;
    }
    for (size_t g = 0; g < weights->groups; g++) {
        const uint8_t *from = src + weights->base[g];
        for (size_t half = 0; half < RS__GROUP; half += HALF) {
            uint8_t *to = out + g * RS__GROUP + half;
            if (weights->window <= 16)
                horizontal_half(true, weights, g, half, from, stride, rows, to, out_stride);
            else
                horizontal_half(false, weights, g, half, from, stride, rows, to, out_stride);
        }
    }
}

/* 32 columns of four rows as four vectors of quads. Their order is the one that packing undoes. */
ALWAYS_INLINE void interleave(__m256i quads[4], const uint8_t *const rows[RS__QUAD])
{
    __m256i r0 = rs__load_avx2(rows[0]), r1 = rs__load_avx2(rows[1]);
    __m256i r2 = rs__load_avx2(rows[2]), r3 = rs__load_avx2(rows[3]);
    __m256i low01 = _mm256_unpacklo_epi8(r0, r1), high01 = _mm256_unpackhi_epi8(r0, r1);
    __m256i low23 = _mm256_unpacklo_epi8(r2, r3), high23 = _mm256_unpackhi_epi8(r2, r3);
    quads[0] = _mm256_unpacklo_epi16(low01, low23);
    quads[1] = _mm256_unpackhi_epi16(low01, low23);
    quads[2] = _mm256_unpacklo_epi16(high01, high23);
    quads[3] = _mm256_unpackhi_epi16(high01, high23);
}

ALWAYS_INLINE struct weights broadcast_weights(const struct rs__weights *w, size_t output, size_t quad)
{
    const uint32_t *part =
        rs__weights_part(w, RS__WORD_PARTS, output / RS__GROUP, quad, 0) + output % RS__GROUP;
    return (struct weights){_mm256_set1_epi32((int)part[0]), _mm256_set1_epi32((int)part[RS__GROUP]),
                            _mm256_set1_epi32((int)part[2 * RS__GROUP]),
                            _mm256_set1_epi32((int)part[3 * RS__GROUP])};
}

static void vertical_row(const struct rs__weights *w, size_t y, const uint8_t *src, size_t stride,
                         uint32_t width, uint8_t *out)
{
    size_t quads = (w->count[y] + RS__QUAD - 1) / RS__QUAD;
    for (size_t x = 0; x < width; x += RS__COLUMNS) {
        struct sums sums[4] = {sums_begin(), sums_begin(), sums_begin(), sums_begin()};
        for (size_t q = 0; q < quads; q++) {
            const uint8_t *rows[RS__QUAD];
            __m256i four[4];
            rs__quad_rows(w, src + x, stride, y, q, rows);
            interleave(four, rows);
            struct weights weights = broadcast_weights(w, y, q);
            for (int i = 0; i < 4; i++)
                sums_add(&sums[i], four[i], &weights);
        }
        __m256i low = _mm256_packs_epi32(sums_end(&sums[0]), sums_end(&sums[1]));
        __m256i high = _mm256_packs_epi32(sums_end(&sums[2]), sums_end(&sums[3]));
        rs__store_columns_avx2(out + x, width - x, _mm256_packus_epi16(low, high));
    }
}

static void vertical(const struct rs__weights *weights, const uint8_t *src, size_t stride, uint32_t width,
                     uint8_t *out)
{
    for (size_t y = 0; y < weights->out; y++) {
        if (rs__weights_copies(weights, y))
            memcpy(out + y * width, src + weights->first[y] * stride, width);
        else if (weights->blend[y] >= 0)
            rs__blend_row_avx2(weights, y, src, stride, width, out + y * width);
        else
            vertical_row(weights, y, src, stride, width, out + y * width);
    }
}

/* Where the bytes of channel c of 16 pixels lie in the i-th 16 of their 48 bytes; 0x80 where not there. */
static __m128i channel_shuffle(int c, int i)
{
    uint8_t index[16];
    for (int k = 0; k < 16; k++) {
        int at = 3 * k + c - 16 * i;
        index[k] = (uint8_t)(at >= 0 && at < 16 ? at : 0x80);
    }
    return _mm_loadu_si128((const __m128i *)(const void *)index);
}

void rs__deinterleave_avx2(const uint8_t *row, uint32_t width, uint8_t *planes, size_t plane_stride)
{
    __m128i index[3][3];
    for (int c = 0; c < 3; c++)
        for (int i = 0; i < 3; i++)
            index[c][i] = channel_shuffle(c, i);
    size_t x = 0;
    for (; x + 16 <= width; x += 16) {
        const __m128i *from = (const __m128i *)(const void *)(row + 3 * x);
        __m128i a = _mm_loadu_si128(from), b = _mm_loadu_si128(from + 1), d = _mm_loadu_si128(from + 2);
        for (size_t c = 0; c < 3; c++) {
            __m128i ab = _mm_or_si128(_mm_shuffle_epi8(a, index[c][0]), _mm_shuffle_epi8(b, index[c][1]));
            __m128i all = _mm_or_si128(ab, _mm_shuffle_epi8(d, index[c][2]));
            _mm_storeu_si128((__m128i *)(void *)(planes + c * plane_stride + x), all);
        }
    }
    for (; x < width; x++)
        for (size_t c = 0; c < 3; c++)
            planes[c * plane_stride + x] = row[3 * x + c];
}

const struct rs__path rs__path_avx2 = {
    .name = "avx2",
    .supported = supported,
    .layout = RS__LAYOUT_WORDS,
    .find_blend = rs__blend_find_avx2,
    .deinterleave = rs__deinterleave_avx2,
    .horizontal = horizontal,
    .vertical = vertical,
};
