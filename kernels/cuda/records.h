/* records.h: records of the device's kernels and copies through CUPTI, for a trace.
 *
 * How it works: libcupti is opened at run time (RSTREAM_CUPTI, a file or its folder; else the loader's path).
 * The timestamp callback is set before any kind of record is enabled, so that all times are rs_now_ns's.
 * CUPTI fills buffers, at most RS__CUPTI_BUFFERS at once, and hands them back on a thread of its own, where
 * what matters is copied out. A cause is pushed as an external correlation id: CUPTI notes it beside the
 * record of each of our calls, the call's correlation id leads from there to the kernels and copies that it
 * started. So calls are recorded as well, but for those that start no work, like asking for events. What
 * finds no room is counted; where CUPTI notes no cause at all, the log says so.
 *
 * CUPTI is one a process and its callbacks take no argument: so is the recording.
 *
 * Owner: the creator of a recording. @thread begin, end: one at a time; cause: the thread that calls the
 * device; callbacks: CUPTI's.
 */
#ifndef RS_CUDA_RECORDS_H
#define RS_CUDA_RECORDS_H

#include "errors.h"
#include <stdbool.h>
#include <stdint.h>

#define RS__CUPTI_RECORDS 262144u /* 24 bytes each, and 16 for the call behind it */
#define RS__CUPTI_NAMES 512u
#define RS__CUPTI_BUFFERS 16u /* of RS__CUPTI_BUFFER_BYTES */
#define RS__CUPTI_BUFFER_BYTES ((size_t)1 << 20)

struct rs__cupti;

struct rs__trace_record {
    const char *name; /* during the call */
    uint64_t begin_ns, end_ns;
    bool copies;
    uint64_t cause; /* as told before the call that started it; 0: none */
};
typedef void (*rs__trace_fn)(void *arg, const struct rs__trace_record *record);

/* Errors: RS_E_UNSUPPORTED with what is missing and the remedy, RS_E_NOMEM. */
int rs__cupti_begin(struct rs__cupti **out, struct rs_error *err);
/* What the calls of this thread belong to until it is told otherwise; 0: to nothing. */
void rs__cupti_cause(struct rs__cupti *cupti, uint64_t cause);
/* After the device is idle. Gives what was recorded to take (NULL: to nobody) and destroys the recording. */
void rs__cupti_end(struct rs__cupti *cupti, rs__trace_fn take, void *arg, uint64_t *lost);

#endif
