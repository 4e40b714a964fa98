/* kernels_avx2.c: the kernels for AVX2; see kernels.h. CMakeLists.txt gives this file its flags. */
#define LANES 8
#define TABLE rs__kernels_avx2
#define TABLE_TEXT "avx2"
#include "kernels_body.inc"
