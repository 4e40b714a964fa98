/* worker_pool.c: see worker_pool.h.
 *
 * Each worker is a thread that pops tickets until the end token or the run's stop. What it counts lies in its
 * own cache lines, written by it alone and added up by the reader, so counting costs no contention.
 *
 * Why the end comes last: a worker passes a chunk on before it pops the next ticket, and tickets are popped
 * in the order of their pushing. So when a worker pops the end token, its own chunks have gone on; when the
 * last worker does, all have.
 */
#include "worker_pool.h"
#include "alloc.h"
#include "clock.h"
#include "log.h"
#include <pthread.h>
#include <sched.h>
#include <stdalign.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define STAGES_MAX 4u
#define WORKERS_MAX 1024u
#define NICE_IDLE 20
#define NAME_MAX_BYTES 16 /* Linux: with the zero */

/* One stage's figures of one worker. Written by the worker (relaxed load and store, for it is the only
 * writer), pairs with the relaxed loads of rs_worker_pool_figures. */
struct counters {
    atomic_uint_fast64_t batches, samples, busy_ns;
};

struct worker {
    /* set before the thread starts */
    alignas(64) struct rs_worker_pool *pool;
    uint32_t number;
    pthread_t thread;

    /* the worker's own */
    struct rs_lane *lane;
    void *scratch;
    struct counters counters[STAGES_MAX];
    atomic_uint_fast64_t wait_input_ns; /* as counters */
};

enum start { START_PENDING, START_GO, START_ABORT };

struct rs_worker_pool {
    /* set once */
    struct rs_worker_pool_options options;
    struct rs_stage stages[STAGES_MAX];
    uint32_t stage_names[STAGES_MAX]; /* of spans */
    uint32_t chunk_name;              /* "decode", or "decode+resize+normalize" */
    struct worker *workers;

    /* the creator's */
    uint32_t started;

    /* shared, protected by mutex: threads hold still until all of them exist */
    pthread_mutex_t mutex;
    pthread_cond_t start_changed;
    enum start start;

    /* Workers that have not seen the end token. The fetch_sub (acq_rel) that reaches 0 pairs with those of
     * the others, so the last one passes the end on after all they did. */
    atomic_uint alive;
    /* The store (release) in rs_worker_pool_set_end pairs with the last worker's load (acquire). */
    atomic_uint_fast64_t end_seq;
};

static void count(atomic_uint_fast64_t *counter, uint64_t more)
{
    uint64_t now = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, now + more, memory_order_relaxed);
}

static void name_spans(struct rs_worker_pool *pool)
{
    char joined[48];
    int at = 0;
    for (uint32_t i = 0; i < pool->options.stage_count; i++) {
        const char *name = pool->stages[i].ops->name;
        pool->stage_names[i] = rs_spans_name(pool->options.spans, name);
        int room = (int)sizeof joined - at;
        int length = snprintf(joined + at, (size_t)room, "%s%s", i ? "+" : "", name);
        at += length < room ? length : room - 1;
    }
    pool->chunk_name = rs_spans_name(pool->options.spans, joined);
}

int rs_worker_pool_create(struct rs_worker_pool **out, const struct rs_worker_pool_options *options,
                          struct rs_error *err)
{
    RS_ASSERT(options->stage_count >= 1 && options->stage_count <= STAGES_MAX);
    RS_ASSERT(options->pool_index < RS_POOLS_MAX && !options->next != !options->published);
    if (options->threads < 1 || options->threads > WORKERS_MAX)
        return rs_error_set(err, RS_E_USAGE, "%u workers; give 1 to %u (--workers)", options->threads,
                            WORKERS_MAX);
    struct rs_worker_pool *pool = rs_calloc(1, sizeof *pool);
    if (!pool)
        goto fail_pool;
    pool->workers = rs_calloc(options->threads, sizeof *pool->workers);
    if (!pool->workers)
        goto fail_workers;
    pool->options = *options;
    for (uint32_t i = 0; i < options->stage_count; i++)
        pool->stages[i] = options->stages[i];
    name_spans(pool);
    for (uint32_t i = 0; i < options->threads; i++) {
        pool->workers[i].pool = pool;
        pool->workers[i].number = i;
    }
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->start_changed, NULL);
    atomic_init(&pool->alive, options->threads);
    *out = pool;
    return 0;

fail_workers:
    rs_free(pool);
fail_pool:
    return rs_error_set(err, RS_E_NOMEM, "no memory for %u workers", options->threads);
}

void rs_worker_pool_destroy(struct rs_worker_pool *pool)
{
    if (!pool)
        return;
    RS_ASSERT(!pool->started);
    pthread_cond_destroy(&pool->start_changed);
    pthread_mutex_destroy(&pool->mutex);
    rs_free(pool->workers);
    rs_free(pool);
}

/* Names the calling thread and sets its priority. Neither is needed for right results, so a refusal is no
 * error. */
static void introduce_thread(struct worker *worker)
{
    const struct rs_worker_pool *pool = worker->pool;
    char name[NAME_MAX_BYTES];
    /* the number matters more than the end of the stage's name */
    snprintf(name, sizeof name, "%.10s.%u", pool->stages[0].ops->name, worker->number);
    pthread_setname_np(pthread_self(), name);
    worker->lane = rs_spans_lane(pool->options.spans, name);
    int niceness = pool->options.niceness;
    if (niceness >= NICE_IDLE) {
        if (sched_setscheduler(0, SCHED_IDLE, &(struct sched_param){0}) == 0)
            return;
        niceness = NICE_IDLE - 1;
    }
    /* Linux keeps a niceness per thread: 0 is the caller. Where it is as wanted already, nothing is asked
     * for. */
    id_t tid = (id_t)syscall(SYS_gettid);
    if (getpriority(PRIO_PROCESS, tid) < niceness && setpriority(PRIO_PROCESS, tid, niceness) != 0)
        rs_log(RS_LOG_DEBUG, "%s: the system refuses niceness %d", name, niceness);
}

/* Waits until all threads of the pool exist. False: they don't, leave. */
static bool wait_for_start(struct rs_worker_pool *pool)
{
    pthread_mutex_lock(&pool->mutex);
    while (pool->start == START_PENDING)
        pthread_cond_wait(&pool->start_changed, &pool->mutex);
    bool go = pool->start == START_GO;
    pthread_mutex_unlock(&pool->mutex);
    return go;
}

static void set_start(struct rs_worker_pool *pool, enum start start)
{
    pthread_mutex_lock(&pool->mutex);
    pool->start = start;
    pthread_cond_broadcast(&pool->start_changed);
    pthread_mutex_unlock(&pool->mutex);
}

/* One sample through one stage; an error ends the run. */
static int run_sample(struct worker *worker, uint32_t stage, struct rs_slot *slot, uint32_t index)
{
    struct rs_error err = {0};
    const struct rs_stage *s = &worker->pool->stages[stage];
    int code = s->ops->sample(s->self, worker->scratch, slot, index, &err);
    if (code >= 0)
        return 0;
    if (!err.code)
        rs_error_set(&err, code, "%s", rs_error_text(code));
    return rs_run_fail(worker->pool->options.run, s->ops->name, &err);
}

/* Samples first to last - 1 of slot through all stages, sample by sample. Returns 0, or a code when the run
 * is over. With one stage the clock is read once a chunk, with several between any two calls. */
static int run_samples(struct worker *worker, struct rs_slot *slot, uint32_t first, uint32_t last)
{
    uint32_t stages = worker->pool->options.stage_count;
    uint64_t began = rs_now_ns();
    for (uint32_t i = first; i < last; i++) {
        if (rs_run_stopped(worker->pool->options.run))
            return RS_E_CANCELLED;
        for (uint32_t s = 0; s < stages; s++) {
            if (stages > 1)
                rs_lane_range_begin(worker->lane, worker->pool->stage_names[s], slot->seq);
            int code = run_sample(worker, s, slot, i);
            if (stages > 1)
                rs_lane_range_end(worker->lane);
            RS_TRY(code);
            if (stages == 1)
                continue;
            uint64_t now = rs_now_ns();
            count(&worker->counters[s].busy_ns, now - began);
            began = now;
        }
    }
    if (stages == 1)
        count(&worker->counters[0].busy_ns, rs_now_ns() - began);
    for (uint32_t s = 0; s < stages; s++)
        count(&worker->counters[s].samples, last - first);
    return 0;
}

static int run_ticket(struct worker *worker, uint32_t ticket)
{
    const struct rs_worker_pool_options *o = &worker->pool->options;
    struct rs_slot *slot = rs_pool_slot(o->slots, rs_ticket_slot(ticket));
    uint32_t chunk = rs_ticket_chunk(ticket);
    RS_ASSERT(chunk < slot->chunks);
    uint32_t first = chunk * slot->chunk_size;
    uint32_t last = slot->count - first < slot->chunk_size ? slot->count : first + slot->chunk_size;
    rs_lane_begin(worker->lane, worker->pool->chunk_name, slot->seq);
    int code = run_samples(worker, slot, first, last);
    rs_lane_end(worker->lane);
    RS_TRY(code);

    /* acq_rel: pairs with the other chunks' workers' fetch_sub, so the last one sees all their samples */
    uint32_t before = atomic_fetch_sub_explicit(&slot->pending[o->pool_index], 1, memory_order_acq_rel);
    RS_ASSERT(before >= 1);
    if (before == 1)
        for (uint32_t s = 0; s < o->stage_count; s++)
            count(&worker->counters[s].batches, 1);
    if (o->next) {
        rs_channel_push(o->next, ticket);
    } else if (before == 1) {
        rs_slot_hand_over(slot, RS_SLOT_WORKERS, RS_SLOT_READY);
        rs_channel_publish(o->published, slot->seq, slot->index);
    }
    return 0;
}

/* To the siblings while there are any, else downstream. */
static void pass_end_on(struct rs_worker_pool *pool)
{
    const struct rs_worker_pool_options *o = &pool->options;
    if (atomic_fetch_sub_explicit(&pool->alive, 1, memory_order_acq_rel) > 1)
        rs_channel_push(o->in, RS_TOKEN_END);
    else if (o->next)
        rs_channel_push(o->next, RS_TOKEN_END);
    else
        rs_channel_publish(o->published, atomic_load_explicit(&pool->end_seq, memory_order_acquire),
                           RS_TOKEN_END);
}

static void work(struct worker *worker)
{
    struct rs_worker_pool *pool = worker->pool;
    for (;;) {
        uint32_t ticket;
        uint64_t waited_ns = 0;
        int code = rs_channel_pop(pool->options.in, &ticket, &waited_ns);
        count(&worker->wait_input_ns, waited_ns);
        if (code < 0)
            return;
        if (ticket == RS_TOKEN_END) {
            pass_end_on(pool);
            return;
        }
        if (run_ticket(worker, ticket) < 0)
            return;
    }
}

static void *worker_main(void *arg)
{
    struct worker *worker = arg;
    const struct rs_worker_pool_options *o = &worker->pool->options;
    struct rs_error err = {0};
    if (!wait_for_start(worker->pool))
        return NULL;
    introduce_thread(worker);
    if (o->scratch_create && o->scratch_create(o->scratch_arg, &worker->scratch, &err) < 0) {
        rs_run_fail(o->run, worker->pool->stages[0].ops->name, &err);
        return NULL;
    }
    work(worker);
    if (o->scratch_destroy)
        o->scratch_destroy(o->scratch_arg, worker->scratch);
    return NULL;
}

int rs_worker_pool_start(struct rs_worker_pool *pool, struct rs_error *err)
{
    RS_ASSERT(!pool->started && pool->start == START_PENDING);
    uint32_t threads = pool->options.threads;
    for (uint32_t i = 0; i < threads; i++) {
        int code = pthread_create(&pool->workers[i].thread, NULL, worker_main, &pool->workers[i]);
        if (code != 0) {
            set_start(pool, START_ABORT);
            rs_worker_pool_join(pool);
            return rs_error_set(
                err, RS_E_THREAD,
                "thread %u of %u for stage '%s' could not be started (errno %d); use fewer --workers", i + 1,
                threads, pool->stages[0].ops->name, code);
        }
        pool->started++;
    }
    set_start(pool, START_GO);
    return 0;
}

void rs_worker_pool_join(struct rs_worker_pool *pool)
{
    for (uint32_t i = 0; i < pool->started; i++)
        pthread_join(pool->workers[i].thread, NULL);
    pool->started = 0;
}

void rs_worker_pool_figures(const struct rs_worker_pool *pool, uint32_t i, struct rs_stage_figures *out)
{
    RS_ASSERT(i < pool->options.stage_count);
    *out = (struct rs_stage_figures){.threads = pool->options.threads};
    for (uint32_t w = 0; w < pool->options.threads; w++) {
        const struct worker *worker = &pool->workers[w];
        const struct counters *c = &worker->counters[i];
        out->batches += atomic_load_explicit(&c->batches, memory_order_relaxed);
        out->samples += atomic_load_explicit(&c->samples, memory_order_relaxed);
        out->busy_ns += atomic_load_explicit(&c->busy_ns, memory_order_relaxed);
        if (i == 0)
            out->wait_input_ns += atomic_load_explicit(&worker->wait_input_ns, memory_order_relaxed);
    }
}

void rs_worker_pool_set_end(struct rs_worker_pool *pool, uint64_t end_seq)
{
    atomic_store_explicit(&pool->end_seq, end_seq, memory_order_release);
}
