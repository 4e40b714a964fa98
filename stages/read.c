/* read.c: numbers batches, finds their bytes and hands their chunks to the workers as the bytes arrive. */
#include "read.h"

#include "batch.h"
#include "clock.h"
#include "store.h"

#include <string.h>

static const char stage_name[] = "read";

struct rs_read {
    struct rs_read_options o;
    struct rs_store *stores[2];
    uint32_t stores_loading;
    uint64_t next_seq;
    uint32_t batches_reading; /* whose bytes are not all there */
    bool end_pushed;
    struct rs_stage_figures figures;
    uint32_t span_name, free_name; /* of spans and counters */
    /* Waiting, 0: not so now. A wait for a slot begins when there is none and no batch's bytes are missing,
     * for slots that are all being read wait for the disk. A wait for bytes is interrupted by the stage's own
     * work. */
    uint64_t no_slot_since, reading_since;
    bool no_slot; /* the last look found none */
};

static int fail(struct rs_read *r, const struct rs_error *error)
{
    return rs_run_fail(r->o.run, stage_name, error);
}

/* The stage works now, or no read is in flight any more. */
static void end_wait_for_reads(struct rs_read *r, uint64_t now)
{
    if (r->reading_since)
        r->figures.wait_input_ns += now - r->reading_since;
    r->reading_since = 0;
}

static void batch_is_read(struct rs_read *r)
{
    r->batches_reading--;
    if (r->no_slot && !r->batches_reading)
        r->no_slot_since = rs_now_ns();
}

/* The bytes of a chunk are there. The slot may be gone when this returns. */
static void push_chunk(struct rs_read *r, struct rs_slot *slot, uint32_t chunk)
{
    struct rs_batch *b = slot->payload;
    uint32_t ticket = rs_ticket(slot, chunk);
    if (--b->unread_chunks == 0) {
        batch_is_read(r);
        r->figures.batches++;
        r->figures.samples += slot->count;
        rs_slot_hand_over(slot, stage_name, RS_SLOT_WORKERS);
    }
    rs_channel_push(r->o.tickets, ticket);
}

static void push_end(struct rs_read *r)
{
    if (r->end_pushed || r->batches_reading || r->next_seq < r->o.schedule->end)
        return;
    r->end_pushed = true;
    rs_worker_pool_set_end(r->o.last_workers, r->o.schedule->end);
    rs_channel_push(r->o.tickets, RS_TOKEN_END);
}

static void sample_read(struct rs_file_read *read, int code, const struct rs_error *error)
{
    struct rs_slot *slot = read->arg;
    struct rs_batch *b = slot->payload;
    struct rs_read *r = b->reader;
    uint32_t i = (uint32_t)(read - b->reads), chunk = i / slot->chunk_size;
    if (rs_loop_reads(r->o.loop) == 0)
        end_wait_for_reads(r, rs_now_ns());
    if (code < 0) {
        fail(r, error);
        return;
    }
    if (b->to_store[i])
        rs_store_fill(r->stores[slot->phase], b->refs[i].file);
    if (--b->chunk_reads[chunk] == 0)
        push_chunk(r, slot, chunk);
    push_end(r);
}

/* Finds where each sample's bytes are or shall go; gives the bytes that go into raw. */
static size_t place_samples(struct rs_read *r, struct rs_slot *slot, const struct rs_scheduled_batch *plan)
{
    struct rs_batch *b = slot->payload;
    const struct rs_source *source = r->o.sources[plan->phase];
    struct rs_store *store = r->stores[plan->phase];
    size_t raw = 0;
    memset(b->chunk_reads, 0, slot->chunks * sizeof *b->chunk_reads);
    for (uint32_t i = 0; i < slot->count; i++) {
        struct rs_sample_ref *ref = &b->refs[i];
        b->samples[i] = rs_schedule_sample(r->o.schedule, plan, i);
        rs_source_sample(source, b->samples[i], ref);
        const uint8_t *file = rs_store_find(store, ref->file);
        b->bytes[i] = file ? file + ref->offset : NULL;
        if (file)
            continue;
        b->chunk_reads[i / slot->chunk_size]++;
        uint8_t *place = rs_store_claim(store, ref->file);
        b->to_store[i] = place != NULL;
        b->reads[i].data = place;
        if (!place)
            raw += (size_t)ref->length;
    }
    return raw;
}

static void start_reads(struct rs_read *r, struct rs_slot *slot)
{
    struct rs_batch *b = slot->payload;
    size_t at = 0;
    for (uint32_t i = 0; i < slot->count; i++) {
        if (b->bytes[i])
            continue;
        struct rs_file_read *read = &b->reads[i];
        const struct rs_sample_ref *ref = &b->refs[i];
        if (!b->to_store[i]) {
            read->data = b->raw.data + at;
            at += (size_t)ref->length;
        }
        b->bytes[i] = read->data;
        read->path = ref->path;
        read->offset = ref->offset;
        read->length = (size_t)ref->length;
        read->to_end = ref->offset + ref->length == rs_source_file_size(r->o.sources[slot->phase], ref->file);
        read->done = sample_read;
        read->arg = slot;
        rs_loop_read(r->o.loop, read);
    }
}

static int begin_batch(struct rs_read *r, struct rs_slot *slot, struct rs_error *err)
{
    struct rs_batch *b = slot->payload;
    struct rs_scheduled_batch plan = rs_schedule_at(r->o.schedule, r->next_seq++);
    slot->seq = plan.seq;
    slot->epoch = plan.epoch;
    slot->phase = plan.phase;
    slot->count = plan.count;
    slot->chunk_size = r->o.chunk_size;
    slot->chunks = (plan.count + slot->chunk_size - 1) / slot->chunk_size;
    for (uint32_t p = 0; p < RS_POOLS_MAX; p++) /* relaxed: the ticket's push publishes it */
        atomic_store_explicit(&slot->pending[p], slot->chunks, memory_order_relaxed);
    b->reader = r;
    b->unread_chunks = slot->chunks;
    r->batches_reading++;
    RS_TRY(rs_buffer_reserve(&b->raw, place_samples(r, slot, &plan), err));
    start_reads(r, slot);
    /* the last push hands the slot over, so the bound is copied before */
    for (uint32_t c = 0, chunks = slot->chunks; c < chunks; c++)
        if (!b->chunk_reads[c])
            push_chunk(r, slot, c);
    return 0;
}

/* A free slot, if there is one; now is when the stage's turn began. */
static int take_slot(struct rs_read *r, uint64_t now, struct rs_slot **slot)
{
    r->no_slot = rs_pool_try_take(r->o.slots, slot) == RS_AGAIN;
    if (r->no_slot) {
        if (!r->no_slot_since && !r->batches_reading)
            r->no_slot_since = now;
        return RS_AGAIN;
    }
    if (r->no_slot_since)
        r->figures.wait_slot_ns += now - r->no_slot_since;
    r->no_slot_since = 0;
    rs_slot_hand_over(*slot, NULL, stage_name);
    return 0;
}

/* As many batches as there are free slots. */
static int begin_batches(struct rs_read *r, uint64_t now, struct rs_error *err)
{
    struct rs_slot *slot;
    while (r->next_seq < r->o.schedule->end && take_slot(r, now, &slot) == 0) {
        rs_lane_begin(r->o.lane, r->span_name, r->next_seq);
        int code = begin_batch(r, slot, err);
        rs_lane_end(r->o.lane);
        RS_TRY(code);
    }
    return 0;
}

/* Loop watcher. */
static void pump(void *arg)
{
    struct rs_read *r = arg;
    struct rs_error error;
    if (r->stores_loading || rs_run_stopped(r->o.run))
        return;
    uint64_t began = rs_now_ns();
    end_wait_for_reads(r, began);
    rs_lane_counter(r->o.lane, r->free_name, rs_pool_free_count(r->o.slots));
    if (begin_batches(r, began, &error) < 0) {
        fail(r, &error);
        return;
    }
    rs_lane_counter(r->o.lane, r->free_name, rs_pool_free_count(r->o.slots));
    push_end(r);
    uint64_t ended = rs_now_ns();
    r->figures.busy_ns += ended - began;
    if (rs_loop_reads(r->o.loop))
        r->reading_since = ended;
}

static void store_loaded(void *arg, int code, const struct rs_error *error)
{
    struct rs_read *r = arg;
    if (code < 0) {
        fail(r, error);
        return;
    }
    if (--r->stores_loading == 0)
        rs_loop_wake(r->o.loop);
}

int rs_read_create(struct rs_read **out, const struct rs_read_options *options, struct rs_error *err)
{
    struct rs_read *r = rs_calloc(1, sizeof *r);
    if (!r)
        return rs_error_set(err, RS_E_NOMEM, "no memory for the read stage");
    r->o = *options;
    r->next_seq = options->first_seq;
    r->figures.threads = 1;
    r->span_name = rs_spans_name(options->spans, stage_name);
    r->free_name = rs_spans_name(options->spans, "free slots");
    int code = 0;
    for (int p = 0; p < 2 && code == 0; p++)
        if (options->sources[p])
            code = rs_store_create(&r->stores[p], options->sources[p], err);
    if (code < 0) {
        rs_read_destroy(r);
        return code;
    }
    rs_loop_watch(options->loop, pump, r);
    rs_pool_listen(options->slots, rs_loop_notify, options->loop);
    *out = r;
    return 0;
}

int rs_read_start(struct rs_read *r, struct rs_error *err)
{
    /* one more than there are, so that a store that is done at once doesn't start the rest */
    r->stores_loading = 1;
    for (int p = 0; p < 2; p++) {
        if (!r->stores[p])
            continue;
        r->stores_loading++;
        RS_TRY(rs_store_load(r->stores[p], r->o.loop, store_loaded, r, err));
    }
    store_loaded(r, 0, NULL);
    return 0;
}

void rs_read_destroy(struct rs_read *r)
{
    if (!r)
        return;
    rs_store_destroy(r->stores[0]);
    rs_store_destroy(r->stores[1]);
    rs_free(r);
}

void rs_read_figures(const struct rs_read *r, struct rs_stage_figures *out)
{
    uint64_t now = rs_now_ns();
    *out = r->figures;
    if (r->reading_since) /* what goes on counts so far */
        out->wait_input_ns += now - r->reading_since;
    if (r->no_slot_since)
        out->wait_slot_ns += now - r->no_slot_since;
}
