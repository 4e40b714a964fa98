/* spans.h: what each thread does when, for nsys and for a trace file.
 *
 * How it works: a thread of a run has a lane. It brackets its work with begin and end, each with a registered
 * name and a batch number. Every bracket is an NVTX range in the domain "rstream" where a tool
 * like nsys listens; where none does, a pair of calls costs three to ten nanoseconds. When a trace file
 * is asked for, each lane also keeps its spans and counters in memory of a fixed size, and rs_spans_write
 * puts them into one file in Chrome's trace event format, which Perfetto reads: a row a thread, a counter a
 * row. What no longer fits is counted, not kept.
 *
 * Owner: the creator owns spans; a lane belongs to one thread, and dies with its spans. A NULL lane or NULL
 * spans is allowed everywhere and does nothing. @thread create, name, write, destroy: main, before and after
 * the others; lane, begin, end, counter: any, a lane's by its thread alone.
 */
#ifndef RS_SPANS_H
#define RS_SPANS_H

#include "errors.h"
#include <stdbool.h>
#include <stdint.h>

#define RS_SPAN_NAMES_MAX 32u
#define RS_SPAN_DEPTH_MAX 4u /* brackets inside each other, in a lane */
#define RS_LANES_MAX 1100u
#define RS_LANE_EVENTS 131072u /* kept in a lane: 24 bytes each, touched as they come */

struct rs_spans;
struct rs_lane;

/* traced: lanes keep their spans for rs_spans_write. */
int rs_spans_create(struct rs_spans **out, bool traced, struct rs_error *err);
void rs_spans_destroy(struct rs_spans *spans);
/* A name's number; the same name gives the same number. text is copied: printable ASCII without quotes and
 * backslashes, under 48 bytes. At most RS_SPAN_NAMES_MAX. @thread any */
uint32_t rs_spans_name(struct rs_spans *spans, const char *text);
/* The calling thread's lane, named for NVTX and, cut to 15 bytes, for the trace; characters as in a name.
 * NULL without memory: then it isn't traced, and counts as one that found no room. @thread any */
struct rs_lane *rs_spans_lane(struct rs_spans *spans, const char *thread_name);

void rs_lane_begin(struct rs_lane *lane, uint32_t name, uint64_t batch);
void rs_lane_end(struct rs_lane *lane);
/* Only an NVTX range: for brackets too short and too many to keep. */
void rs_lane_range_begin(struct rs_lane *lane, uint32_t name, uint64_t batch);
void rs_lane_range_end(struct rs_lane *lane);
/* A value that changes over time; traced only. Kept where it differs from this lane's last one, so it may be
 * told often. */
void rs_lane_counter(struct rs_lane *lane, uint32_t name, uint64_t value);
/* An arrow begins here, within the open span; it ends at a device's record (rows.h) that has the same number,
 * 1 or more. Traced only. */
void rs_lane_flow(struct rs_lane *lane, uint64_t flow);
/* A range that begins here and ends when the next phase of this lane begins, at its end, or when the trace is
 * written: "epoch 0". NVTX shows it for the process, the trace on a row of its own above the threads. At most
 * one lane has phases. */
void rs_lane_phase(struct rs_lane *lane, uint32_t name, uint64_t number);
void rs_lane_phase_end(struct rs_lane *lane);

/* Writes the trace, beside and renamed (not synced: it is for people); after all threads with lanes have
 * ended. Errors name path. NULL spans: no file. */
int rs_spans_write(struct rs_spans *spans, const char *path, struct rs_error *err);
/* How many spans, counters and records found no room, and lanes and rows no memory. After rs_spans_write. */
uint64_t rs_spans_dropped(const struct rs_spans *spans);

#endif
