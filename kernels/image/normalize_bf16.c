/* normalize_bf16.c: normalization for AVX-512 machines that round to bf16 in one instruction (Zen 4, Sapphire
 * Rapids).
 *
 * How it works: float32 is normalize_avx512.c's. For bf16, 32 pixels a step become two vectors of floats and
 * one of bf16; the instruction rounds to nearest even whatever the thread's rounding mode, and would flush
 * denormals, which no pixel gives.
 *
 * Compiled with flags of its own; nothing here may run before supported() said yes.
 */
#include "avx512.h"
#include "paths.h"

static bool supported(void)
{
    return rs__normalizer_avx512.supported() && __builtin_cpu_supports("avx512bf16");
}

static void f32(const uint8_t *src, float *dst, size_t count)
{
    rs__normalizer_avx512.f32(src, dst, count);
}

static inline __m512i converted(const uint8_t *src)
{
    const __m128i *from = (const __m128i *)(const void *)src;
    __m512 low = rs__normalized_avx512(_mm_loadu_si128(from));
    __m512 high = rs__normalized_avx512(_mm_loadu_si128(from + 1));
    return (__m512i)_mm512_cvtne2ps_pbh(high, low);
}

static void bf16(const uint8_t *src, uint16_t *dst, size_t count)
{
    size_t i = 0;
    if ((uintptr_t)dst % 64 == 0) {
        for (; i + 32 <= count; i += 32)
            _mm512_stream_si512((__m512i *)(void *)(dst + i), converted(src + i));
        _mm_sfence();
    }
    for (; i + 32 <= count; i += 32)
        _mm512_storeu_si512(dst + i, converted(src + i));
    rs__normalizer_avx512.bf16(src + i, dst + i, count - i);
}

const struct rs__normalizer rs__normalizer_bf16 = {
    .name = "avx512-bf16",
    .supported = supported,
    .f32 = f32,
    .bf16 = bf16,
};
