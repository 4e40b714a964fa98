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

/* What a waker finds: the run is stopped, and its error is there. */
struct look {
    struct rs_run *run;
    int stopped, code, calls;
};

static void look(void *arg)
{
    struct look *l = arg;
    l->stopped = rs_run_stopped(l->run);
    l->code = rs_run_error(l->run, NULL);
    l->calls++;
}

static void look_too(void *arg)
{
    look(arg);
}

static void test_wakers_see_the_stop(void **state)
{
    (void)state;
    struct look l = {0};
    struct rs_error cause;
    assert_int_equal(rs_run_create(&l.run, NULL), 0);
    rs_run_add_waker(l.run, look, &l);
    rs_error_set(&cause, RS_E_LIMIT, "too much");
    assert_int_equal(rs_run_fail(l.run, "read", &cause), RS_E_LIMIT);
    assert_int_equal(l.calls, 1);
    assert_int_equal(l.stopped, 1);
    assert_int_equal(l.code, RS_E_LIMIT);
    rs_run_destroy(l.run);
}

/* Of 32 wakers those that were removed, and they alone, are not called; there is room for others again. */
static void test_all_wakers_but_the_removed(void **state)
{
    (void)state;
    enum { WAKERS = 32 };
    struct look l[WAKERS + 2] = {0};
    struct rs_run *run;
    assert_int_equal(rs_run_create(&run, NULL), 0);
    for (int i = 0; i < WAKERS + 2; i++)
        l[i].run = run;
    for (int i = 0; i < WAKERS; i++)
        rs_run_add_waker(run, look, &l[i]);
    rs_run_remove_waker(run, look, &l[0]);
    rs_run_remove_waker(run, look, &l[17]);
    rs_run_remove_waker(run, look, &l[31]);
    rs_run_remove_waker(run, look, &l[17]);    /* not there any more */
    rs_run_remove_waker(run, look_too, &l[5]); /* another one */
    rs_run_add_waker(run, look_too, &l[WAKERS]);
    rs_run_add_waker(run, look_too, &l[3]); /* the same arg, another function: both */
    rs_run_add_waker(run, look, &l[WAKERS + 1]);
    rs_run_cancel(run);
    rs_run_cancel(run);
    for (int i = 0; i < WAKERS + 2; i++)
        assert_int_equal(l[i].calls, i == 0 || i == 17 || i == 31 ? 0 : i == 3 ? 2 : 1);
    rs_run_destroy(run);
}

static void add_too_many(void)
{
    struct rs_run *run;
    static struct look l;
    if (rs_run_create(&run, NULL) < 0)
        return;
    for (int i = 0; i < 33; i++)
        rs_run_add_waker(run, look, &l);
}

static void fail_without_a_failure(void)
{
    struct rs_run *run;
    struct rs_error cause = {.code = RS_END};
    if (rs_run_create(&run, NULL) == 0)
        rs_run_fail(run, "read", &cause);
}

static void test_mistakes_abort(void **state)
{
    (void)state;
    static const char *const words[] = {"run.c", NULL};
    assert_true(aborts_saying(add_too_many, words));
    assert_true(aborts_saying(fail_without_a_failure, words));
}

/* A waker that takes long, and one that is removed meanwhile. */
struct slow {
    struct rs_run *run;
    atomic_bool entered, removing, go_on, left, early;
};

static void wake_slowly(void *arg)
{
    struct slow *s = arg;
    atomic_store(&s->entered, true);
    while (!atomic_load(&s->go_on))
        sched_yield();
    atomic_store(&s->left, true);
}

static void *stop_run(void *arg)
{
    rs_run_cancel(((struct slow *)arg)->run);
    return NULL;
}

static void *remove_waker(void *arg)
{
    struct slow *s = arg;
    atomic_store(&s->removing, true);
    rs_run_remove_waker(s->run, wake_slowly, s);
    atomic_store(&s->early, !atomic_load(&s->left));
    return NULL;
}

/* When remove returns, the waker's owner may go: it is not called any more. */
static void test_remove_waits_for_a_call(void **state)
{
    (void)state;
    struct slow s = {0};
    pthread_t stopper, remover;
    assert_int_equal(rs_run_create(&s.run, NULL), 0);
    rs_run_add_waker(s.run, wake_slowly, &s);
    assert_int_equal(pthread_create(&stopper, NULL, stop_run, &s), 0);
    while (!atomic_load(&s.entered))
        sched_yield();
    assert_int_equal(pthread_create(&remover, NULL, remove_waker, &s), 0);
    while (!atomic_load(&s.removing))
        sched_yield();
    for (int i = 0; i < 1000;
         i++) /* time to return too early; less of it is a weaker test, not a wrong one */
        sched_yield();
    atomic_store(&s.go_on, true);
    pthread_join(remover, NULL);
    pthread_join(stopper, NULL);
    assert_false(s.early);
    rs_run_destroy(s.run);
}

/* A long sentence is cut behind the stage's name; the code stays. */
static void test_long_sentence(void **state)
{
    (void)state;
    struct rs_run *run;
    struct rs_error cause = {.code = RS_E_IO}, err = {0};
    assert_int_equal(rs_run_create(&run, NULL), 0);
    memset(cause.message, 'x', sizeof cause.message - 1);
    rs_run_fail(run, "normalize", &cause);
    assert_int_equal(rs_run_error(run, &err), RS_E_IO);
    assert_memory_equal(err.message, "normalize: xxx", 14);
    assert_int_equal(strlen(err.message), sizeof err.message - 1);
    rs_run_destroy(run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_error_wins),           cmocka_unit_test(test_cancel_is_no_error),
        cmocka_unit_test(test_concurrent_failures),        cmocka_unit_test(test_wakers_see_the_stop),
        cmocka_unit_test(test_all_wakers_but_the_removed), cmocka_unit_test(test_mistakes_abort),
        cmocka_unit_test(test_remove_waits_for_a_call),    cmocka_unit_test(test_long_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
