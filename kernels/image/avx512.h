/* avx512.h: what the files compiled for AVX-512 share; private to them.
 *
 * @thread any.
 */
#ifndef RS_IMAGE_AVX512_H
#define RS_IMAGE_AVX512_H

#include <immintrin.h>
#include <string.h>

#define RS__NORMALIZE_HIGH 0x1.010102p-8f
#define RS__NORMALIZE_LOW -0x1.fdfdfep-33f

/* 16 pixels. A division is slow, so x / 255 is x * high + x * low with 1 / 255 as the sum of two floats, and
 * a fused multiply-add rounds once. That this is the rounded quotient for all 256 values is proven by trying
 * them (test_normalize). Then 2 q - 1, as normalize.c says. */
static inline __m512 rs__normalized_avx512(__m128i pixels)
{
    __m512 x = _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(pixels));
    __m512 low = _mm512_mul_ps(x, _mm512_set1_ps(RS__NORMALIZE_LOW));
    __m512 scaled = _mm512_fmadd_ps(x, _mm512_set1_ps(RS__NORMALIZE_HIGH), low);
    return _mm512_fmsub_ps(scaled, _mm512_set1_ps(2.0f), _mm512_set1_ps(1.0f));
}

#endif
