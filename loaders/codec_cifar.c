/* codec_cifar.c: a record of a CIFAR file: label bytes, then 3x32x32 pixels in planes; nothing is copied. */
#include "codec_pvt.h"

#include <inttypes.h>

#define SIDE 32
#define PIXELS ((size_t)3 * SIDE * SIDE)

/* label_bytes: 1 (CIFAR-10) or 2 (CIFAR-100: coarse, then fine, which counts). */
static int run(const struct rs__job *job, size_t label_bytes, struct rs_error *err)
{
    const struct rs_sample_ref *ref = job->ref;
    size_t record = label_bytes + PIXELS;
    if (job->length != record)
        return rs_error_set(err, RS_E_CORRUPT,
                            "%s: %zu bytes at offset %" PRIu64 " where a record of %zu is wanted; "
                            "the file has changed while it was read, copy it again",
                            ref->path, job->length, ref->offset, record);
    int32_t label = job->bytes[label_bytes - 1];
    if (label >= job->classes)
        return rs_error_set(err, RS_E_CORRUPT,
                            "%s: record %" PRIu64 " has label %" PRId32 " at offset %" PRIu64
                            ", but there are %" PRId32 " classes (0 to %" PRId32
                            "); the file is damaged or of another data set",
                            ref->path, ref->offset / record, label, ref->offset + label_bytes - 1,
                            job->classes, job->classes - 1);
    *job->label = label;
    *job->pixels =
        (struct rs_pixels){.data = job->bytes + label_bytes, .width = SIDE, .height = SIDE, .planar = 1};
    return 0;
}

static int run_cifar10(void *context, const struct rs__job *job, struct rs_error *err)
{
    (void)context;
    return run(job, 1, err);
}

static int run_cifar100(void *context, const struct rs__job *job, struct rs_error *err)
{
    (void)context;
    return run(job, 2, err);
}

const struct rs__codec rs__codec_cifar10 = {.name = "cifar10", .run = run_cifar10};
const struct rs__codec rs__codec_cifar100 = {.name = "cifar100", .run = run_cifar100};
