/* spans_pvt.h: what spans.c and rows.c record and trace.c writes. */
#ifndef RS_SPANS_PVT_H
#define RS_SPANS_PVT_H

#include "rows.h"
#include "spans.h"
#include <pthread.h>

#define RS__NAME_BYTES 48
#define RS__ROW_NAME_BYTES 96

enum rs__event_kind { RS__EVENT_SPAN, RS__EVENT_COUNTER, RS__EVENT_FLOW, RS__EVENT_PHASE };

struct rs__event {
    uint64_t begin_ns;
    uint64_t value;            /* batch number, the counter's value, the flow, or the phase's number */
    uint64_t duration_ns : 48; /* room for three days; a counter's is 0 */
    uint64_t name : 14;        /* its number */
    uint64_t kind : 2;         /* enum rs__event_kind */
};

struct rs__row_record {
    uint64_t begin_ns, end_ns, batch, flow;
    uint32_t name, track;
};

struct rs_row {
    char name[16];
    struct rs__row_record *records; /* RS_ROW_RECORDS */
    uint32_t count;
    uint64_t dropped;
    char names[RS_ROW_NAMES][RS__ROW_NAME_BYTES];
    uint32_t name_count;
    uint32_t tracks; /* in use, once arranged */
};

/* Sorts, and gives each record a track that it overlaps nobody on and each flow to its first record. Records
 * from before began_ns are dropped. */
void rs__row_arrange(struct rs_row *row, uint64_t began_ns);
void rs__row_destroy(struct rs_row *row);

struct rs_lane {
    struct rs_spans *spans;
    char name[16];
    uint32_t number;
    /* owned by the lane's thread; read by trace.c after it has ended */
    struct rs__event *events; /* RS_LANE_EVENTS, or NULL when nothing is traced */
    uint32_t count;
    uint64_t dropped;
    uint32_t counted;                        /* bit n: counter n has a value */
    uint64_t last_values[RS_SPAN_NAMES_MAX]; /* of the counters */
    uint32_t depth;
    struct rs__event open[RS_SPAN_DEPTH_MAX];
    uint64_t phase;                /* NVTX's number of the open phase */
    struct rs__event *phase_event; /* it, if it found room */
    bool has_phase;
};

struct rs__span_name {
    char text[RS__NAME_BYTES];
    void *registered; /* NVTX's */
};

struct rs_spans {
    bool traced;
    void *domain; /* NULL: no tool listens, and none can come later, so ranges end here */
    uint64_t began_ns;
    /* shared, protected by mutex; a name or lane once made doesn't change */
    pthread_mutex_t mutex;
    struct rs__span_name names[RS_SPAN_NAMES_MAX];
    uint32_t name_count;
    struct rs_lane *lanes[RS_LANES_MAX];
    uint32_t lane_count;
    uint64_t untraced; /* lanes and rows that got no memory */
    /* main's */
    struct rs_row *rows[RS_ROWS_MAX];
    uint32_t row_count;
};

/* A lane or a row got no memory. @thread any */
void rs__spans_lack(struct rs_spans *s);

#endif
