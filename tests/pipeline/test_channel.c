/* test_channel.c: gate and channel: waiting ends with a push or with the run, listeners hear, time is
 * counted. */
#include "channel.h"
#include "clock.h"
#include "gate.h"
#include "support.h"
#include <pthread.h>
#include <time.h>

struct fixture {
    struct rs_run *run;
    struct rs_channel *channel;
    struct rs_gate *gate;
    /* what the other thread finds */
    int code;
    uint32_t value;
    uint64_t waited_ns;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    *state = f;
    return !f || rs_run_create(&f->run, NULL) < 0 || rs_gate_create(&f->gate, f->run, NULL) < 0 ||
           rs_channel_create(&f->channel, f->run, RS_RING_MPMC, 4, 0, NULL) < 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    rs_channel_destroy(f->channel);
    rs_gate_destroy(f->gate);
    rs_run_destroy(f->run);
    free(f);
    return 0;
}

static void sleep_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
}

static void *pop_one(void *arg)
{
    struct fixture *f = arg;
    f->code = rs_channel_pop(f->channel, &f->value, &f->waited_ns);
    return NULL;
}

static void test_push_wakes(void **state)
{
    struct fixture *f = *state;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, pop_one, f), 0);
    sleep_ms(30); /* long enough to park; if not, the test is weaker, not wrong */
    rs_channel_push(f->channel, 77);
    pthread_join(thread, NULL);
    assert_int_equal(f->code, 0);
    assert_int_equal(f->value, 77);
    assert_true(f->waited_ns < UINT64_C(60000000000));
}

static void test_waited_time(void **state)
{
    struct fixture *f = *state;
    uint32_t value;
    uint64_t waited = 0;
    rs_channel_push(f->channel, 1);
    assert_int_equal(rs_channel_pop(f->channel, &value, &waited), 0);
    assert_int_equal(waited, 0);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, pop_one, f), 0);
    uint64_t began = rs_now_ns();
    sleep_ms(20);
    rs_channel_push(f->channel, 2);
    pthread_join(thread, NULL);
    assert_true(f->waited_ns <= rs_now_ns() - began + 20000000);
}

static void test_stop_wakes(void **state)
{
    struct fixture *f = *state;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, pop_one, f), 0);
    sleep_ms(20);
    rs_run_cancel(f->run);
    pthread_join(thread, NULL);
    assert_int_equal(f->code, RS_E_CANCELLED);
    /* and it stays so, though something is there */
    rs_channel_push(f->channel, 1);
    assert_int_equal(rs_channel_pop(f->channel, &f->value, NULL), RS_E_CANCELLED);
    assert_int_equal(rs_channel_try_pop(f->channel, &f->value), 0);
}

static void count_up(void *arg)
{
    ++*(int *)arg;
}

static void test_listener(void **state)
{
    struct fixture *f = *state;
    struct rs_channel *ordered;
    int heard = 0;
    uint32_t value;
    assert_int_equal(rs_channel_create(&ordered, f->run, RS_RING_ORDERED, 4, 10, NULL), 0);
    rs_channel_listen(f->channel, count_up, &heard);
    rs_channel_listen(ordered, count_up, &heard);
    rs_channel_push(f->channel, 5);
    rs_channel_push(f->channel, 6);
    assert_int_equal(heard, 2);
    rs_channel_publish(ordered, 11, 111);
    rs_channel_publish(ordered, 10, RS_TOKEN_END);
    assert_int_equal(heard, 4);
    assert_int_equal(rs_channel_length(f->channel), 2);
    assert_int_equal(rs_channel_try_pop(f->channel, &value), 0);
    assert_int_equal(value, 5);
    assert_int_equal(rs_channel_pop(ordered, &value, NULL), 0);
    assert_int_equal(value, RS_TOKEN_END);
    assert_int_equal(rs_channel_try_pop(ordered, &value), 0);
    assert_int_equal(value, 111);
    assert_int_equal(rs_channel_try_pop(ordered, &value), RS_AGAIN);
    rs_channel_destroy(ordered);
}

/* A key taken before a notify doesn't wait, however much later it is used. */
static void test_gate_key_is_old(void **state)
{
    struct fixture *f = *state;
    uint32_t key = rs_gate_prepare(f->gate);
    rs_gate_notify(f->gate);
    rs_gate_wait(f->gate, key);
    key = rs_gate_prepare(f->gate);
    rs_run_cancel(f->run);
    rs_gate_wait(f->gate, key);
    rs_gate_wait(f->gate, rs_gate_prepare(f->gate));
    assert_int_equal(rs_gate_parked(f->gate), 0);
}

static void push_too_many(void)
{
    struct rs_run *run;
    struct rs_channel *channel;
    if (rs_run_create(&run, NULL) < 0 || rs_channel_create(&channel, run, RS_RING_MPMC, 2, 0, NULL) < 0)
        return;
    for (uint32_t i = 0; i < 3; i++)
        rs_channel_push(channel, i);
}

static void test_overfull_is_a_mistake(void **state)
{
    (void)state;
    static const char *const words[] = {"channel.c", NULL};
    assert_true(aborts_saying(push_too_many, words));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_push_wakes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_waited_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_stop_wakes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_listener, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_gate_key_is_old, set_up, tear_down),
        cmocka_unit_test(test_overfull_is_a_mistake),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
