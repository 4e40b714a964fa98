/* path_vbmi.c: the resizer's kernels for AVX-512 with VBMI and VNNI (Ice Lake, Zen 4 and later).
 *
 * How it works: one byte permute puts the quads of 16 outputs into the lanes of a vector, and a dot product
 * of unsigned pixels with signed bytes adds four taps of one digit of the weights. Three digits make a
 * weight, so the sums of the digits are put together at the end: (a * 2^8 + b) * 2^8 + c. The half for
 * rounding, 2^21, goes into a as 2^5.
 *
 * Compiled with flags of its own; nothing here may run before supported() said yes.
 */
#include "paths.h"
#include <immintrin.h>
#include <string.h>

#define ALWAYS_INLINE static inline __attribute__((always_inline))
#define ROUNDING (1 << (RS__WEIGHT_BITS - 1 - 16))

static bool supported(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vbmi") &&
           __builtin_cpu_supports("avx512vnni");
}

/* Sums of one vector of outputs, a digit each. */
struct sums {
    __m512i a, b, c;
};

ALWAYS_INLINE struct sums sums_begin(void)
{
    return (struct sums){_mm512_set1_epi32(ROUNDING), _mm512_setzero_si512(), _mm512_setzero_si512()};
}

ALWAYS_INLINE void sums_add(struct sums *sums, __m512i quads, const struct sums *weights)
{
    sums->a = _mm512_dpbusd_epi32(sums->a, quads, weights->a);
    sums->b = _mm512_dpbusd_epi32(sums->b, quads, weights->b);
    sums->c = _mm512_dpbusd_epi32(sums->c, quads, weights->c);
}

/* Rounded, as 32-bit lanes, not yet clipped to 255. */
ALWAYS_INLINE __m512i sums_end(const struct sums *sums)
{
    __m512i ab = _mm512_add_epi32(_mm512_slli_epi32(sums->a, 8), sums->b);
    return _mm512_srli_epi32(_mm512_add_epi32(_mm512_slli_epi32(ab, 8), sums->c), RS__WEIGHT_BITS);
}

/* The same for a single quad, digit after digit into one sum. */
ALWAYS_INLINE __m512i sum_single(__m512i quads, const struct sums *weights)
{
    __m512i sum = _mm512_dpbusd_epi32(_mm512_set1_epi32(ROUNDING), quads, weights->a);
    sum = _mm512_dpbusd_epi32(_mm512_slli_epi32(sum, 8), quads, weights->b);
    sum = _mm512_dpbusd_epi32(_mm512_slli_epi32(sum, 8), quads, weights->c);
    return _mm512_srli_epi32(sum, RS__WEIGHT_BITS);
}

ALWAYS_INLINE struct sums load_weights(const struct rs__weights *w, size_t group, size_t quad)
{
    const uint32_t *part = rs__weights_part(w, RS__DIGIT_PARTS, group, quad, 0);
    return (struct sums){_mm512_loadu_si512(part), _mm512_loadu_si512(part + RS__GROUP),
                         _mm512_loadu_si512(part + 2 * RS__GROUP)};
}

/* How a group's quads are fetched: they lie within 64 bytes, within 128, or farther apart. */
enum fetch { FETCH_NEAR, FETCH_WIDE, FETCH_FAR };

ALWAYS_INLINE __m512i fetch_quads(enum fetch fetch, const uint8_t *at, __m512i index)
{
    if (fetch == FETCH_NEAR)
        return _mm512_permutexvar_epi8(index, _mm512_loadu_si512(at));
    if (fetch == FETCH_WIDE)
        return _mm512_permutex2var_epi8(_mm512_loadu_si512(at), index, _mm512_loadu_si512(at + 64));
    return _mm512_i32gather_epi32(index, at, 1);
}

ALWAYS_INLINE void horizontal_group(enum fetch fetch, const struct rs__weights *w, size_t group,
                                    const uint8_t *src, size_t stride, size_t rows, uint8_t *out,
                                    size_t out_stride)
{
    __m512i index = fetch == FETCH_FAR ? _mm512_loadu_si512(w->offset + group * RS__GROUP)
                                       : _mm512_loadu_si512(w->shuffle + group * 64);
    if (w->quads == 1) {
        struct sums weights = load_weights(w, group, 0);
        for (size_t y = 0; y < rows; y++) {
            __m512i value = sum_single(fetch_quads(fetch, src + y * stride, index), &weights);
            _mm_storeu_si128((__m128i *)(void *)(out + y * out_stride), _mm512_cvtusepi32_epi8(value));
        }
        return;
    }
    for (size_t y = 0; y < rows; y++) {
        struct sums sums = sums_begin();
        for (size_t q = 0; q < w->quads; q++) {
            struct sums weights = load_weights(w, group, q);
            sums_add(&sums, fetch_quads(fetch, src + y * stride + q * RS__QUAD, index), &weights);
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
        if (weights->window <= 64)
            horizontal_group(FETCH_NEAR, weights, g, from, stride, rows, to, out_stride);
        else if (weights->window <= 128)
            horizontal_group(FETCH_WIDE, weights, g, from, stride, rows, to, out_stride);
        else
            horizontal_group(FETCH_FAR, weights, g, from, stride, rows, to, out_stride);
    }
}

/* 64 columns of four rows as four vectors of quads. Their order is the one that packing undoes. */
ALWAYS_INLINE void interleave(__m512i quads[4], __m512i r0, __m512i r1, __m512i r2, __m512i r3)
{
    __m512i low01 = _mm512_unpacklo_epi8(r0, r1), high01 = _mm512_unpackhi_epi8(r0, r1);
    __m512i low23 = _mm512_unpacklo_epi8(r2, r3), high23 = _mm512_unpackhi_epi8(r2, r3);
    quads[0] = _mm512_unpacklo_epi16(low01, low23);
    quads[1] = _mm512_unpackhi_epi16(low01, low23);
    quads[2] = _mm512_unpacklo_epi16(high01, high23);
    quads[3] = _mm512_unpackhi_epi16(high01, high23);
}

ALWAYS_INLINE __m512i pack_clipped(const __m512i v[4])
{
    return _mm512_packus_epi16(_mm512_packs_epi32(v[0], v[1]), _mm512_packs_epi32(v[2], v[3]));
}

ALWAYS_INLINE struct sums broadcast_weights(const struct rs__weights *w, size_t output, size_t quad)
{
    const uint32_t *part =
        rs__weights_part(w, RS__DIGIT_PARTS, output / RS__GROUP, quad, 0) + output % RS__GROUP;
    return (struct sums){_mm512_set1_epi32((int)part[0]), _mm512_set1_epi32((int)part[RS__GROUP]),
                         _mm512_set1_epi32((int)part[2 * RS__GROUP])};
}

ALWAYS_INLINE void store_columns(uint8_t *out, size_t columns, __m512i v)
{
    __mmask64 mask = columns >= 64 ? ~(__mmask64)0 : ((__mmask64)1 << columns) - 1;
    _mm512_mask_storeu_epi8(out, mask, v);
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
            interleave(four, _mm512_loadu_si512(rows[0]), _mm512_loadu_si512(rows[1]),
                       _mm512_loadu_si512(rows[2]), _mm512_loadu_si512(rows[3]));
            struct sums weights = broadcast_weights(w, y, q);
            for (int i = 0; i < 4; i++)
                sums_add(&sums[i], four[i], &weights);
        }
        __m512i values[4];
        for (int i = 0; i < 4; i++)
            values[i] = sums_end(&sums[i]);
        store_columns(out + x, width - x, pack_clipped(values));
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

/* The bytes of channel c out of 64 pixels: byte i is the pixels' byte 3 i + c. Indexes of 128 and more, those
 * with the sign bit, lie in the third vector. */
ALWAYS_INLINE __m512i pick(__m512i index, const __m512i pixels[3])
{
    __m512i low = _mm512_permutex2var_epi8(pixels[0], index, pixels[1]);
    return _mm512_mask_permutexvar_epi8(low, _mm512_movepi8_mask(index), index, pixels[2]);
}

ALWAYS_INLINE __m512i load_bytes(const uint8_t *from, size_t begin, size_t end)
{
    size_t n = begin >= end ? 0 : end - begin;
    __mmask64 mask = n >= 64 ? ~(__mmask64)0 : ((__mmask64)1 << n) - 1;
    return _mm512_maskz_loadu_epi8(mask, from + (n > 0 ? begin : 0));
}

static void deinterleave(const uint8_t *row, uint32_t width, uint8_t *planes, size_t plane_stride)
{
    uint8_t third[64];
    for (int i = 0; i < 64; i++)
        third[i] = (uint8_t)(3 * i);
    __m512i red = _mm512_loadu_si512(third), one = _mm512_set1_epi8(1);
    __m512i green = _mm512_add_epi8(red, one), blue = _mm512_add_epi8(green, one);
    size_t end = (size_t)width * 3;
    for (size_t x = 0; x < width; x += RS__BLOCK) {
        __m512i pixels[3];
        for (size_t i = 0; i < 3; i++)
            pixels[i] = load_bytes(row, 3 * x + i * 64, end);
        _mm512_storeu_si512(planes + x, pick(red, pixels));
        _mm512_storeu_si512(planes + plane_stride + x, pick(green, pixels));
        _mm512_storeu_si512(planes + 2 * plane_stride + x, pick(blue, pixels));
    }
}

const struct rs__path rs__path_vbmi = {
    .name = "avx512-vbmi",
    .supported = supported,
    .layout = RS__LAYOUT_DIGITS,
    .find_blend = rs__blend_find_avx2,
    .deinterleave = deinterleave,
    .horizontal = horizontal,
    .vertical = vertical,
};
