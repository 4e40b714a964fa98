/* progress.h: where a run stands, and what its epochs came to.
 *
 * How it works: the train stage keeps one struct rs_progress; it goes into the resume file as JSON (metadata
 * key "progress"), so that a run goes on at any batch with the same totals. Doubles survive the JSON exactly
 * (17 digits).
 *
 * Owner: a value. @thread any.
 */
#ifndef RS_PROGRESS_H
#define RS_PROGRESS_H

#include "backend.h"
#include <stdbool.h>
#include <stdint.h>

struct rs_totals {   /* of a phase of an epoch */
    double loss_sum; /* over samples */
    uint64_t correct, samples;
    double batch_loss_sum, batch_accuracy_sum; /* of batch means, as the notebook averages */
    uint64_t batches;
};

struct rs_progress {
    uint32_t epoch;                    /* in work */
    uint64_t epoch_steps;              /* train batches of it that are done */
    uint64_t steps;                    /* of the whole run */
    uint64_t train_count, valid_count; /* of the data: a run goes on with the same */
    bool validated;                    /* max_steps cut this epoch short, and its validation is done */
    struct rs_totals train, valid;
    double train_seconds;      /* of this epoch so far, from one step's end to the next one's */
    double train_wait_seconds; /* of that, waiting for batches */
    double valid_seconds;
    double best_accuracy; /* of a finished validation; -1 before the first */
};

void rs_totals_add(struct rs_totals *totals, const struct rs_step_result *result, uint32_t count);
/* Means; 0 when there are no samples. */
double rs_totals_loss(const struct rs_totals *totals);
double rs_totals_accuracy(const struct rs_totals *totals);
double rs_totals_batch_loss(const struct rs_totals *totals);
double rs_totals_batch_accuracy(const struct rs_totals *totals);

/* A new string of the caller's (free()); NULL without memory. */
char *rs_progress_print(const struct rs_progress *progress);
/* Errors: RS_E_CORRUPT naming path and field. */
int rs_progress_parse(const char *text, const char *path, struct rs_progress *progress, struct rs_error *err);

#endif
