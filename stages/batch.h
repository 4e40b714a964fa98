/* batch.h: what a slot carries: a batch from bytes to the tensor that the network wants.
 *
 * How it works: all memory of a batch is made once, for the largest batch of the run. A worker pool that runs
 * decode, resize and normalize fused keeps a sample's pixels in its own scratch, so that they stay in cache;
 * with a pool a stage they travel in the batch.
 *
 * Owner: as the slot. @thread create, destroy: main; sample i: the worker that holds its chunk.
 */
#ifndef RS_BATCH_H
#define RS_BATCH_H

#include "alloc.h"
#include "backend.h"
#include "codec.h"
#include "image.h"
#include "loop.h"
#include "slot.h"
#include "source.h"
#include <stdbool.h>

struct rs_read;

/* A sample on its way between decode and normalize. */
struct rs_work {
    struct rs_buffer storage; /* decoded pixels, unless they are in the encoded bytes */
    struct rs_pixels pixels;
    uint8_t *resized; /* 3,S,S bytes; unused where the device normalizes: resize writes to the tensor */
};

struct rs_batch {
    uint32_t capacity; /* samples */
    uint64_t *samples; /* indices in the data set */
    struct rs_sample_ref *refs;
    const uint8_t **bytes; /* encoded, ref.length each: in the store, or in raw */
    struct rs_buffer raw;  /* bytes of the samples that no store keeps */
    /* the read stage's own */
    struct rs_read *reader;
    struct rs_file_read *reads;
    bool *to_store;        /* the read goes into the store, not into raw */
    uint32_t *chunk_reads; /* reads in flight, a chunk */
    uint32_t unread_chunks;
    struct rs_work *work; /* capacity, or NULL when stages are fused */
    uint8_t *resized;     /* of all work */
    int32_t *labels;
    void *tensor; /* capacity samples as the plan wants them, in the device's host memory */
    enum rs_element element;
    size_t sample_bytes;  /* of the tensor: 3*S*S elements, or an image's pixels */
    size_t sample_floats; /* 3*S*S */
};

/* What a worker keeps for itself. */
struct rs_scratch {
    struct rs_decoder *decoder;
    struct rs_resizer *resizer;
    struct rs_work work;
};

struct rs_image_options { /* of the worker stages; const */
    uint32_t image_size;
    uint64_t max_pixels;
    int32_t classes;
};

struct rs_batch_options {
    uint32_t capacity, image_size;
    bool fused;
    enum rs_element element;       /* of the tensor */
    struct rs_pixel_format pixels; /* with RS_ELEMENT_U8 */
};

int rs_batch_create(struct rs_batch **out, const struct rs_batch_options *options, struct rs_error *err);
/* tensor is the creator's to free. */
void rs_batch_destroy(struct rs_batch *batch);

/* For rs_worker_pool_options; arg is a const struct rs_image_options. */
int rs_scratch_create(void *arg, void **scratch, struct rs_error *err);
void rs_scratch_destroy(void *arg, void *scratch);

/* Where sample i stands between the stages: in the batch, or in the worker's scratch when stages are fused.
 */
static inline struct rs_work *rs_batch_work(struct rs_batch *batch, struct rs_scratch *scratch, uint32_t i)
{
    return batch->work ? &batch->work[i] : &scratch->work;
}

/* Where sample i of the tensor begins. */
static inline void *rs_batch_sample(const struct rs_batch *batch, uint32_t i)
{
    return (uint8_t *)batch->tensor + batch->sample_bytes * i;
}

#endif
