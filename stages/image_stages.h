/* image_stages.h: decode, resize, normalize: what workers do with a sample.
 *
 * How it works: the last stage that runs here writes the sample's place in the tensor: normalize, or resize
 * where the device normalizes, or decode where it does both (preprocess.h).
 *
 * self of each is a const struct rs_image_options, scratch a struct rs_scratch, the slot's payload a struct
 * rs_batch.
 * @thread worker.
 */
#ifndef RS_IMAGE_STAGES_H
#define RS_IMAGE_STAGES_H

#include "worker_pool.h"

extern const struct rs_stage_ops rs_stage_decode;    /* bytes to RGB pixels, and the label */
extern const struct rs_stage_ops rs_stage_unpack;    /* decode, with the pixels' copy in the tensor */
extern const struct rs_stage_ops rs_stage_resize;    /* pixels to 3,S,S bytes, Pillow's BILINEAR */
extern const struct rs_stage_ops rs_stage_normalize; /* bytes to the tensor's elements */

#endif
