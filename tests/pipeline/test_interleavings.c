/* test_interleavings.c: eventcount and channel in every order of steps: no wake-up is lost, no value is lost,
 * a stop reaches everyone.
 *
 * A case names its threads; explore.h runs them in all orders with a bounded number of preemptions. Each case
 * also has to show that threads slept and were woken in it, so that it can't pass by never waiting.
 */
#include "channel.h"
#include "explore.h"
#include "gate.h"
#include "support.h"

#define VALUES_MAX 4u

struct state {
    struct rs_run *run;
    struct rs_gate *gate;
    struct rs_channel *channel;
    /* a gate's things; steps of their own */
    uint32_t things, taken, left;
    /* a channel's values, each seen once at most */
    uint32_t seen[VALUES_MAX + 1], popped, cancelled, heard, wrong;
    uint64_t last;
};

static void *begin_gate(void)
{
    struct state *s = calloc(1, sizeof *s);
    if (!s || rs_run_create(&s->run, NULL) < 0 || rs_gate_create(&s->gate, s->run, NULL) < 0)
        abort();
    return s;
}

static void end_state(struct state *s)
{
    rs_channel_destroy(s->channel);
    rs_gate_destroy(s->gate);
    rs_run_destroy(s->run);
    free(s);
}

static void take_thing(void *arg)
{
    struct state *s = arg;
    for (;;) {
        uint32_t key = rs_gate_prepare(s->gate);
        explore_point();
        if (s->things) {
            s->things--;
            s->taken++;
            return;
        }
        if (rs_run_stopped(s->run)) {
            s->left++;
            return;
        }
        rs_gate_wait(s->gate, key);
        s->wrong += rs_gate_prepare(s->gate) == key && !rs_run_stopped(s->run);
    }
}

/* Waits without looking: the stop is all that comes, before the key or after it. */
static void wait_for_stop(void *arg)
{
    struct state *s = arg;
    rs_gate_wait(s->gate, rs_gate_prepare(s->gate));
    s->left += rs_run_stopped(s->run);
}

static void do_thing(void *arg)
{
    struct state *s = arg;
    explore_point();
    s->things++;
    rs_gate_notify(s->gate);
}

static void do_two_things(void *arg)
{
    do_thing(arg);
    do_thing(arg);
}

static void do_three_things(void *arg)
{
    do_two_things(arg);
    do_thing(arg);
}

static void do_both_then_notify(void *arg)
{
    struct state *s = arg;
    explore_point();
    s->things += 2;
    rs_gate_notify(s->gate);
    rs_gate_notify(s->gate);
}

static void cancel(void *arg)
{
    struct state *s = arg;
    rs_run_cancel(s->run);
}

static void fail_run(void *arg)
{
    struct state *s = arg;
    struct rs_error cause;
    rs_error_set(&cause, RS_E_IO, "broken");
    rs_run_fail(s->run, "stage", &cause);
}

static bool all_taken(void *arg)
{
    struct state *s = arg;
    bool good = !s->wrong && s->taken && !s->things && !s->left && rs_gate_parked(s->gate) == 0;
    end_state(s);
    return good;
}

/* Of one thing and two takers. */
static bool taken_or_left(void *arg)
{
    struct state *s = arg;
    bool good = !s->wrong && s->taken + s->left == 2 && s->taken <= 1 && rs_gate_parked(s->gate) == 0;
    end_state(s);
    return good;
}

/* The error is there if the failure came first, and never if the cancel did; either way it stays so. */
static bool all_left(void *arg)
{
    struct state *s = arg;
    struct rs_error err = {0};
    int code = rs_run_error(s->run, &err);
    bool good = !s->wrong && s->left == 2 && rs_run_stopped(s->run) && (code == 0 || code == RS_E_IO) &&
                (code == 0 || strcmp(err.message, "stage: broken") == 0);
    rs_run_cancel(s->run);
    good = good && rs_run_error(s->run, NULL) == code;
    end_state(s);
    return good;
}

/* Runs the case with and without spinning, and with a signal. */
static void explore_well(struct explore_case c, bool sleeps)
{
    for (int way = 0; way < 3; way++) {
        struct explore_result r;
        c.one_core = way != 1;
        c.interruptions = way == 2;
        explore(&c, &r);
        if (r.failure)
            fail_msg("%s, with %s, in schedule %s", r.failure,
                     way == 0   ? "one core"
                     : way == 1 ? "two cores"
                                : "a signal",
                     r.schedule);
        print_message("%llu schedules, %llu sleeps, %llu refused, %llu woken\n",
                      (unsigned long long)r.schedules, (unsigned long long)r.parked,
                      (unsigned long long)r.refused, (unsigned long long)r.woken);
        assert_true(r.schedules > 20);
        if (sleeps)
            assert_true(r.parked > 0 && r.refused > 0 && r.woken > 0);
    }
}

#define GATE_CASE(bound, check, ...)                                                                         \
    explore_well(                                                                                            \
        (struct explore_case){                                                                               \
            .begin = begin_gate, .threads = {__VA_ARGS__}, .end = check, .preemptions = bound},              \
        true)

static void test_one_waiter(void **state)
{
    (void)state;
    GATE_CASE(6, all_taken, take_thing, do_thing);
}

static void test_one_notify_each(void **state)
{
    (void)state;
    GATE_CASE(2, all_taken, take_thing, take_thing, do_two_things);
    GATE_CASE(1, all_taken, take_thing, take_thing, do_both_then_notify);
    GATE_CASE(1, all_taken, take_thing, take_thing, take_thing, do_three_things);
}

static void test_two_notifiers(void **state)
{
    (void)state;
    GATE_CASE(1, all_taken, take_thing, take_thing, do_thing, do_thing);
}

static void test_stop_wakes_all(void **state)
{
    (void)state;
    GATE_CASE(2, all_left, take_thing, take_thing, cancel);
    GATE_CASE(1, all_left, take_thing, take_thing, cancel, fail_run);
    GATE_CASE(2, all_left, wait_for_stop, wait_for_stop, cancel);
}

static void test_stop_and_notify(void **state)
{
    (void)state;
    GATE_CASE(1, taken_or_left, take_thing, take_thing, do_thing, cancel);
}

static void hear(void *arg)
{
    ++*(uint32_t *)arg;
}

static struct state *begin_channel(enum rs_ring_kind kind, uint32_t capacity, uint64_t first)
{
    struct state *s = begin_gate();
    if (rs_channel_create(&s->channel, s->run, kind, capacity, first, NULL) < 0)
        abort();
    rs_channel_listen(s->channel, hear, &s->heard);
    return s;
}

static void *begin_mpmc(void)
{
    return begin_channel(RS_RING_MPMC, 4, UINT32_MAX - 1);
}

static void *begin_spsc(void)
{
    return begin_channel(RS_RING_SPSC, 2, UINT32_MAX);
}

static void *begin_ordered(void)
{
    return begin_channel(RS_RING_ORDERED, 4, UINT32_MAX);
}

/* As many values as cells. */
static void *begin_full(void)
{
    struct state *s = begin_channel(RS_RING_MPMC, 2, UINT32_MAX);
    rs_channel_push(s->channel, 1);
    rs_channel_push(s->channel, 2);
    return s;
}

static void pop(void *arg)
{
    struct state *s = arg;
    uint32_t value = 0;
    uint64_t waited = 0;
    int code = rs_channel_pop(s->channel, &value, &waited);
    if (code == RS_E_CANCELLED) {
        s->cancelled++;
        return;
    }
    s->wrong += code != 0 || value < 1 || value > VALUES_MAX || s->seen[value % (VALUES_MAX + 1)]++;
    s->popped++;
}

/* The one consumer: values in the order of their numbers. */
static void pop_two_in_order(void *arg)
{
    struct state *s = arg;
    for (uint32_t wanted = 1; wanted <= 2; wanted++) {
        pop(s);
        s->wrong += !s->seen[wanted];
    }
}

static void pop_and_push(void *arg)
{
    struct state *s = arg;
    uint32_t value = 0;
    s->wrong += rs_channel_pop(s->channel, &value, NULL) != 0 || value < 1 || value > 2;
    s->popped++;
    rs_channel_push(s->channel, value);
}

static void push_1(void *arg)
{
    rs_channel_push(((struct state *)arg)->channel, 1);
}

static void push_2(void *arg)
{
    rs_channel_push(((struct state *)arg)->channel, 2);
}

static void push_1_and_2(void *arg)
{
    push_1(arg);
    push_2(arg);
}

static void publish_1(void *arg)
{
    rs_channel_publish(((struct state *)arg)->channel, UINT32_MAX, 1);
}

static void publish_2(void *arg)
{
    rs_channel_publish(((struct state *)arg)->channel, (uint64_t)UINT32_MAX + 1, 2);
}

static void publish_2_and_1(void *arg)
{
    publish_2(arg);
    publish_1(arg);
}

/* Every value that was pushed was popped, or is still inside when a popper was cancelled. */
static bool nothing_lost(void *arg)
{
    struct state *s = arg;
    uint32_t value, inside = 0;
    while (rs_channel_try_pop(s->channel, &value) == 0)
        inside++;
    bool good = !s->wrong && s->heard == s->popped + inside && (!inside || s->cancelled) &&
                (!s->cancelled || rs_run_stopped(s->run));
    end_state(s);
    return good;
}

static bool both_went_round(void *arg)
{
    struct state *s = arg;
    uint32_t values = 0, value;
    while (rs_channel_try_pop(s->channel, &value) == 0)
        values |= 1u << value;
    bool good = !s->wrong && s->popped && values == 6;
    end_state(s);
    return good;
}

#define CHANNEL_CASE(first, bound, ...)                                                                      \
    explore_well(                                                                                            \
        (struct explore_case){                                                                               \
            .begin = first, .threads = {__VA_ARGS__}, .end = nothing_lost, .preemptions = bound},            \
        true)

static void test_spsc(void **state)
{
    (void)state;
    CHANNEL_CASE(begin_spsc, 3, pop_two_in_order, push_1_and_2);
}

static void test_mpmc(void **state)
{
    (void)state;
    CHANNEL_CASE(begin_mpmc, 4, pop, push_1);
    CHANNEL_CASE(begin_mpmc, 1, pop, pop, push_1_and_2);
}

/* A push that is preempted half-way hides the other's value, whose wake-up finds nothing. */
static void test_hidden_value(void **state)
{
    (void)state;
    CHANNEL_CASE(begin_mpmc, 1, pop, pop, push_1, push_2);
}

static void test_ordered(void **state)
{
    (void)state;
    CHANNEL_CASE(begin_ordered, 2, pop_two_in_order, publish_1, publish_2);
    CHANNEL_CASE(begin_ordered, 4, pop_two_in_order, publish_2_and_1);
}

static void test_channel_stop(void **state)
{
    (void)state;
    CHANNEL_CASE(begin_mpmc, 1, pop, pop, push_1, cancel);
    CHANNEL_CASE(begin_ordered, 2, pop, publish_1, fail_run);
}

/* A pop that is preempted half-way holds the cell that the next push wants. */
static void test_cell_in_use(void **state)
{
    (void)state;
    explore_well((struct explore_case){.begin = begin_full,
                                       .threads = {pop_and_push, pop_and_push, pop_and_push},
                                       .end = both_went_round,
                                       .preemptions = 2},
                 false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_waiter),
        cmocka_unit_test(test_one_notify_each),
        cmocka_unit_test(test_two_notifiers),
        cmocka_unit_test(test_stop_wakes_all),
        cmocka_unit_test(test_stop_and_notify),
        cmocka_unit_test(test_spsc),
        cmocka_unit_test(test_mpmc),
        cmocka_unit_test(test_hidden_value),
        cmocka_unit_test(test_ordered),
        cmocka_unit_test(test_channel_stop),
        cmocka_unit_test(test_cell_in_use),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
