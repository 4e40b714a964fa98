/* gpu.c: the device through the CUDA runtime. See gpu.h. @thread as there. */
#include "gpu_pvt.h"

#include "alloc.h"
#include "log.h"
#include "reasons.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* struct rs__event is CUDA's event, struct rs__captured its executable graph: handles, never looked into
 * here. */
static cudaEvent_t event_of(struct rs__event *event)
{
    return (cudaEvent_t)(void *)event;
}

int rs__cuda_check(cudaError_t code, const char *what, struct rs_error *err)
{
    if (code == cudaSuccess)
        return 0;
    (void)cudaGetLastError(); /* so that a later call doesn't report it again */
    return rs_error_set(err, code == cudaErrorMemoryAllocation ? RS_E_NOMEM : RS_E_BACKEND,
                        "CUDA: %s: %s (%d)", what, cudaGetErrorString(code), (int)code);
}

/* How many devices there are, 1 or more; or RS_E_DEVICE with the reason. */
static int count_devices(int *count, struct rs_error *err)
{
    int driver = 0, runtime = 0;
    char text[400];
    const cudaError_t code = cudaGetDeviceCount(count); /* leaves count alone when it fails */
    if (code == cudaSuccess && *count > 0)
        return 0;
    (void)cudaGetLastError();
    if (cudaDriverGetVersion(&driver) != cudaSuccess)
        driver = 0;
    if (cudaRuntimeGetVersion(&runtime) != cudaSuccess)
        runtime = CUDART_VERSION;
    const int reason = code == cudaSuccess ? (int)cudaErrorNoDevice : (int)code;
    rs__cuda_reason(reason, driver, runtime, cudaGetErrorString(code), text, sizeof(text));
    return rs_error_set(err, RS_E_DEVICE, "%s", text);
}

/* count: of the devices that there are, also where this one can't be used. */
static int get_properties(uint32_t which, struct cudaDeviceProp *properties, int *count, struct rs_error *err)
{
    *count = 0;
    RS_TRY(count_devices(count, err));
    if (which >= (uint32_t)*count)
        return rs_error_set(err, RS_E_DEVICE, "there is no cuda:%u: this machine has %d GPU%s, from cuda:0",
                            which, *count, *count == 1 ? "" : "s");
    const int ordinal = (int)which;
    const cudaError_t code = cudaGetDeviceProperties(properties, ordinal);
    if (code != cudaSuccess)
        return rs_error_set(err, RS_E_DEVICE, "cuda:%d can't be asked for its properties: %s (%d)", ordinal,
                            cudaGetErrorString(code), (int)code);
    if (properties->major * 10 + properties->minor < 75)
        return rs_error_set(err, RS_E_DEVICE,
                            "cuda:%d, %s, has compute capability %d.%d; 7.5 or newer is needed", ordinal,
                            properties->name, properties->major, properties->minor);
    return 0;
}

int rs__gpu_probe(uint32_t ordinal, struct rs_device_info *info, struct rs_error *err)
{
    struct cudaDeviceProp properties;
    struct rs__cudnn_api cudnn;
    int driver = 0, runtime = 0, count = 0;
    memset(info, 0, sizeof(*info));
    memset(&properties, 0, sizeof(properties));
    const int code = get_properties(ordinal, &properties, &count, err);
    info->count = (uint32_t)count;
    RS_TRY(code);
    RS_TRY(rs__cudnn_open(&cudnn, err));
    rs__cudnn_close(&cudnn);
    const size_t version = cudnn.version;
    RS_TRY(rs__cuda_check(cudaDriverGetVersion(&driver), "the driver's version", err));
    RS_TRY(rs__cuda_check(cudaRuntimeGetVersion(&runtime), "the runtime's version", err));
    snprintf(info->name, sizeof(info->name), "%.90s, cuda:%u, sm_%d%d", properties.name, ordinal,
             properties.major, properties.minor);
    snprintf(info->library, sizeof(info->library), "cuDNN %zu.%zu.%zu, CUDA %d.%d, driver for CUDA %d.%d",
             version / 10000, version / 100 % 100, version % 100, runtime / 1000, runtime % 1000 / 10,
             driver / 1000, driver % 1000 / 10);
    snprintf(info->precisions, sizeof(info->precisions), properties.major >= 8 ? "fp32 tf32 bf16" : "fp32");
    info->memory_bytes = properties.totalGlobalMem;
    return 0;
}

/* Where choices are kept: RSTREAM_CACHE, else the user's cache folder. */
static void open_choices(struct rs__gpu *gpu)
{
    char folder[512];
    const char *cache = getenv("RSTREAM_CACHE"), *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (cache && *cache)
        snprintf(folder, sizeof(folder), "%s", cache);
    else if (xdg && *xdg)
        snprintf(folder, sizeof(folder), "%s/rstream", xdg);
    else if (home && *home)
        snprintf(folder, sizeof(folder), "%s/.cache/rstream", home);
    else
        folder[0] = 0;
    rs__choices_open(&gpu->choices, folder, gpu->cudnn.version, gpu->properties.name);
}

static int open_parts(struct rs__gpu *gpu, struct rs_error *err)
{
    RS_TRY(rs__cudnn_open(&gpu->cudnn, err));
    RS_TRY(rs__cuda_check(cudaSetDevice(gpu->ordinal), "choosing the device", err));
    for (int i = 0; i < 2; i++)
        RS_TRY(rs__cuda_check(cudaStreamCreateWithFlags(&gpu->streams[i], cudaStreamNonBlocking), "a stream",
                              err));
    gpu->planner.api = &gpu->cudnn;
    gpu->planner.workspace_limit = (int64_t)512 << 20;
    RS_TRY(rs__cudnn_check(&gpu->cudnn, gpu->cudnn.create(&gpu->planner.handle), "a handle", err));
    RS_TRY(rs__cudnn_check(&gpu->cudnn,
                           gpu->cudnn.set_stream(gpu->planner.handle, gpu->streams[RS__QUEUE_COMPUTE]),
                           "the handle's stream", err));
    open_choices(gpu);
    rs_log(RS_LOG_DEBUG, "cuda: %s, cuDNN %zu", gpu->properties.name, gpu->cudnn.version);
    return 0;
}

int rs__gpu_open(struct rs__gpu **out, uint32_t ordinal, struct rs_error *err)
{
    *out = NULL;
    struct rs__gpu *gpu = rs_calloc(1, sizeof(*gpu));
    if (!gpu)
        return rs_error_set(err, RS_E_NOMEM, "out of memory for a device");
    int count;
    gpu->ordinal = (int)ordinal;
    int code = get_properties(ordinal, &gpu->properties, &count, err);
    if (code == 0)
        code = open_parts(gpu, err);
    if (code < 0) {
        rs__gpu_close(gpu);
        return code;
    }
    *out = gpu;
    return 0;
}

void rs__gpu_close(struct rs__gpu *gpu)
{
    if (!gpu)
        return;
    if (gpu->planner.handle)
        (void)gpu->cudnn.destroy(gpu->planner.handle);
    for (int i = 0; i < 2; i++)
        if (gpu->streams[i])
            (void)cudaStreamDestroy(gpu->streams[i]);
    rs__choices_close(&gpu->choices);
    rs__cudnn_close(&gpu->cudnn);
    rs_free(gpu);
}

int rs__gpu_enter(struct rs__gpu *gpu, struct rs_error *err)
{
    return rs__cuda_check(cudaSetDevice(gpu->ordinal), "choosing the device", err);
}

bool rs__gpu_has_bf16(const struct rs__gpu *gpu)
{
    return gpu->properties.major >= 8;
}

int rs__gpu_alloc(struct rs__gpu *gpu, size_t bytes, void **out, struct rs_error *err)
{
    *out = NULL;
    const cudaError_t code = cudaMalloc(out, bytes);
    if (code == cudaErrorMemoryAllocation) {
        size_t available = 0, total = 0;
        (void)cudaGetLastError();
        (void)cudaMemGetInfo(&available, &total);
        return rs_error_set(
            err, RS_E_NOMEM,
            "the GPU has %zu of %zu MiB free and %zu more are needed; use a smaller batch size",
            available >> 20, total >> 20, bytes >> 20);
    }
    RS_TRY(rs__cuda_check(code, "device memory", err));
    RS_TRY(rs__cuda_check(cudaMemsetAsync(*out, 0, bytes, gpu->streams[RS__QUEUE_COMPUTE]), "zeroing memory",
                          err));
    return rs__gpu_sync(gpu, RS__QUEUE_COMPUTE, err);
}

void rs__gpu_free(struct rs__gpu *gpu, void *block)
{
    (void)gpu;
    if (block)
        (void)cudaFree(block);
}

void *rs__gpu_host_alloc(struct rs__gpu *gpu, size_t bytes)
{
    void *block = NULL;
    if (rs__gpu_enter(gpu, NULL) < 0 || cudaHostAlloc(&block, bytes, cudaHostAllocPortable) != cudaSuccess) {
        (void)cudaGetLastError();
        return NULL;
    }
    return block;
}

void rs__gpu_host_free(struct rs__gpu *gpu, void *block)
{
    (void)gpu;
    if (block)
        (void)cudaFreeHost(block);
}

int rs__gpu_copy(struct rs__gpu *gpu, enum rs__queue queue, void *to, const void *from, size_t bytes,
                 enum rs__direction direction, struct rs_error *err)
{
    static const enum cudaMemcpyKind kinds[] = {[RS__TO_DEVICE] = cudaMemcpyHostToDevice,
                                                [RS__TO_HOST] = cudaMemcpyDeviceToHost,
                                                [RS__ON_DEVICE] = cudaMemcpyDeviceToDevice};
    return rs__cuda_check(cudaMemcpyAsync(to, from, bytes, kinds[direction], gpu->streams[queue]), "a copy",
                          err);
}

int rs__gpu_sync(struct rs__gpu *gpu, enum rs__queue queue, struct rs_error *err)
{
    return rs__cuda_check(cudaStreamSynchronize(gpu->streams[queue]), "waiting for the device", err);
}

int rs__event_create(struct rs__gpu *gpu, struct rs__event **out, struct rs_error *err)
{
    cudaEvent_t event = NULL;
    (void)gpu;
    const int code =
        rs__cuda_check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "an event", err);
    *out = (struct rs__event *)(void *)event;
    return code;
}

void rs__event_destroy(struct rs__gpu *gpu, struct rs__event *event)
{
    (void)gpu;
    if (event)
        (void)cudaEventDestroy(event_of(event));
}

int rs__event_record(struct rs__gpu *gpu, struct rs__event *event, enum rs__queue queue, struct rs_error *err)
{
    return rs__cuda_check(cudaEventRecord(event_of(event), gpu->streams[queue]), "recording an event", err);
}

int rs__event_wait(struct rs__gpu *gpu, struct rs__event *event, enum rs__queue queue, struct rs_error *err)
{
    return rs__cuda_check(cudaStreamWaitEvent(gpu->streams[queue], event_of(event), 0),
                          "waiting for an event", err);
}

int rs__event_query(struct rs__gpu *gpu, struct rs__event *event, struct rs_error *err)
{
    (void)gpu;
    const cudaError_t code = cudaEventQuery(event_of(event));
    if (code != cudaErrorNotReady)
        return rs__cuda_check(code, "what the device was doing", err);
    (void)cudaGetLastError(); /* not ready counts as an error there */
    return RS_AGAIN;
}

int rs__capture_begin(struct rs__gpu *gpu, struct rs_error *err)
{
    /* thread local: other threads, those that allocate pinned memory among them, go on undisturbed */
    return rs__cuda_check(
        cudaStreamBeginCapture(gpu->streams[RS__QUEUE_COMPUTE], cudaStreamCaptureModeThreadLocal),
        "beginning a capture", err);
}

int rs__capture_end(struct rs__gpu *gpu, void *counters, size_t bytes, struct rs__captured **out,
                    struct rs_error *err)
{
    cudaGraph_t graph = NULL;
    cudaGraphExec_t executable = NULL;
    *out = NULL;
    int code = rs__cuda_check(cudaStreamEndCapture(gpu->streams[RS__QUEUE_COMPUTE], &graph),
                              "ending a capture", err);
    if (code == 0)
        code = rs__graph_clear_once(graph, counters, bytes, err);
    if (code == 0)
        code = rs__cuda_check(cudaGraphInstantiate(&executable, graph, 0), "a graph of the step", err);
    if (graph)
        (void)cudaGraphDestroy(graph);
    *out = (struct rs__captured *)(void *)executable;
    return code;
}

int rs__captured_launch(struct rs__gpu *gpu, struct rs__captured *captured, struct rs_error *err)
{
    return rs__cuda_check(cudaGraphLaunch((cudaGraphExec_t)(void *)captured, gpu->streams[RS__QUEUE_COMPUTE]),
                          "launching the step's graph", err);
}

void rs__captured_destroy(struct rs__gpu *gpu, struct rs__captured *captured)
{
    (void)gpu;
    if (captured)
        (void)cudaGraphExecDestroy((cudaGraphExec_t)(void *)captured);
}

void rs__gpu_save_choices(struct rs__gpu *gpu)
{
    rs__choices_save(&gpu->choices);
}

int rs__gpu_trace_begin(struct rs__gpu *gpu, struct rs_error *err)
{
    return rs__cupti_begin(&gpu->cupti, err);
}

void rs__gpu_trace_cause(struct rs__gpu *gpu, uint64_t cause)
{
    rs__cupti_cause(gpu->cupti, cause);
}

void rs__gpu_trace_end(struct rs__gpu *gpu, rs__trace_fn take, void *arg, uint64_t *lost)
{
    rs__cupti_end(gpu->cupti, take, arg, lost);
    gpu->cupti = NULL;
}
