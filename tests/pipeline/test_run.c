/* test_run.c: the first error wins, and everyone is woken once. */
#include "run.h"
#include "support.h"
#include <pthread.h>
#include <stdatomic.h>

static void count_wake(void *arg)
{
    atomic_fetch_add((atomic_int *)arg, 1);
}

static void test_first_error_wins(void **state)
{
    (void)state;
    struct rs_run *run;
    struct rs_error err = {0}, cause;
    atomic_int wakes = 0;
    assert_int_equal(rs_run_create(&run, &err), 0);
    rs_run_add_waker(run, count_wake, &wakes);
    rs_run_add_waker(run, count_wake, &wakes);
    assert_false(rs_run_stopped(run));
    assert_int_equal(rs_run_error(run, &err), 0);
    rs_error_set(&cause, RS_E_CORRUPT, "a.png: bad");
    assert_int_equal(rs_run_fail(run, "decode", &cause), RS_E_CORRUPT);
    rs_error_set(&cause, RS_E_IO, "an echo");
    assert_int_equal(rs_run_fail(run, "read", &cause), RS_E_IO);
    rs_run_cancel(run);
    assert_true(rs_run_stopped(run));
    assert_int_equal(rs_run_error(run, &err), RS_E_CORRUPT);
    assert_int_equal(err.code, RS_E_CORRUPT);
    assert_string_equal(err.message, "decode: a.png: bad");
    assert_int_equal(rs_run_error(run, NULL), RS_E_CORRUPT);
    assert_int_equal(wakes, 2);
    rs_run_destroy(run);
}

static void test_cancel_is_no_error(void **state)
{
    (void)state;
    struct rs_run *run;
    struct rs_error err = {0}, cause;
    atomic_int kept = 0, removed = 0;
    assert_int_equal(rs_run_create(&run, &err), 0);
    rs_run_add_waker(run, count_wake, &removed);
    rs_run_add_waker(run, count_wake, &kept);
    rs_run_remove_waker(run, count_wake, &removed);
    rs_run_cancel(run);
    rs_error_set(&cause, RS_E_IO, "too late");
    rs_run_fail(run, "read", &cause);
    assert_int_equal(rs_run_error(run, &err), 0);
    assert_int_equal(kept, 1);
    assert_int_equal(removed, 0);
    rs_run_destroy(run);
    rs_run_destroy(NULL);
}

struct failer {
    struct rs_run *run;
    int number;
};

static void *fail_once(void *arg)
{
    struct failer *failer = arg;
    struct rs_error cause;
    rs_error_set(&cause, RS_E_IO, "failure %d", failer->number);
    rs_run_fail(failer->run, "stage", &cause);
    return NULL;
}

/* Of several at once one wins, and its sentence is whole. */
static void test_concurrent_failures(void **state)
{
    (void)state;
    for (int round = 0; round < 200; round++) {
        struct rs_run *run;
        struct rs_error err = {0};
        atomic_int wakes = 0;
        pthread_t threads[4];
        struct failer failers[4];
        assert_int_equal(rs_run_create(&run, &err), 0);
        rs_run_add_waker(run, count_wake, &wakes);
        for (int i = 0; i < 4; i++) {
            failers[i] = (struct failer){run, i};
            assert_int_equal(pthread_create(&threads[i], NULL, fail_once, &failers[i]), 0);
        }
        while (!rs_run_stopped(run))
            sched_yield();
        assert_int_equal(rs_run_error(run, &err), RS_E_IO);
        int number = -1;
        assert_int_equal(sscanf(err.message, "stage: failure %d", &number), 1);
        assert_in_range(number, 0, 3);
        for (int i = 0; i < 4; i++)
            pthread_join(threads[i], NULL);
        assert_int_equal(wakes, 1);
        rs_run_destroy(run);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_error_wins),
        cmocka_unit_test(test_cancel_is_no_error),
        cmocka_unit_test(test_concurrent_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
