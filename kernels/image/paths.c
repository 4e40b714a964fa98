/* paths.c: the tables of the code paths; the one place that knows which ones the build has. */
#include "paths.h"

static const struct rs__path *const paths[] = {
#ifdef RS__X86_PATHS
    &rs__path_vbmi,   &rs__path_avx512,
    &rs__path_avx2,
#endif
    &rs__path_scalar, NULL,
};

static const struct rs__normalizer *const normalizers[] = {
#ifdef RS__X86_PATHS
    &rs__normalizer_bf16,   &rs__normalizer_avx512,
    &rs__normalizer_avx2,
#endif
    &rs__normalizer_scalar, NULL,
};

const struct rs__path *rs__path_at(uint32_t i)
{
    for (uint32_t before = 0; before < i; before++)
        if (paths[before] == NULL)
            return NULL;
    return paths[i];
}

const struct rs__normalizer *rs__normalizer_at(uint32_t i)
{
    for (uint32_t before = 0; before < i; before++)
        if (normalizers[before] == NULL)
            return NULL;
    return normalizers[i];
}
