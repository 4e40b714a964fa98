/* evaluation.h: one pass over a split through the whole pipeline with given weights.
 * Owner: the caller owns all arrays. @thread main. */
#ifndef RS_EVALUATION_H
#define RS_EVALUATION_H

#include "backend.h"
#include "training.h"

struct rs_evaluation {
    int32_t classes;
    char **class_names; /* classes */
    uint64_t samples;
    double loss; /* mean over samples */
    double accuracy;
    uint64_t *confusion; /* classes x classes, row: true label, column: predicted */
    double seconds;
};

/* Uses of options: data (valid split, else the folder itself), device, threads, workers, prefetch, fuse,
 * precision, eval_batch_size, image_size, max_pixels. Free with rs_evaluation_free. */
int rs_evaluation_run(const struct rs_training_options *options, const char *weights,
                      struct rs_evaluation *out, struct rs_error *err);
void rs_evaluation_free(struct rs_evaluation *evaluation);

#endif
