/* image.h: the properties of the image codecs. @thread main. */
#ifndef RS_TEST_FUZZ_IMAGE_H
#define RS_TEST_FUZZ_IMAGE_H

#include "codec.h"

/* fuzz_run of a codec: decodes a file of that name's codec. */
int fuzz_image(enum rs_codec_id codec, const uint8_t *data, size_t size);

#endif
