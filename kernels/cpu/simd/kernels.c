/* kernels.c: the table of an instruction set. */
#include "kernels.h"

const struct rs__kernels *rs__kernels_of(enum rs__isa isa)
{
    switch (isa) {
    case RS__ISA_AVX512:
        return &rs__kernels_avx512;
    case RS__ISA_AVX2:
        return &rs__kernels_avx2;
    default:
        return &rs__kernels_generic;
    }
}
