/* codec.h: encoded bytes to RGB pixels: CIFAR records, PNG, JPEG.
 *
 * How it works: a decoder is a worker's context (libjpeg and row scratch are kept); the codec is picked by
 * the sample's reference, one vtable entry each; a PNG file named .jpg, or the other way round, is decoded as
 * what it is. Results equal Pillow's convert("RGB") for 8-bit images; 16-bit channels are scaled to 8 (v *
 * 255 / 65535, rounded), alpha is dropped as convert("RGB") drops it, palettes are looked up, greys are
 * tripled, CMYK is inverted as Pillow does. An image that ends too early is an error, whatever a lenient
 * decoder would fill in; other blemishes that Pillow accepts are accepted. Whatever the bytes say, nothing
 * outside them is read and no more than max_pixels are allocated.
 *
 * Owner: a decoder is one worker's; pixels may point into the encoded bytes (CIFAR) or into storage, so both
 * must outlive the view.
 * @thread worker.
 */
#ifndef RS_CODEC_H
#define RS_CODEC_H

#include "alloc.h"
#include "source.h"

struct rs_pixels { /* a view; 3 channels, 8 bits, no padding between rows */
    const uint8_t *data;
    uint32_t width, height;
    int planar; /* three planes (CHW), else interleaved RGB rows (HWC) */
};

struct rs_decoder;

/* max_pixels: width * height at most; classes: labels found in bytes must be below. */
int rs_decoder_create(struct rs_decoder **out, uint64_t max_pixels, int32_t classes, struct rs_error *err);
void rs_decoder_destroy(struct rs_decoder *decoder);
/* Errors name the file and offset, and what is wrong: RS_E_CORRUPT (truncated or lying data, label out of
 * range), RS_E_LIMIT (too many pixels; names --max-pixels), RS_E_UNSUPPORTED, RS_E_NOMEM. *label is written
 * always. */
int rs_decoder_run(struct rs_decoder *decoder, const struct rs_sample_ref *ref, const uint8_t *bytes,
                   size_t length, struct rs_buffer *storage, struct rs_pixels *pixels, int32_t *label,
                   struct rs_error *err);

/* PNG or JPEG by the first bytes; RS_E_UNSUPPORTED names the path. For predict. */
int rs_codec_recognise(const uint8_t *bytes, size_t length, const char *path, enum rs_codec_id *codec,
                       struct rs_error *err);

#endif
