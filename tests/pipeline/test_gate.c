/* test_gate.c: the eventcount against the kernel's futex, with what others do placed at exact points of a
 * wait.
 *
 * The linker hands this file the calls of syscall and of the clock (--wrap). So another thread's notify can
 * be made to come between a waiter's last look and the kernel's, and the test knows when a thread is asleep
 * in the kernel.
 */
#include "clock.h"
#include "gate.h"
#include "support.h"
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>

#define WAITERS_MAX 4u

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);
uint64_t __real_rs_now_ns(void);
uint64_t __wrap_rs_now_ns(void);

struct fixture {
    struct rs_run *run;
    struct rs_gate *gate;
    cpu_set_t cores; /* of the process, given back at the end */
    pthread_t threads[WAITERS_MAX];
    atomic_int tids[WAITERS_MAX];
    atomic_uint entered, returned;
};

/* What the wrapped calls do and see. Hooks and fail_with are set while no other thread runs; the counters
 * pair with themselves. */
static struct {
    struct fixture *fixture;
    /* each once, on the waiter's thread */
    void (*before_sleep)(struct fixture *f); /* it has counted itself as parked and looked a last time */
    void (*at_clock)(struct fixture *f);     /* it spins */
    int fail_with;                           /* errno of the next wait, 0: none */
    atomic_uint waits, slept, refused, interrupted, wakes, woken, clock_reads;
} calls;

static void run_hook(void (**hook)(struct fixture *f))
{
    void (*now)(struct fixture * f) = *hook;
    if (!now)
        return;
    *hook = NULL;
    now(calls.fixture);
}

static long wait_in_kernel(void *word, int operation, unsigned value)
{
    run_hook(&calls.before_sleep);
    atomic_fetch_add(&calls.waits, 1);
    if (calls.fail_with) {
        errno = calls.fail_with;
        calls.fail_with = 0;
        return -1;
    }
    long result = __real_syscall(SYS_futex, word, operation, value, NULL, NULL, 0);
    atomic_fetch_add(result == 0 ? &calls.slept : errno == EAGAIN ? &calls.refused : &calls.interrupted, 1);
    return result;
}

long __wrap_syscall(long number, ...)
{
    va_list args;
    va_start(args, number);
    void *word = va_arg(args, void *);
    int operation = va_arg(args, int);
    unsigned value = va_arg(args, unsigned);
    va_end(args);
    assert_int_equal(number, SYS_futex);
    if ((operation & FUTEX_CMD_MASK) == FUTEX_WAIT)
        return wait_in_kernel(word, operation, value);
    long woken = __real_syscall(SYS_futex, word, operation, value, NULL, NULL, 0);
    atomic_fetch_add(&calls.wakes, 1);
    atomic_fetch_add(&calls.woken, (unsigned)woken);
    return woken;
}

uint64_t __wrap_rs_now_ns(void)
{
    atomic_fetch_add(&calls.clock_reads, 1);
    run_hook(&calls.at_clock);
    return __real_rs_now_ns();
}

/* One core, so that nobody spins, unless a test wants it. */
static int set_up_on(void **state, bool one_core)
{
    struct fixture *f = calloc(1, sizeof *f);
    *state = f;
    memset(&calls, 0, sizeof calls);
    calls.fixture = f;
    if (!f || sched_getaffinity(0, sizeof f->cores, &f->cores) != 0 || rs_run_create(&f->run, NULL) < 0)
        return 1;
    if (one_core && !to_one_core())
        return 1;
    int code = rs_gate_create(&f->gate, f->run, NULL);
    return code < 0 || sched_setaffinity(0, sizeof f->cores, &f->cores) != 0;
}

static int set_up(void **state)
{
    return set_up_on(state, true);
}

static int set_up_spinning(void **state)
{
    return set_up_on(state, false);
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    rs_gate_destroy(f->gate);
    rs_run_destroy(f->run);
    free(f);
    return 0;
}

static void *wait_once(void *arg)
{
    struct fixture *f = arg;
    unsigned number = atomic_fetch_add(&f->entered, 1);
    atomic_store(&f->tids[number], gettid());
    rs_gate_wait(f->gate, rs_gate_prepare(f->gate));
    atomic_fetch_add(&f->returned, 1);
    return NULL;
}

/* As /proc tells: S for a thread asleep in the kernel. */
static char state_of(int tid)
{
    char path[64], line[256] = "";
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", tid);
    FILE *file = fopen(path, "r");
    if (file && !fgets(line, sizeof line, file))
        line[0] = '\0';
    if (file)
        fclose(file);
    const char *name_end = strrchr(line, ')');
    return name_end ? name_end[2] : '?';
}

static unsigned asleep(struct fixture *f, unsigned waiters)
{
    unsigned count = 0;
    for (unsigned i = 0; i < waiters; i++)
        count += state_of(atomic_load(&f->tids[i])) == 'S';
    return count;
}

/* Returns when they have called for the so-many-th wait in all, and sleep. CTest's time limit ends it
 * otherwise. */
static void let_sleep(struct fixture *f, unsigned waiters, unsigned waits)
{
    while (atomic_load(&calls.waits) < waits || asleep(f, waiters) < waiters)
        sched_yield();
    assert_int_equal(calls.waits, waits);
}

static void start_waiters(struct fixture *f, unsigned waiters)
{
    for (unsigned i = 0; i < waiters; i++)
        assert_int_equal(pthread_create(&f->threads[i], NULL, wait_once, f), 0);
    let_sleep(f, waiters, waiters);
    assert_int_equal(f->returned, 0);
    assert_int_equal(rs_gate_parked(f->gate), waiters);
}

static void join_waiters(struct fixture *f, unsigned waiters)
{
    for (unsigned i = 0; i < waiters; i++)
        pthread_join(f->threads[i], NULL);
    assert_int_equal(f->returned, waiters);
    assert_int_equal(rs_gate_parked(f->gate), 0);
}

static void notify(struct fixture *f)
{
    rs_gate_notify(f->gate);
}

static void cancel(struct fixture *f)
{
    rs_run_cancel(f->run);
}

static void *notify_main(void *arg)
{
    notify(arg);
    return NULL;
}

static void notify_elsewhere(struct fixture *f)
{
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, notify_main, f), 0);
    pthread_join(thread, NULL);
}

static void test_nobody_waits_no_call(void **state)
{
    struct fixture *f = *state;
    notify(f);
    assert_int_equal(calls.wakes, 0);
}

static void test_between_key_and_wait(void **state)
{
    struct fixture *f = *state;
    void (*const doers[])(struct fixture * f) = {notify, notify_elsewhere, cancel};
    for (size_t i = 0; i < sizeof doers / sizeof doers[0]; i++) {
        uint32_t key = rs_gate_prepare(f->gate);
        doers[i](f);
        rs_gate_wait(f->gate, key);
    }
    assert_int_equal(calls.waits, 0);
}

/* The waiter has counted itself and looked; the kernel's look is the last one. */
static void test_between_look_and_sleep(void **state)
{
    struct fixture *f = *state;
    void (*const doers[])(struct fixture * f) = {notify, notify_elsewhere, cancel};
    for (unsigned i = 0; i < sizeof doers / sizeof doers[0]; i++) {
        calls.before_sleep = doers[i];
        rs_gate_wait(f->gate, rs_gate_prepare(f->gate));
        assert_null(calls.before_sleep);
        assert_int_equal(calls.waits, i + 1);
        assert_int_equal(calls.refused, i + 1);
        assert_int_equal(calls.wakes, i + 1); /* the waiter was seen: it might have slept already */
        assert_int_equal(calls.woken, 0);
        assert_int_equal(rs_gate_parked(f->gate), 0);
    }
}

static void test_wakes_who_sleeps(void **state)
{
    struct fixture *f = *state;
    start_waiters(f, 1);
    notify(f);
    join_waiters(f, 1);
    assert_int_equal(calls.woken, 1);
    assert_int_equal(calls.slept, 1);
}

/* Each notify wakes one more, and no one else. */
static void test_one_notify_each(void **state)
{
    struct fixture *f = *state;
    start_waiters(f, WAITERS_MAX);
    for (unsigned i = 1; i <= WAITERS_MAX; i++) {
        notify(f);
        while (atomic_load(&f->returned) < i)
            sched_yield();
        assert_int_equal(calls.woken, i);
        assert_int_equal(f->returned, i);
        assert_int_equal(rs_gate_parked(f->gate), WAITERS_MAX - i);
    }
    join_waiters(f, WAITERS_MAX);
    assert_int_equal(calls.waits, WAITERS_MAX);
}

static void test_stop_wakes_all(void **state)
{
    struct fixture *f = *state;
    start_waiters(f, WAITERS_MAX);
    cancel(f);
    join_waiters(f, WAITERS_MAX);
    assert_int_equal(calls.wakes, 1);
    assert_int_equal(calls.woken, WAITERS_MAX);
    /* and the gate stays open, for keys old and new */
    rs_gate_wait(f->gate, 0);
    rs_gate_wait(f->gate, rs_gate_prepare(f->gate));
    assert_int_equal(calls.waits, WAITERS_MAX);
}

static void on_signal(int number)
{
    (void)number;
}

/* What the kernel says without a notify (a signal, a word that was seen torn) is no reason to return. */
static void test_signals_are_no_wake_up(void **state)
{
    struct fixture *f = *state;
    struct sigaction action = {.sa_handler = on_signal}, before;
    assert_int_equal(sigaction(SIGUSR1, &action, &before), 0);
    start_waiters(f, 1);
    for (unsigned i = 1; i <= 3; i++) {
        pthread_kill(f->threads[0], SIGUSR1);
        while (atomic_load(&calls.interrupted) < i)
            sched_yield();
        let_sleep(f, 1, 1 + i);
        assert_int_equal(f->returned, 0);
    }
    notify(f);
    join_waiters(f, 1);
    assert_int_equal(sigaction(SIGUSR1, &before, NULL), 0);
}

static void test_spurious_answers(void **state)
{
    struct fixture *f = *state;
    static const int answers[] = {EAGAIN, EINTR};
    for (unsigned i = 0; i < 2; i++) {
        calls.waits = f->entered = f->returned = 0;
        calls.fail_with = answers[i];
        assert_int_equal(pthread_create(&f->threads[0], NULL, wait_once, f), 0);
        let_sleep(f, 1, 2); /* the first was answered by the test */
        assert_int_equal(f->returned, 0);
        notify(f);
        join_waiters(f, 1);
    }
}

/* On one core a spin keeps the notifier from running: nobody spins, so nobody asks for the time. */
static void test_one_core_never_spins(void **state)
{
    struct fixture *f = *state;
    start_waiters(f, 1);
    notify(f);
    join_waiters(f, 1);
    assert_int_equal(calls.clock_reads, 0);
}

static void test_spinning_meets_the_notify(void **state)
{
    struct fixture *f = *state;
    if (CPU_COUNT(&f->cores) < 2)
        skip();
    void (*const doers[])(struct fixture * f) = {notify, notify_elsewhere, cancel};
    for (size_t i = 0; i < sizeof doers / sizeof doers[0]; i++) {
        calls.at_clock = doers[i];
        rs_gate_wait(f->gate, rs_gate_prepare(f->gate));
        assert_null(calls.at_clock);
        assert_int_equal(calls.waits, 0);
        assert_int_equal(calls.wakes, i == 2); /* a stop calls the kernel in any case */
    }
}

/* After a spin in vain it sleeps like any other. */
static void test_spinning_ends(void **state)
{
    struct fixture *f = *state;
    start_waiters(f, 2);
    notify(f);
    notify(f);
    join_waiters(f, 2);
    assert_true(calls.clock_reads > 0 || CPU_COUNT(&f->cores) < 2);
}

int main(void)
{
#define GATE_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        GATE_TEST(test_nobody_waits_no_call),
        GATE_TEST(test_between_key_and_wait),
        GATE_TEST(test_between_look_and_sleep),
        GATE_TEST(test_wakes_who_sleeps),
        GATE_TEST(test_one_notify_each),
        GATE_TEST(test_stop_wakes_all),
        GATE_TEST(test_signals_are_no_wake_up),
        GATE_TEST(test_spurious_answers),
        GATE_TEST(test_one_core_never_spins),
        cmocka_unit_test_setup_teardown(test_spinning_meets_the_notify, set_up_spinning, tear_down),
        cmocka_unit_test_setup_teardown(test_spinning_ends, set_up_spinning, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
