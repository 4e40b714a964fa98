/* normalize_avx2.c: normalization with AVX2 and FMA, 8 pixels a step; the last ones in plain C.
 *
 * How it works: as avx512.h and normalize_avx512.c say.
 *
 * Compiled with flags of its own; nothing here may run before supported() said yes.
 */
#include "paths.h"
#include <immintrin.h>

#define HIGH 0x1.010102p-8f
#define LOW -0x1.fdfdfep-33f

static bool supported(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static inline __m256 normalized(const uint8_t *src)
{
    __m128i pixels = _mm_loadl_epi64((const __m128i *)(const void *)src);
    __m256 x = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(pixels));
    __m256 scaled = _mm256_fmadd_ps(x, _mm256_set1_ps(HIGH), _mm256_mul_ps(x, _mm256_set1_ps(LOW)));
    return _mm256_fmsub_ps(scaled, _mm256_set1_ps(2.0f), _mm256_set1_ps(1.0f));
}

static void f32(const uint8_t *src, float *dst, size_t count)
{
    size_t i = 0;
    if ((uintptr_t)dst % 32 == 0) {
        for (; i + 8 <= count; i += 8)
            _mm256_stream_ps(dst + i, normalized(src + i));
        _mm_sfence();
    }
    for (; i + 8 <= count; i += 8)
        _mm256_storeu_ps(dst + i, normalized(src + i));
    rs__normalizer_scalar.f32(src + i, dst + i, count - i);
}

static void bf16(const uint8_t *src, uint16_t *dst, size_t count)
{
    size_t i = 0;
    for (; i + 8 <= count; i += 8) {
        __m256i bits = _mm256_castps_si256(normalized(src + i));
        __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
        bits = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
        bits = _mm256_srli_epi32(bits, 16);
        __m128i words = _mm_packus_epi32(_mm256_castsi256_si128(bits), _mm256_extracti128_si256(bits, 1));
        _mm_storeu_si128((__m128i *)(void *)(dst + i), words);
    }
    rs__normalizer_scalar.bf16(src + i, dst + i, count - i);
}

const struct rs__normalizer rs__normalizer_avx2 = {
    .name = "avx2",
    .supported = supported,
    .f32 = f32,
    .bf16 = bf16,
};
