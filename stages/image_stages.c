/* image_stages.c: decode, resize and normalize of one sample, as the worker pools call them. */
#include "image_stages.h"

#include "batch.h"

#include <string.h>

static int decode_sample(void *self, void *scratch, struct rs_slot *slot, uint32_t i, struct rs_error *err)
{
    (void)self;
    struct rs_batch *b = slot->payload;
    struct rs_scratch *s = scratch;
    struct rs_work *work = rs_batch_work(b, s, i);
    const struct rs_sample_ref *ref = &b->refs[i];
    return rs_decoder_run(s->decoder, ref, b->bytes[i], (size_t)ref->length, &work->storage, &work->pixels,
                          &b->labels[i], err);
}

/* Every image of the source has the tensor's size, as its index said. */
static int unpack_sample(void *self, void *scratch, struct rs_slot *slot, uint32_t i, struct rs_error *err)
{
    struct rs_batch *b = slot->payload;
    const struct rs_pixels *pixels = &rs_batch_work(b, scratch, i)->pixels;
    RS_TRY(decode_sample(self, scratch, slot, i, err));
    RS_ASSERT((size_t)3 * pixels->width * pixels->height == b->sample_bytes);
    memcpy(rs_batch_sample(b, i), pixels->data, b->sample_bytes);
    return 0;
}

static int resize_sample(void *self, void *scratch, struct rs_slot *slot, uint32_t i, struct rs_error *err)
{
    const struct rs_image_options *options = self;
    struct rs_scratch *s = scratch;
    struct rs_batch *b = slot->payload;
    struct rs_work *work = rs_batch_work(b, s, i);
    uint8_t *to = b->element == RS_ELEMENT_U8 ? rs_batch_sample(b, i) : work->resized;
    struct rs_resize_source source = {work->pixels.data, work->pixels.width, work->pixels.height,
                                      work->pixels.planar};
    return rs_resizer_run(s->resizer, &source, options->image_size, options->image_size, to, err);
}

static int normalize_sample(void *self, void *scratch, struct rs_slot *slot, uint32_t i, struct rs_error *err)
{
    (void)self;
    (void)err;
    struct rs_batch *b = slot->payload;
    const struct rs_work *work = rs_batch_work(b, scratch, i);
    size_t count = b->sample_floats;
    if (b->element == RS_ELEMENT_BF16)
        rs_normalize_bf16(work->resized, rs_batch_sample(b, i), count);
    else
        rs_normalize_f32(work->resized, rs_batch_sample(b, i), count);
    return 0;
}

const struct rs_stage_ops rs_stage_decode = {"decode", decode_sample};
const struct rs_stage_ops rs_stage_unpack = {"decode", unpack_sample};
const struct rs_stage_ops rs_stage_resize = {"resize", resize_sample};
const struct rs_stage_ops rs_stage_normalize = {"normalize", normalize_sample};
