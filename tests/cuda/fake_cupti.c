/* fake_cupti.c: see fake_cupti.h. @thread one. */
#include "fake_cupti.h"

#include <cupti.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define QUEUE ((size_t)1 << 26)
#define HELD 32

__attribute__((visibility("default"))) struct fake_cupti *fake_cupti(void);

static CUpti_TimestampCallbackFunc now;
static CUpti_BuffersCallbackRequestFunc request;
static CUpti_BuffersCallbackCompleteFunc complete;
static uint64_t pushed[4];
static int depth;
static uint32_t correlation;
static bool kinds[CUPTI_ACTIVITY_KIND_COUNT];
static bool recorded[CUPTI_RUNTIME_TRACE_CBID_SIZE]; /* calls; their kind sets and clears all */
static size_t dropped;
static struct queue {
    uint8_t *bytes;
    size_t used;
} device, host; /* records of the device; of calls */
static uint8_t *held[HELD];
static int held_count;

static void launch(const char *kernel);
static void poll(void);
static void work(int how_much);
static void take_one(void);
static struct fake_cupti fake = {.launch = launch, .poll = poll, .work = work, .request = take_one};

struct fake_cupti *fake_cupti(void)
{
    return &fake;
}

static size_t size_of(const CUpti_Activity *record)
{
    switch (record->kind) {
    case CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL:
        return sizeof(CUpti_ActivityKernel10);
    case CUPTI_ACTIVITY_KIND_MEMCPY:
        return sizeof(CUpti_ActivityMemcpy6);
    case CUPTI_ACTIVITY_KIND_EXTERNAL_CORRELATION:
        return sizeof(CUpti_ActivityExternalCorrelation);
    default:
        return sizeof(CUpti_ActivityAPI);
    }
}

static void put(struct queue *q, const void *record, size_t size)
{
    if (!q->bytes)
        q->bytes = malloc(QUEUE);
    if (!q->bytes || q->used + size > QUEUE)
        abort();
    memcpy(q->bytes + q->used, record, size);
    q->used += size;
}

static void add_work(const char *kernel, uint32_t id)
{
    if (kernel) {
        CUpti_ActivityKernel10 r = {.kind = CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL};
        r.start = now();
        r.end = now() + 1;
        r.correlationId = id;
        r.name = kernel;
        put(&device, &r, sizeof(r));
    } else {
        CUpti_ActivityMemcpy6 r = {.kind = CUPTI_ACTIVITY_KIND_MEMCPY,
                                   .copyKind = CUPTI_ACTIVITY_MEMCPY_KIND_HTOD};
        r.start = now();
        r.end = now() + 1;
        r.correlationId = id;
        put(&device, &r, sizeof(r));
    }
}

/* The record of a call of the runtime, behind its cause. */
static void add_call(CUpti_CallbackId cbid, uint32_t id)
{
    if (!recorded[cbid])
        return;
    const bool noted = depth > 0 && !fake.no_causes && kinds[CUPTI_ACTIVITY_KIND_RUNTIME] &&
                       kinds[CUPTI_ACTIVITY_KIND_EXTERNAL_CORRELATION];
    CUpti_ActivityExternalCorrelation r = {.kind = CUPTI_ACTIVITY_KIND_EXTERNAL_CORRELATION,
                                           .externalKind = CUPTI_EXTERNAL_CORRELATION_KIND_CUSTOM0,
                                           .externalId = depth > 0 ? pushed[depth - 1] : 0,
                                           .correlationId = id};
    for (int i = 0; noted && i <= fake.twice; i++)
        put(&host, &r, sizeof(r));
    CUpti_ActivityAPI call = {.kind = CUPTI_ACTIVITY_KIND_RUNTIME, .cbid = cbid, .correlationId = id};
    put(&host, &call, sizeof(call));
    fake.calls++;
}

static void launch(const char *kernel)
{
    const uint32_t id = ++correlation;
    add_call(kernel ? CUPTI_RUNTIME_TRACE_CBID___cudaLaunchKernel_v13000
                    : CUPTI_RUNTIME_TRACE_CBID_cudaMemcpyAsync_v3020,
             id);
    add_work(kernel, id);
}

static void poll(void)
{
    add_call(CUPTI_RUNTIME_TRACE_CBID_cudaEventQuery_v3020, ++correlation);
    add_call(CUPTI_RUNTIME_TRACE_CBID_cudaGetLastError_v3020, ++correlation);
}

static void work(int how_much)
{
    for (int i = 0; i < how_much; i++)
        add_work("much", 0);
}

static void take_one(void)
{
    size_t size = 0, most = 0;
    uint8_t *buffer = NULL;
    request(&buffer, &size, &most);
    if (buffer && held_count < HELD)
        held[held_count++] = buffer;
    else
        fake.buffers_refused++;
}

/* Hands a queue out, as many records a buffer as fit. */
static void hand_out(struct queue *q)
{
    size_t at = 0;
    while (at < q->used) {
        size_t size = 0, most = 0, filled = 0;
        uint8_t *buffer = NULL;
        request(&buffer, &size, &most);
        if (!buffer) {
            fake.buffers_refused++;
            for (; at < q->used; at += size_of((const CUpti_Activity *)(const void *)(q->bytes + at)))
                dropped++;
            break;
        }
        while (at < q->used) {
            const size_t one = size_of((const CUpti_Activity *)(const void *)(q->bytes + at));
            if (filled + one > size)
                break;
            memcpy(buffer + filled, q->bytes + at, one);
            filled += one;
            at += one;
        }
        complete(NULL, 0, buffer, size, filled);
    }
    q->used = 0;
}

CUptiResult cuptiActivityFlushAll(uint32_t flag)
{
    (void)flag;
    hand_out(&device);
    hand_out(&host);
    fake.calls = 0;
    while (held_count > 0)
        complete(NULL, 0, held[--held_count], 0, 0);
    return CUPTI_SUCCESS;
}

CUptiResult cuptiActivityRegisterTimestampCallback(CUpti_TimestampCallbackFunc function)
{
    fake.wrong += fake.kinds > 0;
    now = function;
    return CUPTI_SUCCESS;
}

CUptiResult cuptiActivityRegisterCallbacks(CUpti_BuffersCallbackRequestFunc a,
                                           CUpti_BuffersCallbackCompleteFunc b)
{
    request = a;
    complete = b;
    return CUPTI_SUCCESS;
}

static void switch_kind(CUpti_ActivityKind kind, bool on)
{
    fake.kinds += on - kinds[kind];
    kinds[kind] = on;
    if (kind == CUPTI_ACTIVITY_KIND_RUNTIME)
        memset(recorded, on, sizeof(recorded));
}

CUptiResult cuptiActivityEnable(CUpti_ActivityKind kind)
{
    fake.wrong += !now || !request || kinds[kind];
    if (fake.fail_enable)
        return CUPTI_ERROR_INVALID_OPERATION;
    switch_kind(kind, true);
    return CUPTI_SUCCESS;
}

CUptiResult cuptiActivityDisable(CUpti_ActivityKind kind)
{
    switch_kind(kind, false);
    return CUPTI_SUCCESS;
}

CUptiResult cuptiActivityEnableRuntimeApi(CUpti_CallbackId cbid, uint8_t enable)
{
    if (fake.fail_calls)
        return CUPTI_ERROR_INVALID_PARAMETER;
    recorded[cbid] = enable;
    return CUPTI_SUCCESS;
}

CUptiResult cuptiActivityEnableDriverApi(CUpti_CallbackId cbid, uint8_t enable)
{
    (void)cbid, (void)enable;
    return fake.fail_calls ? CUPTI_ERROR_INVALID_PARAMETER : CUPTI_SUCCESS;
}

CUptiResult cuptiActivityPushExternalCorrelationId(CUpti_ExternalCorrelationKind kind, uint64_t id)
{
    if (kind != CUPTI_EXTERNAL_CORRELATION_KIND_CUSTOM0 || depth == 4)
        abort();
    if (fake.fail_push)
        return CUPTI_ERROR_INVALID_PARAMETER;
    pushed[depth++] = id;
    return CUPTI_SUCCESS;
}

CUptiResult cuptiActivityPopExternalCorrelationId(CUpti_ExternalCorrelationKind kind, uint64_t *last)
{
    (void)kind;
    fake.wrong += depth == 0;
    *last = depth > 0 ? pushed[--depth] : 0;
    return CUPTI_SUCCESS;
}

CUptiResult cuptiActivityGetNextRecord(uint8_t *buffer, size_t valid, CUpti_Activity **record)
{
    uint8_t *next = *record ? (uint8_t *)*record + size_of(*record) : buffer;
    if (next >= buffer + valid)
        return CUPTI_ERROR_MAX_LIMIT_REACHED;
    *record = (CUpti_Activity *)(void *)next;
    return CUPTI_SUCCESS;
}

CUptiResult cuptiActivityGetNumDroppedRecords(CUcontext context, uint32_t stream, size_t *number)
{
    (void)context, (void)stream;
    *number = dropped;
    dropped = 0;
    return CUPTI_SUCCESS;
}

CUptiResult cuptiGetResultString(CUptiResult result, const char **text)
{
    (void)result;
    *text = "made to fail";
    return CUPTI_SUCCESS;
}
