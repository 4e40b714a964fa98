/* kernels_avx512.c: the kernels for AVX-512 (F, BW, DQ, VL); see kernels.h. CMakeLists.txt gives this file
 * its flags. */
#define LANES 16
#define TABLE rs__kernels_avx512
#define TABLE_TEXT "avx512"
#include "kernels_body.inc"
