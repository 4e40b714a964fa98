/* explore.h: runs a few small threads in every order of their steps, so that a lost wake-up is found for
 * certain.
 *
 * How it works: CMake compiles channel.c, gate.c, ring.c and run.c once more for the test, with
 * explore_interpose.h before them: a step comes before each atomic access, and futex, mutex, clock and yield
 * are those of this file. A case's threads are coroutines of one thread; at each step either the same one
 * goes on or another one takes over (a preemption). All choices are tried, depth first, with at most so many
 * preemptions a schedule. A schedule in which everyone left waits is a lost wake-up.
 *
 * What it does not see: memory is sequentially consistent here. The orders of the accesses are
 * ThreadSanitizer's and the stress tests' business.
 *
 * Owner: the test. @thread one; the state is static, for the interposed calls have no other way to it.
 */
#ifndef RS_TEST_EXPLORE_H
#define RS_TEST_EXPLORE_H

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define EXPLORE_THREADS_MAX 5u

struct explore_case {
    void *(*begin)(void); /* a new state, for each schedule */
    void (*threads[EXPLORE_THREADS_MAX])(void *state);
    bool (*end)(
        void *state);     /* frees it; false: it is not as it should be. Not called when threads are stuck. */
    uint32_t preemptions; /* in a schedule, at most */
    uint32_t interruptions; /* futex waits that a signal ends, in a schedule, at most */
    bool one_core;          /* as sched_getaffinity tells */
};

struct explore_result {
    uint64_t schedules, parked, refused, woken; /* futex: waits that slept, that did not; threads woken */
    const char *failure;                        /* NULL: none */
    char schedule[1024];                        /* that failed: the threads' numbers, step by step */
};

/* Ends at the first failure. */
void explore(const struct explore_case *c, struct explore_result *result);

/* A step: others may run here. Outside of a case's threads: nothing. */
void explore_point(void);

/* In place of the C library's; see explore_interpose.h. */
long explore_syscall(long number, ...);
uint64_t explore_now_ns(void);
int explore_yield(void);
int explore_nanosleep(const struct timespec *time, struct timespec *left);
int explore_getaffinity(pid_t pid, size_t size, cpu_set_t *set);
int explore_lock(pthread_mutex_t *mutex);
int explore_unlock(pthread_mutex_t *mutex);

#endif
