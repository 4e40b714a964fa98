/* trace_check.h: reads a trace file as its viewers do, and fails the test where it breaks Chrome's trace
 * event format (the JSON object form). Used by test_spans and by tests of the rstream command.
 *
 * Owner: the caller owns the trace and closes it. @thread main.
 */
#ifndef RS_TRACE_CHECK_H
#define RS_TRACE_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TRACE_ROWS_MAX 64

struct trace_span {
    int row;
    const char *name;
    int64_t begin_ns, end_ns; /* from the trace's beginning */
    int64_t batch;            /* -1: none */
};

struct trace_counter {
    int row;
    const char *name;
    int64_t at_ns, value;
};

struct trace_arrow { /* from the span of a thread to a record of a device */
    int64_t id, begin_ns, end_ns;
    int from, to; /* rows; -1: that end is not there */
};

struct trace {
    void *json;                       /* texts below are in it */
    const char *rows[TRACE_ROWS_MAX]; /* names of the threads, at their tid */
    int64_t places[TRACE_ROWS_MAX];   /* from the top */
    int row_count;
    struct trace_span *spans; /* by row, then by time, outer ones before inner ones */
    size_t span_count;
    struct trace_counter *counters; /* as in the file */
    size_t counter_count;
    struct trace_arrow *arrows; /* by the beginnings' order in the file */
    size_t arrow_count;
    int64_t dropped;
};

/* Opens path, or fails the test. Beyond the form of each event: every row with events has a name and a place,
 * the spans of a row nest, and an arrow begins and ends within spans, and ends no earlier than it begins. */
void trace_open(struct trace *trace, const char *path);
void trace_close(struct trace *trace);
/* The row of this name, or -1. */
int trace_row(const struct trace *trace, const char *name);

#endif
