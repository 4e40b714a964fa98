/* fake_backend.c: a backend whose results, lateness and failures a test sets; a step hashes its batch, no
 * network. */
#include "fake_backend.h"

#include "alloc.h"
#include "clock.h"
#include "image.h"
#include "random.h"
#include "stream.h"

#include <math.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#define SLOTS 3u
#define QUEUE 8u
#define RECORDS 256u
#define AFTER_INTERRUPT_US 50000 /* a step, so that the signal is seen before the run is over */

static struct fake_script *script; /* of the test that runs: backends have no arguments of their own */

void fake_set_script(struct fake_script *s)
{
    script = s;
}

struct rs_device {
    int unused;
};

struct device_slot {
    const struct rs_batch_input *host; /* into input, while the copy is under way */
    struct rs_batch_input input;
    uint8_t *tensor;
    int32_t *labels;
    uint32_t copy_left; /* ticks */
    bool copied, read;
    uint64_t began_ns, number; /* of the upload */
};

struct queued {
    uint32_t slot;
    bool train;
    float lr;
    uint32_t left; /* ticks */
    bool done;
    struct rs_step_result result;
};

struct rs_plan {
    size_t sample_bytes; /* as uploaded */
    size_t floats;       /* of a sample's tensor */
    uint32_t side;
    struct rs_pixel_format pixels;
    struct rs_resizer *resizer;
    uint8_t *resized;
    float *tensor; /* a batch, made of pixels */
    uint32_t capacity;
    float weights[2]; /* floats, for that is what a checkpoint keeps */
    float moment;     /* of the optimizer */
    int64_t steps;
    int64_t validated;     /* steps before the validation that runs */
    uint32_t correct_left; /* of script->correct's number for it */
    uint32_t calls[FAKE_CALLS];
    struct rs_random random;
    struct device_slot slots[SLOTS];
    struct queued queue[QUEUE];
    uint64_t queued, executed, taken; /* tickets */
    bool traced;
    uint64_t uploads; /* since the trace began */
    struct rs_device_record records[RECORDS];
    uint32_t record_count, lost;
    struct rs_error failure; /* of a queued step */
};

/* What a step that failed leaves is not known: nothing good may be made of it. */
static void spoil(struct rs_plan *p)
{
    p->weights[0] = p->weights[1] = p->moment = NAN;
}

static int may_fail(struct rs_plan *p, enum fake_call call, struct rs_error *err)
{
    uint32_t number = ++p->calls[call];
    if (call == script->fail &&
        (number == script->fail_at || (script->fail_again && number > script->fail_at))) {
        if (call == FAKE_TRAIN || call == FAKE_RESULT || call == FAKE_DRAIN)
            spoil(p);
        return rs_error_set(err, RS_E_BACKEND, "made to fail in call %d", call);
    }
    return 0;
}

static uint32_t ticks(struct rs_plan *p)
{
    return script->latency ? rs_random_u32(&p->random) % (script->latency + 1) : 0;
}

static int fake_probe(uint32_t ordinal, struct rs_device_info *info, struct rs_error *err)
{
    (void)ordinal;
    (void)err;
    *info = (struct rs_device_info){.name = "fake", .library = "none", .precisions = "fp32", .count = 1};
    return 0;
}

static int fake_open(struct rs_device **out, const struct rs_device_options *options, struct rs_error *err)
{
    (void)options;
    *out = rs_calloc(1, sizeof **out);
    return *out ? 0 : rs_error_set(err, RS_E_NOMEM, "out of memory for a fake device");
}

static void fake_close(struct rs_device *device)
{
    rs_free(device);
}

static void *fake_host_alloc(struct rs_device *device, size_t bytes)
{
    (void)device;
    return rs_alloc(bytes);
}

static void fake_host_free(struct rs_device *device, void *block)
{
    (void)device;
    rs_free(block);
}

static void fake_destroy(struct rs_plan *p)
{
    memcpy(script->weights, p->weights, sizeof script->weights);
    for (uint32_t i = 0; i < SLOTS; i++) {
        rs_free(p->slots[i].tensor);
        rs_free(p->slots[i].labels);
    }
    rs_resizer_destroy(p->resizer);
    rs_free(p->resized);
    rs_free(p->tensor);
    rs_free(p);
}

static int reserve(struct rs_plan *p, struct rs_error *err)
{
    p->resized = rs_alloc(p->floats);
    p->tensor = rs_alloc(p->floats * p->capacity * sizeof(float));
    bool there = p->resized && p->tensor;
    for (uint32_t i = 0; i < SLOTS; i++) {
        p->slots[i].tensor = rs_alloc(p->sample_bytes * p->capacity);
        p->slots[i].labels = rs_calloc(p->capacity, sizeof(int32_t));
        there = there && p->slots[i].tensor && p->slots[i].labels;
    }
    if (!there)
        return rs_error_set(err, RS_E_NOMEM, "out of memory for the fake device's batches");
    return p->pixels.height ? rs_resizer_create(&p->resizer, err) : 0;
}

static int fake_compile(struct rs_device *device, const struct rs_graph *graph,
                        const struct rs_plan_options *o, struct rs_plan **out, struct rs_error *err)
{
    (void)device;
    struct rs_shape in = graph->nodes[0].out;
    struct rs_plan *p = rs_calloc(1, sizeof *p);
    if (!p)
        return rs_error_set(err, RS_E_NOMEM, "out of memory for a fake plan");
    p->pixels = o->pixels;
    p->side = (uint32_t)in.h;
    p->floats = (size_t)in.c * (size_t)in.h * (size_t)in.w;
    p->sample_bytes =
        o->pixels.height ? (size_t)3 * o->pixels.height * o->pixels.width : p->floats * sizeof(float);
    script->sample_bytes = p->sample_bytes;
    script->eager = o->eager;
    memcpy(script->train_sizes, o->train_batches, sizeof script->train_sizes);
    memcpy(script->eval_sizes, o->eval_batches, sizeof script->eval_sizes);
    for (int i = 0; i < RS_BATCH_SIZES_MAX; i++) {
        p->capacity = o->train_batches[i] > p->capacity ? o->train_batches[i] : p->capacity;
        p->capacity = o->eval_batches[i] > p->capacity ? o->eval_batches[i] : p->capacity;
    }
    rs_random_init(&p->random, script->seed, 0, 0);
    int code = reserve(p, err);
    if (code < 0) {
        fake_destroy(p);
        return code;
    }
    *out = p;
    return 0;
}

static enum rs_element fake_element(const struct rs_plan *p)
{
    return p->pixels.height ? RS_ELEMENT_U8 : RS_ELEMENT_F32;
}

static void remember(const struct rs_plan *p)
{
    if (p->steps < (int64_t)FAKE_HISTORY)
        memcpy(script->history[p->steps], p->weights, sizeof p->weights);
}

static int fake_load(struct rs_plan *p, const struct rs_state *state, struct rs_error *err)
{
    (void)err;
    p->weights[0] = state->params[0];
    p->weights[1] = state->params[1];
    p->moment = state->moment1[0];
    p->steps = state->steps;
    remember(p);
    return 0;
}

static void record(struct rs_plan *p, const struct rs_device_record *r)
{
    if (!p->traced)
        return;
    if (p->record_count == RECORDS || (script->records_max && p->record_count == script->records_max))
        p->lost++;
    else
        p->records[p->record_count++] = *r;
}

static int fake_store(struct rs_plan *p, struct rs_state *state, struct rs_error *err)
{
    RS_TRY(may_fail(p, FAKE_STORE, err));
    state->params[0] = p->weights[0];
    state->params[1] = p->weights[1];
    state->moment1[0] = p->moment;
    state->steps = p->steps;
    const uint64_t now = rs_now_ns();
    record(p, &(struct rs_device_record){"copy of weights", now, now, true, RS_CAUSE_NONE, 0});
    return 0;
}

static uint64_t hash_batch(const struct rs_plan *p, const struct rs_batch_input *in)
{
    uint64_t hash = 0xcbf29ce484222325u;
    const uint32_t *words = in->tensor;
    for (size_t i = 0; i < p->floats * in->count; i++)
        hash = (hash ^ words[i]) * 0x100000001b3u;
    for (uint32_t i = 0; i < in->count; i++)
        hash = (hash ^ (uint32_t)in->labels[i]) * 0x100000001b3u;
    return hash;
}

/* Pixels become the tensor that the host would have made of them. */
static int preprocess(struct rs_plan *p, struct rs_batch_input *in, struct rs_error *err)
{
    if (!p->pixels.height)
        return 0;
    for (uint32_t i = 0; i < in->count; i++) {
        const uint8_t *sample = (const uint8_t *)in->tensor + p->sample_bytes * i;
        struct rs_resize_source source = {sample, p->pixels.width, p->pixels.height, p->pixels.planar};
        RS_TRY(rs_resizer_run(p->resizer, &source, p->side, p->side, p->resized, err));
        rs_normalize_f32(p->resized, p->tensor + p->floats * i, p->floats);
    }
    in->tensor = p->tensor;
    return 0;
}

static void interrupt(void)
{
    kill(getpid(), SIGINT);
    if (script->interrupted)
        script->interrupted();
}

/* The next samples of the validation, which begins anew after each step. */
static uint32_t scripted_correct(struct rs_plan *p, uint32_t count)
{
    if (p->validated != p->steps) {
        p->validated = p->steps;
        p->correct_left = script->correct[((uint64_t)p->steps - 1) / script->epoch_steps];
    }
    uint32_t correct = p->correct_left < count ? p->correct_left : count;
    p->correct_left -= correct;
    return correct;
}

static void finish_valid(struct rs_plan *p, uint32_t count, struct rs_step_result *result)
{
    uint64_t number = ++script->valid_steps;
    if (number == script->valid_kill_at)
        kill(getpid(), SIGKILL);
    if (script->correct)
        result->correct = scripted_correct(p, count);
    if (number == script->valid_interrupt_at)
        interrupt();
    if (number == script->valid_not_finite_at) {
        result->loss_sum = NAN;
        spoil(p);
    }
}

static void finish_train(struct rs_plan *p, float change, struct rs_step_result *result)
{
    script->train_steps++;
    if (script->train_steps == script->kill_at)
        kill(getpid(), SIGKILL);
    p->moment = p->moment * 0.25f + change;
    p->weights[0] = p->weights[0] * 0.5f + p->moment;
    p->weights[1] += p->weights[0];
    p->steps++;
    remember(p);
    if (script->train_steps == script->interrupt_at)
        interrupt();
    if (script->interrupt_at && script->train_steps >= script->interrupt_at && !script->interrupted)
        usleep(AFTER_INTERRUPT_US);
    if (script->train_steps == script->not_finite_at) {
        result->loss_sum = NAN;
        spoil(p);
    }
}

static bool is_listed(const uint32_t sizes[RS_BATCH_SIZES_MAX], uint32_t count)
{
    bool listed = false;
    for (int i = 0; i < RS_BATCH_SIZES_MAX; i++)
        listed = listed || sizes[i] == count;
    return listed;
}

static void compute(struct rs_plan *p, const struct rs_batch_input *in, bool train, float lr,
                    struct rs_step_result *result)
{
    RS_ASSERT(is_listed(train ? script->train_sizes : script->eval_sizes, in->count));
    uint64_t hash = hash_batch(p, in);
    double loss = (double)(hash >> 44) / (1 << 20) + (double)p->weights[0];
    result->loss_sum = loss * in->count;
    result->correct = (uint32_t)(hash % (in->count + 1));
    if (train)
        finish_train(p, (float)loss * lr, result);
    else
        finish_valid(p, in->count, result);
}

static int sync_train(struct rs_plan *p, const struct rs_batch_input *in, float lr,
                      struct rs_step_result *result, struct rs_error *err)
{
    RS_TRY(may_fail(p, FAKE_TRAIN, err));
    compute(p, in, true, lr, result);
    return 0;
}

static int sync_eval(struct rs_plan *p, const struct rs_batch_input *in, struct rs_step_result *result,
                     struct rs_error *err)
{
    RS_TRY(may_fail(p, FAKE_EVAL, err));
    compute(p, in, false, 0, result);
    if (script->evaluate)
        script->evaluate(in, result);
    return 0;
}

static void finish_copy(struct rs_plan *p, struct device_slot *s)
{
    memcpy(s->tensor, s->input.tensor, p->sample_bytes * s->input.count);
    memcpy(s->labels, s->input.labels, s->input.count * sizeof *s->labels);
    s->copied = true;
    script->copies++;
    record(p, &(struct rs_device_record){"copy to device", s->began_ns, rs_now_ns(), true, RS_CAUSE_UPLOAD,
                                         s->number});
}

/* Time goes on: copies complete in any order, steps in theirs and only after their copy. */
static void tick(struct rs_plan *p)
{
    for (uint32_t i = 0; i < SLOTS; i++) {
        struct device_slot *s = &p->slots[i];
        if (s->host && !s->copied && (s->copy_left == 0 || --s->copy_left == 0))
            finish_copy(p, s);
    }
    if (p->executed == p->queued)
        return;
    struct queued *q = &p->queue[p->executed % QUEUE];
    struct device_slot *s = &p->slots[q->slot];
    if (!s->copied || (q->left && --q->left))
        return;
    struct rs_batch_input in = {.tensor = s->tensor, .labels = s->labels, .count = s->input.count};
    uint64_t began = rs_now_ns();
    int code = preprocess(p, &in, &p->failure);
    uint64_t between = rs_now_ns();
    if (code == 0)
        compute(p, &in, q->train, q->lr, &q->result);
    record(p, &(struct rs_device_record){"input", began, between, false, RS_CAUSE_STEP, p->executed});
    record(p, &(struct rs_device_record){"step", between, rs_now_ns(), false, RS_CAUSE_STEP, p->executed});
    record(p, &(struct rs_device_record){"copy to host", rs_now_ns(), rs_now_ns(), true, RS_CAUSE_STEP,
                                         p->executed});
    q->done = true;
    s->read = true;
    p->executed++;
}

static int stream_upload(struct rs_plan *p, uint32_t slot, const struct rs_batch_input *in,
                         struct rs_error *err)
{
    RS_TRY(may_fail(p, FAKE_UPLOAD, err));
    struct device_slot *s = &p->slots[slot];
    RS_ASSERT(!s->host || (s->copied && s->read)); /* not before the step has read it */
    script->overlaps += p->executed < p->queued;
    s->input = *in;
    s->host = &s->input;
    s->copied = s->read = false;
    s->copy_left = ticks(p);
    s->began_ns = rs_now_ns();
    s->number = p->uploads++;
    return 0;
}

static int stream_uploaded(struct rs_plan *p, uint32_t slot, struct rs_error *err)
{
    RS_TRY(may_fail(p, FAKE_UPLOADED, err));
    tick(p);
    return p->slots[slot].copied ? 0 : RS_AGAIN;
}

static int enqueue(struct rs_plan *p, uint32_t slot, bool train, float lr, uint64_t ticket)
{
    RS_ASSERT(ticket == p->queued && p->queued - p->taken < QUEUE);
    p->queue[ticket % QUEUE] = (struct queued){.slot = slot, .train = train, .lr = lr, .left = ticks(p)};
    p->queued++;
    return 0;
}

static int stream_train(struct rs_plan *p, uint32_t slot, float lr, uint64_t ticket, struct rs_error *err)
{
    RS_TRY(may_fail(p, FAKE_TRAIN, err));
    return enqueue(p, slot, true, lr, ticket);
}

static int stream_eval(struct rs_plan *p, uint32_t slot, uint64_t ticket, struct rs_error *err)
{
    RS_TRY(may_fail(p, FAKE_EVAL, err));
    return enqueue(p, slot, false, 0, ticket);
}

static int stream_released(struct rs_plan *p, uint32_t slot, struct rs_error *err)
{
    RS_TRY(may_fail(p, FAKE_RELEASED, err));
    tick(p);
    return p->slots[slot].read ? 0 : RS_AGAIN;
}

static int stream_result(struct rs_plan *p, uint64_t ticket, struct rs_step_result *result,
                         struct rs_error *err)
{
    RS_TRY(may_fail(p, FAKE_RESULT, err));
    RS_ASSERT(ticket == p->taken);
    tick(p);
    if (p->failure.code) {
        *err = p->failure;
        return p->failure.code;
    }
    if (ticket >= p->executed)
        return RS_AGAIN;
    *result = p->queue[ticket % QUEUE].result;
    p->taken++;
    return 0;
}

static int stream_drain(struct rs_plan *p, struct rs_error *err)
{
    RS_TRY(may_fail(p, FAKE_DRAIN, err));
    while (p->executed < p->queued)
        tick(p);
    return 0;
}

static int stream_trace_begin(struct rs_plan *p, struct rs_error *err)
{
    if (script->no_trace)
        return rs_error_set(err, RS_E_UNSUPPORTED, "made to have none");
    p->traced = true;
    p->uploads = 0;
    return 0;
}

/* Last ones first: the order is nobody's to rely on. */
static int stream_trace_end(struct rs_plan *p, rs_device_record_fn take, void *arg, uint64_t *lost,
                            struct rs_error *err)
{
    RS_TRY(may_fail(p, FAKE_TRACE_END, err));
    for (uint32_t i = p->record_count; i > 0; i--)
        take(arg, &p->records[i - 1]);
    *lost = p->lost;
    p->traced = false;
    return 0;
}

static const struct rs_stream_ops stream_ops = {
    .slots = SLOTS,
    .pixels = true,
    .upload = stream_upload,
    .uploaded = stream_uploaded,
    .train = stream_train,
    .eval = stream_eval,
    .released = stream_released,
    .result = stream_result,
    .drain = stream_drain,
    .trace_begin = stream_trace_begin,
    .trace_end = stream_trace_end,
};

#define FAKE_MEMBERS                                                                                         \
    .probe = fake_probe, .open = fake_open, .close = fake_close, .host_alloc = fake_host_alloc,              \
    .host_free = fake_host_free, .compile = fake_compile, .destroy = fake_destroy,                           \
    .input_element = fake_element, .load = fake_load, .store = fake_store, .train_step = sync_train,         \
    .eval_step = sync_eval

const struct rs_backend fake_sync = {.name = "fake", FAKE_MEMBERS};
const struct rs_backend fake_stream = {.name = "fake-stream", FAKE_MEMBERS, .stream = &stream_ops};
