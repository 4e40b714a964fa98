/* avx2.h: what the files compiled for AVX2 share; private to them.
 *
 * @thread any.
 */
#ifndef RS_IMAGE_AVX2_H
#define RS_IMAGE_AVX2_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define RS__ALWAYS_INLINE static inline __attribute__((always_inline))

enum { RS__COLUMNS = 32 }; /* bytes of a vector: the columns of a row done at once */

RS__ALWAYS_INLINE __m256i rs__load_avx2(const void *at)
{
    return _mm256_loadu_si256((const __m256i *)at);
}

/* Stores the first columns bytes, all of them where columns is larger. AVX2 can't store a part of a vector:
 * the last columns of a row go by way of a buffer. */
RS__ALWAYS_INLINE void rs__store_columns_avx2(uint8_t *out, size_t columns, __m256i v)
{
    if (columns >= RS__COLUMNS) {
        _mm256_storeu_si256((__m256i *)(void *)out, v);
        return;
    }
    uint8_t all[RS__COLUMNS];
    _mm256_storeu_si256((__m256i *)(void *)all, v);
    memcpy(out, all, columns);
}

#endif
