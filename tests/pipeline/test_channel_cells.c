/* test_channel_cells.c: a channel whose ring is in the states that threads leave when they are preempted
 * half-way.
 *
 * The states are written into the ring's counters and cells (the linker hands over the ring as the channel
 * makes it), and the thread that was preempted goes on when the pusher sleeps or yields.
 */
#include "channel.h"
#include "support.h"
#include <sched.h>
#include <time.h>

int __real_rs_ring_create(struct rs_ring **out, enum rs_ring_kind kind, uint32_t capacity, uint64_t first,
                          struct rs_error *err);
int __wrap_rs_ring_create(struct rs_ring **out, enum rs_ring_kind kind, uint32_t capacity, uint64_t first,
                          struct rs_error *err);
int __wrap_nanosleep(const struct timespec *time, struct timespec *left);
int __wrap_sched_yield(void);

static struct rs_ring *ring;             /* of the channel made last */
static void (*at_sleep)(void);           /* once */
static unsigned yields, yields_until_go; /* 0: at_sleep comes with the first sleep */

int __wrap_rs_ring_create(struct rs_ring **out, enum rs_ring_kind kind, uint32_t capacity, uint64_t first,
                          struct rs_error *err)
{
    int code = __real_rs_ring_create(out, kind, capacity, first, err);
    ring = *out;
    return code;
}

static void go_on(void)
{
    void (*now)(void) = at_sleep;
    at_sleep = NULL;
    if (now)
        now();
}

int __wrap_nanosleep(const struct timespec *time, struct timespec *left)
{
    (void)left;
    assert_true(time->tv_sec == 0 && time->tv_nsec > 0 && time->tv_nsec < 10000000);
    go_on();
    return 0;
}

int __wrap_sched_yield(void)
{
    if (++yields == yields_until_go)
        go_on();
    return 0;
}

#define FIRST (UINT32_MAX - 1)

struct fixture {
    struct rs_run *run;
    struct rs_channel *channel;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    *state = f;
    yields = yields_until_go = 0;
    at_sleep = NULL;
    return !f || rs_run_create(&f->run, NULL) < 0 ||
           rs_channel_create(&f->channel, f->run, RS_RING_MPMC, 2, FIRST, NULL) < 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    rs_channel_destroy(f->channel);
    rs_run_destroy(f->run);
    free(f);
    return 0;
}

static void set_cell(uint32_t position, uint32_t stamp, uint32_t value)
{
    atomic_store(&ring->cells[position & ring->mask], rs__cell_make(stamp, value));
}

static void finish_the_pop(void)
{
    set_cell(FIRST, FIRST + 2, 0);
}

/* Two values, and a popper that has claimed the first and still holds its cell. */
static void hold_first_cell(struct fixture *f)
{
    rs_channel_push(f->channel, 10);
    rs_channel_push(f->channel, 11);
    atomic_store(&ring->head, FIRST + 1);
}

static void expect_values(struct fixture *f, uint32_t first, uint32_t count)
{
    uint32_t value = 0;
    assert_int_equal(rs_channel_length(f->channel), count);
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(rs_channel_pop(f->channel, &value, NULL), 0);
        assert_int_equal(value, first + i);
    }
    assert_int_equal(rs_channel_try_pop(f->channel, &value), RS_AGAIN);
}

static void test_push_yields_to_a_pop(void **state)
{
    struct fixture *f = *state;
    hold_first_cell(f);
    at_sleep = finish_the_pop;
    yields_until_go = 3;
    rs_channel_push(f->channel, 12);
    assert_int_equal(yields, 3);
    expect_values(f, 11, 2);
}

/* The popper may be of a priority that a yield does not serve. */
static void test_push_sleeps_for_a_pop(void **state)
{
    struct fixture *f = *state;
    hold_first_cell(f);
    at_sleep = finish_the_pop;
    rs_channel_push(f->channel, 12);
    assert_null(at_sleep);
    assert_true(yields > 0);
    expect_values(f, 11, 2);
}

static void finish_all(void)
{
    atomic_store(&ring->head, FIRST + 1);
    finish_the_pop();
}

/* The pusher reads tail, then head. In between others may push and pop so much that head is beyond that tail:
 * the ring is not full then, and nothing is wrong. */
static void test_counters_of_two_moments(void **state)
{
    struct fixture *f = *state;
    hold_first_cell(f);
    atomic_store(&ring->head, FIRST + 3); /* as the pusher sees it, with a tail of FIRST + 2 */
    at_sleep = finish_all;
    rs_channel_push(f->channel, 12);
    assert_null(at_sleep);
    expect_values(f, 11, 2);
}

/* A value behind a push that was preempted half-way is there, but not to be had yet. */
static void test_hidden_value(void **state)
{
    struct fixture *f = *state;
    uint32_t value = 77;
    atomic_store(&ring->tail, FIRST + 1); /* claimed, not stored */
    rs_channel_push(f->channel, 21);
    assert_int_equal(rs_channel_length(f->channel), 2);
    assert_int_equal(rs_channel_try_pop(f->channel, &value), RS_AGAIN);
    assert_int_equal(value, 77);
    set_cell(FIRST, FIRST + 1, 20);
    expect_values(f, 20, 2);
}

/* What is inside when the run stops is not popped any more, but can be drained. */
static void test_stopped(void **state)
{
    struct fixture *f = *state;
    uint32_t value = 77;
    uint64_t waited = 5;
    rs_channel_push(f->channel, 30);
    rs_run_cancel(f->run);
    assert_int_equal(rs_channel_pop(f->channel, &value, &waited), RS_E_CANCELLED);
    assert_int_equal(value, 77);
    assert_int_equal(waited, 5);
    assert_int_equal(rs_channel_try_pop(f->channel, &value), 0);
    assert_int_equal(value, 30);
    rs_channel_push(f->channel, 31); /* pushing goes on working */
    assert_int_equal(rs_channel_try_pop(f->channel, &value), 0);
    assert_int_equal(value, 31);
}

static void publish_twice(void)
{
    struct rs_run *run;
    struct rs_channel *channel;
    if (rs_run_create(&run, NULL) < 0 || rs_channel_create(&channel, run, RS_RING_ORDERED, 2, 0, NULL) < 0)
        return;
    rs_channel_publish(channel, 0, 1);
    rs_channel_publish(channel, 0, 2);
}

static void push_too_many_spsc(void)
{
    struct rs_run *run;
    struct rs_channel *channel;
    if (rs_run_create(&run, NULL) < 0 || rs_channel_create(&channel, run, RS_RING_SPSC, 2, 0, NULL) < 0)
        return;
    for (uint32_t i = 0; i < 3; i++)
        rs_channel_push(channel, i);
}

static void test_mistakes_abort(void **state)
{
    (void)state;
    static const char *const words[] = {"channel.c", NULL};
    assert_true(aborts_saying(publish_twice, words));
    assert_true(aborts_saying(push_too_many_spsc, words));
}

int main(void)
{
#define CELLS_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CELLS_TEST(test_push_yields_to_a_pop),
        CELLS_TEST(test_push_sleeps_for_a_pop),
        CELLS_TEST(test_counters_of_two_moments),
        CELLS_TEST(test_hidden_value),
        CELLS_TEST(test_stopped),
        cmocka_unit_test(test_mistakes_abort),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
