/* test_trace.c: the trace of a run of rstream train, and what it must show: the workers prepare later batches
 * while the step trains on an earlier one. */
#include "support.h"

#include "planner.h"
#include "scratch.h"
#include "trace_check.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define SKIPPED 77
#define EXIT_NO_DEVICE 3
#define BATCHES 14 /* 12 of 8 images to train on, 2 of 5 to validate on */
#define CHUNK "decode+resize+normalize"

static struct rs_scratch scratch;
static struct outcome o;
static struct trace t;

/* The span of this name and batch that begins first; NULL: there is none. */
static const struct trace_span *find(const char *name, int64_t batch)
{
    const struct trace_span *first = NULL;
    for (size_t i = 0; i < t.span_count; i++) {
        const struct trace_span *span = &t.spans[i];
        if (span->batch == batch && strcmp(span->name, name) == 0 &&
            (!first || span->begin_ns < first->begin_ns))
            first = span;
    }
    return first;
}

static const struct trace_span *step_of(int64_t batch)
{
    return find(batch < 12 ? "train" : "validate", batch);
}

/* Trains in a new folder; the exit code. */
static int train(int attempt)
{
    char run[32];
    snprintf(run, sizeof run, "run-%d", attempt);
    run_rstream(&o, scratch.path,
                "train --device cpu --data %s --out %s --batch-size 8 --eval-batch-size 5 --image-size 75"
                " --epochs 1 --prefetch 3 --threads 1 --trace %s",
                in(scratch.path, "set"), in(scratch.path, run), in(scratch.path, "trace.json"));
    return o.exit_code;
}

static void test_rows(void **unused)
{
    (void)unused;
    int workers = 0;
    for (int row = 0; row < t.row_count; row++)
        workers += strncmp(t.rows[row], "decode.", 7) == 0;
    assert_true(workers >= 1);
    assert_true(trace_row(&t, "main") >= 0);
    assert_true(trace_row(&t, "train") >= 0);
    assert_true(trace_row(&t, "checkpoint") >= 0);
    assert_true(trace_row(&t, "epochs") >= 0);
    assert_int_equal(t.row_count, workers + 4);
    for (size_t i = 0; i < t.span_count; i++) {
        const struct trace_span *span = &t.spans[i];
        const char *row = t.rows[span->row], *name = span->name;
        assert_int_equal(span->batch < 0, strcmp(row, "epochs") == 0);
        if (strcmp(name, CHUNK) == 0)
            assert_int_equal(strncmp(row, "decode.", 7), 0);
        else if (strcmp(name, "read") == 0 || strcmp(name, "metrics") == 0)
            assert_string_equal(row, "main");
        else if (strcmp(name, "checkpoint") == 0)
            assert_string_equal(row, "checkpoint");
        else if (strcmp(name, "epoch 0") == 0)
            assert_string_equal(row, "epochs");
        else
            assert_string_equal(row, "train");
    }
    assert_non_null(find("checkpoint", 12));
    assert_non_null(find("metrics", 12));
    assert_int_equal(t.dropped, 0);
}

static int count_spans(const char *name, int64_t batch)
{
    int count = 0;
    for (size_t i = 0; i < t.span_count; i++)
        count += t.spans[i].batch == batch && strcmp(t.spans[i].name, name) == 0;
    return count;
}

/* Each batch passes each stage once, in as many chunks as it has: 8 images or 5, in chunks for four turns of
 * each core's worker. */
static void test_each_batch_once(void **unused)
{
    (void)unused;
    const int chunk = rs_planner_cores() == 1 ? 2 : 1;
    for (int64_t b = 0; b < BATCHES; b++) {
        const int images = b < 12 ? 8 : 5;
        assert_int_equal(count_spans("read", b), 1);
        assert_int_equal(count_spans(CHUNK, b), (images + chunk - 1) / chunk);
        assert_int_equal(count_spans("upload", b), 1);
        assert_int_equal(count_spans(b < 12 ? "train" : "validate", b), 1);
        assert_int_equal(count_spans(b < 12 ? "validate" : "train", b), 0);
    }
}

/* Read before chunks, all chunks before upload, upload before the step, steps one after the other. */
static void test_order(void **unused)
{
    (void)unused;
    for (int64_t b = 0; b < BATCHES; b++) {
        const struct trace_span *read = find("read", b), *upload = find("upload", b), *step = step_of(b);
        if (!read || !upload || !step || !find(CHUNK, b)) {
            fail_msg("batch %lld lacks a span", (long long)b);
            return;
        }
        for (size_t i = 0; i < t.span_count; i++) {
            const struct trace_span *span = &t.spans[i];
            if (strcmp(span->name, CHUNK) != 0 || span->batch != b)
                continue;
            assert_true(read->begin_ns <= span->begin_ns);
            /* the span ends just after the batch is handed on, so its end may lie behind the upload's begin
             */
            assert_true(span->begin_ns < upload->begin_ns);
        }
        assert_true(upload->end_ns <= step->begin_ns);
        assert_true(b == 0 || step_of(b - 1)->end_ns <= step->begin_ns);
    }
    assert_null(find("read", BATCHES));
}

static int count_overlaps(void)
{
    int overlaps = 0;
    for (size_t i = 0; i < t.span_count; i++) {
        const struct trace_span *chunk = &t.spans[i];
        for (int64_t b = 0; strcmp(chunk->name, CHUNK) == 0 && b < chunk->batch; b++)
            overlaps += chunk->begin_ns < step_of(b)->end_ns && step_of(b)->begin_ns < chunk->end_ns;
    }
    return overlaps;
}

/* On a machine full of other work the workers, which have the lowest priority, may get no core during the
 * steps of a run; not in all of several runs. */
static void test_overlap(void **unused)
{
    (void)unused;
    for (int attempt = 2; count_overlaps() == 0; attempt++) {
        if (attempt > 6)
            fail_msg("no batch was prepared while the step worked on an earlier one");
        assert_int_equal(train(attempt), 0);
        trace_close(&t);
        trace_open(&t, in(scratch.path, "trace.json"));
    }
}

static void test_counters(void **unused)
{
    (void)unused;
    bool free_slots = false, ready = false;
    for (size_t i = 0; i < t.counter_count; i++) {
        const struct trace_counter *counter = &t.counters[i];
        assert_true(counter->value <= 3); /* --prefetch, and the end's token never beside three batches */
        free_slots |= strcmp(counter->name, "free slots") == 0;
        ready |= strcmp(counter->name, "ready batches") == 0 && counter->value > 0;
    }
    assert_true(free_slots);
    assert_true(ready);
}

static void test_unwritable(void **unused)
{
    (void)unused;
    run_rstream(&o, scratch.path,
                "train --device cpu --data %s --out %s --batch-size 8 --image-size 75 --max-steps 1 --quiet"
                " --trace %s",
                in(scratch.path, "set"), in(scratch.path, "unwritten"), in(scratch.path, "none/trace.json"));
    char expected[1024];
    snprintf(
        expected, sizeof expected,
        "rstream train: the trace %s can't be written; choose another --trace: No such file or directory\n",
        in(scratch.path, "none/trace.json"));
    assert_int_equal(o.exit_code, 1);
    assert_string_equal(o.err, expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),     cmocka_unit_test(test_each_batch_once),
        cmocka_unit_test(test_order),    cmocka_unit_test(test_overlap),
        cmocka_unit_test(test_counters), cmocka_unit_test(test_unwritable),
    };
    if (rs__scratch_create(&scratch, NULL) != 0)
        return 1;
    run_rstream(&o, scratch.path, "synth %s --train 96 --test 10", in(scratch.path, "set"));
    int result = o.exit_code == 0 ? train(1) : o.exit_code;
    if (result == 0) {
        trace_open(&t, in(scratch.path, "trace.json"));
        result = cmocka_run_group_tests(tests, NULL, NULL);
        trace_close(&t);
    } else {
        fprintf(stderr, "%s", o.err);
        result = result == EXIT_NO_DEVICE ? SKIPPED : 1;
    }
    rs__scratch_remove(&scratch);
    return result;
}
