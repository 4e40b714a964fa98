/* test_spans.c: what lanes keep, and the file that is written of it. */
#include "spans.h"

#include "rows.h"

#include "alloc.h"
#include "clock.h"
#include "support.h"
#include "trace_check.h"

#include <pthread.h>
#include <sys/stat.h>

#define THREADS 4
#define THREAD_BATCHES 500

static char folder[64] = "/tmp/rstream-spans-XXXXXX";
static char path[128], partial[160];

static bool exists(const char *name)
{
    struct stat about;
    return stat(name, &about) == 0;
}

static struct rs_spans *create(bool traced)
{
    struct rs_spans *spans;
    assert_int_equal(rs_spans_create(&spans, traced, NULL), 0);
    return spans;
}

/* Writes, destroys and reads. */
static void finish(struct rs_spans *spans, struct trace *trace)
{
    struct rs_error err = {0};
    if (rs_spans_write(spans, path, &err) != 0)
        fail_msg("%s", err.message);
    rs_spans_destroy(spans);
    assert_false(exists(partial));
    trace_open(trace, path);
    unlink(path);
}

static void test_null(void **state)
{
    (void)state;
    assert_null(rs_spans_lane(NULL, "train"));
    assert_int_equal(rs_spans_name(NULL, "train"), 0);
    rs_lane_begin(NULL, 0, 1);
    rs_lane_end(NULL);
    rs_lane_end(NULL); /* a depth would have gone below 0 */
    rs_lane_range_begin(NULL, 0, 1);
    rs_lane_range_end(NULL);
    rs_lane_counter(NULL, 0, 1);
    rs_lane_phase(NULL, 0, 1);
    rs_lane_phase_end(NULL);
    rs_lane_flow(NULL, 1);
    assert_null(rs_spans_row(NULL, "GPU"));
    rs_row_add(NULL, NULL);
    rs_row_lose(NULL, 1);
    assert_int_equal(rs_spans_dropped(NULL), 0);
    assert_int_equal(rs_spans_write(NULL, path, NULL), 0);
    assert_false(exists(path));
    rs_spans_destroy(NULL);
}

static void test_names(void **state)
{
    (void)state;
    struct rs_spans *spans = create(false);
    char text[32], again[16];
    for (unsigned i = 0; i < RS_SPAN_NAMES_MAX; i++) {
        snprintf(text, sizeof text, "stage %u", i);
        snprintf(again, sizeof again, "stage %u", i);
        uint32_t number = rs_spans_name(spans, text);
        text[0] = '?'; /* the text was copied */
        assert_int_equal(number, i);
        assert_int_equal(rs_spans_name(spans, again), i);
    }
    rs_spans_destroy(spans);
}

static void test_nesting(void **state)
{
    (void)state;
    struct rs_spans *spans = create(true);
    uint32_t train = rs_spans_name(spans, "train"), upload = rs_spans_name(spans, "upload");
    uint64_t before = rs_now_ns();
    struct rs_lane *lane = rs_spans_lane(spans, "a thread with a long name");
    rs_lane_begin(lane, train, 7);
    for (uint64_t b = 8; b < 10; b++) {
        rs_lane_begin(lane, upload, b);
        rs_lane_range_begin(lane, train, 1); /* for tools only */
        usleep(300);
        rs_lane_range_end(lane);
        rs_lane_end(lane);
    }
    rs_lane_end(lane);
    rs_lane_begin(lane, train, (uint64_t)1 << 53);
    rs_lane_end(lane);
    int64_t took = (int64_t)(rs_now_ns() - before);

    struct trace t;
    finish(spans, &t);
    assert_int_equal(t.row_count, 1);
    assert_string_equal(t.rows[0], "a thread with a");
    assert_int_equal(t.span_count, 4);
    const struct trace_span *outer = &t.spans[0], *first = &t.spans[1], *second = &t.spans[2];
    assert_string_equal(outer->name, "train");
    assert_string_equal(first->name, "upload");
    assert_string_equal(second->name, "upload");
    assert_int_equal(outer->batch, 7);
    assert_int_equal(first->batch, 8);
    assert_int_equal(second->batch, 9);
    assert_int_equal(t.spans[3].batch, (int64_t)1 << 53);
    assert_true(first->end_ns - first->begin_ns >= 300000);
    assert_true(outer->begin_ns <= first->begin_ns && first->end_ns <= second->begin_ns);
    assert_true(second->end_ns <= outer->end_ns && outer->end_ns <= t.spans[3].begin_ns);
    assert_true(outer->end_ns - outer->begin_ns <= took);
    assert_int_equal(t.dropped, 0);
    trace_close(&t);
}

static const struct trace_span *find_span(const struct trace *t, const char *row, int64_t batch)
{
    int number = trace_row(t, row);
    for (size_t i = 0; i < t->span_count; i++)
        if (t->spans[i].row == number && t->spans[i].batch == batch)
            return &t->spans[i];
    fail_msg("no batch %lld on row %s", (long long)batch, row);
    return NULL;
}

/* Phases stand on a row of their own, above the threads. */
static void test_phases(void **state)
{
    (void)state;
    struct rs_spans *spans = create(true);
    uint32_t train = rs_spans_name(spans, "train"), epoch = rs_spans_name(spans, "epoch");
    struct rs_lane *other = rs_spans_lane(spans, "main"), *lane = rs_spans_lane(spans, "train");
    struct rs_row *row = rs_spans_row(spans, "GPU");
    rs_lane_phase_end(lane); /* none is open */
    rs_lane_phase(lane, epoch, 7);
    rs_lane_begin(lane, train, 1);
    rs_lane_end(lane);
    rs_lane_phase_end(lane);
    rs_lane_phase_end(lane);
    usleep(300);
    rs_lane_phase(lane, epoch, 8);
    for (uint64_t b = 2; b < RS_LANE_EVENTS; b++) { /* one too many */
        rs_lane_begin(lane, train, b);
        rs_lane_end(lane);
    }
    usleep(300);
    rs_lane_phase(lane, epoch, 9); /* ends the one before and finds no room */
    rs_lane_begin(other, train, 5);
    rs_lane_end(other);
    uint64_t at = rs_now_ns();
    rs_row_add(row, &(struct rs_row_record){"kernel", at, at, 5, 0});

    struct trace t;
    finish(spans, &t);
    assert_int_equal(t.row_count, 4);
    assert_int_equal(t.dropped, 2);
    int epochs = trace_row(&t, "epochs");
    for (int i = 0; i < TRACE_ROWS_MAX; i++)
        assert_true(!t.rows[i] || i == epochs || t.places[epochs] < t.places[i]);
    const struct trace_span *first = &t.spans[t.span_count - 2], *second = first + 1;
    const struct trace_span *step = find_span(&t, "train", 1),
                            *last = find_span(&t, "train", RS_LANE_EVENTS - 2);
    assert_int_equal(first->row, epochs);
    assert_int_equal(first[-1].row, trace_row(&t, "GPU"));
    assert_string_equal(first->name, "epoch 7");
    assert_string_equal(second->name, "epoch 8");
    assert_int_equal(first->batch, -1);
    assert_true(first->begin_ns <= step->begin_ns && step->end_ns <= first->end_ns);
    assert_true(second->begin_ns - first->end_ns >= 300000);
    assert_true(second->end_ns - last->end_ns >= 300000);
    trace_close(&t);

    spans = create(true);
    lane = rs_spans_lane(spans, "train");
    rs_lane_phase(lane, rs_spans_name(spans, "epoch"), 0); /* is open when the trace is written */
    usleep(300);
    finish(spans, &t);
    assert_int_equal(t.span_count, 1);
    assert_true(t.spans[0].end_ns - t.spans[0].begin_ns >= 300000);
    trace_close(&t);
}

static void test_counters(void **state)
{
    (void)state;
    static const uint64_t told[] = {0, 0, 3, 3, 2, 0};
    static const int64_t kept[] = {0, 3, 2, 0};
    struct rs_spans *spans = create(true);
    uint32_t free_slots = rs_spans_name(spans, "free slots"), ready = rs_spans_name(spans, "ready batches");
    struct rs_lane *lane = rs_spans_lane(spans, "main"), *other = rs_spans_lane(spans, "train");
    for (size_t i = 0; i < sizeof told / sizeof told[0]; i++)
        rs_lane_counter(lane, free_slots, told[i]);
    rs_lane_counter(other, ready, 3);

    struct trace t;
    finish(spans, &t);
    assert_int_equal(t.span_count, 0);
    assert_int_equal(t.counter_count, 5);
    for (int i = 0; i < 4; i++) {
        assert_string_equal(t.counters[i].name, "free slots");
        assert_int_equal(t.counters[i].value, kept[i]);
        assert_true(i == 0 || t.counters[i].at_ns >= t.counters[i - 1].at_ns);
    }
    assert_string_equal(t.counters[4].name, "ready batches");
    assert_int_equal(t.counters[4].row, trace_row(&t, "train"));
    trace_close(&t);
}

/* Records in any order; those that overlap get rows of their own; arrows end at the first of a flow. */
static void test_rows(void **state)
{
    (void)state;
    struct rs_spans *spans = create(true);
    struct rs_lane *lane = rs_spans_lane(spans, "train");
    uint32_t train = rs_spans_name(spans, "train");
    for (uint64_t b = 1; b < 4; b++) {
        rs_lane_begin(lane, train, b);
        rs_lane_flow(lane, b);
        rs_lane_end(lane);
    }
    uint64_t at = rs_now_ns();
    struct rs_row *compute = rs_spans_row(spans, "GPU compute"), *copy = rs_spans_row(spans, "GPU copy");
    rs_row_add(compute, &(struct rs_row_record){"third", at + 4000, at + 5000, 3, 3});
    rs_row_add(compute, &(struct rs_row_record){"a \"quoted\\ name", at, at + 1000, 1, 1});
    rs_row_add(compute, &(struct rs_row_record){"again", at + 1000, at + 1500, 2, 1});
    rs_row_add(compute, &(struct rs_row_record){"", at + 2000, at + 1900, 4, 0}); /* clocks that disagree */
    rs_row_add(compute, &(struct rs_row_record){"early", 5, 6, 9, 0});            /* before the trace */
    rs_row_add(copy, &(struct rs_row_record){"copy", at + 500, at + 3000, 5, 2});
    rs_row_add(copy, &(struct rs_row_record){"copy", at + 1000, at + 2000, 6, 0});
    rs_row_add(copy, &(struct rs_row_record){"copy", at + 2000, at + 4000, 7, 0});
    rs_row_add(copy, &(struct rs_row_record){"nobody's", at + 5000, at + 6000, RS_BATCH_NONE, 0});

    struct trace t;
    finish(spans, &t);
    assert_int_equal(t.row_count, 4);
    assert_int_equal(t.span_count, 3 + 4 + 4);
    assert_string_equal(find_span(&t, "GPU copy", -1)->name, "nobody's");
    assert_string_equal(find_span(&t, "GPU compute", 1)->name, "a _quoted_ name");
    const struct trace_span *third = find_span(&t, "GPU compute", 3);
    assert_int_equal(third->end_ns - third->begin_ns, 1000);
    const struct trace_span *empty = find_span(&t, "GPU compute", 4);
    assert_int_equal(empty->end_ns, empty->begin_ns);
    (void)find_span(&t, "GPU copy", 5);
    (void)find_span(&t, "GPU copy 2", 6);
    (void)find_span(&t, "GPU copy 2", 7);
    assert_int_equal(t.arrow_count, 3);
    static const int64_t batches[] = {1, 5, 3};
    static const char *const rows[] = {"GPU compute", "GPU copy", "GPU compute"};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(t.arrows[i].from, trace_row(&t, "train"));
        assert_int_equal(t.arrows[i].to, trace_row(&t, rows[i]));
        assert_int_equal(t.arrows[i].end_ns, find_span(&t, rows[i], batches[i])->begin_ns);
    }
    assert_int_equal(t.dropped, 1);
    trace_close(&t);
    spans = create(false);
    assert_null(rs_spans_row(spans, "GPU compute"));
    rs_spans_destroy(spans);
}

/* Names and records are bounded; what is left out is counted. */
static void test_row_limits(void **state)
{
    (void)state;
    struct rs_spans *spans = create(true);
    struct rs_row *row = rs_spans_row(spans, "GPU compute"), *crowd = rs_spans_row(spans, "GPU copy");
    uint64_t at = rs_now_ns();
    char name[160];
    for (uint32_t i = 0; i < RS_ROW_NAMES + 3; i++) {
        snprintf(name, sizeof name, "kernel number %u %0120u", i, 0);
        rs_row_add(row, &(struct rs_row_record){name, at + i, at + i + 1, i, 0});
    }
    for (uint32_t i = 0; i < RS_ROW_TRACKS + 2; i++)
        rs_row_add(crowd, &(struct rs_row_record){"copy", at, at + 9, i, 0});
    rs_row_lose(crowd, 100);
    struct trace t;
    finish(spans, &t);
    assert_int_equal(t.span_count, RS_ROW_NAMES + RS_ROW_TRACKS);
    assert_int_equal(t.dropped, 3 + 2 + 100);
    assert_int_equal(strlen(t.spans[0].name), 95);
    trace_close(&t);

    spans = create(true);
    row = rs_spans_row(spans, "GPU compute");
    for (uint32_t i = 0; i < RS_ROW_RECORDS + 5; i++)
        rs_row_add(row, &(struct rs_row_record){"kernel", at + i, at + i + 1, i, 0});
    assert_int_equal(rs_spans_dropped(spans), 5);
    rs_spans_destroy(spans);
}

struct thread {
    struct rs_spans *spans;
    pthread_t id;
    int number;
};

/* Names are made while other threads use theirs. */
static void *work(void *arg)
{
    struct thread *self = arg;
    char text[32];
    snprintf(text, sizeof text, "worker.%d", self->number);
    struct rs_lane *lane = rs_spans_lane(self->spans, text);
    uint32_t common = rs_spans_name(self->spans, "decode");
    for (uint64_t b = 0; b < THREAD_BATCHES; b++) {
        rs_lane_begin(lane, common, b);
        if (b % 100 == 0)
            rs_spans_name(self->spans, text);
        uint32_t own = rs_spans_name(self->spans, text);
        rs_lane_begin(lane, own, b);
        rs_lane_counter(lane, own, b + 1);
        rs_lane_end(lane);
        rs_lane_end(lane);
    }
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    struct rs_spans *spans = create(true);
    struct thread threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        threads[i].spans = spans;
        threads[i].number = i;
        assert_int_equal(pthread_create(&threads[i].id, NULL, work, &threads[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i].id, NULL);

    struct trace t;
    finish(spans, &t);
    assert_int_equal(t.row_count, THREADS);
    assert_int_equal(t.span_count, (size_t)THREADS * THREAD_BATCHES * 2);
    assert_int_equal(t.counter_count, THREADS * THREAD_BATCHES);
    for (size_t i = 0; i < t.span_count; i++) {
        const struct trace_span *span = &t.spans[i];
        int64_t at = (int64_t)(i % ((size_t)THREAD_BATCHES * 2)); /* in its row: outer, inner, outer, inner */
        assert_string_equal(span->name, at % 2 ? t.rows[span->row] : "decode");
        assert_int_equal(span->batch, at / 2);
    }
    for (int i = 0; i < THREADS; i++) {
        char text[32];
        snprintf(text, sizeof text, "worker.%d", i);
        assert_true(trace_row(&t, text) >= 0);
    }
    trace_close(&t);
}

static void test_full_lane(void **state)
{
    (void)state;
    const uint64_t extra = 1000;
    struct rs_spans *spans = create(true);
    uint32_t name = rs_spans_name(spans, "decode");
    struct rs_lane *full = rs_spans_lane(spans, "full"), *other = rs_spans_lane(spans, "other");
    uint64_t bytes = rs_alloc_bytes(), allocations = rs_alloc_count();
    for (uint64_t b = 0; b < RS_LANE_EVENTS + extra; b++) {
        rs_lane_begin(full, name, b);
        rs_lane_end(full);
    }
    rs_lane_counter(full, name, 1);
    rs_lane_begin(other, name, 5);
    rs_lane_end(other);
    assert_int_equal(rs_alloc_bytes(), bytes);
    assert_int_equal(rs_alloc_count(), allocations);
    assert_int_equal(rs_spans_dropped(spans), extra + 1);

    struct trace t;
    finish(spans, &t);
    assert_int_equal(t.dropped, extra + 1);
    assert_int_equal(t.span_count, RS_LANE_EVENTS + 1);
    assert_int_equal(t.counter_count, 0);
    for (size_t i = 0; i < RS_LANE_EVENTS; i++)
        assert_int_equal(t.spans[i].batch, i); /* the first ones are kept */
    assert_int_equal(t.spans[RS_LANE_EVENTS].batch, 5);
    trace_close(&t);
}

/* Without a trace no lane keeps anything, nor has room to. */
static void test_untraced(void **state)
{
    (void)state;
    struct rs_spans *spans = create(false);
    uint32_t name = rs_spans_name(spans, "train");
    uint64_t bytes = rs_alloc_bytes();
    struct rs_lane *lane = rs_spans_lane(spans, "train");
    assert_non_null(lane);
    assert_true(rs_alloc_bytes() - bytes < 4096);
    rs_lane_begin(lane, name, 1);
    rs_lane_counter(lane, name, 1);
    rs_lane_end(lane);
    struct trace t;
    finish(spans, &t);
    assert_int_equal(t.row_count, 1);
    assert_int_equal(t.span_count + t.counter_count, 0);
    trace_close(&t);
}

static void expect_failure(struct rs_spans *spans, const char *to, int code)
{
    struct rs_error err = {0};
    char beside[160];
    assert_int_equal(rs_spans_write(spans, to, &err), code);
    if (!strstr(err.message, to) || !strstr(err.message, "--trace"))
        fail_msg("neither place nor remedy in: %s", err.message);
    snprintf(beside, sizeof beside, "%s.partial", to);
    assert_false(exists(beside));
}

static void test_unwritable(void **state)
{
    (void)state;
    struct rs_spans *spans = create(true);
    uint32_t name = rs_spans_name(spans, "train");
    struct rs_lane *lane = rs_spans_lane(spans, "train");
    for (uint64_t b = 0; b < 1000; b++) {
        rs_lane_begin(lane, name, b);
        rs_lane_end(lane);
    }
    char to[128], long_path[8192];
    struct rs_error err = {0};
    snprintf(to, sizeof to, "%s/none/trace.json", folder);
    expect_failure(spans, to, RS_E_NOT_FOUND);
    expect_failure(spans, folder, RS_E_IO); /* is a directory: only the rename fails */

    memset(long_path, 'x', sizeof long_path - 1);
    long_path[sizeof long_path - 1] = '\0';
    assert_int_equal(rs_spans_write(spans, long_path, &err), RS_E_LIMIT);

    /* a disk that fills up in the middle: the file that was there stays */
    assert_int_equal(rs_spans_write(spans, path, NULL), 0);
    struct stat before, after;
    assert_int_equal(stat(path, &before), 0);
    struct rlimit old, small;
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old);
    small = (struct rlimit){.rlim_cur = (rlim_t)before.st_size / 2, .rlim_max = old.rlim_max};
    setrlimit(RLIMIT_FSIZE, &small);
    expect_failure(spans, path, RS_E_IO);
    setrlimit(RLIMIT_FSIZE, &old);
    assert_int_equal(stat(path, &after), 0);
    assert_int_equal(after.st_size, before.st_size);
    rs_spans_destroy(spans);
    unlink(path);
}

static void go_too_deep(void)
{
    struct rs_spans *spans;
    if (rs_spans_create(&spans, true, NULL) < 0)
        return;
    struct rs_lane *lane = rs_spans_lane(spans, "deep");
    for (uint32_t i = 0; i <= RS_SPAN_DEPTH_MAX; i++)
        rs_lane_begin(lane, rs_spans_name(spans, "train"), i);
}

static void end_too_often(void)
{
    struct rs_spans *spans;
    if (rs_spans_create(&spans, true, NULL) == 0)
        rs_lane_end(rs_spans_lane(spans, "shallow"));
}

static void break_the_json(void)
{
    struct rs_spans *spans;
    if (rs_spans_create(&spans, true, NULL) == 0)
        rs_spans_name(spans, "a \"quoted\" name");
}

static void test_mistakes(void **state)
{
    (void)state;
    assert_true(aborts_saying(go_too_deep, (const char *[]){"lane->depth", NULL}));
    assert_true(aborts_saying(end_too_often, (const char *[]){"lane->depth", NULL}));
    assert_true(aborts_saying(break_the_json, (const char *[]){"is_plain", NULL}));
}

static int set_up(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/trace.json", folder);
    snprintf(partial, sizeof partial, "%s.partial", path);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_null),     cmocka_unit_test(test_names),
        cmocka_unit_test(test_nesting),  cmocka_unit_test(test_counters),
        cmocka_unit_test(test_rows),     cmocka_unit_test(test_row_limits),
        cmocka_unit_test(test_threads),  cmocka_unit_test(test_full_lane),
        cmocka_unit_test(test_untraced), cmocka_unit_test(test_unwritable),
        cmocka_unit_test(test_mistakes), cmocka_unit_test(test_phases),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
