/* schedule.h: which samples the batch number seq of a run holds.
 *
 * How it works: an epoch is its train batches, then its validation batches; epochs follow each other in one
 * stream of numbered batches. Everything is computed from the number, nothing is stored, so that a run can go
 * on at any number in constant time. With max_steps the last epoch has fewer train batches, and its
 * validation all the same.
 *
 * Owner: a value, const after rs_schedule_init. @thread any.
 */
#ifndef RS_SCHEDULE_H
#define RS_SCHEDULE_H

#include "slot.h"
#include <stdbool.h>

struct rs_schedule {
    uint64_t train_count, valid_count; /* samples; 0: no such phase */
    uint32_t batch_size, eval_batch_size;
    uint32_t epochs;
    uint64_t max_steps; /* train batches of the whole run; 0: no limit */
    bool shuffle;       /* train batches only */
    uint64_t seed;
    /* set by rs_schedule_init */
    uint64_t train_batches, valid_batches; /* of a whole epoch */
    uint64_t steps;                        /* train batches of the whole run */
    uint64_t end;                          /* number of batches of the whole run */
};

struct rs_scheduled_batch {
    uint64_t seq;
    uint32_t epoch;
    enum rs_phase phase;
    uint64_t index; /* of the batch in its phase of its epoch */
    uint64_t first; /* sample position in the phase's order */
    uint32_t count;
    bool last_of_phase, last_of_epoch;
};

/* Fills the computed fields. */
void rs_schedule_init(struct rs_schedule *schedule);
/* The batch seq (< end). */
struct rs_scheduled_batch rs_schedule_at(const struct rs_schedule *schedule, uint64_t seq);
/* Train batches of epoch (fewer than train_batches in the last one under max_steps). */
uint64_t rs_schedule_epoch_steps(const struct rs_schedule *schedule, uint32_t epoch);
/* Number of the batch that is `index` batches into epoch (train first, then validation). */
uint64_t rs_schedule_seq(const struct rs_schedule *schedule, uint32_t epoch, uint64_t index);
/* The data set's index of sample i of a batch. */
uint64_t rs_schedule_sample(const struct rs_schedule *schedule, const struct rs_scheduled_batch *batch,
                            uint32_t i);

#endif
