/* gpu.h: what the plan asks of a device: memory, two queues, events, a captured step.
 *
 * How it works: the compute queue runs kernels and convolutions, the copy queue uploads. Every call enqueues
 * and returns, but for those that say that they wait. gpu.c does it with the CUDA runtime; the tests have a
 * second implementation that runs the same bodies on the CPU, so the whole plan is tested without a device.
 *
 * Owner: the creator of each thing; a gpu outlives what was made with it. @thread one at a time; enter first
 * on each thread.
 */
#ifndef RS_CUDA_GPU_H
#define RS_CUDA_GPU_H

#include "backend.h"
#include "records.h"
#include <stdbool.h>
#include <stddef.h>

struct rs__gpu;
struct rs__event;
struct rs__captured;

enum rs__queue { RS__QUEUE_COMPUTE, RS__QUEUE_COPY };
enum rs__direction { RS__TO_DEVICE, RS__TO_HOST, RS__ON_DEVICE };

/* RS_E_DEVICE with the reason why no device can be used: no driver, one too old, the toolkit's stub, no
 * device, no cuDNN. */
int rs__gpu_probe(uint32_t ordinal, struct rs_device_info *info, struct rs_error *err);
int rs__gpu_open(struct rs__gpu **out, uint32_t ordinal, struct rs_error *err);
void rs__gpu_close(struct rs__gpu *gpu);
/* Makes the device the calling thread's. */
int rs__gpu_enter(struct rs__gpu *gpu, struct rs_error *err);
/* And TF32: both came with compute capability 8.0. */
bool rs__gpu_has_bf16(const struct rs__gpu *gpu);

/* Device memory, zeroed, aligned to 256 bytes. Errors: RS_E_NOMEM with what is free, RS_E_BACKEND. */
int rs__gpu_alloc(struct rs__gpu *gpu, size_t bytes, void **out, struct rs_error *err);
void rs__gpu_free(struct rs__gpu *gpu, void *block);
/* Host memory that every device copies from without a detour (pinned); NULL when there is none. */
void *rs__gpu_host_alloc(struct rs__gpu *gpu, size_t bytes);
void rs__gpu_host_free(struct rs__gpu *gpu, void *block);

int rs__gpu_copy(struct rs__gpu *gpu, enum rs__queue queue, void *to, const void *from, size_t bytes,
                 enum rs__direction direction, struct rs_error *err);
/* Waits until the queue is empty. */
int rs__gpu_sync(struct rs__gpu *gpu, enum rs__queue queue, struct rs_error *err);

int rs__event_create(struct rs__gpu *gpu, struct rs__event **out, struct rs_error *err);
void rs__event_destroy(struct rs__gpu *gpu, struct rs__event *event);
int rs__event_record(struct rs__gpu *gpu, struct rs__event *event, enum rs__queue queue,
                     struct rs_error *err);
/* The queue goes on only after the event's last record; the host doesn't wait. */
int rs__event_wait(struct rs__gpu *gpu, struct rs__event *event, enum rs__queue queue, struct rs_error *err);
/* 0: what was recorded has happened, or nothing was; RS_AGAIN; or the device's error. */
int rs__event_query(struct rs__gpu *gpu, struct rs__event *event, struct rs_error *err);

/* Between begin and end the compute queue's calls are noted, not run. After an error of end nothing was
 * noted, and the queue is usable. counters: device memory that some of the calls zero, each a part of its
 * own, before they use it, and that nothing else touches: all of it is zeroed once, at the beginning,
 * instead. */
int rs__capture_begin(struct rs__gpu *gpu, struct rs_error *err);
int rs__capture_end(struct rs__gpu *gpu, void *counters, size_t bytes, struct rs__captured **out,
                    struct rs_error *err);
int rs__captured_launch(struct rs__gpu *gpu, struct rs__captured *captured, struct rs_error *err);
void rs__captured_destroy(struct rs__gpu *gpu, struct rs__captured *captured);

/* Records of kernels and copies, for a trace; at most one recording a process. cause: what the calls of this
 * thread belong to from here on, 0 for nothing; only while recording. end: when the device is idle; take may
 * be NULL. Errors: RS_E_UNSUPPORTED with the reason. */
int rs__gpu_trace_begin(struct rs__gpu *gpu, struct rs_error *err);
void rs__gpu_trace_cause(struct rs__gpu *gpu, uint64_t cause);
void rs__gpu_trace_end(struct rs__gpu *gpu, rs__trace_fn take, void *arg, uint64_t *lost);

/* After all plans of a compile were tuned: writes what was learnt to disk. A failure costs the next run time,
 * no more; it is logged. */
void rs__gpu_save_choices(struct rs__gpu *gpu);

#endif
