/* schedule.c: which samples are in batch number n; arithmetic, no state. */
#include "schedule.h"

#include "random.h"

static uint64_t batches_of(uint64_t samples, uint32_t size)
{
    return (samples + size - 1) / size;
}

void rs_schedule_init(struct rs_schedule *s)
{
    s->train_batches = batches_of(s->train_count, s->batch_size);
    s->valid_batches = batches_of(s->valid_count, s->eval_batch_size);
    s->steps = s->train_batches * s->epochs;
    if (s->max_steps && s->max_steps < s->steps)
        s->steps = s->max_steps;
    if (!s->train_batches) {
        s->end = s->valid_batches * s->epochs;
        return;
    }
    uint64_t whole = s->steps / s->train_batches, rest = s->steps % s->train_batches;
    s->end = whole * (s->train_batches + s->valid_batches);
    if (rest)
        s->end += rest + s->valid_batches;
}

uint64_t rs_schedule_epoch_steps(const struct rs_schedule *s, uint32_t epoch)
{
    uint64_t before = (uint64_t)epoch * s->train_batches;
    if (before >= s->steps)
        return 0;
    uint64_t left = s->steps - before;
    return left < s->train_batches ? left : s->train_batches;
}

uint64_t rs_schedule_seq(const struct rs_schedule *s, uint32_t epoch, uint64_t index)
{
    return (uint64_t)epoch * (s->train_batches + s->valid_batches) + index;
}

struct rs_scheduled_batch rs_schedule_at(const struct rs_schedule *s, uint64_t seq)
{
    uint64_t length = s->train_batches + s->valid_batches;
    struct rs_scheduled_batch b = {.seq = seq, .epoch = (uint32_t)(seq / length)};
    uint64_t in_epoch = seq % length, steps = rs_schedule_epoch_steps(s, b.epoch);
    uint64_t count = s->train_count, batches = steps;
    uint32_t size = s->batch_size;
    if (in_epoch < steps) {
        b.phase = RS_PHASE_TRAIN;
        b.index = in_epoch;
    } else {
        b.phase = RS_PHASE_VALID;
        b.index = in_epoch - steps;
        count = s->valid_count;
        batches = s->valid_batches;
        size = s->eval_batch_size;
    }
    b.first = b.index * size;
    b.count = count - b.first < size ? (uint32_t)(count - b.first) : size;
    b.last_of_phase = b.index + 1 == batches;
    b.last_of_epoch = b.last_of_phase && (b.phase == RS_PHASE_VALID || !s->valid_batches);
    return b;
}

uint64_t rs_schedule_sample(const struct rs_schedule *s, const struct rs_scheduled_batch *b, uint32_t i)
{
    uint64_t position = b->first + i;
    if (b->phase == RS_PHASE_TRAIN && s->shuffle)
        return rs_permute(s->seed, b->epoch, s->train_count, position);
    return position;
}
