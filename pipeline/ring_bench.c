/* ring_bench.c: see ring_bench.h.
 *
 * The loops are written once and made for each ring by inlining, so that no call through a pointer blurs the
 * comparison; both rings are inline. Runs are short and many, in turn, so that a machine's other work
 * disturbs few of them, and both rings alike.
 */
#include "ring_bench.h"
#include "alloc.h"
#include "channel.h"
#include "clock.h"
#include <pthread.h>
#include <sched.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#ifdef HAVE_CK
#include <ck_ring.h>
#endif

#define REPEATS 41
#define CAPACITY 1024u
#define CHANNEL_VALUES 1000u
#define LANES_MAX 4
#define PAUSES_BEFORE_YIELD 64

/* What a thread of a task works on. */
struct lane {
    alignas(64) void *ring; /* pushed to */
    void *back;             /* popped from */
    uint32_t first, values;
    /* shared by the task's threads: START_; the store (release) pairs with the lanes' loads (acquire) */
    atomic_int *start;
    uint64_t sum; /* of the values taken */
};

enum { START_PENDING, START_GO, START_ABORT };

typedef void *lane_function(void *lane);

/* A ring as the tasks see it: its making, and its threads' functions. */
struct implementation {
    void *(*create)(void);
    void (*destroy)(void *ring);
    lane_function *same_thread, *producer, *consumer, *ping, *pong;
};

static bool started(const struct lane *lane)
{
    int now;
    while ((now = atomic_load_explicit(lane->start, memory_order_acquire)) == START_PENDING)
        sched_yield();
    return now == START_GO;
}

/* Both sides' rings are tried the same way: a few pauses, then the core goes to whom it may concern. */
static inline void back_off(unsigned *tries)
{
    if (++*tries % PAUSES_BEFORE_YIELD == 0)
        sched_yield();
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

#define INLINE static inline __attribute__((always_inline))
typedef bool push_function(void *ring, uint32_t value);
typedef bool pop_function(void *ring, uint32_t *value);

INLINE void *same_thread(struct lane *lane, push_function *push, pop_function *pop)
{
    uint32_t values = started(lane) ? lane->values : 0;
    void *ring = lane->ring;
    uint64_t sum = 0;
    for (uint32_t i = 0; i < values; i++) {
        uint32_t value = 0;
        push(ring, i);
        pop(ring, &value);
        sum += value;
    }
    lane->sum = sum;
    return NULL;
}

INLINE void *produce(struct lane *lane, push_function *push)
{
    uint32_t values = started(lane) ? lane->values : 0;
    for (uint32_t i = 0; i < values; i++)
        for (unsigned tries = 0; !push(lane->ring, lane->first + i);)
            back_off(&tries);
    return NULL;
}

INLINE void *consume(struct lane *lane, pop_function *pop)
{
    uint32_t values = started(lane) ? lane->values : 0;
    uint64_t sum = 0;
    for (uint32_t i = 0; i < values; i++) {
        uint32_t value = 0;
        for (unsigned tries = 0; !pop(lane->back, &value);)
            back_off(&tries);
        sum += value;
    }
    lane->sum = sum;
    return NULL;
}

/* The one that serves pushes first, the other answers. */
INLINE void *ping_pong(struct lane *lane, bool serves, push_function *push, pop_function *pop)
{
    uint32_t values = started(lane) ? lane->values : 0;
    uint64_t sum = 0;
    for (uint32_t i = 0; i < values; i++) {
        uint32_t value = 0;
        if (serves)
            push(lane->ring, i);
        for (unsigned tries = 0; !pop(lane->back, &value);)
            back_off(&tries);
        if (!serves)
            push(lane->ring, value);
        sum += value;
    }
    lane->sum = sum;
    return NULL;
}

/* The threads' functions of one ring, and the table of them. */
#define IMPLEMENTATION(name, create, destroy, push, pop)                                                     \
    static void *name##_same_thread(void *lane)                                                              \
    {                                                                                                        \
        return same_thread(lane, push, pop);                                                                 \
    }                                                                                                        \
    static void *name##_producer(void *lane)                                                                 \
    {                                                                                                        \
        return produce(lane, push);                                                                          \
    }                                                                                                        \
    static void *name##_consumer(void *lane)                                                                 \
    {                                                                                                        \
        return consume(lane, pop);                                                                           \
    }                                                                                                        \
    static void *name##_ping(void *lane)                                                                     \
    {                                                                                                        \
        return ping_pong(lane, true, push, pop);                                                             \
    }                                                                                                        \
    static void *name##_pong(void *lane)                                                                     \
    {                                                                                                        \
        return ping_pong(lane, false, push, pop);                                                            \
    }                                                                                                        \
    static const struct implementation name = {                                                              \
        create, destroy, name##_same_thread, name##_producer, name##_consumer, name##_ping, name##_pong};

static void *own_create(enum rs_ring_kind kind)
{
    struct rs_ring *ring = NULL;
    return rs_ring_create(&ring, kind, CAPACITY, 0, NULL) < 0 ? NULL : ring;
}

static void *own_create_spsc(void)
{
    return own_create(RS_RING_SPSC);
}

static void *own_create_mpmc(void)
{
    return own_create(RS_RING_MPMC);
}

static void own_destroy(void *ring)
{
    rs_ring_destroy(ring);
}

static inline bool own_spsc_push(void *ring, uint32_t value)
{
    return rs_ring_push_spsc(ring, value) == 0;
}

static inline bool own_spsc_pop(void *ring, uint32_t *value)
{
    return rs_ring_pop_spsc(ring, value) == 0;
}

static inline bool own_mpmc_push(void *ring, uint32_t value)
{
    return rs_ring_push_mpmc(ring, value) == 0;
}

static inline bool own_mpmc_pop(void *ring, uint32_t *value)
{
    return rs_ring_pop_mpmc(ring, value) == 0;
}

IMPLEMENTATION(own_spsc, own_create_spsc, own_destroy, own_spsc_push, own_spsc_pop)
IMPLEMENTATION(own_mpmc, own_create_mpmc, own_destroy, own_mpmc_push, own_mpmc_pop)

#ifdef HAVE_CK
struct ck {
    ck_ring_t ring;
    ck_ring_buffer_t cells[CAPACITY];
};

static void *ck_create(void)
{
    struct ck *ck = rs_calloc(1, sizeof *ck);
    if (ck)
        ck_ring_init(&ck->ring, CAPACITY);
    return ck;
}

static void ck_destroy(void *ring)
{
    rs_free(ring);
}

/* The value itself goes in the pointer's place, as a program with 32-bit values would do it. */
static inline void *pointer_of(uint32_t value)
{
    return (void *)(uintptr_t)value; /* NOLINT(performance-no-int-to-ptr) */
}

static inline bool ck_spsc_push(void *ring, uint32_t value)
{
    struct ck *ck = ring;
    return ck_ring_enqueue_spsc(&ck->ring, ck->cells, pointer_of(value));
}

static inline bool ck_spsc_pop(void *ring, uint32_t *value)
{
    struct ck *ck = ring;
    void *entry;
    bool taken = ck_ring_dequeue_spsc(&ck->ring, ck->cells, &entry);
    if (taken)
        *value = (uint32_t)(uintptr_t)entry;
    return taken;
}

static inline bool ck_mpmc_push(void *ring, uint32_t value)
{
    struct ck *ck = ring;
    return ck_ring_enqueue_mpmc(&ck->ring, ck->cells, pointer_of(value));
}

static inline bool ck_mpmc_pop(void *ring, uint32_t *value)
{
    struct ck *ck = ring;
    void *entry;
    bool taken = ck_ring_dequeue_mpmc(&ck->ring, ck->cells, &entry);
    if (taken)
        *value = (uint32_t)(uintptr_t)entry;
    return taken;
}

IMPLEMENTATION(ck_spsc, ck_create, ck_destroy, ck_spsc_push, ck_spsc_pop)
IMPLEMENTATION(ck_mpmc, ck_create, ck_destroy, ck_mpmc_push, ck_mpmc_pop)
#define CK(name) (&ck_##name)
#else
#define CK(name) NULL
#endif

enum shape { ONE_THREAD, STREAM, PING_PONG };

/* A task: what runs, on which rings. */
struct task {
    const char *name;
    enum shape shape;
    unsigned pairs;  /* of producer and consumer */
    uint32_t values; /* of each producer */
    const struct implementation *own, *ck;
};

static const struct task tasks[] = {
    {"SPSC push and pop, one thread", ONE_THREAD, 1, 200000, &own_spsc, CK(spsc)},
    {"MPMC push and pop, one thread", ONE_THREAD, 1, 100000, &own_mpmc, CK(mpmc)},
    {"SPSC stream, 1 to 1 threads", STREAM, 1, 200000, &own_spsc, CK(spsc)},
    {"MPMC stream, 1 to 1 threads", STREAM, 1, 100000, &own_mpmc, CK(mpmc)},
    {"MPMC stream, 2 to 2 threads", STREAM, 2, 50000, &own_mpmc, CK(mpmc)},
    {"SPSC ping-pong, one way", PING_PONG, 1, 3000, &own_spsc, CK(spsc)},
    {"MPMC ping-pong, one way", PING_PONG, 1, 3000, &own_mpmc, CK(mpmc)},
};

/* Runs the lanes' threads from one start; gives the nanoseconds from the start to the end of the last. */
static int run_lanes(struct lane *lanes, lane_function *const *functions, unsigned count, uint64_t *ns,
                     struct rs_error *err)
{
    pthread_t threads[LANES_MAX];
    atomic_int start = START_PENDING;
    unsigned running = 0;
    int code = 0;
    for (; running < count && code == 0; running += code == 0) {
        lanes[running].start = &start;
        code = pthread_create(&threads[running], NULL, functions[running], &lanes[running]);
    }
    uint64_t began = rs_now_ns();
    atomic_store_explicit(&start, code == 0 ? START_GO : START_ABORT, memory_order_release);
    for (unsigned i = 0; i < running; i++)
        pthread_join(threads[i], NULL);
    *ns = rs_now_ns() - began;
    if (code != 0)
        return rs_error_set(err, RS_E_THREAD, "a thread of the benchmark could not be started (errno %d)",
                            code);
    return 0;
}

/* Sets up the lanes of a task on two rings; gives their number and the sum of all values that will be taken.
 */
static unsigned plan_lanes(const struct task *task, const struct implementation *with, void *const rings[2],
                           struct lane *lanes, lane_function **functions, uint64_t *sum)
{
    uint64_t each = (uint64_t)task->values * (task->values - 1) / 2;
    struct lane plain = {.ring = rings[0], .back = rings[0], .values = task->values};
    if (task->shape == ONE_THREAD) {
        lanes[0] = plain;
        functions[0] = with->same_thread;
        *sum = each;
        return 1;
    }
    *sum = 0;
    for (size_t p = 0; p < task->pairs; p++) {
        lanes[2 * p] = lanes[2 * p + 1] = plain;
        lanes[2 * p].first = (uint32_t)p * task->values;
        functions[2 * p] = task->shape == STREAM ? with->producer : with->ping;
        functions[2 * p + 1] = task->shape == STREAM ? with->consumer : with->pong;
        *sum += each + (uint64_t)p * task->values * task->values;
    }
    if (task->shape == PING_PONG) {
        lanes[0].back = lanes[1].ring = rings[1];
        *sum *= 2;
    }
    return 2 * task->pairs;
}

/* One run of a task; gives nanoseconds a value. */
static int run_task(const struct task *task, const struct implementation *with, double *ns_each,
                    struct rs_error *err)
{
    struct lane lanes[LANES_MAX];
    lane_function *functions[LANES_MAX];
    uint64_t wanted, taken = 0, ns;
    void *rings[2] = {with->create(), with->create()};
    int code = 0;
    if (!rings[0] || !rings[1]) {
        code = rs_error_set(err, RS_E_NOMEM, "no memory for a ring");
        goto done;
    }
    unsigned count = plan_lanes(task, with, rings, lanes, functions, &wanted);
    code = run_lanes(lanes, functions, count, &ns, err);
    if (code < 0)
        goto done;
    for (unsigned i = 0; i < count; i++)
        taken += lanes[i].sum;
    if (taken != wanted)
        code = rs_error_set(err, RS_E_CORRUPT, "%s: values of sum %llu went in, %llu came out", task->name,
                            (unsigned long long)wanted, (unsigned long long)taken);
    *ns_each = (double)ns / task->values / task->pairs / (task->shape == PING_PONG ? 2 : 1);

done:
    for (int i = 0; i < 2; i++)
        if (rings[i])
            with->destroy(rings[i]);
    return code;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, unsigned count)
{
    qsort(values, count, sizeof *values, by_value);
    return values[count / 2];
}

static int compare(const struct task *task, FILE *out, struct rs_error *err)
{
    double own[REPEATS], other[REPEATS];
    for (unsigned i = 0; i < REPEATS; i++) {
        RS_TRY(run_task(task, task->own, &own[i], err));
        if (task->ck)
            RS_TRY(run_task(task, task->ck, &other[i], err));
    }
    double ns = median(own, REPEATS);
    fprintf(out, "%-32s %8.1f", task->name, ns);
    if (task->ck) {
        double ck_ns = median(other, REPEATS);
        fprintf(out, " %8.1f %8.2f", ck_ns, ck_ns / ns);
    }
    fputc('\n', out);
    return 0;
}

/* Channels wait at their gate, so their numbers show what parking and waking cost. */
static void *channel_ping(void *arg)
{
    struct lane *lane = arg;
    for (uint32_t i = 0; i < lane->values && started(lane); i++) {
        uint32_t value = 0;
        rs_channel_push(lane->ring, i);
        if (rs_channel_pop(lane->back, &value, NULL) < 0)
            break;
        lane->sum += value;
    }
    return NULL;
}

static void *channel_pong(void *arg)
{
    struct lane *lane = arg;
    for (uint32_t i = 0; i < lane->values && started(lane); i++) {
        uint32_t value = 0;
        if (rs_channel_pop(lane->back, &value, NULL) < 0)
            break;
        rs_channel_push(lane->ring, value);
        lane->sum += value;
    }
    return NULL;
}

static int run_channels(FILE *out, struct rs_error *err)
{
    static lane_function *const functions[2] = {channel_ping, channel_pong};
    struct rs_run *run = NULL;
    struct rs_channel *there = NULL, *back = NULL;
    double ns_each[REPEATS];
    int code = rs_run_create(&run, err);
    if (code == 0)
        code = rs_channel_create(&there, run, RS_RING_SPSC, CAPACITY, 0, err);
    if (code == 0)
        code = rs_channel_create(&back, run, RS_RING_SPSC, CAPACITY, 0, err);
    for (unsigned i = 0; i < REPEATS && code == 0; i++) {
        struct lane lanes[2] = {{.ring = there, .back = back, .values = CHANNEL_VALUES},
                                {.ring = back, .back = there, .values = CHANNEL_VALUES}};
        uint64_t ns;
        code = run_lanes(lanes, functions, 2, &ns, err);
        ns_each[i] = (double)ns / CHANNEL_VALUES / 2;
    }
    if (code == 0)
        fprintf(out, "%-32s %8.1f\n", "channel ping-pong, one way", median(ns_each, REPEATS));
    rs_channel_destroy(back);
    rs_channel_destroy(there);
    rs_run_destroy(run);
    return code;
}

int rs_ring_bench_run(FILE *out, struct rs_error *err)
{
    fprintf(out, "nanoseconds a value, median of %d runs in turn", REPEATS);
#ifdef HAVE_CK
    fprintf(out, "; speedup is ck_ring's time by ours\n%-32s %8s %8s %8s\n", "task", "rstream", "ck_ring",
            "speedup");
#else
    fprintf(out, "; built without Concurrency Kit, so nothing to compare with (libck-dev)\n%-32s %8s\n",
            "task", "rstream");
#endif
    for (size_t i = 0; i < sizeof tasks / sizeof tasks[0]; i++)
        RS_TRY(compare(&tasks[i], out, err));
    return run_channels(out, err);
}
