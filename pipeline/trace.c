/* trace.c: a run's spans as a file in Chrome's trace event format (the JSON object form, with "X" complete
 * events, "C" counters, "s" and "f" arrows and "M" thread names; times in microseconds), which Perfetto and
 * chrome://tracing read. Rows come behind the lanes: row r's track k is thread lane_count + r * RS_ROW_TRACKS
 * + k. Phases come behind them, but are shown first. */
#include "spans_pvt.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define PATH_BYTES 4096
#define PHASES "epochs" /* the name of their row */

static double microseconds(const struct rs_spans *s, uint64_t ns)
{
    return (double)(ns - s->began_ns) * 1e-3;
}

static void write_event(FILE *f, const struct rs_spans *s, const struct rs_lane *lane,
                        const struct rs__event *e)
{
    const char *name = s->names[e->name].text;
    double at = microseconds(s, e->begin_ns);
    unsigned long long value = e->value;
    if (e->kind == RS__EVENT_FLOW)
        fprintf(f,
                ",\n{\"ph\":\"s\",\"pid\":1,\"tid\":%u,\"name\":\"starts\",\"cat\":\"device\",\"id\":%llu,"
                "\"ts\":%.3f,\"args\":{}}",
                lane->number, value, at);
    else if (e->kind == RS__EVENT_COUNTER)
        fprintf(
            f, ",\n{\"ph\":\"C\",\"pid\":1,\"tid\":%u,\"name\":\"%s\",\"ts\":%.3f,\"args\":{\"value\":%llu}}",
            lane->number, name, at, value);
    else
        fprintf(f,
                ",\n{\"ph\":\"X\",\"pid\":1,\"tid\":%u,\"name\":\"%s\",\"ts\":%.3f,\"dur\":%.3f,"
                "\"args\":{\"batch\":%llu}}",
                lane->number, name, at, (double)e->duration_ns * 1e-3, value);
}

/* place: among the threads, from the top. */
static void write_thread(FILE *f, uint32_t number, uint32_t place, const char *name)
{
    fprintf(f, ",\n{\"ph\":\"M\",\"pid\":1,\"tid\":%u,\"name\":\"thread_name\",\"args\":{\"name\":\"%s\"}}",
            number, name);
    fprintf(
        f,
        ",\n{\"ph\":\"M\",\"pid\":1,\"tid\":%u,\"name\":\"thread_sort_index\",\"args\":{\"sort_index\":%u}}",
        number, place);
}

static void write_record(FILE *f, const struct rs_spans *s, const struct rs_row *row, uint32_t first,
                         const struct rs__row_record *r)
{
    double at = microseconds(s, r->begin_ns);
    char args[40] = "";
    if (r->batch != RS_BATCH_NONE)
        snprintf(args, sizeof args, "\"batch\":%llu", (unsigned long long)r->batch);
    fprintf(f,
            ",\n{\"ph\":\"X\",\"pid\":1,\"tid\":%u,\"name\":\"%s\",\"ts\":%.3f,\"dur\":%.3f,\"args\":{%s}}",
            first + r->track, row->names[r->name], at, (double)(r->end_ns - r->begin_ns) * 1e-3, args);
    if (r->flow) /* bp: at the record that encloses the point, not at the next one */
        fprintf(f,
                ",\n{\"ph\":\"f\",\"bp\":\"e\",\"pid\":1,\"tid\":%u,\"name\":\"starts\",\"cat\":\"device\","
                "\"id\":%llu,\"ts\":%.3f,\"args\":{}}",
                first + r->track, (unsigned long long)r->flow, at);
}

static void write_row(FILE *f, const struct rs_spans *s, const struct rs_row *row, uint32_t first)
{
    char name[sizeof row->name + 12];
    for (uint32_t k = 0; k < row->tracks; k++) {
        snprintf(name, sizeof name, k ? "%s %u" : "%s", row->name, k + 1);
        write_thread(f, first + k, first + k + 1, name);
    }
    for (uint32_t i = 0; i < row->count; i++)
        write_record(f, s, row, first, &row->records[i]);
}

static void write_lane(FILE *f, const struct rs_spans *s, const struct rs_lane *lane)
{
    write_thread(f, lane->number, lane->number + 1, lane->name);
    for (uint32_t i = 0; i < lane->count; i++)
        if (lane->events[i].kind != RS__EVENT_PHASE)
            write_event(f, s, lane, &lane->events[i]);
}

static void write_phases(FILE *f, const struct rs_spans *s, const struct rs_lane *lane, uint32_t number)
{
    bool named = false;
    for (uint32_t i = 0; i < lane->count; i++) {
        const struct rs__event *e = &lane->events[i];
        const unsigned long long value = e->value;
        if (e->kind != RS__EVENT_PHASE)
            continue;
        if (!named)
            write_thread(f, number, 0, PHASES);
        named = true;
        fprintf(f,
                ",\n{\"ph\":\"X\",\"pid\":1,\"tid\":%u,\"name\":\"%s %llu\",\"ts\":%.3f,\"dur\":%.3f,"
                "\"args\":{}}",
                number, s->names[e->name].text, value, microseconds(s, e->begin_ns),
                (double)e->duration_ns * 1e-3);
    }
}

static int write_all(FILE *f, const struct rs_spans *s)
{
    fprintf(f,
            "{\"displayTimeUnit\":\"ms\",\"otherData\":{\"program\":\"rstream\",\"dropped\":%llu},\n"
            "\"traceEvents\":[\n"
            "{\"ph\":\"M\",\"pid\":1,\"name\":\"process_name\",\"args\":{\"name\":\"rstream\"}}",
            (unsigned long long)rs_spans_dropped(s));
    for (uint32_t i = 0; i < s->lane_count; i++)
        write_lane(f, s, s->lanes[i]);
    for (uint32_t i = 0; i < s->row_count; i++)
        write_row(f, s, s->rows[i], s->lane_count + i * RS_ROW_TRACKS);
    for (uint32_t i = 0; i < s->lane_count; i++)
        write_phases(f, s, s->lanes[i], s->lane_count + s->row_count * RS_ROW_TRACKS);
    fputs("\n]}\n", f);
    return ferror(f) || fflush(f) != 0 ? -1 : 0;
}

int rs_spans_write(struct rs_spans *s, const char *path, struct rs_error *err)
{
    char beside[PATH_BYTES];
    if (!s)
        return 0;
    if ((size_t)snprintf(beside, sizeof beside, "%s.partial", path) >= sizeof beside)
        return rs_error_set(err, RS_E_LIMIT, "the path %.200s… is too long", path);
    FILE *f = fopen(beside, "we");
    if (!f)
        return rs_error_set_errno(err, errno, "the trace %s can't be written; choose another --trace", path);
    for (uint32_t i = 0; i < s->lane_count; i++)
        rs_lane_phase_end(s->lanes[i]);
    for (uint32_t i = 0; i < s->row_count; i++)
        rs__row_arrange(s->rows[i], s->began_ns);
    int errnum = write_all(f, s) < 0 ? errno : 0;
    if (fclose(f) != 0 && !errnum)
        errnum = errno;
    if (!errnum && rename(beside, path) != 0)
        errnum = errno;
    if (!errnum)
        return 0;
    unlink(beside);
    return rs_error_set_errno(err, errnum, "the trace %s can't be written; choose another --trace", path);
}
