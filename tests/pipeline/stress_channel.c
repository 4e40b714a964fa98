/* stress_channel.c: wake-ups under fire: a lost one leaves a thread parked, and CTest's time limit finds it.
 *
 * Things go round between parties that wait for each other at every step, with pauses at drawn points that
 * shift the moment of parking against the moment of pushing. Nobody pushes without having been pushed to, so
 * one lost wake-up stops everything.
 */
#include "channel.h"
#include "random.h"
#include "support.h"
#include <pthread.h>
#include <sched.h>
#include <time.h>

#define PARTIES 4u
#define ROUNDS 4000u

struct arena {
    struct rs_run *run;
    struct rs_channel *channels[PARTIES];
    uint64_t counter; /* plain: passed from party to party */
    atomic_uint handled;
    uint32_t things;
};

struct party {
    struct arena *arena;
    uint32_t number;
};

/* Nothing, a few instructions, a yield, or long enough that the other side parks. */
static void dawdle(struct rs_random *random)
{
    uint32_t r = rs_random_u32(random);
    if (r % 64 == 0)
        nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
    else if (r % 8 == 0)
        sched_yield();
    for (volatile uint32_t i = 0; i < (r >> 8) % 512; i++)
        ;
}

/* One thing goes round a circle of channels. */
static void *pass_on(void *arg)
{
    struct party *party = arg;
    struct arena *a = party->arena;
    struct rs_random random;
    rs_random_init(&random, 11, 0, party->number);
    for (;;) {
        uint32_t value;
        if (rs_channel_pop(a->channels[party->number], &value, NULL) < 0)
            return NULL;
        a->counter++;
        if (value == 0) {
            rs_run_cancel(a->run);
            return NULL;
        }
        dawdle(&random);
        rs_channel_push(a->channels[(party->number + 1) % PARTIES], value - 1);
    }
}

static void run_circle(enum rs_ring_kind kind)
{
    struct arena a = {0};
    pthread_t threads[PARTIES];
    struct party parties[PARTIES];
    assert_int_equal(rs_run_create(&a.run, NULL), 0);
    for (uint32_t i = 0; i < PARTIES; i++)
        assert_int_equal(rs_channel_create(&a.channels[i], a.run, kind, 1, 0, NULL), 0);
    for (uint32_t i = 0; i < PARTIES; i++) {
        parties[i] = (struct party){&a, i};
        assert_int_equal(pthread_create(&threads[i], NULL, pass_on, &parties[i]), 0);
    }
    rs_channel_push(a.channels[0], ROUNDS * PARTIES);
    for (uint32_t i = 0; i < PARTIES; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(a.counter, ROUNDS * PARTIES + 1);
    for (uint32_t i = 0; i < PARTIES; i++)
        rs_channel_destroy(a.channels[i]);
    rs_run_destroy(a.run);
}

static void test_circle_spsc(void **state)
{
    (void)state;
    run_circle(RS_RING_SPSC);
}

static void test_circle_mpmc(void **state)
{
    (void)state;
    run_circle(RS_RING_MPMC);
}

/* All parties pop from one channel and push to it: as many things as parties or fewer, so that some always
 * wait. */
static void *share(void *arg)
{
    struct party *party = arg;
    struct arena *a = party->arena;
    struct rs_random random;
    rs_random_init(&random, 12, a->things, party->number);
    for (;;) {
        uint32_t value;
        if (rs_channel_pop(a->channels[0], &value, NULL) < 0)
            return NULL;
        if (atomic_fetch_add(&a->handled, 1) + 1 == ROUNDS * PARTIES) {
            rs_run_cancel(a->run);
            return NULL;
        }
        dawdle(&random);
        rs_channel_push(a->channels[0], value);
    }
}

static void test_shared(void **state)
{
    (void)state;
    for (uint32_t things = 1; things <= PARTIES; things++) {
        struct arena a = {.things = things};
        pthread_t threads[PARTIES];
        struct party parties[PARTIES];
        assert_int_equal(rs_run_create(&a.run, NULL), 0);
        assert_int_equal(rs_channel_create(&a.channels[0], a.run, RS_RING_MPMC, things, 0, NULL), 0);
        for (uint32_t i = 0; i < PARTIES; i++) {
            parties[i] = (struct party){&a, i};
            assert_int_equal(pthread_create(&threads[i], NULL, share, &parties[i]), 0);
        }
        for (uint32_t i = 0; i < things; i++)
            rs_channel_push(a.channels[0], i);
        for (uint32_t i = 0; i < PARTIES; i++)
            pthread_join(threads[i], NULL);
        assert_true(a.handled >= ROUNDS * PARTIES);
        rs_channel_destroy(a.channels[0]);
        rs_run_destroy(a.run);
    }
}

static void *wait_for_end(void *arg)
{
    struct party *party = arg;
    uint32_t value;
    struct rs_random random;
    rs_random_init(&random, 13, 0, party->number);
    dawdle(&random);
    int code = rs_channel_pop(party->arena->channels[0], &value, NULL);
    return code == RS_E_CANCELLED ? arg : NULL;
}

/* A stop at any moment of the waiters' way into the kernel wakes all of them. */
static void test_stop(void **state)
{
    (void)state;
    struct rs_random random;
    rs_random_init(&random, 14, 0, 0);
    for (uint32_t round = 0; round < 500; round++) {
        struct arena a = {0};
        pthread_t threads[PARTIES];
        struct party parties[PARTIES];
        assert_int_equal(rs_run_create(&a.run, NULL), 0);
        assert_int_equal(rs_channel_create(&a.channels[0], a.run, RS_RING_MPMC, 1, 0, NULL), 0);
        for (uint32_t i = 0; i < PARTIES; i++) {
            parties[i] = (struct party){&a, round * PARTIES + i};
            assert_int_equal(pthread_create(&threads[i], NULL, wait_for_end, &parties[i]), 0);
        }
        dawdle(&random);
        rs_run_cancel(a.run);
        for (uint32_t i = 0; i < PARTIES; i++) {
            void *result = NULL;
            pthread_join(threads[i], &result);
            assert_ptr_equal(result, &parties[i]);
        }
        rs_channel_destroy(a.channels[0]);
        rs_run_destroy(a.run);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_circle_spsc),
        cmocka_unit_test(test_circle_mpmc),
        cmocka_unit_test(test_shared),
        cmocka_unit_test(test_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
