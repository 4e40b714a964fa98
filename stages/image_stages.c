/* image_stages.c: decode, resize and normalize of one sample, as the worker pools call them. */
#include "image_stages.h"

#include "batch.h"

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

static int resize_sample(void *self, void *scratch, struct rs_slot *slot, uint32_t i, struct rs_error *err)
{
    const struct rs_image_options *options = self;
    struct rs_scratch *s = scratch;
    struct rs_work *work = rs_batch_work(slot->payload, s, i);
    struct rs_resize_source source = {work->pixels.data, work->pixels.width, work->pixels.height,
                                      work->pixels.planar};
    return rs_resizer_run(s->resizer, &source, options->image_size, options->image_size, work->resized, err);
}

static int normalize_sample(void *self, void *scratch, struct rs_slot *slot, uint32_t i, struct rs_error *err)
{
    (void)self;
    (void)err;
    struct rs_batch *b = slot->payload;
    const struct rs_work *work = rs_batch_work(b, scratch, i);
    size_t count = b->sample_floats;
    if (b->bf16)
        rs_normalize_bf16(work->resized, (uint16_t *)b->tensor + count * i, count);
    else
        rs_normalize_f32(work->resized, (float *)b->tensor + count * i, count);
    return 0;
}

const struct rs_stage_ops rs_stage_decode = {"decode", decode_sample};
const struct rs_stage_ops rs_stage_resize = {"resize", resize_sample};
const struct rs_stage_ops rs_stage_normalize = {"normalize", normalize_sample};
