/* explore.c: see explore.h. Coroutines, the scheduler with its record of choices, and the calls that wait. */
#include "explore.h"

#include <errno.h>
#include <linux/futex.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
#endif

#define STACK_BYTES ((size_t)256 << 10)
#define CHOICES_MAX 4096u
#define STEPS_MAX 20000u
#define STEP_NS 1000u

enum status { READY, WAITING, DONE };

struct fiber {
    ucontext_t context;
    void *sanitizer; /* ThreadSanitizer's view of it */
    enum status status;
    const void *waits_for; /* a futex's word or a mutex */
};

static struct {
    const struct explore_case *c;
    struct explore_result *result;
    void *state;
    struct fiber fibers[EXPLORE_THREADS_MAX], main;
    int count, current; /* current -1: main */
    uint32_t preempted, interrupted, steps;
    uint64_t clock;
    const void *locked;
    /* Choices of this schedule, and how many ways each had; those before `recorded` are repeated. */
    uint8_t chosen[CHOICES_MAX], ways[CHOICES_MAX];
    uint32_t choices, recorded;
    char trace[sizeof((struct explore_result *)0)->schedule];
    size_t trace_length;
} x = {.current = -1};

static void give_up(const char *why)
{
    fprintf(stderr, "explore: %s\n", why);
    abort();
}

static uint32_t choose(uint32_t ways)
{
    if (ways <= 1)
        return 0;
    if (x.choices == CHOICES_MAX)
        give_up("too many choices in one schedule");
    if (x.choices == x.recorded) {
        x.chosen[x.recorded] = 0;
        x.ways[x.recorded++] = (uint8_t)ways;
    }
    if (x.ways[x.choices] != ways)
        give_up("the same choices led elsewhere: the case depends on something else");
    return x.chosen[x.choices++];
}

/* The next schedule in depth-first order. False: all were run. */
static bool next_schedule(void)
{
    while (x.recorded && x.chosen[x.recorded - 1] + 1 >= x.ways[x.recorded - 1])
        x.recorded--;
    if (!x.recorded)
        return false;
    x.chosen[x.recorded - 1]++;
    return true;
}

static struct fiber *fiber_of(int number)
{
    return number < 0 ? &x.main : &x.fibers[number];
}

static void switch_to(int number)
{
    struct fiber *from = fiber_of(x.current), *to = fiber_of(number);
    if (from == to)
        return;
    x.current = number;
    if (number >= 0 && x.trace_length + 2 < sizeof x.trace)
        x.trace[x.trace_length++] = (char)('0' + number);
#ifdef __SANITIZE_THREAD__
    __tsan_switch_to_fiber(to->sanitizer, 0);
#endif
    swapcontext(&from->context, &to->context);
}

/* Gives the others that can run, `may_stay` the current one before them; a choice; the switch. */
static void reschedule(bool may_stay)
{
    int ready[EXPLORE_THREADS_MAX + 1];
    uint32_t count = 0;
    if (may_stay)
        ready[count++] = x.current;
    for (int i = 0; i < x.count; i++)
        if (i != x.current && x.fibers[i].status == READY)
            ready[count++] = i;
    int next = count ? ready[choose(count)] : -1;
    if (may_stay && next != x.current)
        x.preempted++;
    switch_to(next);
}

void explore_point(void)
{
    if (x.current < 0)
        return;
    if (++x.steps > STEPS_MAX)
        give_up("a schedule does not end");
    if (x.preempted < x.c->preemptions)
        reschedule(true);
}

int explore_yield(void)
{
    bool others = false;
    for (int i = 0; i < x.count; i++)
        others = others || (i != x.current && x.fibers[i].status == READY);
    if (x.current >= 0 && others)
        reschedule(false); /* it stays ready */
    return 0;
}

int explore_nanosleep(const struct timespec *time, struct timespec *left)
{
    (void)time;
    (void)left;
    return explore_yield();
}

static void wait_for(const void *thing)
{
    x.fibers[x.current].status = WAITING;
    x.fibers[x.current].waits_for = thing;
    reschedule(false);
}

static uint32_t wake_up(const void *thing, uint32_t at_most)
{
    uint32_t woken = 0;
    while (woken < at_most) {
        int waiting[EXPLORE_THREADS_MAX];
        uint32_t count = 0;
        for (int i = 0; i < x.count; i++)
            if (x.fibers[i].status == WAITING && x.fibers[i].waits_for == thing)
                waiting[count++] = i;
        if (!count)
            break;
        /* any of them; of all of them the order is the schedule's affair */
        x.fibers[waiting[at_most >= count ? 0 : choose(count)]].status = READY;
        woken++;
    }
    return woken;
}

static long futex_wait(const unsigned *word, unsigned value)
{
    if (__atomic_load_n(word, __ATOMIC_SEQ_CST) != value) {
        x.result->refused++;
        errno = EAGAIN;
        return -1;
    }
    if (x.interrupted < x.c->interruptions && choose(2)) {
        x.interrupted++;
        errno = EINTR;
        return -1;
    }
    x.result->parked++;
    if (x.current < 0)
        give_up("a wait outside of a case's threads");
    wait_for(word);
    return 0;
}

long explore_syscall(long number, ...)
{
    va_list args;
    va_start(args, number);
    const unsigned *word = va_arg(args, const unsigned *);
    int operation = va_arg(args, int) & FUTEX_CMD_MASK;
    unsigned value = va_arg(args, unsigned);
    va_end(args);
    explore_point();
    if (operation == FUTEX_WAIT)
        return futex_wait(word, value);
    uint32_t woken = wake_up(word, value);
    x.result->woken += woken;
    return woken;
}

uint64_t explore_now_ns(void)
{
    return x.clock += STEP_NS;
}

int explore_getaffinity(pid_t pid, size_t size, cpu_set_t *set)
{
    (void)pid;
    memset(set, 0, size);
    CPU_SET(0, set);
    if (!x.c->one_core)
        CPU_SET(1, set);
    return 0;
}

int explore_lock(pthread_mutex_t *mutex)
{
    explore_point();
    while (x.locked)
        wait_for(mutex);
    x.locked = mutex;
    return 0;
}

int explore_unlock(pthread_mutex_t *mutex)
{
    x.locked = NULL;
    wake_up(mutex, EXPLORE_THREADS_MAX);
    return 0;
}

/* Never returns: the next schedule goes on where the last one ended. */
static void fiber_main(int number)
{
    for (;;) {
        x.c->threads[number](x.state);
        x.fibers[number].status = DONE;
        reschedule(false);
    }
}

static void make_fiber(int number)
{
    struct fiber *fiber = &x.fibers[number];
    void *stack = malloc(STACK_BYTES);
    if (!stack || getcontext(&fiber->context) != 0)
        give_up("no memory for a coroutine");
    fiber->context.uc_stack.ss_sp = stack;
    fiber->context.uc_stack.ss_size = STACK_BYTES;
    fiber->context.uc_link = NULL;
    makecontext(&fiber->context, (void (*)(void))fiber_main, 1, number);
#ifdef __SANITIZE_THREAD__
    fiber->sanitizer = __tsan_create_fiber(0);
#endif
}

static void free_fiber(int number)
{
    struct fiber *fiber = &x.fibers[number];
#ifdef __SANITIZE_THREAD__
    __tsan_destroy_fiber(fiber->sanitizer);
#endif
    free(fiber->context.uc_stack.ss_sp);
}

static void run_schedule(void)
{
    x.preempted = x.interrupted = x.steps = x.choices = 0;
    x.trace_length = 0;
    x.locked = NULL;
    x.state = x.c->begin();
    for (int i = 0; i < x.count; i++)
        x.fibers[i].status = READY;
    reschedule(false);
    for (int i = 0; i < x.count; i++)
        if (x.fibers[i].status != DONE)
            x.result->failure = "threads wait for ever: a wake-up is lost";
    if (!x.result->failure && !x.c->end(x.state))
        x.result->failure = "the end is not as it should be";
    x.result->schedules++;
}

void explore(const struct explore_case *c, struct explore_result *result)
{
    memset(result, 0, sizeof *result);
    x.c = c;
    x.result = result;
    x.recorded = 0;
    x.count = 0;
#ifdef __SANITIZE_THREAD__
    x.main.sanitizer = __tsan_get_current_fiber();
#endif
    while (x.count < (int)EXPLORE_THREADS_MAX && c->threads[x.count])
        make_fiber(x.count++);
    do
        run_schedule();
    while (!result->failure && next_schedule());
    if (result->failure)
        memcpy(result->schedule, x.trace, x.trace_length);
    for (int i = 0; i < x.count; i++)
        free_fiber(i);
}
