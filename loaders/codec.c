/* codec.c: a decoder is the contexts of all codecs; a sample's reference picks one. */
#include "codec_pvt.h"

#include <inttypes.h>

static const struct rs__codec *const codecs[] = {
    [RS_CODEC_CIFAR10] = &rs__codec_cifar10,
    [RS_CODEC_CIFAR100] = &rs__codec_cifar100,
    [RS_CODEC_PNG] = &rs__codec_png,
    [RS_CODEC_JPEG] = &rs__codec_jpeg,
};
#define CODEC_COUNT (sizeof codecs / sizeof codecs[0])

struct rs_decoder {
    uint64_t max_pixels;
    int32_t classes;
    void *context[CODEC_COUNT];
};

int rs_decoder_create(struct rs_decoder **out, uint64_t max_pixels, int32_t classes, struct rs_error *err)
{
    struct rs_decoder *decoder = rs_calloc(1, sizeof *decoder);
    if (!decoder)
        return rs_error_set(err, RS_E_NOMEM, "out of memory for a decoder");
    decoder->max_pixels = max_pixels;
    decoder->classes = classes;
    int code = 0;
    for (size_t c = 0; code == 0 && c < CODEC_COUNT; c++)
        if (codecs[c]->create)
            code = codecs[c]->create(&decoder->context[c], err);
    if (code < 0)
        goto fail_context;
    *out = decoder;
    return 0;

fail_context:
    rs_decoder_destroy(decoder);
    return code;
}

void rs_decoder_destroy(struct rs_decoder *decoder)
{
    if (!decoder)
        return;
    for (size_t c = 0; c < CODEC_COUNT; c++)
        if (decoder->context[c])
            codecs[c]->destroy(decoder->context[c]);
    rs_free(decoder);
}

/* A file's content decides, as in Pillow, where its name says another format; where nothing fits, the name
 * does. */
static enum rs_codec_id codec_of(enum rs_codec_id named, const uint8_t *bytes, size_t length)
{
    if (!codecs[named]->recognise || codecs[named]->recognise(bytes, length))
        return named;
    for (size_t c = 0; c < CODEC_COUNT; c++)
        if (codecs[c]->recognise && codecs[c]->recognise(bytes, length))
            return (enum rs_codec_id)c;
    return named;
}

int rs_decoder_run(struct rs_decoder *decoder, const struct rs_sample_ref *ref, const uint8_t *bytes,
                   size_t length, struct rs_buffer *storage, struct rs_pixels *pixels, int32_t *label,
                   struct rs_error *err)
{
    RS_ASSERT((size_t)ref->codec < CODEC_COUNT);
    *label = ref->label;
    if (length == 0)
        return rs_error_set(err, RS_E_CORRUPT, "%s: the file is empty; copy it again or remove it",
                            ref->path);
    struct rs__job job = {
        .ref = ref,
        .bytes = bytes,
        .length = length,
        .max_pixels = decoder->max_pixels,
        .classes = decoder->classes,
        .storage = storage,
        .pixels = pixels,
        .label = label,
    };
    enum rs_codec_id codec = codec_of(ref->codec, bytes, length);
    return codecs[codec]->run(decoder->context[codec], &job, err);
}

int rs__job_reserve(const struct rs__job *job, uint32_t width, uint32_t height, struct rs_error *err)
{
    uint64_t pixels = (uint64_t)width * height;
    if (pixels > job->max_pixels)
        return rs_error_set(err, RS_E_LIMIT,
                            "%s: %" PRIu32 "x%" PRIu32 " = %" PRIu64
                            " pixels in a file of %zu bytes are more than "
                            "--max-pixels %" PRIu64 "; raise it if you trust the file",
                            job->ref->path, width, height, pixels, job->length, job->max_pixels);
    if (pixels > SIZE_MAX / 3 || rs_buffer_reserve(job->storage, (size_t)pixels * 3, err) < 0)
        return rs_error_set(err, RS_E_NOMEM, "%s: out of memory for %" PRIu32 "x%" PRIu32 " pixels",
                            job->ref->path, width, height);
    *job->pixels = (struct rs_pixels){.data = job->storage->data, .width = width, .height = height};
    return 0;
}

int rs_codec_recognise(const uint8_t *bytes, size_t length, const char *path, enum rs_codec_id *codec,
                       struct rs_error *err)
{
    for (size_t c = 0; c < CODEC_COUNT; c++)
        if (codecs[c]->recognise && codecs[c]->recognise(bytes, length)) {
            *codec = (enum rs_codec_id)c;
            return 0;
        }
    if (length == 0)
        return rs_error_set(err, RS_E_CORRUPT, "%s: the file is empty; copy it again", path);
    return rs_error_set(err, RS_E_UNSUPPORTED, "%s: neither a PNG nor a JPEG file; convert it to one of them",
                        path);
}
