/* codec_pvt.h: what codecs share: the vtable of a codec and the job it gets.
 *
 * Owner: a codec's context is its decoder's, and so one worker's. @thread worker.
 */
#ifndef RS_CODEC_PVT_H
#define RS_CODEC_PVT_H

#include "codec.h"

/* One image to decode; in: everything but pixels and label, which the codec writes. */
struct rs__job {
    const struct rs_sample_ref *ref;
    const uint8_t *bytes;
    size_t length;
    uint64_t max_pixels;
    int32_t classes;
    struct rs_buffer *storage;
    struct rs_pixels *pixels;
    int32_t *label; /* holds ref->label */
};

struct rs__codec {
    const char *name;
    /* Optional: a context kept from image to image. */
    int (*create)(void **context, struct rs_error *err);
    void (*destroy)(void *context);
    int (*run)(void *context, const struct rs__job *job, struct rs_error *err);
    /* Optional: true when a file of this codec starts so. */
    int (*recognise)(const uint8_t *bytes, size_t length);
};

extern const struct rs__codec rs__codec_cifar10;
extern const struct rs__codec rs__codec_cifar100;
extern const struct rs__codec rs__codec_png;
extern const struct rs__codec rs__codec_jpeg;

/* Room for width x height RGB pixels in the job's storage, if max_pixels allows; describes them in
 * job->pixels. */
int rs__job_reserve(const struct rs__job *job, uint32_t width, uint32_t height, struct rs_error *err);

#endif
