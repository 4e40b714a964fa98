/* normalize_avx512.c: normalization with AVX-512, 16 pixels a step; the last ones with a mask.
 *
 * How it works: avx512.h has the formula; rounding to bf16 is integer arithmetic, as in normalize.c.
 *
 * Compiled with flags of its own; nothing here may run before supported() said yes.
 */
#include "avx512.h"
#include "paths.h"

static bool supported(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl");
}

static inline __mmask16 mask_of(size_t left)
{
    return (__mmask16)(left >= 16 ? 0xffffu : (1u << left) - 1);
}

static void f32(const uint8_t *src, float *dst, size_t count)
{
    size_t i = 0;
    if ((uintptr_t)dst % 64 == 0) {
        for (; i + 16 <= count; i += 16)
            _mm512_stream_ps(
                dst + i, rs__normalized_avx512(_mm_loadu_si128((const __m128i *)(const void *)(src + i))));
        _mm_sfence();
    }
    for (; i + 16 <= count; i += 16)
        _mm512_storeu_ps(dst + i,
                         rs__normalized_avx512(_mm_loadu_si128((const __m128i *)(const void *)(src + i))));
    __mmask16 mask = mask_of(count - i);
    _mm512_mask_storeu_ps(dst + i, mask, rs__normalized_avx512(_mm_maskz_loadu_epi8(mask, src + i)));
}

static inline __m256i rounded(__m512 values)
{
    __m512i bits = _mm512_castps_si512(values);
    __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    bits = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(bits, 16));
}

static void bf16(const uint8_t *src, uint16_t *dst, size_t count)
{
    size_t i = 0;
    for (; i + 16 <= count; i += 16) {
        __m128i pixels = _mm_loadu_si128((const __m128i *)(const void *)(src + i));
        _mm256_storeu_si256((__m256i *)(void *)(dst + i), rounded(rs__normalized_avx512(pixels)));
    }
    __mmask16 mask = mask_of(count - i);
    _mm256_mask_storeu_epi16(dst + i, mask,
                             rounded(rs__normalized_avx512(_mm_maskz_loadu_epi8(mask, src + i))));
}

const struct rs__normalizer rs__normalizer_avx512 = {
    .name = "avx512",
    .supported = supported,
    .f32 = f32,
    .bf16 = bf16,
};
