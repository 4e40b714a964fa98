/* stress_ring.c: each kind under threads that are made to yield at drawn points, small rings, counters about
 * to wrap.
 *
 * What is pushed names a plain cell that the producer wrote before and the consumer checks after, so
 * ThreadSanitizer sees a missing order as a race, and the check sees a value that is lost, doubled or out of
 * turn.
 */
#include "clock.h"
#include "random.h"
#include "ring.h"
#include "support.h"
#include <pthread.h>
#include <sched.h>

#define SIDE_MAX 3u  /* threads a side */
#define VALUES 5000u /* of each producer */
#define THINGS (SIDE_MAX * VALUES)

struct test_case {
    enum rs_ring_kind kind;
    uint32_t capacity;
    uint64_t first;
    uint32_t producers, consumers;
    uint32_t yield_mask; /* a thread yields when a drawn number has none of these bits: 0 always, UINT32_MAX
                            never */
};

struct arena {
    const struct test_case *c;
    struct rs_ring *ring;
    uint32_t things[THINGS]; /* plain: written before the push, read and cleared after the pop */
    uint8_t taken[THINGS];
    atomic_uint_fast64_t next_seq; /* ORDERED: numbers to publish, pairs with itself */
    atomic_uint done;              /* values taken, pairs with itself */
    atomic_uint wrong;             /* pairs with itself */
};

struct side {
    struct arena *arena;
    uint32_t number;
};

static void maybe_yield(const struct arena *a, struct rs_random *random)
{
    if (!(rs_random_u32(random) & a->c->yield_mask))
        sched_yield();
}

static void publish_all(struct arena *a, struct rs_random *random)
{
    uint64_t total = (uint64_t)a->c->producers * VALUES;
    for (;;) {
        uint64_t number = atomic_fetch_add_explicit(&a->next_seq, 1, memory_order_relaxed);
        if (number >= total)
            return;
        a->things[number] = (uint32_t)number ^ 0x5a5a5a5a;
        maybe_yield(a, random);
        while (rs_ring_publish(a->ring, a->c->first + number, (uint32_t)number) == RS_AGAIN)
            sched_yield();
    }
}

static void *produce(void *arg)
{
    const struct side *side = arg;
    struct arena *a = side->arena;
    struct rs_random random;
    rs_random_init(&random, 1, a->c->capacity, side->number);
    if (a->c->kind == RS_RING_ORDERED) {
        publish_all(a, &random);
        return NULL;
    }
    for (uint32_t i = 0; i < VALUES; i++) {
        uint32_t thing = side->number * VALUES + i;
        a->things[thing] = thing ^ 0x5a5a5a5a;
        maybe_yield(a, &random);
        while (rs_ring_push(a->ring, thing) == RS_AGAIN)
            sched_yield();
    }
    return NULL;
}

/* A consumer sees each producer's values in their order, and the one of ORDERED sees all of them in order. */
static void check(struct arena *a, uint32_t thing, int64_t last[SIDE_MAX])
{
    bool bad = thing >= THINGS;
    if (!bad) {
        uint32_t from = a->c->kind == RS_RING_ORDERED ? 0 : thing / VALUES;
        bad = a->things[thing] != (thing ^ 0x5a5a5a5a) || a->taken[thing] || (int64_t)thing <= last[from] ||
              (a->c->kind == RS_RING_ORDERED && (int64_t)thing != last[from] + 1);
        a->things[thing] = 0;
        a->taken[thing] = 1;
        last[from] = thing;
    }
    if (bad)
        atomic_fetch_add_explicit(&a->wrong, 1, memory_order_relaxed);
}

static void *consume(void *arg)
{
    const struct side *side = arg;
    struct arena *a = side->arena;
    struct rs_random random;
    int64_t last[SIDE_MAX] = {-1, -1, -1};
    uint32_t total = a->c->producers * VALUES;
    rs_random_init(&random, 2, a->c->capacity, side->number);
    while (atomic_load_explicit(&a->done, memory_order_relaxed) < total) {
        uint32_t thing;
        if (rs_ring_pop(a->ring, &thing) == RS_AGAIN) {
            sched_yield();
            continue;
        }
        check(a, thing, last);
        atomic_fetch_add_explicit(&a->done, 1, memory_order_relaxed);
        maybe_yield(a, &random);
    }
    return NULL;
}

static void run_case(const struct test_case *c)
{
    struct arena *a = calloc(1, sizeof *a);
    pthread_t threads[2 * SIDE_MAX];
    struct side sides[2 * SIDE_MAX];
    assert_non_null(a);
    a->c = c;
    assert_int_equal(rs_ring_create(&a->ring, c->kind, c->capacity, c->first, NULL), 0);
    uint32_t count = c->producers + c->consumers;
    for (uint32_t i = 0; i < count; i++) {
        bool producer = i < c->producers;
        sides[i] = (struct side){a, producer ? i : i - c->producers};
        assert_int_equal(pthread_create(&threads[i], NULL, producer ? produce : consume, &sides[i]), 0);
    }
    for (uint32_t i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    uint32_t value;
    assert_int_equal(a->wrong, 0);
    assert_int_equal(a->done, c->producers * VALUES);
    assert_int_equal(rs_ring_pop(a->ring, &value), RS_AGAIN);
    assert_int_equal(rs_ring_length(a->ring), 0);
    rs_ring_destroy(a->ring);
    free(a);
}

/* Every mixture of ring size, yielding and counters' start for one kind and number of threads. */
static void run_mixtures(enum rs_ring_kind kind, uint32_t producers, uint32_t consumers)
{
    static const uint32_t capacities[] = {2, 4, 8, 64};
    /* the last two have the counters wrap, as signed and as unsigned numbers */
    static const uint64_t firsts[] = {0, INT32_MAX - 2000, (UINT64_C(1) << 33) - 2000};
    static const uint32_t yields[] = {3, 63, UINT32_MAX};
    for (size_t i = 0; i < 4; i++)
        for (size_t j = 0; j < 3; j++)
            for (size_t k = 0; k < 3; k++)
                run_case(
                    &(struct test_case){kind, capacities[i], firsts[j], producers, consumers, yields[k]});
}

static void test_spsc(void **state)
{
    (void)state;
    run_mixtures(RS_RING_SPSC, 1, 1);
}

static void test_mpmc(void **state)
{
    (void)state;
    run_mixtures(RS_RING_MPMC, 1, 1);
    run_mixtures(RS_RING_MPMC, 3, 1);
    run_mixtures(RS_RING_MPMC, 1, 3);
    run_mixtures(RS_RING_MPMC, 2, 2);
}

static void test_ordered(void **state)
{
    (void)state;
    run_mixtures(RS_RING_ORDERED, 1, 1);
    run_mixtures(RS_RING_ORDERED, 3, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spsc),
        cmocka_unit_test(test_mpmc),
        cmocka_unit_test(test_ordered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
