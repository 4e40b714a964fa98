/* host_gpu.c: see host_gpu.h. @thread one. */
#include "host_gpu.h"

#include "alloc.h"
#include "clock.h"
#include "conv.h"
#include "gpu.h"
#include "host_kernels.h"
#include <stdio.h>
#include <string.h>

struct rs_host_wishes rs_host_wishes;

struct note { /* a call within a capture */
    void (*run)(const void *args);
    void *args;
};

struct rs__captured {
    struct note *notes;
    uint32_t count, capacity;
    void *counters; /* zeroed before a launch */
    size_t counter_bytes;
};

#define RECORDS 4096u

struct rs__gpu {
    bool recording;
    uint64_t cause;
    struct rs__trace_record records[RECORDS];
    uint32_t record_count;
    struct rs__captured *capturing;
    bool replaying; /* convolutions don't zero their counters themselves */
};

struct rs__event {
    uint32_t late;
};

static void record(struct rs__gpu *gpu, const char *name, bool copies)
{
    if (!gpu->recording)
        return;
    RS_ASSERT(gpu->record_count < RECORDS);
    const uint64_t now = rs_now_ns();
    gpu->records[gpu->record_count++] = (struct rs__trace_record){name, now, now, copies, gpu->cause};
}

static int count_call(struct rs_error *err)
{
    rs_host_wishes.calls++;
    if (rs_host_wishes.fail_after == rs_host_wishes.calls)
        return rs_error_set(err, RS_E_BACKEND, "the test wanted this call to fail");
    return 0;
}

int rs__gpu_probe(uint32_t ordinal, struct rs_device_info *info, struct rs_error *err)
{
    (void)ordinal, (void)err;
    memset(info, 0, sizeof(*info));
    return 0;
}

int rs__gpu_open(struct rs__gpu **out, uint32_t ordinal, struct rs_error *err)
{
    (void)ordinal;
    *out = rs_calloc(1, sizeof(**out));
    return *out ? 0 : rs_error_set(err, RS_E_NOMEM, "no memory");
}

void rs__gpu_close(struct rs__gpu *gpu)
{
    rs_free(gpu);
}

int rs__gpu_enter(struct rs__gpu *gpu, struct rs_error *err)
{
    (void)gpu, (void)err;
    return 0;
}

bool rs__gpu_has_bf16(const struct rs__gpu *gpu)
{
    (void)gpu;
    return !rs_host_wishes.old;
}

int rs__gpu_alloc(struct rs__gpu *gpu, size_t bytes, void **out, struct rs_error *err)
{
    (void)gpu;
    *out = rs_calloc(1, bytes);
    return *out ? 0 : rs_error_set(err, RS_E_NOMEM, "no memory");
}

void rs__gpu_free(struct rs__gpu *gpu, void *block)
{
    (void)gpu;
    rs_free(block);
}

void *rs__gpu_host_alloc(struct rs__gpu *gpu, size_t bytes)
{
    (void)gpu;
    return rs_calloc(1, bytes);
}

void rs__gpu_host_free(struct rs__gpu *gpu, void *block)
{
    (void)gpu;
    rs_free(block);
}

int rs__gpu_copy(struct rs__gpu *gpu, enum rs__queue queue, void *to, const void *from, size_t bytes,
                 enum rs__direction direction, struct rs_error *err)
{
    (void)queue, (void)direction;
    RS_ASSERT(!gpu->capturing); /* a step has no copies in it */
    RS_TRY(count_call(err));
    record(gpu, "copy", true);
    memcpy(to, from, bytes);
    return 0;
}

int rs__gpu_sync(struct rs__gpu *gpu, enum rs__queue queue, struct rs_error *err)
{
    (void)queue, (void)err;
    RS_ASSERT(!gpu->capturing);
    return 0;
}

int rs__event_create(struct rs__gpu *gpu, struct rs__event **out, struct rs_error *err)
{
    (void)gpu;
    *out = rs_calloc(1, sizeof(**out));
    return *out ? 0 : rs_error_set(err, RS_E_NOMEM, "no memory");
}

void rs__event_destroy(struct rs__gpu *gpu, struct rs__event *event)
{
    (void)gpu;
    rs_free(event);
}

int rs__event_record(struct rs__gpu *gpu, struct rs__event *event, enum rs__queue queue, struct rs_error *err)
{
    (void)gpu, (void)queue, (void)err;
    event->late = rs_host_wishes.late;
    return 0;
}

int rs__event_wait(struct rs__gpu *gpu, struct rs__event *event, enum rs__queue queue, struct rs_error *err)
{
    (void)gpu, (void)event, (void)queue, (void)err;
    return 0;
}

int rs__event_query(struct rs__gpu *gpu, struct rs__event *event, struct rs_error *err)
{
    (void)gpu, (void)err;
    if (event->late == 0)
        return 0;
    event->late--;
    return RS_AGAIN;
}

int rs__capture_begin(struct rs__gpu *gpu, struct rs_error *err)
{
    gpu->capturing = rs_calloc(1, sizeof(*gpu->capturing));
    return gpu->capturing ? 0 : rs_error_set(err, RS_E_NOMEM, "no memory");
}

int rs__capture_end(struct rs__gpu *gpu, void *counters, size_t bytes, struct rs__captured **out,
                    struct rs_error *err)
{
    struct rs__captured *captured = gpu->capturing;
    RS_ASSERT(counters || bytes == 0);
    gpu->capturing = NULL;
    *out = NULL;
    if (rs_host_wishes.fail_capture) {
        rs__captured_destroy(gpu, captured);
        return rs_error_set(err, RS_E_BACKEND, "the test wanted this capture to fail");
    }
    rs_host_wishes.captures++;
    captured->counters = counters;
    captured->counter_bytes = bytes;
    *out = captured;
    return 0;
}

int rs__captured_launch(struct rs__gpu *gpu, struct rs__captured *captured, struct rs_error *err)
{
    RS_TRY(count_call(err));
    rs_host_wishes.launches++;
    record(gpu, "graph", false);
    if (captured->counter_bytes > 0)
        memset(captured->counters, 0, captured->counter_bytes);
    gpu->replaying = true;
    for (uint32_t i = 0; i < captured->count; i++)
        captured->notes[i].run(captured->notes[i].args);
    gpu->replaying = false;
    return 0;
}

void rs__captured_destroy(struct rs__gpu *gpu, struct rs__captured *captured)
{
    (void)gpu;
    if (!captured)
        return;
    for (uint32_t i = 0; i < captured->count; i++)
        rs_free(captured->notes[i].args);
    rs_free(captured->notes);
    rs_free(captured);
}

int rs__gpu_trace_begin(struct rs__gpu *gpu, struct rs_error *err)
{
    if (rs_host_wishes.no_records)
        return rs_error_set(err, RS_E_UNSUPPORTED, "the test wanted no records");
    gpu->recording = true;
    gpu->record_count = 0;
    return 0;
}

void rs__gpu_trace_cause(struct rs__gpu *gpu, uint64_t cause)
{
    RS_ASSERT(gpu->recording);
    gpu->cause = rs_host_wishes.forget_causes ? 0 : cause;
}

void rs__gpu_trace_end(struct rs__gpu *gpu, rs__trace_fn take, void *arg, uint64_t *lost)
{
    RS_ASSERT(gpu->recording);
    for (uint32_t i = 0; take && i < gpu->record_count; i++)
        take(arg, &gpu->records[i]);
    gpu->recording = false;
    *lost = 7;
}

void rs__gpu_save_choices(struct rs__gpu *gpu)
{
    (void)gpu;
}

static int call(struct rs__gpu *gpu, void (*run)(const void *args), const void *args, size_t size,
                struct rs_error *err)
{
    struct rs__captured *c = gpu->capturing;
    RS_TRY(count_call(err));
    if (!c) {
        record(gpu, "kernel", false);
        run(args);
        return 0;
    }
    if (c->count == c->capacity) {
        const uint32_t capacity = c->capacity ? 2 * c->capacity : 64;
        struct note *notes = rs_calloc(capacity, sizeof(*notes));
        if (!notes)
            return rs_error_set(err, RS_E_NOMEM, "no memory for the notes of a capture");
        if (c->count > 0)
            memcpy(notes, c->notes, c->count * sizeof(*notes));
        rs_free(c->notes);
        c->notes = notes;
        c->capacity = capacity;
    }
    void *copy = rs_alloc(size);
    if (!copy)
        return rs_error_set(err, RS_E_NOMEM, "no memory for a note of a capture");
    memcpy(copy, args, size);
    c->notes[c->count++] = (struct note){run, copy};
    return 0;
}

#define LAUNCHER(name)                                                                                       \
    static void run_##name(const void *args)                                                                 \
    {                                                                                                        \
        rs_host_##name(args);                                                                                \
    }                                                                                                        \
    int rs__launch_##name(struct rs__gpu *gpu, const struct rs__##name *args, struct rs_error *err)          \
    {                                                                                                        \
        return call(gpu, run_##name, args, sizeof(*args), err);                                              \
    }
RS__KERNELS(LAUNCHER, LAUNCHER)

/* Convolutions: plain loops in float over copies. */
struct rs__conv {
    struct rs__gpu *gpu;
    struct rs__conv_shape shape;
    enum rs__conv_pass pass;
    int bf16;
    char layer[64];
    void *memory[3]; /* x, w, y */
    unsigned char *workspace;
    float *copy[3];
};

static size_t elements(const struct rs__conv_shape *s, int tensor)
{
    const int64_t counts[3] = {s->n * s->h * s->w * s->c, s->k * s->r * s->s * s->c,
                               s->n * s->p * s->q * s->k};
    return (size_t)counts[tensor];
}

int rs__conv_create(struct rs__conv **out, struct rs__gpu *gpu, const char *name,
                    const struct rs__conv_shape *shape, enum rs__conv_pass pass, enum rs__math math,
                    struct rs_error *err)
{
    struct rs__conv *conv = rs_calloc(1, sizeof(*conv));
    *out = NULL;
    rs_host_wishes.math = math;
    if (!conv)
        return rs_error_set(err, RS_E_NOMEM, "no memory");
    *conv = (struct rs__conv){.gpu = gpu, .shape = *shape, .pass = pass, .bf16 = math == RS__MATH_BF16};
    snprintf(conv->layer, sizeof(conv->layer), "%s", name);
    for (int i = 0; i < 3; i++) {
        conv->copy[i] = rs_calloc(elements(shape, i), sizeof(float));
        if (!conv->copy[i]) {
            rs__conv_destroy(conv);
            return rs_error_set(err, RS_E_NOMEM, "no memory for the copies of a convolution");
        }
    }
    *out = conv;
    return 0;
}

void rs__conv_destroy(struct rs__conv *conv)
{
    for (int i = 0; conv && i < 3; i++)
        rs_free(conv->copy[i]);
    rs_free(conv);
}

#define COUNTERS 64u /* bytes that a pass counts in */

size_t rs__conv_workspace(const struct rs__conv *conv)
{
    (void)conv;
    return COUNTERS;
}

int rs__conv_tune(struct rs__conv *conv, void *x, void *w, void *y, void *workspace, struct rs_error *err)
{
    (void)conv, (void)x, (void)w, (void)y, (void)workspace, (void)err;
    return 0;
}

int rs__conv_bind(struct rs__conv *conv, void *x, void *w, void *y, void *workspace, struct rs_error *err)
{
    (void)err;
    conv->workspace = workspace;
    conv->memory[0] = x;
    conv->memory[1] = w;
    conv->memory[2] = y;
    return 0;
}

void rs__conv_describe(const struct rs__conv *conv, char *text, size_t size)
{
    snprintf(text, size, "%s: loops", conv->layer);
}

/* Channels of x under tap (r, s) of output pixel (n, p, q), or NULL in the padding. */
static float *tap(const struct rs__conv *conv, int64_t n, int64_t p, int64_t q, int64_t r, int64_t s)
{
    const struct rs__conv_shape *g = &conv->shape;
    const int64_t y = p * g->stride + r - g->padding, x = q * g->stride + s - g->padding;
    if (y < 0 || y >= g->h || x < 0 || x >= g->w)
        return NULL;
    return conv->copy[0] + ((n * g->h + y) * g->w + x) * g->c;
}

static void pixel(const struct rs__conv *conv, int64_t n, int64_t p, int64_t q)
{
    const struct rs__conv_shape *g = &conv->shape;
    float *y = conv->copy[2] + ((n * g->p + p) * g->q + q) * g->k;
    for (int64_t k = 0; k < g->k; k++)
        for (int64_t r = 0; r < g->r; r++)
            for (int64_t s = 0; s < g->s; s++) {
                float *x = tap(conv, n, p, q, r, s);
                float *w = conv->copy[1] + ((k * g->r + r) * g->s + s) * g->c;
                for (int64_t c = 0; x && c < g->c; c++) {
                    if (conv->pass == RS__CONV_FORWARD)
                        y[k] += x[c] * w[c];
                    else if (conv->pass == RS__CONV_DATA_GRADIENT)
                        x[c] += y[k] * w[c];
                    else
                        w[c] += y[k] * x[c];
                }
            }
}

/* Counters that somebody else touched, or that weren't zeroed, end the test. */
static void count(struct rs__conv *conv)
{
    if (!conv->gpu->replaying)
        memset(conv->workspace, 0, COUNTERS);
    for (uint32_t i = 0; i < COUNTERS; i++)
        RS_ASSERT(conv->workspace[i] == 0);
    memset(conv->workspace, 0xab, COUNTERS);
}

static void run_conv(const void *args)
{
    struct rs__conv *conv = *(struct rs__conv *const *)args;
    count(conv);
    const struct rs__conv_shape *g = &conv->shape;
    const int out = conv->pass == RS__CONV_FORWARD ? 2 : conv->pass == RS__CONV_DATA_GRADIENT ? 0 : 1;
    for (int i = 0; i < 3; i++)
        for (size_t e = 0; e < elements(g, i); e++)
            conv->copy[i][e] = i == out ? 0 : rs__element(conv->memory[i], conv->bf16, e);
    for (int64_t n = 0; n < g->n; n++)
        for (int64_t p = 0; p < g->p; p++)
            for (int64_t q = 0; q < g->q; q++)
                pixel(conv, n, p, q);
    for (size_t v = 0; v < elements(g, out) / 8; v++)
        rs__store(conv->memory[out], conv->bf16, v, conv->copy[out] + 8 * v);
}

int rs__conv_run(struct rs__conv *conv, struct rs_error *err)
{
    return call(conv->gpu, run_conv, &conv, sizeof(struct rs__conv *), err);
}
