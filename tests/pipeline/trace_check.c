/* trace_check.c: see trace_check.h. */
#include "trace_check.h"

#include "support.h"

#include <cjson/cJSON.h>
#include <math.h>

static char *read_text(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        fail_msg("there is no %s", path);
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    rewind(file);
    char *text = malloc((size_t)size + 1);
    assert_non_null(text);
    assert_int_equal(fread(text, 1, (size_t)size, file), size);
    text[size] = '\0';
    fclose(file);
    return text;
}

static const char *text_of(const cJSON *object, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    if (!cJSON_IsString(item) || !*item->valuestring)
        fail_msg("no text \"%s\" in %s", key, cJSON_PrintUnformatted(object));
    return item->valuestring;
}

static double number_of(const cJSON *object, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    if (!cJSON_IsNumber(item))
        fail_msg("no number \"%s\" in %s", key, cJSON_PrintUnformatted(object));
    return item->valuedouble;
}

/* A whole number of 0 or more. */
static int64_t count_of(const cJSON *object, const char *key)
{
    double value = number_of(object, key);
    if (value < 0 || value != floor(value) || value > 9007199254740992.0)
        fail_msg("%s isn't a count: %.17g", key, value);
    return (int64_t)value;
}

/* Microseconds, with three digits, as nanoseconds. */
static int64_t time_of(const cJSON *event, const char *key)
{
    double value = number_of(event, key) * 1e3;
    if (value < 0 || fabs(value - nearbyint(value)) > 0.01)
        fail_msg("%s isn't a time: %.17g", key, value);
    return (int64_t)nearbyint(value);
}

static int row_of(const cJSON *event)
{
    int64_t row = count_of(event, "tid");
    assert_true(row < TRACE_ROWS_MAX);
    return (int)row;
}

/* The arrow of this number, made if it isn't there. */
static struct trace_arrow *arrow_of(struct trace *trace, const cJSON *event)
{
    int64_t id = count_of(event, "id");
    size_t i = 0;
    assert_string_equal(text_of(event, "cat"), "device");
    assert_string_equal(text_of(event, "name"), "starts");
    while (i < trace->arrow_count && trace->arrows[i].id != id)
        i++;
    if (i == trace->arrow_count)
        trace->arrows[trace->arrow_count++] = (struct trace_arrow){.id = id, .from = -1, .to = -1};
    return &trace->arrows[i];
}

static void take_metadata(struct trace *trace, const cJSON *event, bool placed[TRACE_ROWS_MAX])
{
    const char *name = text_of(event, "name");
    const cJSON *args = cJSON_GetObjectItemCaseSensitive(event, "args");
    if (strcmp(name, "process_name") == 0) {
        assert_string_equal(text_of(args, "name"), "rstream");
    } else if (strcmp(name, "thread_name") == 0) {
        int row = row_of(event);
        assert_null(trace->rows[row]);
        trace->rows[row] = text_of(args, "name");
        trace->row_count++;
    } else if (strcmp(name, "thread_sort_index") == 0) {
        trace->places[row_of(event)] = count_of(args, "sort_index");
        placed[row_of(event)] = true;
    } else {
        fail_msg("metadata that viewers don't know: %s", name);
    }
}

static void take_event(struct trace *trace, const cJSON *event, bool placed[TRACE_ROWS_MAX])
{
    const char *ph = text_of(event, "ph");
    const cJSON *args = cJSON_GetObjectItemCaseSensitive(event, "args");
    assert_true(cJSON_IsObject(args));
    assert_int_equal(count_of(event, "pid"), 1);
    if (strcmp(ph, "M") == 0) {
        take_metadata(trace, event, placed);
    } else if (strcmp(ph, "X") == 0) {
        int64_t begin = time_of(event, "ts");
        trace->spans[trace->span_count++] = (struct trace_span){
            .row = row_of(event),
            .name = text_of(event, "name"),
            .begin_ns = begin,
            .end_ns = begin + time_of(event, "dur"),
            .batch = cJSON_HasObjectItem(args, "batch") ? count_of(args, "batch") : -1,
        };
    } else if (strcmp(ph, "C") == 0) {
        trace->counters[trace->counter_count++] = (struct trace_counter){
            .row = row_of(event),
            .name = text_of(event, "name"),
            .at_ns = time_of(event, "ts"),
            .value = count_of(args, "value"),
        };
    } else if (strcmp(ph, "s") == 0) {
        struct trace_arrow *arrow = arrow_of(trace, event);
        assert_int_equal(arrow->from, -1);
        arrow->from = row_of(event);
        arrow->begin_ns = time_of(event, "ts");
    } else if (strcmp(ph, "f") == 0) {
        struct trace_arrow *arrow = arrow_of(trace, event);
        assert_int_equal(arrow->to, -1);
        assert_string_equal(text_of(event, "bp"), "e");
        arrow->to = row_of(event);
        arrow->end_ns = time_of(event, "ts");
    } else {
        fail_msg("an event of the unknown kind '%s'", ph);
    }
}

static int by_row_and_time(const void *left, const void *right)
{
    const struct trace_span *a = left, *b = right;
    if (a->row != b->row)
        return a->row < b->row ? -1 : 1;
    if (a->begin_ns != b->begin_ns)
        return a->begin_ns < b->begin_ns ? -1 : 1;
    return (a->end_ns < b->end_ns) - (a->end_ns > b->end_ns);
}

/* Viewers draw a span inside the one that it begins in: it must not outlast that. */
static void check_nesting(const struct trace *trace)
{
    int64_t ends[16];
    int depth = 0;
    for (size_t i = 0; i < trace->span_count; i++) {
        const struct trace_span *span = &trace->spans[i];
        if (i > 0 && span->row != trace->spans[i - 1].row)
            depth = 0;
        while (depth > 0 && ends[depth - 1] <= span->begin_ns)
            depth--;
        if (depth > 0 && span->end_ns > ends[depth - 1])
            fail_msg("%s of batch %lld outlasts the span around it", span->name, (long long)span->batch);
        assert_true(depth < 16);
        ends[depth++] = span->end_ns;
    }
}

/* Viewers tie an arrow's end to the span around it. */
static void check_end(const struct trace *trace, int row, int64_t at_ns)
{
    for (size_t i = 0; i < trace->span_count; i++) {
        const struct trace_span *span = &trace->spans[i];
        if (span->row == row && span->begin_ns <= at_ns && at_ns <= span->end_ns)
            return;
    }
    fail_msg("an arrow of row %d ends at %lld, where no span is", row, (long long)at_ns);
}

static void check_arrows(const struct trace *trace)
{
    for (size_t i = 0; i < trace->arrow_count; i++) {
        const struct trace_arrow *arrow = &trace->arrows[i];
        if (arrow->from >= 0)
            check_end(trace, arrow->from, arrow->begin_ns);
        if (arrow->to >= 0)
            check_end(trace, arrow->to, arrow->end_ns);
        if (arrow->from >= 0 && arrow->to >= 0)
            assert_true(arrow->begin_ns <= arrow->end_ns);
    }
}

void trace_open(struct trace *trace, const char *path)
{
    bool placed[TRACE_ROWS_MAX] = {false};
    *trace = (struct trace){0};
    char *text = read_text(path);
    cJSON *json = cJSON_Parse(text);
    free(text);
    if (!json)
        fail_msg("%s isn't JSON", path);
    trace->json = json;
    assert_string_equal(text_of(json, "displayTimeUnit"), "ms");
    trace->dropped = count_of(cJSON_GetObjectItemCaseSensitive(json, "otherData"), "dropped");
    const cJSON *events = cJSON_GetObjectItemCaseSensitive(json, "traceEvents"), *event;
    assert_true(cJSON_IsArray(events));
    size_t count = (size_t)cJSON_GetArraySize(events);
    trace->spans = calloc(count + 1, sizeof *trace->spans);
    trace->counters = calloc(count + 1, sizeof *trace->counters);
    trace->arrows = calloc(count + 1, sizeof *trace->arrows);
    assert_true(trace->spans && trace->counters && trace->arrows);
    cJSON_ArrayForEach(event, events) take_event(trace, event, placed);
    for (int row = 0; row < TRACE_ROWS_MAX; row++)
        assert_int_equal(trace->rows[row] != NULL, placed[row]);
    for (size_t i = 0; i < trace->span_count; i++)
        assert_non_null(trace->rows[trace->spans[i].row]);
    for (size_t i = 0; i < trace->counter_count; i++)
        assert_non_null(trace->rows[trace->counters[i].row]);
    qsort(trace->spans, trace->span_count, sizeof *trace->spans, by_row_and_time);
    check_nesting(trace);
    check_arrows(trace);
}

void trace_close(struct trace *trace)
{
    cJSON_Delete(trace->json);
    free(trace->spans);
    free(trace->counters);
    free(trace->arrows);
}

int trace_row(const struct trace *trace, const char *name)
{
    for (int row = 0; row < TRACE_ROWS_MAX; row++)
        if (trace->rows[row] && strcmp(trace->rows[row], name) == 0)
            return row;
    return -1;
}
