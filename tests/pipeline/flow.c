/* flow.c: see flow.h. */
#include "flow.h"
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

struct payload {
    uint32_t stage_of[FLOW_SAMPLES_MAX]; /* stages that the sample has passed */
    uint64_t number_of[FLOW_SAMPLES_MAX];
};

struct flow;

/* A worker's own: TSan tells if it isn't. */
struct scratch {
    uint64_t calls;
    uint64_t late_number; /* of the last sample that began after the stop, plus 1 */
    uint32_t late;
};

struct stage_self {
    struct flow *flow;
    uint32_t number;
};

struct flow {
    const struct flow_options *o;
    struct rs_run *run;
    struct rs_pool *slots;
    struct rs_channel *tickets[RS_POOLS_MAX];
    struct rs_channel *ready;
    struct rs_worker_pool *pools[RS_POOLS_MAX];
    struct rs_stage stages[FLOW_STAGES_MAX];
    struct stage_self selves[FLOW_STAGES_MAX];
    struct payload payloads[RS_SLOTS_MAX];
    atomic_uint scratches;      /* pairs with itself */
    atomic_uint wrong;          /* pairs with itself */
    atomic_uint_fast64_t calls; /* pairs with itself */
    atomic_bool over;           /* pairs with itself */

    /* shared, protected by mutex */
    pthread_mutex_t mutex;
    char thread_name[16];
    int niceness;
    uint32_t late, late_most;
};

static void note_thread(struct flow *flow)
{
    pthread_mutex_lock(&flow->mutex);
    pthread_getname_np(pthread_self(), flow->thread_name, sizeof flow->thread_name);
    flow->niceness =
        sched_getscheduler(0) == SCHED_IDLE ? 20 : getpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid));
    pthread_mutex_unlock(&flow->mutex);
}

static void note_call(struct flow *flow, struct scratch *scratch, uint64_t number)
{
    scratch->calls++;
    atomic_fetch_add_explicit(&flow->calls, 1, memory_order_relaxed);
    if (rs_run_stopped(flow->run) && scratch->late_number != number + 1) {
        scratch->late_number = number + 1;
        scratch->late++;
    }
}

static bool is_bad(const struct flow_options *o, uint32_t stage, uint64_t number)
{
    return o->fail_code && stage == o->fail_stage &&
           (number == o->fail_at || (o->fail_from_there && number > o->fail_at));
}

static int sample(void *arg, void *scratch, struct rs_slot *slot, uint32_t i, struct rs_error *err)
{
    struct stage_self *self = arg;
    struct flow *flow = self->flow;
    const struct flow_options *o = flow->o;
    struct payload *p = slot->payload;
    uint64_t number = (slot->seq - o->first_seq) * o->samples + i;
    note_call(flow, scratch, number);
    if (p->stage_of[i] != self->number || p->number_of[i] != number)
        atomic_fetch_add_explicit(&flow->wrong, 1, memory_order_relaxed);
    p->stage_of[i]++;
    if (i == 0)
        note_thread(flow);
    if (o->yields)
        sched_yield();
    if (is_bad(o, self->number, number)) {
        if (o->fail_silently)
            return o->fail_code;
        if (o->fail_code != RS_E_CANCELLED)
            return rs_error_set(err, o->fail_code, "sample %llu is bad", (unsigned long long)number);
        rs_run_cancel(flow->run);
    }
    return 0;
}

static const struct rs_stage_ops ops[FLOW_STAGES_MAX] = {
    {"one", sample}, {"two", sample}, {"three", sample}, {"four", sample}};

static int scratch_create(void *arg, void **scratch, struct rs_error *err)
{
    struct flow *flow = arg;
    if (flow->o->scratch_fails)
        return rs_error_set(err, RS_E_NOMEM, "no scratch");
    atomic_fetch_add_explicit(&flow->scratches, 1, memory_order_relaxed);
    *scratch = calloc(1, sizeof(struct scratch));
    return 0;
}

static void scratch_destroy(void *arg, void *scratch)
{
    struct flow *flow = arg;
    uint32_t late = ((struct scratch *)scratch)->late;
    pthread_mutex_lock(&flow->mutex);
    flow->late += late;
    flow->late_most = late > flow->late_most ? late : flow->late_most;
    pthread_mutex_unlock(&flow->mutex);
    free(scratch);
    atomic_fetch_sub_explicit(&flow->scratches, 1, memory_order_relaxed);
}

static void feed_batch(struct flow *flow, struct rs_slot *slot, uint32_t batch)
{
    const struct flow_options *o = flow->o;
    struct payload *p = slot->payload;
    slot->seq = o->first_seq + batch;
    slot->count = o->samples - batch % 2; /* the last chunk is often shorter */
    slot->chunk_size = o->chunk_size;
    slot->chunks = (slot->count + o->chunk_size - 1) / o->chunk_size;
    for (uint32_t i = 0; i < slot->count; i++) {
        p->stage_of[i] = 0;
        p->number_of[i] = (uint64_t)batch * o->samples + i;
    }
    for (uint32_t i = 0; i < RS_POOLS_MAX; i++)
        atomic_store_explicit(&slot->pending[i], slot->chunks, memory_order_relaxed);
    rs_slot_hand_over(slot, "read", RS_SLOT_WORKERS);
    for (uint32_t c = 0, chunks = slot->chunks; c < chunks; c++)
        rs_channel_push(flow->tickets[0], rs_ticket(slot, c));
}

static void *feed(void *arg)
{
    struct flow *flow = arg;
    const struct flow_options *o = flow->o;
    for (uint32_t batch = 0; batch < o->batches; batch++) {
        struct rs_slot *slot;
        while (rs_pool_try_take(flow->slots, &slot) == RS_AGAIN) {
            if (rs_run_stopped(flow->run))
                return NULL;
            sched_yield();
        }
        rs_slot_hand_over(slot, NULL, "read");
        feed_batch(flow, slot, batch);
    }
    rs_worker_pool_set_end(flow->pools[o->pools - 1], o->first_seq + o->batches);
    rs_channel_push(flow->tickets[0], RS_TOKEN_END);
    return NULL;
}

static void *stop_from_outside(void *arg)
{
    struct flow *flow = arg;
    struct rs_error cause;
    while (atomic_load_explicit(&flow->calls, memory_order_relaxed) < flow->o->outside_at) {
        if (atomic_load_explicit(&flow->over, memory_order_relaxed))
            return NULL;
        sched_yield();
    }
    rs_error_set(&cause, RS_E_IO, "stopped from outside");
    if (flow->o->outside_fails)
        rs_run_fail(flow->run, "outside", &cause);
    else
        rs_run_cancel(flow->run);
    return NULL;
}

static void take_all(struct flow *flow, struct flow_result *result)
{
    uint32_t value;
    while (rs_channel_pop(flow->ready, &value, NULL) == 0) {
        if (value == RS_TOKEN_END) {
            result->end_seen = true;
            return;
        }
        struct rs_slot *slot = rs_pool_slot(flow->slots, value);
        const struct payload *p = slot->payload;
        if (slot->seq != flow->o->first_seq + result->batches_taken++)
            result->wrong++;
        for (uint32_t i = 0; i < slot->count; i++)
            result->wrong += p->stage_of[i] != flow->o->stages;
        rs_pool_give_back(flow->slots, slot);
    }
    rs_run_error(flow->run, &result->first_error);
}

/* After all threads: a slot is on the free list, or ready (some behind a number that never came), or a chunk
 * of it isn't done. */
static void count_slots(struct flow *flow, struct flow_result *result)
{
    uint32_t last = flow->o->pools - 1, index, seen[RS_SLOTS_MAX] = {0};
    struct rs_slot *slot;
    while (rs_pool_try_take(flow->slots, &slot) == 0)
        seen[slot->index]++;
    while (rs_channel_try_pop(flow->ready, &index) == 0)
        if (index != RS_TOKEN_END)
            seen[index]++;
    uint32_t behind_a_gap = rs_channel_length(flow->ready), finished = 0;
    for (uint32_t i = 0; i < flow->o->slots; i++) {
        bool unfinished = atomic_load(&rs_pool_slot(flow->slots, i)->pending[last]) > 0;
        result->slots_twice += seen[i] > 1 || (seen[i] && unfinished);
        finished += !seen[i] && !unfinished;
    }
    result->slots_lost = finished - behind_a_gap;
}

static int set_up_pool(struct flow *flow, uint32_t i)
{
    const struct flow_options *o = flow->o;
    bool last = i + 1 == o->pools;
    struct rs_worker_pool_options options = {
        .run = flow->run,
        .slots = flow->slots,
        .pool_index = i,
        .stages = &flow->stages[i],
        .stage_count = last ? o->stages - i : 1,
        .threads = o->threads,
        .niceness = o->niceness,
        .in = flow->tickets[i],
        .next = last ? NULL : flow->tickets[i + 1],
        .published = last ? flow->ready : NULL,
        .scratch_create = scratch_create,
        .scratch_destroy = scratch_destroy,
        .scratch_arg = flow,
    };
    return rs_worker_pool_create(&flow->pools[i], &options, NULL);
}

static int set_up(struct flow *flow)
{
    const struct flow_options *o = flow->o;
    uint32_t chunks = (o->samples + o->chunk_size - 1) / o->chunk_size;
    RS_TRY(rs_run_create(&flow->run, NULL));
    RS_TRY(rs_pool_create(&flow->slots, flow->run, o->slots, NULL));
    for (uint32_t i = 0; i < o->slots; i++)
        rs_pool_slot(flow->slots, i)->payload = &flow->payloads[i];
    RS_TRY(rs_channel_create(&flow->ready, flow->run, RS_RING_ORDERED, o->slots + 1, o->first_seq, NULL));
    for (uint32_t i = 0; i < o->stages; i++) {
        flow->selves[i] = (struct stage_self){flow, i};
        flow->stages[i] = (struct rs_stage){&ops[i], &flow->selves[i]};
    }
    for (uint32_t i = 0; i < o->pools; i++)
        RS_TRY(rs_channel_create(&flow->tickets[i], flow->run, RS_RING_MPMC, o->slots * chunks + 1, 0, NULL));
    for (uint32_t i = 0; i < o->pools; i++)
        RS_TRY(set_up_pool(flow, i));
    return 0;
}

static void tear_down(struct flow *flow)
{
    for (uint32_t i = 0; i < RS_POOLS_MAX; i++) {
        rs_worker_pool_destroy(flow->pools[i]);
        rs_channel_destroy(flow->tickets[i]);
    }
    rs_channel_destroy(flow->ready);
    rs_pool_destroy(flow->slots);
    rs_run_destroy(flow->run);
    pthread_mutex_destroy(&flow->mutex);
    free(flow);
}

static void read_figures(struct flow *flow, struct flow_result *result)
{
    for (uint32_t s = 0; s < flow->o->stages; s++) {
        uint32_t pool = s < flow->o->pools - 1 ? s : flow->o->pools - 1;
        rs_worker_pool_figures(flow->pools[pool], s - pool, &result->figures[s]);
    }
}

static void run_to_the_end(struct flow *flow, pthread_t feeder, struct flow_result *result)
{
    pthread_t outsider;
    bool watched = flow->o->outside_at && pthread_create(&outsider, NULL, stop_from_outside, flow) == 0;
    take_all(flow, result);
    atomic_store_explicit(&flow->over, true, memory_order_relaxed);
    pthread_join(feeder, NULL);
    for (uint32_t i = 0; i < flow->o->pools; i++)
        rs_worker_pool_join(flow->pools[i]);
    if (watched)
        pthread_join(outsider, NULL);
    result->code = rs_run_error(flow->run, &result->error);
    result->stopped = rs_run_stopped(flow->run);
    result->wrong += atomic_load(&flow->wrong);
    result->scratches_left = atomic_load(&flow->scratches);
    result->late = flow->late;
    result->late_most = flow->late_most;
    memcpy(result->thread_name, flow->thread_name, sizeof result->thread_name);
    result->niceness = flow->niceness;
    count_slots(flow, result);
    read_figures(flow, result);
}

int flow_run(const struct flow_options *options, struct flow_result *result)
{
    memset(result, 0, sizeof *result);
    struct flow *flow = calloc(1, sizeof *flow);
    if (!flow)
        return RS_E_NOMEM;
    flow->o = options;
    pthread_mutex_init(&flow->mutex, NULL);
    int code = set_up(flow);
    for (uint32_t i = 0; i < options->pools && code == 0; i++)
        code = rs_worker_pool_start(flow->pools[i], NULL);
    pthread_t feeder;
    if (code == 0 && pthread_create(&feeder, NULL, feed, flow) == 0)
        run_to_the_end(flow, feeder, result);
    tear_down(flow);
    return code;
}
