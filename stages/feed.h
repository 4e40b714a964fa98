/* feed.h: the input half of the pipeline alone: batches as the network would see them, in order.
 *
 * For preview and for the loader's benchmark. The consumer is called on a thread of its own with one batch at
 * a time. Owner: the batch is valid during the call. @thread main.
 */
#ifndef RS_FEED_H
#define RS_FEED_H

#include "training.h"

struct rs_feed_batch {
    const float *tensor;     /* count,3,S,S float32 */
    const int32_t *labels;   /* count */
    const uint64_t *samples; /* count: indices in the data set */
    uint32_t count;
    uint32_t epoch;
};

/* Runs options->epochs epochs of the train split (options->max_steps batches at most) with options' data,
 * batch_size, prefetch, workers, fuse, image_size, max_pixels, shuffle, seed. Each batch goes to consume; a
 * negative result ends the run with that code. */
int rs_feed_run(const struct rs_training_options *options,
                int (*consume)(void *arg, const struct rs_feed_batch *batch, struct rs_error *err), void *arg,
                struct rs_error *err);

#endif
