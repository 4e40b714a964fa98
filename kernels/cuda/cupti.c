/* cupti.c: see records.h. @thread as there. */
#include "records.h"

#include "alloc.h"
#include "clock.h"
#include "log.h"
#include <cupti.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)
#define NAME_BYTES 96
#define NAME_UNKNOWN "kernel" /* for those that the table has no room for */

/* The records' layout is that of the toolkit that this was built with. */
static const char LIBRARY[] = "libcupti.so." TEXT(RS_CUDA_MAJOR);

/* What the device did, then what ties it to causes: CUPTI notes a cause beside the record of a call, and does
 * so where the calls' kind is on as a whole; where only single calls are enabled it notes none. */
static const CUpti_ActivityKind kinds[] = {
    CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL,    CUPTI_ACTIVITY_KIND_MEMCPY,  CUPTI_ACTIVITY_KIND_MEMSET,
    CUPTI_ACTIVITY_KIND_EXTERNAL_CORRELATION, CUPTI_ACTIVITY_KIND_RUNTIME, CUPTI_ACTIVITY_KIND_DRIVER};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

/* Calls that start no work, and that polling and every step make many of: their records would only fill
 * buffers. */
static const CUpti_CallbackId quiet_runtime[] = {
    CUPTI_RUNTIME_TRACE_CBID_cudaEventQuery_v3020,
    CUPTI_RUNTIME_TRACE_CBID_cudaEventRecord_v3020,
    CUPTI_RUNTIME_TRACE_CBID_cudaEventSynchronize_v3020,
    CUPTI_RUNTIME_TRACE_CBID_cudaStreamWaitEvent_v3020,
    CUPTI_RUNTIME_TRACE_CBID_cudaStreamQuery_v3020,
    CUPTI_RUNTIME_TRACE_CBID_cudaStreamSynchronize_v3020,
    CUPTI_RUNTIME_TRACE_CBID_cudaStreamIsCapturing_v10000,
    CUPTI_RUNTIME_TRACE_CBID_cudaGetLastError_v3020,
    CUPTI_RUNTIME_TRACE_CBID_cudaPeekAtLastError_v3020,
    CUPTI_RUNTIME_TRACE_CBID_cudaSetDevice_v3020,
    CUPTI_RUNTIME_TRACE_CBID_cudaGetDevice_v3020,
};
static const CUpti_CallbackId quiet_driver[] = {
    CUPTI_DRIVER_TRACE_CBID_cuEventQuery,
    CUPTI_DRIVER_TRACE_CBID_cuEventRecord,
    CUPTI_DRIVER_TRACE_CBID_cuEventSynchronize,
    CUPTI_DRIVER_TRACE_CBID_cuStreamWaitEvent,
    CUPTI_DRIVER_TRACE_CBID_cuStreamQuery,
    CUPTI_DRIVER_TRACE_CBID_cuStreamSynchronize,
    CUPTI_DRIVER_TRACE_CBID_cuStreamIsCapturing,
    CUPTI_DRIVER_TRACE_CBID_cuCtxGetCurrent,
    CUPTI_DRIVER_TRACE_CBID_cuCtxSetCurrent,
    CUPTI_DRIVER_TRACE_CBID_cuCtxPushCurrent_v2,
    CUPTI_DRIVER_TRACE_CBID_cuCtxPopCurrent_v2,
    CUPTI_DRIVER_TRACE_CBID_cuCtxGetDevice,
    CUPTI_DRIVER_TRACE_CBID_cuDevicePrimaryCtxGetState,
    CUPTI_DRIVER_TRACE_CBID_cuKernelGetAttribute,
};

struct api {
    void *library;
    CUptiResult (*register_callbacks)(CUpti_BuffersCallbackRequestFunc, CUpti_BuffersCallbackCompleteFunc);
    CUptiResult (*register_clock)(CUpti_TimestampCallbackFunc);
    CUptiResult (*enable)(CUpti_ActivityKind);
    CUptiResult (*disable)(CUpti_ActivityKind);
    CUptiResult (*enable_runtime)(CUpti_CallbackId, uint8_t);
    CUptiResult (*enable_driver)(CUpti_CallbackId, uint8_t);
    CUptiResult (*push)(CUpti_ExternalCorrelationKind, uint64_t);
    CUptiResult (*pop)(CUpti_ExternalCorrelationKind, uint64_t *);
    CUptiResult (*next_record)(uint8_t *, size_t, CUpti_Activity **);
    CUptiResult (*dropped)(CUcontext, uint32_t, size_t *);
    CUptiResult (*flush)(uint32_t);
    CUptiResult (*result_string)(CUptiResult, const char **);
};

struct kept {
    uint64_t begin_ns, end_ns;
    uint32_t correlation;
    uint16_t name;
    bool copies;
};

struct call { /* one of ours, and what it belongs to */
    uint64_t cause;
    uint32_t correlation;
};

struct rs__cupti {
    struct api api;
    uint64_t cause;      /* pushed now */
    bool told;           /* of any cause */
    CUptiResult refused; /* the first refusal of one */
    /* shared with CUPTI's thread, protected by the mutex below */
    struct kept *records;
    struct call *calls;
    uint32_t record_count, call_count, buffers;
    uint64_t lost;
    char names[RS__CUPTI_NAMES][NAME_BYTES]; /* as CUPTI gives them, cut */
    char shown[RS__CUPTI_NAMES][NAME_BYTES]; /* for people */
    const char *known[RS__CUPTI_NAMES];      /* CUPTI's pointer to the same text, a hint */
    uint32_t name_count;
};

/* CUPTI's callbacks have no argument to find it by. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct rs__cupti *recording; /* protected by mutex */

/* libstdc++'s, which has no C header. The result is malloc's, or NULL for what isn't mangled. */
extern char *__cxa_demangle(const char *mangled, char *buffer, size_t *length, int *status);

/* "_Z12apply_kernelILi1EEv9rs__apply" as "apply_kernel<1>": without result and arguments. */
static void make_readable(char shown[NAME_BYTES], const char *text)
{
    int status = 0;
    char *plain = __cxa_demangle(text, NULL, NULL, &status);
    const char *from = plain ? plain : text;
    if (plain && strncmp(from, "void ", 5) == 0)
        from += 5;
    snprintf(shown, NAME_BYTES, "%s", from);
    for (char *at = shown; plain && at[0] && at[1]; at++) /* a namespace's name may be in parentheses */
        if (at[1] == '(' && at[0] != ':' && at[0] != ' ' && at[0] != '<')
            at[1] = 0;
    free(plain);
}

static uint16_t find_name(struct rs__cupti *c, const char *text)
{
    uint32_t i = 0;
    if (!text)
        text = NAME_UNKNOWN;
    while (i < c->name_count && c->known[i] != text)
        i++;
    if (i < c->name_count && strncmp(c->names[i], text, NAME_BYTES - 1) == 0)
        return (uint16_t)i;
    for (i = 0; i < c->name_count; i++)
        if (strncmp(c->names[i], text, NAME_BYTES - 1) == 0)
            return (uint16_t)i;
    if (i == RS__CUPTI_NAMES)
        return 0; /* NAME_UNKNOWN */
    snprintf(c->names[i], NAME_BYTES, "%s", text);
    make_readable(c->shown[i], text);
    c->known[i] = text;
    c->name_count++;
    return (uint16_t)i;
}

static void keep(struct rs__cupti *c, const char *name, uint64_t begin, uint64_t end, uint32_t correlation,
                 bool copies)
{
    if (c->record_count == RS__CUPTI_RECORDS) {
        c->lost++;
        return;
    }
    c->records[c->record_count++] = (struct kept){begin, end, correlation, find_name(c, name), copies};
}

/* A call of the runtime that calls the driver may be told of twice. */
static void note_call(struct rs__cupti *c, const struct call *call)
{
    const uint32_t n = c->call_count;
    if (n > 0 && c->calls[n - 1].correlation == call->correlation)
        return;
    if (n == RS__CUPTI_RECORDS) { /* what it started will have no cause */
        c->lost++;
        return;
    }
    c->calls[n] = *call;
    c->call_count++;
}

static const char *copy_name(uint8_t kind)
{
    switch (kind) {
    case CUPTI_ACTIVITY_MEMCPY_KIND_HTOD:
        return "copy to device";
    case CUPTI_ACTIVITY_MEMCPY_KIND_DTOH:
        return "copy to host";
    case CUPTI_ACTIVITY_MEMCPY_KIND_DTOD:
        return "copy on device";
    default:
        return "copy";
    }
}

static void take_record(struct rs__cupti *c, const CUpti_Activity *record)
{
    const void *at = record;
    if (record->kind == CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL) {
        const CUpti_ActivityKernel10 *r = at;
        keep(c, r->name, r->start, r->end, r->correlationId, false);
    } else if (record->kind == CUPTI_ACTIVITY_KIND_MEMCPY) {
        const CUpti_ActivityMemcpy6 *r = at;
        keep(c, copy_name(r->copyKind), r->start, r->end, r->correlationId, true);
    } else if (record->kind == CUPTI_ACTIVITY_KIND_MEMSET) {
        const CUpti_ActivityMemset4 *r = at;
        keep(c, "set", r->start, r->end, r->correlationId, true);
    } else if (record->kind == CUPTI_ACTIVITY_KIND_EXTERNAL_CORRELATION) {
        const CUpti_ActivityExternalCorrelation *r = at;
        if (r->externalKind != CUPTI_EXTERNAL_CORRELATION_KIND_CUSTOM0)
            return;
        note_call(c, &(struct call){r->externalId, r->correlationId});
    }
}

/* @thread CUPTI's, or one that calls CUDA */
static void CUPTIAPI give_buffer(uint8_t **buffer, size_t *size, size_t *records_max)
{
    *buffer = NULL; /* then CUPTI drops records, and counts them */
    *size = *records_max = 0;
    pthread_mutex_lock(&mutex);
    if (recording && recording->buffers < RS__CUPTI_BUFFERS) {
        *buffer = rs_alloc(RS__CUPTI_BUFFER_BYTES);
        if (*buffer) {
            *size = RS__CUPTI_BUFFER_BYTES;
            recording->buffers++;
        }
    }
    pthread_mutex_unlock(&mutex);
}

/* @thread CUPTI's */
static void CUPTIAPI take_buffer(CUcontext context, uint32_t stream, uint8_t *buffer, size_t size,
                                 size_t valid)
{
    (void)size;
    pthread_mutex_lock(&mutex);
    struct rs__cupti *c = recording;
    CUpti_Activity *record = NULL;
    size_t dropped = 0;
    while (c && valid > 0 && c->api.next_record(buffer, valid, &record) == CUPTI_SUCCESS)
        take_record(c, record);
    if (c && c->api.dropped(context, stream, &dropped) == CUPTI_SUCCESS)
        c->lost += dropped;
    if (c)
        c->buffers--;
    pthread_mutex_unlock(&mutex);
    rs_free(buffer);
}

static uint64_t CUPTIAPI now(void)
{
    return rs_now_ns();
}

/* The library, or NULL with the loader's words in reasons. It is never closed: its threads and its hooks in
 * the driver last as long as the process. */
static void *open_library(char *reasons, size_t size)
{
    const char *hint = getenv("RSTREAM_CUPTI");
    char path[1024];
    void *library = NULL;
    if (hint && *hint) {
        library = dlopen(hint, RTLD_NOW | RTLD_LOCAL);
        if (!library && snprintf(path, sizeof(path), "%s/%s", hint, LIBRARY) < (int)sizeof(path))
            library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    }
    if (!library)
        library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        snprintf(reasons, size, "%s", dlerror());
    return library;
}

static int open_api(struct api *api, struct rs_error *err)
{
    const struct {
        const char *name;
        void *place; /* of a function pointer */
    } wanted[] = {
        {"cuptiActivityRegisterCallbacks", &api->register_callbacks},
        {"cuptiActivityRegisterTimestampCallback", &api->register_clock},
        {"cuptiActivityEnable", &api->enable},
        {"cuptiActivityDisable", &api->disable},
        {"cuptiActivityEnableRuntimeApi", &api->enable_runtime},
        {"cuptiActivityEnableDriverApi", &api->enable_driver},
        {"cuptiActivityPushExternalCorrelationId", &api->push},
        {"cuptiActivityPopExternalCorrelationId", &api->pop},
        {"cuptiActivityGetNextRecord", &api->next_record},
        {"cuptiActivityGetNumDroppedRecords", &api->dropped},
        {"cuptiActivityFlushAll", &api->flush},
        {"cuptiGetResultString", &api->result_string},
    };
    char reasons[400] = "";
    api->library = open_library(reasons, sizeof(reasons));
    if (!api->library)
        return rs_error_set(
            err, RS_E_UNSUPPORTED,
            "CUPTI was not found: install the CUDA toolkit's %s, or set RSTREAM_CUPTI to it (%s)", LIBRARY,
            reasons);
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        void *function = dlsym(api->library, wanted[i].name);
        if (!function)
            return rs_error_set(err, RS_E_UNSUPPORTED, "%s has no %s: install CUPTI of CUDA %s.x", LIBRARY,
                                wanted[i].name, TEXT(RS_CUDA_MAJOR));
        memcpy(wanted[i].place, &function, sizeof(function)); /* POSIX: they have one representation */
    }
    return 0;
}

static const char *words_of(const struct api *api, CUptiResult result)
{
    const char *words = NULL;
    return api->result_string(result, &words) == CUPTI_SUCCESS && words ? words : "unknown";
}

static int check(const struct api *api, CUptiResult result, const char *what, struct rs_error *err)
{
    if (result == CUPTI_SUCCESS)
        return 0;
    return rs_error_set(err, RS_E_UNSUPPORTED, "CUPTI: %s: %s (%d); is another profiler at work?", what,
                        words_of(api, result), (int)result);
}

static void switch_off(const struct api *api)
{
    for (size_t i = 0; i < KINDS; i++)
        (void)api->disable(kinds[i]);
}

/* Records of these calls cost room, no more: a library that goes on making them is none the worse. */
static void quieten(const struct api *api, CUptiResult (*enable)(CUpti_CallbackId, uint8_t),
                    const CUpti_CallbackId *calls, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const CUptiResult result = enable(calls[i], 0);
        if (result != CUPTI_SUCCESS)
            rs_log(RS_LOG_DEBUG, "cuda: CUPTI goes on recording call %u: %s", (unsigned)calls[i],
                   words_of(api, result));
    }
}

/* The clock comes first: records of what is enabled before it would have another. Single calls come last:
 * their kind overrides what was said of them before. */
static int switch_on(const struct api *api, struct rs_error *err)
{
    RS_TRY(check(api, api->register_clock(now), "the clock", err));
    RS_TRY(check(api, api->register_callbacks(give_buffer, take_buffer), "the callbacks", err));
    for (size_t i = 0; i < KINDS; i++)
        RS_TRY(check(api, api->enable(kinds[i]), "enabling records", err));
    quieten(api, api->enable_runtime, quiet_runtime, sizeof(quiet_runtime) / sizeof(quiet_runtime[0]));
    quieten(api, api->enable_driver, quiet_driver, sizeof(quiet_driver) / sizeof(quiet_driver[0]));
    return 0;
}

static void destroy(struct rs__cupti *c)
{
    rs_free(c->records);
    rs_free(c->calls);
    rs_free(c);
}

/* False: there is one already. */
static bool enter(struct rs__cupti *c)
{
    pthread_mutex_lock(&mutex);
    const bool first = !recording;
    if (first)
        recording = c;
    pthread_mutex_unlock(&mutex);
    return first;
}

static void leave(void)
{
    pthread_mutex_lock(&mutex);
    recording = NULL;
    pthread_mutex_unlock(&mutex);
}

int rs__cupti_begin(struct rs__cupti **out, struct rs_error *err)
{
    *out = NULL;
    struct rs__cupti *c = rs_calloc(1, sizeof(*c));
    if (!c)
        return rs_error_set(err, RS_E_NOMEM, "no memory for the device's records");
    c->records = rs_alloc(RS__CUPTI_RECORDS * sizeof(*c->records));
    c->calls = rs_alloc(RS__CUPTI_RECORDS * sizeof(*c->calls));
    int code =
        c->records && c->calls ? 0 : rs_error_set(err, RS_E_NOMEM, "no memory for the device's records");
    if (code == 0)
        code = open_api(&c->api, err);
    if (code < 0)
        goto fail;
    (void)find_name(c, NAME_UNKNOWN); /* number 0 */
    if (!enter(c)) {
        code = rs_error_set(err, RS_E_UNSUPPORTED, "another run of this process records already");
        goto fail;
    }
    code = switch_on(&c->api, err);
    if (code < 0)
        goto fail_on;
    *out = c;
    return 0;
fail_on:
    switch_off(&c->api);
    leave();
fail:
    destroy(c);
    return code;
}

void rs__cupti_cause(struct rs__cupti *c, uint64_t cause)
{
    uint64_t last;
    if (c->cause)
        (void)c->api.pop(CUPTI_EXTERNAL_CORRELATION_KIND_CUSTOM0, &last);
    c->cause = 0;
    if (!cause)
        return;
    const CUptiResult result = c->api.push(CUPTI_EXTERNAL_CORRELATION_KIND_CUSTOM0, cause);
    if (result == CUPTI_SUCCESS)
        c->cause = cause;
    else if (c->refused == CUPTI_SUCCESS)
        c->refused = result;
    c->told = true;
}

static int by_correlation(const void *left, const void *right)
{
    const struct call *a = left, *b = right;
    return (a->correlation > b->correlation) - (a->correlation < b->correlation);
}

static uint64_t cause_of(const struct rs__cupti *c, uint32_t correlation)
{
    const struct call key = {.correlation = correlation};
    const struct call *found = bsearch(&key, c->calls, c->call_count, sizeof(key), by_correlation);
    return found ? found->cause : 0;
}

/* Rows without a batch look like a run without batches: say that it is CUPTI's doing. */
static void warn_of_no_cause(const struct rs__cupti *c)
{
    if (!c->told || c->call_count > 0 || c->record_count == 0)
        return;
    rs_log(RS_LOG_WARN,
           "cuda: the device's %u records can't be tied to batches: CUPTI noted no cause beside any call%s%s",
           (unsigned)c->record_count, c->refused == CUPTI_SUCCESS ? "" : ", it says: ",
           c->refused == CUPTI_SUCCESS ? "" : words_of(&c->api, c->refused));
}

void rs__cupti_end(struct rs__cupti *c, rs__trace_fn take, void *arg, uint64_t *lost)
{
    (void)c->api.flush(CUPTI_ACTIVITY_FLAG_FLUSH_FORCED); /* buffers come back before it returns */
    switch_off(&c->api);
    leave();
    warn_of_no_cause(c);
    qsort(c->calls, c->call_count, sizeof(*c->calls), by_correlation);
    for (uint32_t i = 0; take && i < c->record_count; i++) {
        const struct kept *k = &c->records[i];
        const struct rs__trace_record record = {c->shown[k->name], k->begin_ns, k->end_ns, k->copies,
                                                cause_of(c, k->correlation)};
        take(arg, &record);
    }
    *lost = c->lost;
    destroy(c);
}
