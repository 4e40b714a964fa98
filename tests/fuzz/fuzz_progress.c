/* fuzz_progress.c: a run's progress as JSON. The bytes are taken as text, and, where they are enough, as the
 * numbers of a progress to print. */
#include "fuzz.h"

#include "progress.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define COUNT_MAX (((uint64_t)1 << 53) - 1)

static bool same_totals(const struct rs_totals *a, const struct rs_totals *b)
{
    return a->loss_sum == b->loss_sum && a->correct == b->correct && a->samples == b->samples &&
           a->batch_loss_sum == b->batch_loss_sum && a->batch_accuracy_sum == b->batch_accuracy_sum &&
           a->batches == b->batches;
}

/* What a checkpoint carries: at an epoch's end that is all of it but the validation's, which a run does
 * again. */
static bool same(const struct rs_progress *a, const struct rs_progress *b)
{
    return a->epoch == b->epoch && a->epoch_steps == b->epoch_steps && a->steps == b->steps &&
           a->train_count == b->train_count && a->valid_count == b->valid_count &&
           a->validated == b->validated && same_totals(&a->train, &b->train) &&
           a->train_seconds == b->train_seconds && a->train_wait_seconds == b->train_wait_seconds &&
           a->best_accuracy == b->best_accuracy;
}

/* parse(print(x)) == x */
static void check_round_trip(const struct rs_progress *progress)
{
    struct rs_progress again;
    char *text = rs_progress_print(progress);
    FUZZ_CHECK(text);
    FUZZ_CHECK(rs_progress_parse(text, FUZZ_PATH, &again, NULL) == 0);
    FUZZ_CHECK(same(progress, &again));
    free(text);
}

struct reader {
    const uint8_t *at;
};

static uint64_t take_count(struct reader *from, uint64_t limit)
{
    uint64_t value;
    memcpy(&value, from->at, sizeof value);
    from->at += sizeof value;
    return value % (limit + 1);
}

static double take_double(struct reader *from)
{
    double value;
    memcpy(&value, from->at, sizeof value);
    from->at += sizeof value;
    return isfinite(value) ? value : 0;
}

#define NUMBERS 15

static struct rs_progress take_progress(const uint8_t *data)
{
    struct reader from = {data};
    struct rs_progress p = {.epoch = (uint32_t)take_count(&from, UINT32_MAX),
                            .epoch_steps = take_count(&from, COUNT_MAX)};
    p.steps = take_count(&from, COUNT_MAX);
    p.train_count = take_count(&from, COUNT_MAX);
    p.valid_count = take_count(&from, COUNT_MAX);
    p.validated = take_count(&from, 1) != 0;
    p.train.loss_sum = take_double(&from);
    p.train.correct = take_count(&from, COUNT_MAX);
    p.train.samples = take_count(&from, COUNT_MAX);
    p.train.batch_loss_sum = take_double(&from);
    p.train.batch_accuracy_sum = take_double(&from);
    p.train.batches = take_count(&from, COUNT_MAX);
    p.train_seconds = take_double(&from);
    p.train_wait_seconds = take_double(&from);
    p.best_accuracy = take_double(&from);
    return p;
}

int fuzz_run(const uint8_t *data, size_t size)
{
    struct rs_progress progress;
    struct rs_error err = {0};
    char *text = fuzz_string(data, size);
    int code = rs_progress_parse(text, FUZZ_PATH, &progress, &err);
    free(text);
    if (code == 0)
        check_round_trip(&progress);
    if (size >= NUMBERS * sizeof(uint64_t)) {
        progress = take_progress(data);
        check_round_trip(&progress);
    }
    return code == 0 ? 0 : FUZZ_REFUSED(code, &err, FUZZ_PATH, RS_E_CORRUPT);
}
