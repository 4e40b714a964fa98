/* Where the planner puts the stages. */
#include "planner.h"

#include "cmocka_all.h"

static void auto_fuses_on_every_worker(void **state)
{
    (void)state;
    struct rs_placement p = rs_planner_place(RS_FUSE_AUTO, RS_IMAGE_STAGES, 0, 8, 64, false);
    assert_int_equal(p.pools, 1);
    assert_int_equal(p.stages[0], RS_IMAGE_STAGES);
    assert_int_equal(p.workers, 7);
    assert_int_equal(p.threads[0], 7);
    assert_int_equal(p.niceness, 0);
}

static void workers_yield_to_a_step_on_the_same_cores(void **state)
{
    (void)state;
    struct rs_placement p = rs_planner_place(RS_FUSE_AUTO, RS_IMAGE_STAGES, 0, 2, 64, true);
    assert_int_equal(p.workers, 2);
    assert_true(p.niceness >= 19);
}

static void none_gives_each_stage_a_pool(void **state)
{
    (void)state;
    for (uint32_t workers = 1; workers <= 9; workers++) {
        struct rs_placement p = rs_planner_place(RS_FUSE_NONE, RS_IMAGE_STAGES, workers, 16, 64, false);
        uint32_t threads = 0;
        assert_int_equal(p.pools, RS_IMAGE_STAGES);
        for (uint32_t i = 0; i < p.pools; i++) {
            assert_int_equal(p.first[i], i);
            assert_int_equal(p.stages[i], 1);
            assert_true(p.threads[i] >= 1);
            threads += p.threads[i];
        }
        assert_int_equal(threads, workers < RS_IMAGE_STAGES ? RS_IMAGE_STAGES : workers);
    }
}

static void chunks_share_a_batch(void **state)
{
    (void)state;
    assert_int_equal(rs_planner_place(RS_FUSE_AUTO, RS_IMAGE_STAGES, 2, 2, 64, true).chunk_size, 8);
    assert_int_equal(rs_planner_place(RS_FUSE_AUTO, RS_IMAGE_STAGES, 16, 16, 64, true).chunk_size, 1);
    assert_int_equal(rs_planner_place(RS_FUSE_AUTO, RS_IMAGE_STAGES, 4, 4, 3, true).chunk_size, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(auto_fuses_on_every_worker),
        cmocka_unit_test(workers_yield_to_a_step_on_the_same_cores),
        cmocka_unit_test(none_gives_each_stage_a_pool),
        cmocka_unit_test(chunks_share_a_batch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
