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
        cmocka_unit_test(orders_differ_between_epochs_and_seeds),
        cmocka_unit_test(max_steps_cuts_the_last_epoch_and_validates_it),
        cmocka_unit_test(a_seek_finds_the_same_batch),
        cmocka_unit_test(a_phase_may_be_missing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
