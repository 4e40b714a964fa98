/* fuzz_jpeg.c: files of a JPEG's name. */
#include "fuzz.h"
#include "image.h"

int fuzz_run(const uint8_t *data, size_t size)
{
    return fuzz_image(RS_CODEC_JPEG, data, size);
}
