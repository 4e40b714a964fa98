/* stress_cancel.c: runs that are stopped at drawn points, most of them in the middle of a chunk.
 *
 * A stage fails or cancels at a sample, many samples fail at once, or a thread from outside stops the run
 * wherever the workers are. Each time all threads leave (CTest's time limit is the judge), a worker ends at
 * most the sample that it had begun, every slot is somewhere, and the first error is the one that stays.
 */
#include "flow.h"
#include "random.h"
#include "support.h"

#define POINTS_ALL 10000u
#define POINTS_SANITIZED 1500u

enum kind {
    SAMPLE_FAILS,
    SAMPLE_CANCELS,
    MANY_FAIL,
    OUTSIDE_CANCELS,
    OUTSIDE_FAILS,
    BOTH_FAIL,
    MANY_FAIL_OUTSIDE_CANCELS,
    KINDS
};

static uint32_t points(void)
{
    const char *sweep = getenv("RS_SWEEP");
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
    if (!sweep || strcmp(sweep, "full") != 0)
        return POINTS_SANITIZED;
#else
    (void)sweep;
#endif
    return POINTS_ALL;
}

static uint32_t draw(struct rs_random *random, uint32_t low, uint32_t high)
{
    return low + rs_random_u32(random) % (high - low + 1);
}

static struct flow_options draw_flow(struct rs_random *random, enum kind kind)
{
    struct flow_options o = {.slots = draw(random, 1, 4),
                             .batches = draw(random, 1, 6),
                             .samples = draw(random, 2, 14),
                             .chunk_size = draw(random, 1, 7),
                             .stages = draw(random, 1, 4),
                             .threads = draw(random, 1, 3),
                             .first_seq = draw(random, 0, 1) ? UINT32_MAX - draw(random, 0, 4) : 0};
    o.yields = draw(random, 0, 1);
    o.pools = draw(random, 1, o.stages < 3 ? o.stages : 3);
    if (kind != OUTSIDE_CANCELS && kind != OUTSIDE_FAILS) {
        o.fail_code = kind == SAMPLE_CANCELS ? RS_E_CANCELLED : RS_E_CORRUPT;
        o.fail_from_there = kind != SAMPLE_FAILS && kind != SAMPLE_CANCELS;
        o.fail_stage = draw(random, 0, o.stages - 1);
        o.fail_at = draw(random, 0, o.batches * o.samples - 1);
    }
    if (kind >= OUTSIDE_CANCELS) {
        o.outside_at = draw(random, 1, o.batches * (o.samples - 1) * o.stages);
        o.outside_fails = kind == OUTSIDE_FAILS || kind == BOTH_FAIL;
    }
    return o;
}

/* One of those that can have happened. */
static void check_error(const struct flow_options *o, enum kind kind, const struct flow_result *r)
{
    static const char *const stages[] = {"one", "two", "three", "four"};
    unsigned long long number = 0;
    char stage[8] = "";
    if (kind == SAMPLE_CANCELS || kind == OUTSIDE_CANCELS || !r->stopped) {
        assert_int_equal(r->code, 0);
        return;
    }
    if (kind == MANY_FAIL_OUTSIDE_CANCELS && r->code == 0) /* the cancel was first */
        return;
    if (o->outside_fails && r->code == RS_E_IO) {
        assert_string_equal(r->error.message, "outside: stopped from outside");
        return;
    }
    assert_int_equal(r->code, RS_E_CORRUPT);
    assert_int_equal(sscanf(r->error.message, "%7[a-z]: sample %llu is bad", stage, &number), 2);
    assert_string_equal(stage, stages[o->fail_stage]);
    assert_true(number == o->fail_at || (o->fail_from_there && number > o->fail_at));
}

static void check_stop(const struct flow_options *o, enum kind kind, const struct flow_result *r)
{
    assert_int_equal(r->wrong, 0);
    assert_int_equal(r->scratches_left, 0);
    assert_int_equal(r->slots_lost, 0);
    assert_int_equal(r->slots_twice, 0);
    assert_true(r->late_most <= 1);
    assert_true(r->late <= o->threads * o->pools);
    assert_true(r->stopped || r->end_seen);
    assert_true(r->batches_taken <= o->batches);
    check_error(o, kind, r);
    if (!r->end_seen) { /* the taker left because of the stop: what came later was dropped */
        assert_int_equal(r->first_error.code, r->code);
        assert_string_equal(r->first_error.message, r->error.message);
    }
    if (kind == SAMPLE_FAILS && r->stopped) /* the batch of a bad sample never comes out */
        assert_true(r->batches_taken <= o->fail_at / o->samples);
}

static void test_every_kind(void **state)
{
    (void)state;
    uint32_t stopped[KINDS] = {0}, late = 0, count = points();
    for (uint32_t i = 0; i < count; i++) {
        struct rs_random random;
        rs_random_init(&random, 10000, 0, i);
        enum kind kind = (enum kind)(i % KINDS);
        struct flow_options o = draw_flow(&random, kind);
        struct flow_result r;
        assert_int_equal(flow_run(&o, &r), 0);
        check_stop(&o, kind, &r);
        stopped[kind] += r.stopped;
        late += r.late;
    }
    /* most of them hit; some samples were in work when it happened */
    for (uint32_t kind = 0; kind < KINDS; kind++)
        assert_true(stopped[kind] > count / KINDS / 2);
    assert_true(late > 0);
    print_message("%u runs, %u samples ended after a stop\n", count, late);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_kind)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
