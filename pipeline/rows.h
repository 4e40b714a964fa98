/* rows.h: rows of a trace that no thread of the run writes: what a device did, told afterwards.
 *
 * How it works: a row takes records with a beginning and an end on rs_now_ns's clock, in any order. The
 * trace file shows them below the threads; records that overlap stand on further rows of the same name with
 * a number. A record with a flow is where the arrow ends that rs_lane_flow began with the same number; of
 * several records with one flow the first has it. Memory is bounded: RS_ROW_RECORDS records and RS_ROW_NAMES
 * names a row; what finds no room, or overlaps too much, counts as dropped.
 *
 * Owner: rows are their spans', and die with them. A NULL row is allowed and does nothing. @thread main, once
 * the threads with lanes have ended.
 */
#ifndef RS_ROWS_H
#define RS_ROWS_H

#include "spans.h"

#define RS_ROWS_MAX 4u
#define RS_ROW_RECORDS 262144u /* 40 bytes each, touched as they come */
#define RS_ROW_NAMES 512u
#define RS_ROW_TRACKS 8u /* records of a row that may overlap at any time */
#define RS_BATCH_NONE UINT64_MAX

struct rs_row;

struct rs_row_record {
    const char *name; /* copied; cut to 95 bytes; characters that JSON would escape become '_' */
    uint64_t begin_ns, end_ns;
    uint64_t batch; /* RS_BATCH_NONE: it belongs to none, and shows none */
    uint64_t flow;  /* 0: no arrow. Those of a row ascend with time. */
};

/* NULL when nothing is traced, or without memory. name: as in spans.h. At most RS_ROWS_MAX. */
struct rs_row *rs_spans_row(struct rs_spans *spans, const char *name);
void rs_row_add(struct rs_row *row, const struct rs_row_record *record);
/* Counts records that were lost before they came here. */
void rs_row_lose(struct rs_row *row, uint64_t count);

#endif
