/* Where the planner puts the stages. */
#include "planner.h"

#include "cmocka_all.h"

#include <sched.h>

static void auto_fuses_on_every_worker(void **state)
{
    (void)state;
    struct rs_placement p = rs_planner_place(RS_FUSE_AUTO, RS_IMAGE_STAGES, 0, 8, 64, false);
    assert_int_equal(p.pools, 1);
    assert_int_equal(p.stages[0], RS_IMAGE_STAGES);
    assert_int_equal(p.workers, 7);
    assert_int_equal(p.threads[0], 7);
    assert_int_equal(p.niceness, 0);
    assert_int_equal(p.image_stages, RS_IMAGE_STAGES);
    assert_int_equal(p.first[0], 0);
}

/* As many as asked for, else the cores, less one where the step has a device of its own; never none. */
static void how_many_workers(void **state)
{
    (void)state;
    static const uint32_t cases[][4] = {/* asked for, cores, on the CPU, workers */
                                        {0, 1, 0, 1}, {0, 2, 0, 1}, {0, 3, 0, 2}, {0, 1, 1, 1}, {0, 3, 1, 3},
                                        {1, 8, 0, 1}, {1, 8, 1, 1}, {8, 8, 0, 8}, {9, 2, 1, 9}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rs_placement p =
            rs_planner_place(RS_FUSE_AUTO, RS_IMAGE_STAGES, cases[i][0], cases[i][1], 64, cases[i][2] != 0);
        assert_int_equal(p.workers, cases[i][3]);
        assert_int_equal(p.threads[0], cases[i][3]);
    }
}

/* Where the device does the rest, the first stages alone are placed. */
static void fewer_stages(void **state)
{
    (void)state;
    for (uint32_t stages = 1; stages < RS_IMAGE_STAGES; stages++) {
        struct rs_placement p = rs_planner_place(RS_FUSE_AUTO, stages, 4, 8, 64, false);
        assert_int_equal(p.image_stages, stages);
        assert_int_equal(p.pools, 1);
        assert_int_equal(p.stages[0], stages);
        p = rs_planner_place(RS_FUSE_NONE, stages, 5, 8, 64, false);
        assert_int_equal(p.image_stages, stages);
        assert_int_equal(p.pools, stages);
        assert_int_equal(p.threads[0], stages == 1 ? 5 : 3);
    }
}

static void cores_are_those_of_the_process(void **state)
{
    (void)state;
    cpu_set_t before, one;
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    assert_int_equal(rs_planner_cores(), CPU_COUNT(&before));
    CPU_ZERO(&one);
    for (size_t cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; cpu++)
        if (CPU_ISSET(cpu, &before))
            CPU_SET(cpu, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    const uint32_t cores = rs_planner_cores();
    assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
    assert_int_equal(cores, 1);
}

static void workers_yield_to_a_step_on_the_same_cores(void **state)
{
    (void)state;
    struct rs_placement p = rs_planner_place(RS_FUSE_AUTO, RS_IMAGE_STAGES, 0, 2, 64, true);
    assert_int_equal(p.workers, 2);
    assert_int_equal(p.niceness, 19);
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
        assert_int_equal(p.workers, workers);
        assert_int_equal(p.threads[0],
                         workers < 3 ? 1 : (workers + 2) / 3); /* decode gets what is left over */
        assert_int_equal(p.threads[2], workers < 3 ? 1 : workers / 3);
    }
}

static void chunks_share_a_batch(void **state)
{
    (void)state;
    assert_int_equal(rs_planner_place(RS_FUSE_AUTO, RS_IMAGE_STAGES, 2, 2, 64, true).chunk_size, 8);
    assert_int_equal(rs_planner_place(RS_FUSE_AUTO, RS_IMAGE_STAGES, 16, 16, 64, true).chunk_size, 1);
    assert_int_equal(rs_planner_place(RS_FUSE_AUTO, RS_IMAGE_STAGES, 4, 4, 3, true).chunk_size, 1);
    static const uint32_t cases[][3] = {/* workers, batch, chunk */ {1, 4, 1},
                                        {1, 7, 1},
                                        {1, 8, 2},
                                        {1, 31, 7},
                                        {1, 32, 8},
                                        {1, 36, 8},
                                        {1, 64, 8},
                                        {2, 4096, 8},
                                        {3, 64, 5},
                                        {64, 4096, 8}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(
            rs_planner_place(RS_FUSE_NONE, RS_IMAGE_STAGES, cases[i][0], 64, cases[i][1], false).chunk_size,
            cases[i][2]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(auto_fuses_on_every_worker),
        cmocka_unit_test(how_many_workers),
        cmocka_unit_test(fewer_stages),
        cmocka_unit_test(cores_are_those_of_the_process),
        cmocka_unit_test(workers_yield_to_a_step_on_the_same_cores),
        cmocka_unit_test(none_gives_each_stage_a_pool),
        cmocka_unit_test(chunks_share_a_batch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
