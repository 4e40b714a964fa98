/* The numbers of a run's batches: every sample once an epoch, seek in constant time, max_steps. */
#include "schedule.h"

#include "cmocka_all.h"

#include <stdlib.h>
#include <string.h>

static struct rs_schedule make(uint64_t train, uint64_t valid, uint32_t epochs, uint64_t max_steps)
{
    struct rs_schedule s = {.train_count = train,
                            .valid_count = valid,
                            .batch_size = 8,
                            .eval_batch_size = 12,
                            .epochs = epochs,
                            .max_steps = max_steps,
                            .shuffle = true,
                            .seed = 5};
    rs_schedule_init(&s);
    return s;
}

static void every_sample_once_an_epoch(void **state)
{
    (void)state;
    struct rs_schedule s = make(101, 37, 3, 0);
    int seen[2][101];
    uint32_t epoch = 0;
    memset(seen, 0, sizeof seen);
    assert_int_equal(s.end, 3 * (13 + 4));
    for (uint64_t seq = 0; seq < s.end; seq++) {
        struct rs_scheduled_batch b = rs_schedule_at(&s, seq);
        assert_int_equal(b.epoch, epoch);
        for (uint32_t i = 0; i < b.count; i++)
            seen[b.phase][rs_schedule_sample(&s, &b, i)]++;
        if (!b.last_of_epoch)
            continue;
        assert_int_equal(b.phase, RS_PHASE_VALID);
        for (int i = 0; i < 101; i++)
            assert_int_equal(seen[RS_PHASE_TRAIN][i], 1);
        for (int i = 0; i < 37; i++)
            assert_int_equal(seen[RS_PHASE_VALID][i], 1);
        memset(seen, 0, sizeof seen);
        epoch++;
    }
    assert_int_equal(epoch, 3);
}

/* A run's batches as a person would write them down, one after the other; every field of every batch of it.
 */
static void check_whole_run(const struct rs_schedule *s)
{
    uint64_t seq = 0, steps = 0;
    bool more = true;
    for (uint32_t epoch = 0; epoch < s->epochs && more; epoch++) {
        const uint64_t counts[2] = {s->train_count, s->valid_count};
        const uint32_t sizes[2] = {s->batch_size, s->eval_batch_size};
        uint64_t epoch_steps = 0;
        for (int phase = RS_PHASE_TRAIN; phase <= RS_PHASE_VALID; phase++) {
            uint64_t index = 0;
            for (uint64_t first = 0; first < counts[phase]; first += sizes[phase], index++) {
                if (phase == RS_PHASE_TRAIN && s->max_steps && steps == s->max_steps)
                    break;
                struct rs_scheduled_batch b = rs_schedule_at(s, seq);
                const uint64_t left = counts[phase] - first;
                const bool cut = phase == RS_PHASE_TRAIN && s->max_steps && steps + 1 == s->max_steps;
                const bool last = left <= sizes[phase] || cut;
                assert_int_equal(b.seq, seq);
                assert_int_equal(b.epoch, epoch);
                assert_int_equal(b.phase, phase);
                assert_int_equal(b.index, index);
                assert_int_equal(b.first, first);
                assert_int_equal(b.count, left < sizes[phase] ? left : sizes[phase]);
                assert_int_equal(b.last_of_phase, last);
                assert_int_equal(b.last_of_epoch, last && (phase == RS_PHASE_VALID || !s->valid_count));
                steps += phase == RS_PHASE_TRAIN;
                epoch_steps += phase == RS_PHASE_TRAIN;
                seq++;
            }
        }
        assert_int_equal(rs_schedule_epoch_steps(s, epoch), epoch_steps);
        more = !s->max_steps || steps < s->max_steps;
    }
    assert_int_equal(s->end, seq);
    assert_int_equal(s->steps, steps);
}

static void every_field_of_every_batch(void **state)
{
    (void)state;
    unsigned runs = 0;
    for (uint64_t train = 0; train <= 9; train++)
        for (uint64_t valid = train ? 0 : 1; valid <= 5; valid++)
            for (uint32_t size = 1; size <= 4; size++)
                for (uint64_t max_steps = 0; max_steps <= (train ? 11 : 0); max_steps++) {
                    struct rs_schedule s = {.train_count = train,
                                            .valid_count = valid,
                                            .batch_size = size,
                                            .eval_batch_size = 5 - size,
                                            .epochs = 3,
                                            .max_steps = max_steps};
                    rs_schedule_init(&s);
                    check_whole_run(&s);
                    runs++;
                }
    assert_int_equal(runs, 9 * 6 * 4 * 12 + 5 * 4);
}

/* Numbers beyond 32 bits: a run of a million epochs. */
static void long_runs(void **state)
{
    (void)state;
    struct rs_schedule s = make(1281167, 50000, 1000000, 0);
    assert_int_equal(s.train_batches, 160146);
    assert_int_equal(s.valid_batches, 4167);
    assert_int_equal(s.steps, UINT64_C(160146000000));
    assert_int_equal(s.end, UINT64_C(164313000000));
    struct rs_scheduled_batch b = rs_schedule_at(&s, s.end - 1);
    assert_int_equal(b.epoch, 999999);
    assert_int_equal(b.count, 50000 - 4166 * 12);
    assert_true(b.last_of_epoch);
    assert_int_equal(rs_schedule_epoch_steps(&s, 999999), 160146);
    assert_int_equal(rs_schedule_epoch_steps(&s, 1000000), 0);
    assert_int_equal(rs_schedule_seq(&s, 999999, 0), UINT64_C(164312835687));
    b = rs_schedule_at(&s, UINT64_C(164312835687));
    assert_int_equal(b.phase, RS_PHASE_TRAIN);
    assert_int_equal(b.index, 0);
}

/* Validation is in index order, shuffled or not. */
static void validation_is_never_shuffled(void **state)
{
    (void)state;
    struct rs_schedule s = make(16, 40, 2, 0);
    for (uint64_t seq = 0; seq < s.end; seq++) {
        struct rs_scheduled_batch b = rs_schedule_at(&s, seq);
        for (uint32_t i = 0; i < b.count && b.phase == RS_PHASE_VALID; i++)
            assert_int_equal(rs_schedule_sample(&s, &b, i), b.index * 12 + i);
    }
}

static void orders_differ_between_epochs_and_seeds(void **state)
{
    (void)state;
    struct rs_schedule s = make(1000, 0, 2, 0), other = s;
    other.seed = 6;
    struct rs_scheduled_batch a = rs_schedule_at(&s, 0), b = rs_schedule_at(&s, s.train_batches);
    int same_epoch = 0, same_seed = 0;
    for (uint32_t i = 0; i < 8; i++) {
        same_epoch += rs_schedule_sample(&s, &a, i) == rs_schedule_sample(&s, &b, i);
        same_seed += rs_schedule_sample(&s, &a, i) == rs_schedule_sample(&other, &a, i);
    }
    assert_true(same_epoch < 4);
    assert_true(same_seed < 4);
    s.shuffle = false;
    for (uint32_t i = 0; i < 8; i++)
        assert_int_equal(rs_schedule_sample(&s, &b, i), i);
    b = rs_schedule_at(&s, s.train_batches + 3);
    assert_int_equal(rs_schedule_sample(&s, &b, 2), 3 * 8 + 2);
}

static void max_steps_cuts_the_last_epoch_and_validates_it(void **state)
{
    (void)state;
    struct rs_schedule s = make(80, 24, 20, 25); /* 10 train batches an epoch: two epochs and a half */
    assert_int_equal(s.steps, 25);
    assert_int_equal(s.end, 2 * 12 + 5 + 2);
    assert_int_equal(rs_schedule_epoch_steps(&s, 2), 5);
    assert_int_equal(rs_schedule_epoch_steps(&s, 3), 0);
    struct rs_scheduled_batch b = rs_schedule_at(&s, 24 + 4);
    assert_int_equal(b.phase, RS_PHASE_TRAIN);
    assert_true(b.last_of_phase);
    assert_false(b.last_of_epoch);
    b = rs_schedule_at(&s, 24 + 5);
    assert_int_equal(b.phase, RS_PHASE_VALID);
    assert_int_equal(b.index, 0);
    assert_true(rs_schedule_at(&s, s.end - 1).last_of_epoch);
    s = make(80, 24, 20, 20); /* a whole number of epochs */
    assert_int_equal(s.end, 24);
}

static void a_seek_finds_the_same_batch(void **state)
{
    (void)state;
    struct rs_schedule s = make(77, 5, 4, 0);
    for (uint64_t seq = 0; seq < s.end; seq++) {
        struct rs_scheduled_batch b = rs_schedule_at(&s, seq);
        uint64_t in_epoch = b.phase == RS_PHASE_TRAIN ? b.index : s.train_batches + b.index;
        assert_int_equal(rs_schedule_seq(&s, b.epoch, in_epoch), seq);
    }
}

static void a_phase_may_be_missing(void **state)
{
    (void)state;
    struct rs_schedule s = make(20, 0, 2, 0);
    assert_int_equal(s.end, 6);
    assert_true(rs_schedule_at(&s, 2).last_of_epoch);
    assert_int_equal(rs_schedule_at(&s, 2).count, 4);
    s = make(0, 30, 1, 0);
    assert_int_equal(s.end, 3);
    assert_int_equal(rs_schedule_at(&s, 2).phase, RS_PHASE_VALID);
    assert_int_equal(rs_schedule_at(&s, 2).count, 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_sample_once_an_epoch),
        cmocka_unit_test(every_field_of_every_batch),
        cmocka_unit_test(long_runs),
        cmocka_unit_test(validation_is_never_shuffled),
        cmocka_unit_test(orders_differ_between_epochs_and_seeds),
        cmocka_unit_test(max_steps_cuts_the_last_epoch_and_validates_it),
        cmocka_unit_test(a_seek_finds_the_same_batch),
        cmocka_unit_test(a_phase_may_be_missing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
