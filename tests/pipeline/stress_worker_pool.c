/* stress_worker_pool.c: many flows with drawn shapes: whole ones, ones with an error, ones that are
 * cancelled. Each must end (CTest's time limit is the judge), whatever the point at which it is hit. */
#include "clock.h"
#include "flow.h"
#include "random.h"
#include "support.h"

#define BUDGET_NS UINT64_C(4000000000)
#define FLOWS_MAX 400

static uint32_t draw(struct rs_random *random, uint32_t low, uint32_t high)
{
    return low + rs_random_u32(random) % (high - low + 1);
}

static struct flow_options draw_shape(struct rs_random *random)
{
    struct flow_options o = {.slots = draw(random, 1, 6),
                             .batches = draw(random, 0, 60),
                             .samples = draw(random, 2, 40),
                             .chunk_size = draw(random, 1, 12),
                             .stages = draw(random, 1, 4),
                             .threads = draw(random, 1, 4),
                             .first_seq = draw(random, 0, 1) ? UINT32_MAX - draw(random, 0, 50) : 0};
    o.pools = draw(random, 1, o.stages);
    return o;
}

static void flows(int fail_code)
{
    uint64_t until = rs_now_ns() + BUDGET_NS;
    for (int n = 0; n < FLOWS_MAX && rs_now_ns() < until; n++) {
        struct rs_random random;
        rs_random_init(&random, 2026, (uint32_t)-fail_code, (uint64_t)n);
        struct flow_options o = draw_shape(&random);
        struct flow_result r;
        o.fail_code = fail_code;
        o.fail_stage = draw(&random, 0, o.stages - 1);
        /* sometimes beyond the last sample or at one that a shorter batch lacks: then it must be whole */
        o.fail_at = draw(&random, 0, o.batches * o.samples + 5);
        uint64_t in_batch = o.fail_at % o.samples, batch = o.fail_at / o.samples;
        bool hit = fail_code && batch < o.batches && in_batch < o.samples - batch % 2;
        assert_int_equal(flow_run(&o, &r), 0);
        assert_int_equal(r.wrong, 0);
        assert_int_equal(r.scratches_left, 0);
        assert_int_equal(r.stopped, hit);
        assert_int_equal(r.code, hit && fail_code != RS_E_CANCELLED ? fail_code : 0);
        if (!hit) {
            assert_true(r.end_seen);
            assert_int_equal(r.batches_taken, o.batches);
        } else {
            assert_true(r.batches_taken <= batch + (fail_code == RS_E_CANCELLED));
        }
    }
}

static void test_whole(void **state)
{
    (void)state;
    flows(0);
}

static void test_error_anywhere(void **state)
{
    (void)state;
    flows(RS_E_CORRUPT);
}

static void test_cancel_anywhere(void **state)
{
    (void)state;
    flows(RS_E_CANCELLED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),
        cmocka_unit_test(test_error_anywhere),
        cmocka_unit_test(test_cancel_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
