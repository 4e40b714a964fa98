/* test_ring_wrap.c: rings of each kind, started at each of the last positions before a counter wraps.
 *
 * A ring's positions are 32-bit numbers that wrap, and are compared as signed differences. So each ring
 * starts at each of the 4 n positions before 2^31, 2^32 and 2^33 and at the n after it, and a model of plain
 * 64-bit counters says after each call what the answer and the length have to be.
 */
#include "channel.h"
#include "ring.h"
#include "support.h"

struct walk {
    struct rs_ring *ring;
    enum rs_ring_kind kind;
    uint32_t n;         /* cells */
    uint64_t first;     /* position of the first value */
    uint64_t out, next; /* positions: next to pop; next to push (SPSC, MPMC) */
    uint32_t inside;
};

static const uint64_t wraps[] = {UINT64_C(1) << 31, UINT64_C(1) << 32, UINT64_C(1) << 33};

/* Each position has a value; the special ones come up at every cell. */
static uint32_t value_at(uint64_t position)
{
    static const uint32_t special[] = {0, UINT32_MAX, RS_TOKEN_END - 1, 1, 0x80000000u, 0x7fffffffu};
    return position % 3 ? (uint32_t)position * 2654435761u : special[position / 3 % 6];
}

static void expect(const struct walk *w, bool holds, const char *what)
{
    if (!holds)
        fail_msg("kind %d, %u cells, first %llu, at %llu with %u inside: %s", (int)w->kind, w->n,
                 (unsigned long long)w->first, (unsigned long long)w->out, w->inside, what);
}

static void expect_length(const struct walk *w)
{
    expect(w, rs_ring_length(w->ring) == w->inside, "the length is wrong");
    expect(w, rs_ring_capacity(w->ring) == w->n, "the capacity has changed");
}

static struct walk begin_walk(enum rs_ring_kind kind, uint32_t capacity, uint64_t first)
{
    struct walk w = {.kind = kind, .n = 2, .first = first, .out = first, .next = first};
    while (w.n < capacity)
        w.n *= 2;
    assert_int_equal(rs_ring_create(&w.ring, kind, capacity, first, NULL), 0);
    expect_length(&w);
    return w;
}

static void pop_one(struct walk *w)
{
    uint32_t value = ~value_at(w->out);
    expect(w, rs_ring_pop(w->ring, &value) == 0, "a value that is there is not given");
    expect(w, value == value_at(w->out), "the value is not the one that was pushed");
    w->out++;
    w->inside--;
    expect_length(w);
}

static void pop_nothing(struct walk *w)
{
    uint32_t value = 77;
    expect(w, rs_ring_pop(w->ring, &value) == RS_AGAIN && value == 77, "a value that is not there is given");
    expect_length(w);
}

static void push_one(struct walk *w)
{
    int code = rs_ring_push(w->ring, value_at(w->next));
    expect(w, code == (w->inside < w->n ? 0 : RS_AGAIN), "push: the answer is wrong");
    if (code == 0) {
        w->next++;
        w->inside++;
    }
    expect_length(w);
}

/* Pushes or pops until so many values are inside. */
static void go_to(struct walk *w, uint32_t inside)
{
    while (w->inside < inside)
        push_one(w);
    while (w->inside > inside)
        pop_one(w);
}

/* Full, empty and half; then each level of filling (for large rings a few) goes once around the cells. */
static void walk_fifo(struct walk *w)
{
    pop_nothing(w);
    go_to(w, w->n);
    push_one(w); /* refused, and again */
    push_one(w);
    go_to(w, w->n / 2);
    go_to(w, w->n);
    push_one(w);
    go_to(w, 0);
    pop_nothing(w);
    pop_nothing(w);
    for (uint32_t level = 0; level < w->n; level += w->n <= 8 || level + 2 >= w->n ? 1 : w->n / 2 - 1) {
        go_to(w, level);
        for (uint32_t i = 0; i <= w->n; i++) {
            push_one(w);
            pop_one(w);
        }
    }
    go_to(w, w->n);
    push_one(w);
    go_to(w, 0);
    pop_nothing(w);
}

static uint32_t for_each_start(enum rs_ring_kind kind, uint32_t capacity, void (*walk)(struct walk *w))
{
    uint32_t starts = 0, n = 2;
    while (n < capacity)
        n *= 2;
    for (size_t k = 0; k < sizeof wraps / sizeof wraps[0]; k++) {
        for (uint64_t first = wraps[k] - 4 * n; first < wraps[k] + n; first++, starts++) {
            struct walk w = begin_walk(kind, capacity, first);
            walk(&w);
            rs_ring_destroy(w.ring);
        }
    }
    return starts;
}

static const uint32_t capacities[] = {0, 1, 2, 3, 4, 5, 7, 8, 33, 63, 64};
#define CAPACITIES (sizeof capacities / sizeof capacities[0])

static void test_spsc(void **state)
{
    (void)state;
    for (size_t i = 0; i < CAPACITIES; i++)
        assert_true(for_each_start(RS_RING_SPSC, capacities[i], walk_fifo) >= 30);
}

static void test_mpmc(void **state)
{
    (void)state;
    for (size_t i = 0; i < CAPACITIES; i++)
        assert_true(for_each_start(RS_RING_MPMC, capacities[i], walk_fifo) >= 30);
}

/* Every sequence of ten pushes and pops, so also those that nobody thought of. */
static void walk_every_sequence(struct walk *w)
{
    enum { CALLS = 10 };
    for (uint32_t sequence = 0; sequence < 1u << CALLS; sequence++) {
        for (uint32_t call = 0; call < CALLS; call++) {
            if (sequence >> call & 1)
                push_one(w);
            else if (w->inside)
                pop_one(w);
            else
                pop_nothing(w);
        }
    }
}

static void test_every_sequence(void **state)
{
    (void)state;
    for (uint32_t capacity = 2; capacity <= 8; capacity *= 2) {
        for_each_start(RS_RING_SPSC, capacity, walk_every_sequence);
        for_each_start(RS_RING_MPMC, capacity, walk_every_sequence);
    }
}

static void publish(struct walk *w, uint64_t seq, int wanted)
{
    expect(w, rs_ring_publish(w->ring, seq, value_at(seq)) == wanted, "publish: the answer is wrong");
    w->inside += wanted == 0;
    expect_length(w);
}

/* One window of n numbers, from the one at `turn` on and around; the first is the last when turn is 1. */
static void publish_turned(struct walk *w, uint32_t turn)
{
    uint64_t base = w->out;
    for (uint32_t i = 0; i < w->n; i++) {
        uint32_t at = (turn + i) % w->n;
        if (turn && i < w->n - turn)
            pop_nothing(w);
        publish(w, base + w->n, RS_AGAIN); /* a lap ahead */
        publish(w, base + at, 0);
        publish(w, base + at, RS_AGAIN); /* twice */
    }
    publish(w, base - 1, RS_AGAIN); /* taken long ago */
    while (w->inside)
        pop_one(w);
    pop_nothing(w);
}

/* The number `ahead` of the next comes first, and it alone; then those before it. */
static void publish_ahead(struct walk *w, uint32_t ahead)
{
    publish(w, w->out + ahead, 0);
    pop_nothing(w);
    for (uint32_t i = 0; i < ahead; i++) {
        publish(w, w->out, 0);
        publish(w, w->out + w->n, RS_AGAIN);
        pop_one(w);
    }
    pop_one(w);
    pop_nothing(w);
}

/* Half of the cells are always taken: what was popped makes room for exactly one number more. */
static void publish_behind_a_gap(struct walk *w)
{
    uint32_t half = w->n / 2;
    for (uint32_t i = 0; i < half; i++)
        publish(w, w->out + i, 0);
    for (uint32_t i = 0; i < 2 * w->n; i++) {
        publish(w, w->out + half, 0);
        pop_one(w);
    }
    for (uint32_t i = half; i < w->n; i++)
        publish(w, w->out + i, 0);
    publish(w, w->out + w->n, RS_AGAIN);
    pop_one(w);
    publish(w, w->out + w->n - 1, 0);
    publish(w, w->out + w->n, RS_AGAIN);
    while (w->inside)
        pop_one(w);
}

static void walk_ordered(struct walk *w)
{
    uint32_t step = w->n <= 8 ? 1 : 9;
    for (uint32_t turn = 0; turn < w->n; turn += step)
        publish_turned(w, turn);
    publish_turned(w, w->n - 1);
    for (uint32_t ahead = 1; ahead < w->n; ahead += step)
        publish_ahead(w, ahead);
    publish_ahead(w, w->n - 1);
    publish_behind_a_gap(w);
}

static void test_ordered(void **state)
{
    (void)state;
    for (size_t i = 0; i < CAPACITIES; i++)
        assert_true(for_each_start(RS_RING_ORDERED, capacities[i], walk_ordered) >= 30);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spsc),
        cmocka_unit_test(test_mpmc),
        cmocka_unit_test(test_every_sequence),
        cmocka_unit_test(test_ordered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
