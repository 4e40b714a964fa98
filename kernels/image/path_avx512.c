/* path_avx512.c: the resizer's kernels for AVX-512 without VBMI and VNNI (Skylake servers and later).
 *
 * How it works: a quad's even and odd bytes become two vectors of 16-bit pairs; weights are split in a high
 * and a low half of 11 bits, and multiply-add of pairs makes the sums of both: high * 2^11 + low. The half
 * for rounding, 2^21, goes into high as 2^10. Quads are shuffled out of 16 bytes where a group needs no more,
 * as when an image grows; else they are gathered.
 *
 * Compiled with flags of its own; nothing here may run before supported() said yes.
 */
#include "paths.h"
#include <immintrin.h>
#include <string.h>

#define ALWAYS_INLINE static inline __attribute__((always_inline))
#define ROUNDING (1 << (RS__WEIGHT_BITS - 1 - RS__WORD_BITS))

static bool supported(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx2");
}

struct sums {
    __m512i high, low;
};

struct weights {
    __m512i high_even, high_odd, low_even, low_odd;
};

ALWAYS_INLINE struct sums sums_begin(void)
{
    return (struct sums){_mm512_set1_epi32(ROUNDING), _mm512_setzero_si512()};
}

ALWAYS_INLINE void sums_add(struct sums *sums, __m512i quads, const struct weights *w)
{
    __m512i even = _mm512_and_si512(quads, _mm512_set1_epi16(0xff));
    __m512i odd = _mm512_srli_epi16(quads, 8);
    __m512i high =
        _mm512_add_epi32(_mm512_madd_epi16(even, w->high_even), _mm512_madd_epi16(odd, w->high_odd));
    __m512i low = _mm512_add_epi32(_mm512_madd_epi16(even, w->low_even), _mm512_madd_epi16(odd, w->low_odd));
    sums->high = _mm512_add_epi32(sums->high, high);
    sums->low = _mm512_add_epi32(sums->low, low);
}

/* Rounded, as 32-bit lanes, not yet clipped to 255. */
ALWAYS_INLINE __m512i sums_end(const struct sums *sums)
{
    __m512i sum = _mm512_add_epi32(_mm512_slli_epi32(sums->high, RS__WORD_BITS), sums->low);
    return _mm512_srli_epi32(sum, RS__WEIGHT_BITS);
}

ALWAYS_INLINE struct weights load_weights(const struct rs__weights *w, size_t group, size_t quad)
{
    const uint32_t *part = rs__weights_part(w, RS__WORD_PARTS, group, quad, 0);
    return (struct weights){_mm512_loadu_si512(part), _mm512_loadu_si512(part + RS__GROUP),
                            _mm512_loadu_si512(part + 2 * RS__GROUP),
                            _mm512_loadu_si512(part + 3 * RS__GROUP)};
}

ALWAYS_INLINE __m512i fetch_quads(bool near, const uint8_t *at, __m512i index)
{
    if (near) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)at);
        return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(bytes), index);
    }
    return _mm512_i32gather_epi32(index, at, 1);
}

ALWAYS_INLINE void horizontal_group(bool near, const struct rs__weights *w, size_t group, const uint8_t *src,
                                    size_t stride, size_t rows, uint8_t *out, size_t out_stride)
{
    __m512i index = near ? _mm512_loadu_si512(w->shuffle + group * 64)
                         : _mm512_loadu_si512(w->offset + group * RS__GROUP);
    struct weights weights = load_weights(w, group, 0);
    for (size_t y = 0; y < rows; y++) {
        const uint8_t *row = src + y * stride;
        struct sums sums = sums_begin();
        sums_add(&sums, fetch_quads(near, row, index), &weights);
        for (size_t q = 1; q < w->quads; q++) {
            struct weights next = load_weights(w, group, q);
            sums_add(&sums, fetch_quads(near, row + q * RS__QUAD, index), &next);
        }
        _mm_storeu_si128((__m128i *)(void *)(out + y * out_stride), _mm512_cvtusepi32_epi8(sums_end(&sums)));
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
        uint8_t *to = out + g * RS__GROUP;
        if (weights->window <= 16)
            horizontal_group(true, weights, g, from, stride, rows, to, out_stride);
        else
            horizontal_group(false, weights, g, from, stride, rows, to, out_stride);
    }
}

/* 64 columns of four rows as four vectors of quads. Their order is the one that packing undoes. */
ALWAYS_INLINE void interleave(__m512i quads[4], const uint8_t *const rows[RS__QUAD])
{
    __m512i r0 = _mm512_loadu_si512(rows[0]), r1 = _mm512_loadu_si512(rows[1]);
    __m512i r2 = _mm512_loadu_si512(rows[2]), r3 = _mm512_loadu_si512(rows[3]);
    __m512i low01 = _mm512_unpacklo_epi8(r0, r1), high01 = _mm512_unpackhi_epi8(r0, r1);
    __m512i low23 = _mm512_unpacklo_epi8(r2, r3), high23 = _mm512_unpackhi_epi8(r2, r3);
    quads[0] = _mm512_unpacklo_epi16(low01, low23);
    quads[1] = _mm512_unpackhi_epi16(low01, low23);
    quads[2] = _mm512_unpacklo_epi16(high01, high23);
    quads[3] = _mm512_unpackhi_epi16(high01, high23);
}

ALWAYS_INLINE struct weights broadcast_weights(const struct rs__weights *w, size_t output, size_t quad)
{
    const uint32_t *part =
        rs__weights_part(w, RS__WORD_PARTS, output / RS__GROUP, quad, 0) + output % RS__GROUP;
    return (struct weights){_mm512_set1_epi32((int)part[0]), _mm512_set1_epi32((int)part[RS__GROUP]),
                            _mm512_set1_epi32((int)part[2 * RS__GROUP]),
                            _mm512_set1_epi32((int)part[3 * RS__GROUP])};
}

static void vertical_row(const struct rs__weights *w, size_t y, const uint8_t *src, size_t stride,
                         uint32_t width, uint8_t *out)
{
    size_t quads = (w->count[y] + RS__QUAD - 1) / RS__QUAD;
    for (size_t x = 0; x < width; x += RS__BLOCK) {
        struct sums sums[4] = {sums_begin(), sums_begin(), sums_begin(), sums_begin()};
        for (size_t q = 0; q < quads; q++) {
            const uint8_t *rows[RS__QUAD];
            __m512i four[4];
            rs__quad_rows(w, src + x, stride, y, q, rows);
            interleave(four, rows);
            struct weights weights = broadcast_weights(w, y, q);
            for (int i = 0; i < 4; i++)
                sums_add(&sums[i], four[i], &weights);
        }
        __m512i low = _mm512_packs_epi32(sums_end(&sums[0]), sums_end(&sums[1]));
        __m512i high = _mm512_packs_epi32(sums_end(&sums[2]), sums_end(&sums[3]));
        __mmask64 mask = width - x >= 64 ? ~(__mmask64)0 : ((__mmask64)1 << (width - x)) - 1;
        _mm512_mask_storeu_epi8(out + x, mask, _mm512_packus_epi16(low, high));
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

const struct rs__path rs__path_avx512 = {
    .name = "avx512",
    .supported = supported,
    .layout = RS__LAYOUT_WORDS,
    .find_blend = rs__blend_find_avx2,
    .deinterleave = rs__deinterleave_avx2,
    .horizontal = horizontal,
    .vertical = vertical,
};
