/* A device's own records in the trace of a whole run: rows, batches, arrows; and runs without them. */
#include "fake_backend.h"
#include "scene.h"
#include "trace_check.h"

#include "cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCHES 8 /* 6 to train on, 2 to validate on */

static struct scene scene;
static char trace_path[320], said[4096];

/* Runs with a trace; what it said is in said. */
static int run_epochs(uint32_t epochs, const struct rs_backend *backend, const char *out, uint64_t max_steps,
                      struct fake_script script)
{
    struct rs_training_options o = scene_options(&scene);
    struct rs_training_outcome outcome;
    struct rs_error err = {0};
    o.epochs = epochs;
    snprintf(trace_path, sizeof trace_path, "%s/trace.json", scene.root);
    o.backend = backend;
    o.out = out;
    o.resume = out && max_steps == 0;
    o.max_steps = max_steps;
    o.config_json = "{}";
    o.lr = 0.25f;
    o.trace = trace_path;
    o.console = fmemopen(said, sizeof said, "w");
    assert_non_null(o.console);
    fake_set_script(&script);
    int code = rs_training_run(&o, &outcome, &err);
    fclose(o.console);
    return code;
}

static int run(const struct rs_backend *backend, const char *out, uint64_t max_steps,
               struct fake_script script)
{
    return run_epochs(1, backend, out, max_steps, script);
}

/* The first span of this name and batch on any row, or NULL. */
static const struct trace_span *find(const struct trace *t, const char *name, int64_t batch)
{
    for (size_t i = 0; i < t->span_count; i++)
        if (t->spans[i].batch == batch && strcmp(t->spans[i].name, name) == 0)
            return &t->spans[i];
    return NULL;
}

static const struct trace_arrow *arrow(const struct trace *t, int64_t id)
{
    for (size_t i = 0; i < t->arrow_count; i++)
        if (t->arrows[i].id == id)
            return &t->arrows[i];
    fail_msg("no arrow %lld", (long long)id);
    return NULL;
}

static void check_batch(const struct trace *t, int64_t batch)
{
    static const char *const names[] = {"copy to device", "input", "step", "copy to host"};
    const struct trace_span *spans[4];
    for (int i = 0; i < 4; i++) {
        spans[i] = find(t, names[i], batch);
        if (!spans[i]) {
            fail_msg("no %s of batch %lld", names[i], (long long)batch);
            return;
        }
        const char *row = t->rows[spans[i]->row];
        const char *wanted = i == 1 || i == 2 ? "GPU compute" : "GPU copy";
        assert_int_equal(strncmp(row, wanted, strlen(wanted)), 0); /* copies may overlap: GPU copy 2 */
        assert_true(i == 0 || spans[i]->begin_ns >= spans[i - 1]->end_ns);
    }
    const struct trace_arrow *up = arrow(t, batch * 2 + 1), *step = arrow(t, batch * 2 + 2);
    assert_string_equal(t->rows[up->from], "train");
    assert_string_equal(t->rows[step->from], "train");
    assert_int_equal(up->to, spans[0]->row);
    assert_int_equal(up->end_ns, spans[0]->begin_ns);
    assert_int_equal(step->to, spans[1]->row);
    assert_int_equal(step->end_ns, spans[1]->begin_ns);
    uint32_t uploads = 0; /* an offer that finds no free device slot is none */
    for (size_t i = 0; i < t->span_count; i++)
        uploads += strcmp(t->spans[i].name, "upload") == 0 && t->spans[i].batch == batch;
    assert_int_equal(uploads, 1);
    const struct trace_span *upload = find(t, "upload", batch);
    assert_true(upload->begin_ns <= up->begin_ns && up->begin_ns <= upload->end_ns);
    const struct trace_span *host = find(t, batch < 6 ? "train" : "validate", batch);
    assert_true(host && host->begin_ns <= step->begin_ns && step->begin_ns <= host->end_ns);
}

static void records_stand_on_rows_of_their_own(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 4; i++) {
        struct trace t;
        assert_int_equal(run(&fake_stream, NULL, 0, (struct fake_script){.seed = i, .latency = i * 4}), 0);
        assert_null(strstr(said, "without the device's own records"));
        trace_open(&t, trace_path);
        for (int64_t batch = 0; batch < BATCHES; batch++)
            check_batch(&t, batch);
        assert_int_equal(t.arrow_count, 2 * BATCHES);
        assert_int_equal(t.dropped, 0);
        trace_close(&t);
    }
}

/* Batches keep their numbers when a run goes on; what belongs to none has none. */
static void a_resumed_run_goes_on_counting(void **state)
{
    (void)state;
    char dir[320];
    struct trace t;
    snprintf(dir, sizeof dir, "%s/resumed", scene.root);
    assert_int_equal(run(&fake_stream, dir, 4, (struct fake_script){0}), 0);
    assert_int_equal(run(&fake_stream, dir, 0, (struct fake_script){.latency = 3}), 0);
    trace_open(&t, trace_path);
    for (int64_t batch = 4; batch < BATCHES; batch++)
        check_batch(&t, batch);
    assert_int_equal(t.arrow_count, 2 * 4);
    assert_non_null(find(&t, "copy of weights", -1));
    for (int64_t batch = 0; batch < BATCHES; batch++)
        assert_null(find(&t, "copy of weights", batch));
    trace_close(&t);
}

static void expect_no_rows(void)
{
    struct trace t;
    trace_open(&t, trace_path);
    assert_int_equal(trace_row(&t, "GPU compute"), -1);
    assert_int_equal(trace_row(&t, "GPU copy"), -1);
    assert_true(trace_row(&t, "train") >= 0);
    trace_close(&t);
}

static void without_records_the_trace_says_so(void **state)
{
    (void)state;
    assert_int_equal(run(&fake_stream, NULL, 0, (struct fake_script){.no_trace = true}), 0);
    assert_non_null(strstr(said, "trace    without the device's own records: made to have none\n"));
    expect_no_rows();
    assert_int_equal(run(&fake_stream, NULL, 0, (struct fake_script){.fail = FAKE_TRACE_END, .fail_at = 1}),
                     0);
    assert_non_null(strstr(said, "trace    without the device's own records: made to fail"));
    expect_no_rows();
    assert_int_equal(run(&fake_sync, NULL, 0, (struct fake_script){0}), 0);
    assert_null(strstr(said, "without the device's own records")); /* it has no device of its own */
    expect_no_rows();
}

/* What the device had no room for is counted, in the file and in a line. */
static void lost_records_are_counted(void **state)
{
    (void)state;
    struct trace t;
    assert_int_equal(run(&fake_stream, NULL, 0, (struct fake_script){.records_max = 20}), 0);
    trace_open(&t, trace_path);
    assert_int_equal(t.dropped, BATCHES * 4 - 20);
    trace_close(&t);
    assert_non_null(strstr(said, "trace    12 spans found no room"));
}

/* A run that failed has a trace as far as it came. */
static void a_failed_run_is_traced(void **state)
{
    (void)state;
    struct trace t;
    assert_int_equal(run(&fake_stream, NULL, 0, (struct fake_script){.fail = FAKE_TRAIN, .fail_at = 4}),
                     RS_E_BACKEND);
    trace_open(&t, trace_path);
    assert_non_null(find(&t, "step", 2));
    assert_null(find(&t, "step", 3));
    trace_close(&t);
}

/* Each epoch is a span that holds its batches, on the train thread and on the device. */
static void check_epochs(const struct trace *t, int64_t epochs, int64_t batches)
{
    const int row = trace_row(t, "epochs");
    const struct trace_span *last = NULL;
    char name[32];
    for (int64_t epoch = 0; epoch < epochs; epoch++) {
        snprintf(name, sizeof name, "epoch %lld", (long long)epoch);
        const struct trace_span *span = find(t, name, -1);
        if (!span) {
            fail_msg("no %s", name);
            return;
        }
        assert_int_equal(span->row, row);
        assert_true(!last || last->end_ns <= span->begin_ns);
        last = span;
        for (size_t i = 0; i < t->span_count; i++) {
            const struct trace_span *s = &t->spans[i];
            const bool step = strcmp(s->name, "upload") == 0 || strcmp(s->name, "train") == 0 ||
                              strcmp(s->name, "validate") == 0 || strncmp(t->rows[s->row], "GPU", 3) == 0;
            if (step && s->batch >= 0 && s->batch / BATCHES == epoch)
                assert_true(span->begin_ns <= s->begin_ns && s->end_ns <= span->end_ns);
        }
    }
    for (size_t i = 0; i < t->span_count; i++) {
        epochs -= t->spans[i].row == row;
        batches -= strcmp(t->spans[i].name, "upload") == 0;
    }
    assert_int_equal(epochs, 0);
    assert_int_equal(batches, 0);
}

static void epochs_have_a_row(void **state)
{
    (void)state;
    struct trace t;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(
            run_epochs(3, i ? &fake_stream : &fake_sync, NULL, 0, (struct fake_script){.latency = 3}), 0);
        trace_open(&t, trace_path);
        check_epochs(&t, 3, 3 * (int64_t)BATCHES);
        trace_close(&t);
    }
    /* a run that is cut short, and one that goes on inside the epoch */
    char dir[320];
    snprintf(dir, sizeof dir, "%s/cut", scene.root);
    assert_int_equal(run_epochs(3, &fake_stream, dir, 4, (struct fake_script){0}), 0);
    trace_open(&t, trace_path);
    check_epochs(&t, 1, 4 + 2); /* validates all the same */
    trace_close(&t);
    assert_int_equal(run_epochs(3, &fake_stream, dir, 0, (struct fake_script){.latency = 3}), 0);
    trace_open(&t, trace_path);
    check_epochs(&t, 3, 3 * (int64_t)BATCHES - 4);
    trace_close(&t);
}

static int begin(void **state)
{
    (void)state;
    scene_begin(&scene, RS_SYNTH_CIFAR10, 90, 20);
    return 0;
}

static int end(void **state)
{
    (void)state;
    scene_end(&scene);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_stand_on_rows_of_their_own),
        cmocka_unit_test(a_resumed_run_goes_on_counting),
        cmocka_unit_test(epochs_have_a_row),
        cmocka_unit_test(without_records_the_trace_says_so),
        cmocka_unit_test(lost_records_are_counted),
        cmocka_unit_test(a_failed_run_is_traced),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
