/* test_stage_times.c: what a worker pool and a channel count as work and as waiting.
 *
 * The clock is the test's and stands still, but for what the stages add to it and what the test adds while
 * all workers wait. So with one worker each sum is known exactly, and with several from below and above. One
 * test uses the real clock. The linker hands over the calls (--wrap).
 */
#include "clock.h"
#include "gate.h"
#include "support.h"
#include "worker_pool.h"
#include <pthread.h>

#define STAGES 3u
#define SLOTS 2u
#define SAMPLES 10u
#define CHUNK 4u /* 3 chunks, the last of 2 */
#define CHUNKS ((SAMPLES + CHUNK - 1) / CHUNK)
#define BEGAN_NS UINT64_C(5000)
#define HOLD_NS UINT64_C(1000000)

static const uint64_t costs[STAGES] = {3, 50, 700};

/* Each pairs with itself; the clock's add also with its load. */
static atomic_uint_fast64_t clock_ns;
static atomic_uint waiting;           /* threads within a gate's wait */
static atomic_bool real_clock, ticks; /* ticks: by 1 at each look */

uint64_t __real_rs_now_ns(void);
uint64_t __wrap_rs_now_ns(void);
void __real_rs_gate_wait(struct rs_gate *gate, uint32_t key);
void __wrap_rs_gate_wait(struct rs_gate *gate, uint32_t key);

uint64_t __wrap_rs_now_ns(void)
{
    if (atomic_load(&ticks))
        atomic_fetch_add(&clock_ns, 1);
    return atomic_load(&real_clock) ? __real_rs_now_ns() : atomic_load(&clock_ns);
}

void __wrap_rs_gate_wait(struct rs_gate *gate, uint32_t key)
{
    atomic_fetch_add(&waiting, 1);
    __real_rs_gate_wait(gate, key);
    atomic_fetch_sub(&waiting, 1);
}

/* What has gone to wait has read the clock before. */
static void let_wait(uint32_t threads)
{
    while (atomic_load(&waiting) < threads)
        sched_yield();
}

struct stage_self {
    uint64_t cost;
    atomic_uint_fast64_t inside_ns; /* real clock: measured in the stage's function; pairs with itself */
};

static int sample(void *self, void *scratch, struct rs_slot *slot, uint32_t i, struct rs_error *err)
{
    struct stage_self *s = self;
    (void)scratch;
    (void)slot;
    (void)i;
    (void)err;
    if (!atomic_load(&real_clock)) {
        atomic_fetch_add(&clock_ns, s->cost);
        return 0;
    }
    uint64_t began = rs_now_ns(), now = began;
    while (now - began < s->cost * 100)
        now = rs_now_ns();
    atomic_fetch_add(&s->inside_ns, now - began);
    return 0;
}

static const struct rs_stage_ops ops[STAGES] = {{"one", sample}, {"two", sample}, {"three", sample}};

struct line {
    uint32_t pools, threads, batches;
    struct rs_run *run;
    struct rs_pool *slots;
    struct rs_channel *tickets[STAGES], *ready;
    struct rs_worker_pool *workers[STAGES];
    struct stage_self selves[STAGES];
    struct rs_stage stages[STAGES];
    uint64_t taken;
    struct rs_stage_figures figures[STAGES];
};

/* The first pools have a stage each, the last one has the rest. */
static int build(struct line *l)
{
    RS_TRY(rs_run_create(&l->run, NULL));
    RS_TRY(rs_pool_create(&l->slots, l->run, SLOTS, NULL));
    RS_TRY(rs_channel_create(&l->ready, l->run, RS_RING_ORDERED, SLOTS + 1, 0, NULL));
    for (uint32_t i = 0; i < l->pools; i++)
        RS_TRY(rs_channel_create(&l->tickets[i], l->run, RS_RING_MPMC, SLOTS * CHUNKS + 1, 0, NULL));
    for (uint32_t i = 0; i < STAGES; i++) {
        l->selves[i].cost = costs[i];
        l->stages[i] = (struct rs_stage){&ops[i], &l->selves[i]};
    }
    for (uint32_t i = 0; i < l->pools; i++) {
        bool last = i + 1 == l->pools;
        struct rs_worker_pool_options o = {.run = l->run,
                                           .slots = l->slots,
                                           .pool_index = i,
                                           .stages = &l->stages[i],
                                           .stage_count = last ? STAGES - i : 1,
                                           .threads = l->threads,
                                           .in = l->tickets[i],
                                           .next = last ? NULL : l->tickets[i + 1],
                                           .published = last ? l->ready : NULL};
        RS_TRY(rs_worker_pool_create(&l->workers[i], &o, NULL));
        RS_TRY(rs_worker_pool_start(l->workers[i], NULL));
    }
    return 0;
}

static void feed_batch(struct line *l)
{
    struct rs_slot *slot = NULL;
    assert_int_equal(rs_pool_try_take(l->slots, &slot), 0);
    rs_slot_hand_over(slot, NULL, "read");
    slot->seq = l->batches++;
    slot->count = SAMPLES;
    slot->chunk_size = CHUNK;
    slot->chunks = CHUNKS;
    for (uint32_t p = 0; p < RS_POOLS_MAX; p++)
        atomic_store(&slot->pending[p], CHUNKS);
    rs_slot_hand_over(slot, "read", RS_SLOT_WORKERS);
    for (uint32_t c = 0; c < CHUNKS; c++)
        rs_channel_push(l->tickets[0], rs_ticket(slot, c));
}

static void take_batches(struct line *l)
{
    while (l->taken < l->batches) {
        uint32_t index;
        if (rs_channel_try_pop(l->ready, &index) == RS_AGAIN) {
            sched_yield();
            continue;
        }
        rs_pool_give_back(l->slots, rs_pool_slot(l->slots, index));
        l->taken++;
    }
}

static void finish(struct line *l)
{
    rs_worker_pool_set_end(l->workers[l->pools - 1], l->batches);
    rs_channel_push(l->tickets[0], RS_TOKEN_END);
    for (uint32_t i = 0; i < l->pools; i++)
        rs_worker_pool_join(l->workers[i]);
    for (uint32_t s = 0; s < STAGES; s++) {
        uint32_t pool = s < l->pools - 1 ? s : l->pools - 1;
        rs_worker_pool_figures(l->workers[pool], s - pool, &l->figures[s]);
        assert_int_equal(l->figures[s].batches, l->batches);
        assert_int_equal(l->figures[s].samples, (uint64_t)l->batches * SAMPLES);
        assert_int_equal(l->figures[s].threads, l->threads);
        assert_int_equal(l->figures[s].wait_slot_ns, 0);
    }
    for (uint32_t i = 0; i < l->pools; i++) {
        rs_worker_pool_destroy(l->workers[i]);
        rs_channel_destroy(l->tickets[i]);
    }
    rs_channel_destroy(l->ready);
    rs_pool_destroy(l->slots);
    rs_run_destroy(l->run);
}

/* Rounds of one or two batches; before each, and before the end, all workers wait while the time passes. */
static uint64_t run(struct line *l, uint32_t rounds)
{
    atomic_store(&clock_ns, BEGAN_NS);
    atomic_store(&waiting, 0);
    assert_int_equal(build(l), 0);
    for (uint32_t round = 0; round <= rounds; round++) {
        let_wait(l->threads * l->pools);
        atomic_fetch_add(&clock_ns, HOLD_NS);
        for (uint32_t i = 0; round < rounds && i < 1 + round % 2; i++)
            feed_batch(l);
        take_batches(l);
    }
    finish(l);
    return atomic_load(&clock_ns) - BEGAN_NS;
}

/* One worker does all stages: nothing else moves the clock. */
static void test_one_worker_exactly(void **state)
{
    (void)state;
    struct line l = {.pools = 1, .threads = 1};
    uint64_t elapsed = run(&l, 4), counted = 0;
    for (uint32_t s = 0; s < STAGES; s++) {
        assert_int_equal(l.figures[s].busy_ns, 6 * SAMPLES * costs[s]);
        assert_int_equal(l.figures[s].wait_input_ns, s == 0 ? 5 * HOLD_NS : 0);
        counted += l.figures[s].busy_ns + l.figures[s].wait_input_ns;
    }
    assert_int_equal(counted, elapsed);
}

/* Pools in a chain, and several workers: the clock moves on while others work. */
static void test_bounds(void **state)
{
    (void)state;
    for (uint32_t pools = 1; pools <= STAGES; pools++) {
        for (uint32_t threads = 1; threads <= 3; threads++) {
            struct line l = {.pools = pools, .threads = threads};
            uint64_t elapsed = run(&l, 4);
            for (uint32_t s = 0; s < STAGES; s++) {
                const struct rs_stage_figures *f = &l.figures[s];
                assert_true(f->busy_ns >= 6 * SAMPLES * costs[s]);
                assert_true(f->busy_ns + f->wait_input_ns <= threads * elapsed);
                if (s < pools) /* a pool's first stage */
                    assert_true(f->wait_input_ns >= threads * 5 * HOLD_NS);
                else
                    assert_int_equal(f->wait_input_ns, 0);
            }
            uint64_t last = 0; /* of the pool with several stages: no time is two stages' */
            for (uint32_t s = pools - 1; s < STAGES; s++)
                last += l.figures[s].busy_ns + l.figures[s].wait_input_ns;
            assert_true(last <= threads * elapsed);
        }
    }
}

static void test_bounds_of_the_real_clock(void **state)
{
    (void)state;
    atomic_store(&real_clock, true);
    for (uint32_t pools = 1; pools <= STAGES; pools += 2) {
        struct line l = {.pools = pools, .threads = 2};
        uint64_t began = rs_now_ns();
        run(&l, 4);
        uint64_t wall = rs_now_ns() - began;
        for (uint32_t s = 0; s < STAGES; s++) {
            uint64_t inside = atomic_load(&l.selves[s].inside_ns);
            assert_true(inside >= 6 * SAMPLES * costs[s] * 100);
            assert_true(l.figures[s].busy_ns >= inside);
            assert_true(l.figures[s].busy_ns + l.figures[s].wait_input_ns <= l.threads * wall);
        }
    }
    atomic_store(&real_clock, false);
}

struct popper {
    struct rs_channel *channel;
    uint32_t value;
    uint64_t waited_ns;
};

static void *pop(void *arg)
{
    struct popper *p = arg;
    rs_channel_pop(p->channel, &p->value, &p->waited_ns);
    return NULL;
}

/* waited_ns grows by what was waited, from where it was, and not at all when a value is there. */
static void test_a_pop_counts_its_wait(void **state)
{
    (void)state;
    static const enum rs_ring_kind kinds[] = {RS_RING_SPSC, RS_RING_MPMC, RS_RING_ORDERED};
    for (uint32_t k = 0; k < 6; k++) {
        struct rs_run *run_of;
        struct popper p = {.waited_ns = 11};
        pthread_t thread;
        assert_int_equal(rs_run_create(&run_of, NULL), 0);
        assert_int_equal(rs_channel_create(&p.channel, run_of, kinds[k % 3], 2, 0, NULL), 0);
        atomic_store(&waiting, 0);
        assert_int_equal(pthread_create(&thread, NULL, pop, &p), 0);
        let_wait(1);
        atomic_fetch_add(&clock_ns, HOLD_NS);
        if (k >= 3)
            rs_run_cancel(run_of);
        else if (kinds[k] == RS_RING_ORDERED)
            rs_channel_publish(p.channel, 0, 5);
        else
            rs_channel_push(p.channel, 5);
        pthread_join(thread, NULL);
        assert_int_equal(p.waited_ns, 11 + HOLD_NS);
        assert_int_equal(p.value, k >= 3 ? 0 : 5);
        rs_channel_destroy(p.channel);
        rs_run_destroy(run_of);
    }
}

static void test_a_value_that_is_there_costs_no_wait(void **state)
{
    (void)state;
    struct rs_run *run_of;
    struct popper p = {.waited_ns = 11};
    assert_int_equal(rs_run_create(&run_of, NULL), 0);
    assert_int_equal(rs_channel_create(&p.channel, run_of, RS_RING_SPSC, 2, 0, NULL), 0);
    rs_channel_push(p.channel, 5);
    atomic_store(&ticks, true);
    pop(&p);
    atomic_store(&ticks, false);
    assert_int_equal(p.value, 5);
    assert_int_equal(p.waited_ns, 11);
    rs_channel_destroy(p.channel);
    rs_run_destroy(run_of);
}

static int set_up(void **state)
{
    (void)state;
    return !to_one_core();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_worker_exactly),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_bounds_of_the_real_clock),
        cmocka_unit_test(test_a_pop_counts_its_wait),
        cmocka_unit_test(test_a_value_that_is_there_costs_no_wait),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
