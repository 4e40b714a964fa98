/* preprocess.h: where images are resized and normalized: on the workers, or on the device.
 *
 * How it works: a device with a stream whose plans take pixels can do it; both ways give the same bits, the
 * device's needs fewer bytes of upload and fewer cores. Where every image has one size, as the sources'
 * indices tell (CIFAR files), the pixels go up as decoded and the device resizes and normalizes. Where sizes
 * differ (an image folder), the workers resize and the device normalizes. Elsewhere the workers do it all.
 *
 * @thread main; a choice is a value.
 */
#ifndef RS_PREPROCESS_H
#define RS_PREPROCESS_H

#include "backend.h"
#include "source.h"
#include "training.h"

struct rs_preprocess_choice {
    uint32_t image_stages; /* of the workers: 3 decode, resize, normalize; 2 without the last; 1 decode */
    struct rs_pixel_format pixels; /* for the plan's options; height 0: it takes tensors */
};

/* sources: by enum rs_phase, NULL where there is none. Errors: RS_E_USAGE where a device can't do what wish
 * says. */
int rs_preprocess_choose(enum rs_preprocess wish, const struct rs_backend *backend,
                         struct rs_source *const sources[2], uint32_t image_size,
                         struct rs_preprocess_choice *out, struct rs_error *err);
/* What the device does, as the end of a sentence: "; the device …", or "". */
const char *rs_preprocess_text(const struct rs_preprocess_choice *choice);

#endif
