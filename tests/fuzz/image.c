/* image.c: see image.h. The size in the header is read here a second time, from the formats' documents. */
#include "image.h"

#include "fuzz.h"
#include "png_chunks.h"
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define MAX_PIXELS 65536
#define CLASSES 10
#define LABEL 7

struct result {
    int code;
    struct rs_error err;
    struct rs_pixels pixels;
};

/* The IHDR chunk comes first. */
static bool png_size(const uint8_t *data, size_t size, uint32_t *width, uint32_t *height)
{
    if (size < 24 || memcmp(data, "\x89PNG\r\n\x1a\n", 8) != 0)
        return false;
    *width = png_chunks_get(data + 16);
    *height = png_chunks_get(data + 20);
    return true;
}

/* The first frame header, SOF0 to SOF15 without DHT, JPG and DAC, which share its range of markers. */
static bool jpeg_size(const uint8_t *data, size_t size, uint32_t *width, uint32_t *height)
{
    if (size < 2 || memcmp(data, "\xff\xd8", 2) != 0)
        return false;
    for (size_t at = 2; at + 4 <= size;) {
        uint8_t marker = data[at + 1];
        if (data[at] != 0xFF || marker == 0xFF || marker == 0) { /* fill bytes and garbage between segments */
            at++;
            continue;
        }
        if (marker == 0x01 || (marker >= 0xD0 && marker <= 0xD7)) { /* TEM and RST have no length */
            at += 2;
            continue;
        }
        if (marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC) {
            if (at + 9 > size)
                return false;
            *height = (uint32_t)data[at + 5] << 8 | data[at + 6];
            *width = (uint32_t)data[at + 7] << 8 | data[at + 8];
            return true;
        }
        at += 2 + ((size_t)data[at + 2] << 8 | data[at + 3]);
    }
    return false;
}

static void decode(struct rs_decoder *decoder, enum rs_codec_id codec, const uint8_t *data, size_t size,
                   struct rs_buffer *storage, struct result *result)
{
    struct rs_sample_ref ref = {.path = FUZZ_PATH, .length = size, .codec = codec, .label = LABEL};
    int32_t label = 0;
    *result = (struct result){0};
    result->code = rs_decoder_run(decoder, &ref, data, size, storage, &result->pixels, &label, &result->err);
    FUZZ_CHECK(label == LABEL);
    FUZZ_CHECK(storage->capacity <= 3 * MAX_PIXELS);
}

static void check_size(const uint8_t *data, size_t size, const struct result *result,
                       const struct rs_buffer *storage)
{
    uint32_t width = 0, height = 0;
    bool known = png_size(data, size, &width, &height) || jpeg_size(data, size, &width, &height);
    bool large = known && (uint64_t)width * height > MAX_PIXELS;
    if (result->code == 0) {
        FUZZ_CHECK(known && !large);
        FUZZ_CHECK(result->pixels.width == width && result->pixels.height == height);
        FUZZ_CHECK(width > 0 && height > 0 && !result->pixels.planar);
        FUZZ_CHECK(result->pixels.data == storage->data);
    } else if (large) {
        FUZZ_CHECK(storage->capacity == 0); /* refused before anything is allocated for it */
    }
    if (result->code == RS_E_LIMIT)
        FUZZ_CHECK(large || strstr(result->err.message, "scans"));
}

/* Another decoder, which has seen no other file, gives the same pixels or the same sentence. Each byte of the
 * storage differs from the pixel there before it decodes, so that a pixel which isn't written shows. */
static void check_again(enum rs_codec_id codec, const uint8_t *data, size_t size, const struct result *first,
                        struct rs_buffer *storage)
{
    struct rs_decoder *fresh = NULL;
    struct result second;
    size_t bytes = first->code == 0 ? (size_t)first->pixels.width * first->pixels.height * 3 : 0;
    uint8_t *wanted = malloc(bytes + 1);
    FUZZ_CHECK(wanted);
    for (size_t b = 0; b < bytes; b++) {
        wanted[b] = storage->data[b];
        storage->data[b] = (uint8_t)~wanted[b];
    }
    FUZZ_CHECK(rs_decoder_create(&fresh, MAX_PIXELS, CLASSES, NULL) == 0);
    decode(fresh, codec, data, size, storage, &second);
    FUZZ_CHECK(second.code == first->code);
    FUZZ_CHECK(strcmp(second.err.message, first->err.message) == 0);
    FUZZ_CHECK(bytes == 0 || memcmp(storage->data, wanted, bytes) == 0);
    rs_decoder_destroy(fresh);
    free(wanted);
}

int fuzz_image(enum rs_codec_id codec, const uint8_t *data, size_t size)
{
    static struct rs_decoder *kept; /* as a worker's: one for all files */
    struct rs_buffer storage = {0};
    struct result result;
    if (!kept)
        FUZZ_CHECK(rs_decoder_create(&kept, MAX_PIXELS, CLASSES, NULL) == 0);
    decode(kept, codec, data, size, &storage, &result);
    check_size(data, size, &result, &storage);
    check_again(codec, data, size, &result, &storage);
    rs_buffer_free(&storage);
    if (result.code == 0)
        return 0;
    return FUZZ_REFUSED(result.code, &result.err, FUZZ_PATH, RS_E_CORRUPT, RS_E_LIMIT, RS_E_UNSUPPORTED);
}
