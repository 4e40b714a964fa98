/* fuzz_png.c: files of a PNG's name. */
#include "fuzz.h"
#include "image.h"
#include "png_chunks.h"

int fuzz_run(const uint8_t *data, size_t size)
{
    return fuzz_image(RS_CODEC_PNG, data, size);
}

#ifdef RS_FUZZ
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed);

/* Most inputs get right CRCs, or else few would come past the first chunk. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
    size = LLVMFuzzerMutate(data, size, max_size);
    if (seed % 8 != 0)
        png_chunks_repair(data, size);
    return size;
}
#endif
