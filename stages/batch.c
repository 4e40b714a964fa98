/* batch.c: the memory of a batch and of a worker's scratch, made once. */
#include "batch.h"

static int reserve(struct rs_batch *b, bool fused, struct rs_error *err)
{
    uint32_t n = b->capacity;
    b->samples = rs_calloc(n, sizeof *b->samples);
    b->refs = rs_calloc(n, sizeof *b->refs);
    b->bytes = rs_calloc(n, sizeof *b->bytes);
    b->reads = rs_calloc(n, sizeof *b->reads);
    b->to_store = rs_calloc(n, sizeof *b->to_store);
    b->chunk_reads = rs_calloc(n, sizeof *b->chunk_reads);
    b->labels = rs_calloc(n, sizeof *b->labels);
    if (!b->samples || !b->refs || !b->bytes || !b->reads || !b->to_store || !b->chunk_reads || !b->labels)
        goto fail;
    if (fused)
        return 0;
    b->work = rs_calloc(n, sizeof *b->work);
    if (!b->work)
        goto fail;
    if (b->element == RS_ELEMENT_U8)
        return 0;
    b->resized = rs_alloc(b->sample_floats * n);
    if (!b->resized)
        goto fail;
    for (uint32_t i = 0; i < n; i++)
        b->work[i].resized = b->resized + b->sample_floats * i;
    return 0;
fail:
    return rs_error_set(err, RS_E_NOMEM,
                        "no memory for a batch of %u samples; lower --batch-size or --prefetch", n);
}

static size_t sample_bytes(const struct rs_batch_options *o)
{
    size_t floats = (size_t)3 * o->image_size * o->image_size;
    switch (o->element) {
    case RS_ELEMENT_F32:
        return floats * sizeof(float);
    case RS_ELEMENT_BF16:
        return floats * sizeof(uint16_t);
    case RS_ELEMENT_U8:
        break;
    }
    return (size_t)3 * o->pixels.height * o->pixels.width;
}

int rs_batch_create(struct rs_batch **out, const struct rs_batch_options *options, struct rs_error *err)
{
    struct rs_batch *b = rs_calloc(1, sizeof *b);
    if (!b)
        return rs_error_set(err, RS_E_NOMEM, "no memory for a batch");
    b->capacity = options->capacity;
    b->element = options->element;
    b->sample_bytes = sample_bytes(options);
    b->sample_floats = (size_t)3 * options->image_size * options->image_size;
    int code = reserve(b, options->fused, err);
    if (code < 0) {
        rs_batch_destroy(b);
        return code;
    }
    *out = b;
    return 0;
}

void rs_batch_destroy(struct rs_batch *b)
{
    if (!b)
        return;
    if (b->work)
        for (uint32_t i = 0; i < b->capacity; i++)
            rs_buffer_free(&b->work[i].storage);
    rs_buffer_free(&b->raw);
    rs_free(b->work);
    rs_free(b->resized);
    rs_free(b->samples);
    rs_free(b->refs);
    rs_free(b->bytes);
    rs_free(b->reads);
    rs_free(b->to_store);
    rs_free(b->chunk_reads);
    rs_free(b->labels);
    rs_free(b);
}

int rs_scratch_create(void *arg, void **out, struct rs_error *err)
{
    const struct rs_image_options *options = arg;
    int code = RS_E_NOMEM;
    struct rs_scratch *s = rs_calloc(1, sizeof *s);
    if (!s)
        goto fail_memory;
    s->work.resized = rs_alloc((size_t)3 * options->image_size * options->image_size);
    if (!s->work.resized)
        goto fail_memory;
    code = rs_decoder_create(&s->decoder, options->max_pixels, options->classes, err);
    if (code < 0)
        goto fail;
    code = rs_resizer_create(&s->resizer, err);
    if (code < 0)
        goto fail;
    *out = s;
    return 0;
fail_memory:
    rs_error_set(err, code, "no memory for a worker's scratch");
fail:
    rs_scratch_destroy(arg, s);
    return code;
}

void rs_scratch_destroy(void *arg, void *scratch)
{
    (void)arg;
    struct rs_scratch *s = scratch;
    if (!s)
        return;
    rs_resizer_destroy(s->resizer);
    rs_decoder_destroy(s->decoder);
    rs_buffer_free(&s->work.storage);
    rs_free(s->work.resized);
    rs_free(s);
}
