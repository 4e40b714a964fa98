/* test_worker_pool.c: one flow at a time: every sample once, order, figures, errors, scratch, the end. */
#include "flow.h"
#include "support.h"

static struct flow_options plain(void)
{
    return (struct flow_options){
        .slots = 3, .batches = 20, .samples = 13, .chunk_size = 4, .pools = 1, .stages = 1, .threads = 2};
}

static void check_whole(const struct flow_options *o)
{
    struct flow_result r;
    assert_int_equal(flow_run(o, &r), 0);
    assert_int_equal(r.code, 0);
    assert_false(r.stopped);
    assert_true(r.end_seen);
    assert_int_equal(r.wrong, 0);
    assert_int_equal(r.batches_taken, o->batches);
    assert_int_equal(r.scratches_left, 0);
    uint64_t samples = (uint64_t)o->batches * o->samples - o->batches / 2;
    for (uint32_t s = 0; s < o->stages; s++) {
        assert_int_equal(r.figures[s].batches, o->batches);
        assert_int_equal(r.figures[s].samples, samples);
        assert_int_equal(r.figures[s].threads, o->threads);
        assert_true(o->batches == 0 || r.figures[s].busy_ns > 0);
        assert_int_equal(r.figures[s].wait_slot_ns, 0);
    }
}

static void test_every_placement(void **state)
{
    (void)state;
    struct flow_options o = plain();
    for (o.stages = 1; o.stages <= 4; o.stages++)
        for (o.pools = 1; o.pools <= o.stages; o.pools++)
            for (o.threads = 1; o.threads <= 3; o.threads++)
                check_whole(&o);
}

static void test_borders(void **state)
{
    (void)state;
    struct flow_options o = plain();
    o.batches = 0; /* the end alone */
    check_whole(&o);
    o = plain();
    o.slots = 1;
    o.pools = o.stages = 2;
    check_whole(&o);
    o.chunk_size = 64; /* one chunk */
    check_whole(&o);
    o.chunk_size = 1;
    check_whole(&o);
    o.first_seq = (UINT64_C(1) << 32) - 7; /* the numbers' low halves wrap */
    check_whole(&o);
}

static void test_names_and_niceness(void **state)
{
    (void)state;
    static const int nicenesses[] = {0, 10, 19, 20};
    int own = getpriority(PRIO_PROCESS, 0);
    for (size_t i = 0; i < sizeof nicenesses / sizeof nicenesses[0]; i++) {
        struct flow_options o = plain();
        struct flow_result r;
        o.niceness = nicenesses[i];
        assert_int_equal(flow_run(&o, &r), 0);
        assert_int_equal(r.niceness, nicenesses[i] > own ? nicenesses[i] : own);
        assert_memory_equal(r.thread_name, "one.", 4);
        assert_in_range(atoi(r.thread_name + 4), 0, 1);
    }
}

static void test_error_names_its_stage(void **state)
{
    (void)state;
    struct flow_options o = plain();
    struct flow_result r;
    o.stages = 3;
    o.pools = 2;
    o.fail_code = RS_E_CORRUPT;
    o.fail_stage = 2;
    o.fail_at = 13 * 4 + 5;
    assert_int_equal(flow_run(&o, &r), 0);
    assert_int_equal(r.code, RS_E_CORRUPT);
    assert_string_equal(r.error.message, "three: sample 57 is bad");
    assert_false(r.end_seen);
    assert_true(r.batches_taken <= 4);
    assert_int_equal(r.wrong, 0);
    assert_int_equal(r.scratches_left, 0);
}

/* Whichever stage it is, alone in its pool or fused with others. */
static void test_error_names_any_stage(void **state)
{
    (void)state;
    static const char *const names[] = {"one", "two", "three", "four"};
    for (uint32_t pools = 1; pools <= 4; pools++) {
        for (uint32_t stage = 0; stage < 4; stage++) {
            struct flow_options o = plain();
            struct flow_result r;
            char wanted[64];
            o.stages = 4;
            o.pools = pools;
            o.fail_code = RS_E_LIMIT;
            o.fail_stage = stage;
            o.fail_at = 30;
            assert_int_equal(flow_run(&o, &r), 0);
            snprintf(wanted, sizeof wanted, "%s: sample 30 is bad", names[stage]);
            assert_int_equal(r.code, RS_E_LIMIT);
            assert_string_equal(r.error.message, wanted);
            o.fail_silently = true;
            assert_int_equal(flow_run(&o, &r), 0);
            snprintf(wanted, sizeof wanted, "%s: %s", names[stage], rs_error_text(RS_E_LIMIT));
            assert_int_equal(r.code, RS_E_LIMIT);
            assert_string_equal(r.error.message, wanted);
        }
    }
}

/* A positive value is no failure. */
static void test_flow_values_go_on(void **state)
{
    (void)state;
    struct flow_options o = plain();
    struct flow_result r;
    o.fail_code = RS_END;
    o.fail_silently = true;
    o.fail_at = 30;
    assert_int_equal(flow_run(&o, &r), 0);
    assert_true(r.end_seen && !r.stopped);
    assert_int_equal(r.batches_taken, o.batches);
}

/* The end comes last, however many pass it on and however little came before it. */
static void test_end_of_many_threads(void **state)
{
    (void)state;
    struct flow_options o = plain();
    for (o.threads = 1; o.threads <= 8; o.threads++) {
        for (o.pools = 1; o.pools <= 3; o.pools++) {
            o.stages = o.pools;
            for (o.batches = 0; o.batches <= 4; o.batches += 2)
                check_whole(&o);
        }
    }
}

static void test_scratch_fails(void **state)
{
    (void)state;
    struct flow_options o = plain();
    struct flow_result r;
    o.scratch_fails = true;
    assert_int_equal(flow_run(&o, &r), 0);
    assert_int_equal(r.code, RS_E_NOMEM);
    assert_string_equal(r.error.message, "one: no scratch");
    assert_int_equal(r.batches_taken, 0);
}

static void test_thread_limit(void **state)
{
    (void)state;
    struct rs_worker_pool *pool;
    struct rs_error err = {0};
    struct rs_stage stage = {0};
    struct rs_channel *channel = (struct rs_channel *)&stage; /* only its being there counts */
    struct rs_worker_pool_options options = {
        .stages = &stage, .stage_count = 1, .in = channel, .published = channel};
    assert_int_equal(rs_worker_pool_create(&pool, &options, &err), RS_E_USAGE);
    options.threads = 100000;
    assert_int_equal(rs_worker_pool_create(&pool, &options, &err), RS_E_USAGE);
    assert_non_null(strstr(err.message, "--workers"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_placement),       cmocka_unit_test(test_borders),
        cmocka_unit_test(test_names_and_niceness),    cmocka_unit_test(test_error_names_its_stage),
        cmocka_unit_test(test_error_names_any_stage), cmocka_unit_test(test_flow_values_go_on),
        cmocka_unit_test(test_end_of_many_threads),   cmocka_unit_test(test_scratch_fails),
        cmocka_unit_test(test_thread_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
