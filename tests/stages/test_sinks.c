/* metrics.jsonl and the console's lines. */
#include "sinks.h"

#include "cmocka_all.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct rs_report step_report(void)
{
    return (struct rs_report){.kind = RS_REPORT_STEP,
                              .epoch = 1,
                              .images = 64,
                              .step = 790,
                              .batch = 8,
                              .epoch_batches = 861,
                              .loss = 1.25,
                              .accuracy = 0.5,
                              .lr = 0.01,
                              .seconds = 0.25,
                              .wait_seconds = 0.001};
}

static void summary(struct rs_epoch_summary *s, struct rs_progress *p)
{
    *p = (struct rs_progress){.epoch = 0,
                              .steps = 782,
                              .train = {.loss_sum = 163.4481,
                                        .correct = 40,
                                        .samples = 100,
                                        .batches = 2,
                                        .batch_loss_sum = 3,
                                        .batch_accuracy_sum = 1},
                              .valid = {.loss_sum = 15.18368, .correct = 5, .samples = 10, .batches = 1},
                              .train_seconds = 100,
                              .valid_seconds = 26};
    *s =
        (struct rs_epoch_summary){.progress = p, .validated = true, .images_per_second = 1, .stage_count = 1};
    s->stages[0] = (struct rs_named_figures){"read", {.batches = 2, .samples = 110, .busy_ns = 1500000000}};
    s->verdict = (struct rs_verdict){.stage = "decode", .wait_share = 0.25, .advice = "try --workers 2"};
}

static char *slurp(const char *path)
{
    static char text[8192];
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    text[fread(text, 1, sizeof text - 1, f)] = '\0';
    fclose(f);
    return text;
}

static void jsonl_has_an_object_a_line(void **state)
{
    (void)state;
    char path[] = "/tmp/rstream-test-XXXXXX";
    void *sink;
    struct rs_report r = step_report();
    struct rs_epoch_summary s;
    struct rs_progress p;
    summary(&s, &p);
    close(mkstemp(path));
    assert_int_equal(rs_sink_jsonl_create(&sink, path, NULL), 0);
    assert_int_equal(rs_sink_jsonl.batch(sink, &r, NULL), 0);
    r.kind = RS_REPORT_VALID; /* has no line */
    assert_int_equal(rs_sink_jsonl.batch(sink, &r, NULL), 0);
    assert_int_equal(rs_sink_jsonl.epoch(sink, &s, NULL), 0);
    rs_sink_jsonl.destroy(sink);
    char *text = slurp(path), *second = strchr(text, '\n') + 1;
    assert_memory_equal(
        text,
        "{\"event\":\"step\",\"epoch\":1,\"step\":790,\"loss\":1.25,\"accuracy\":0.5,\"lr\":0.01,"
        "\"images\":64,\"seconds\":0.250000,\"data_wait_seconds\":0.001000}\n",
        (size_t)(second - text));
    assert_non_null(strstr(second, "\"event\":\"epoch\",\"epoch\":0,"));
    assert_non_null(strstr(second, "\"train_loss\":1.634481,"));
    assert_non_null(strstr(second, "\"train_loss_batch_mean\":1.5,"));
    assert_non_null(strstr(second, "\"valid_accuracy\":0.5,"));
    assert_non_null(strstr(second, "\"stages\":{\"read\":{\"batches\":2,\"samples\":110,"));
    assert_non_null(strstr(second, "\"busy_seconds\":1.500000"));
    unlink(path);
}

static void rewind_drops_what_will_be_written_again(void **state)
{
    (void)state;
    char path[] = "/tmp/rstream-test-XXXXXX";
    int fd = mkstemp(path);
    const char lines[] = "{\"event\":\"step\",\"epoch\":0,\"step\":1}\n"
                         "{\"event\":\"epoch\",\"epoch\":0,\"step\":1}\n"
                         "{\"event\":\"step\",\"epoch\":1,\"step\":2}\n"
                         "{\"event\":\"step\",\"epoch\":1,\"step\":3}\n"
                         "{\"event\":\"epoch\",\"epoch\":1,\"step\":3}\n"
                         "{\"event\":\"step\",\"epo";
    assert_int_equal(write(fd, lines, strlen(lines)), strlen(lines));
    close(fd);
    assert_int_equal(rs_sink_jsonl_rewind(path, 2, 1, NULL), 0);
    assert_string_equal(slurp(path), "{\"event\":\"step\",\"epoch\":0,\"step\":1}\n"
                                     "{\"event\":\"epoch\",\"epoch\":0,\"step\":1}\n"
                                     "{\"event\":\"step\",\"epoch\":1,\"step\":2}\n");
    unlink(path);
    assert_int_equal(rs_sink_jsonl_rewind(path, 2, 1, NULL), 0);
}

/* A write that failed can leave the last line without its end; what is appended then begins a line of its
 * own. */
static void rewind_ends_the_last_line(void **state)
{
    (void)state;
    char path[] = "/tmp/rstream-test-XXXXXX";
    int fd = mkstemp(path);
    const char line[] = "{\"event\":\"step\",\"epoch\":0,\"step\":1}";
    assert_int_equal(write(fd, line, strlen(line)), strlen(line));
    close(fd);
    assert_int_equal(rs_sink_jsonl_rewind(path, 1, 0, NULL), 0);
    assert_string_equal(slurp(path), "{\"event\":\"step\",\"epoch\":0,\"step\":1}\n");
    unlink(path);
}

/* A folder opens as a file does, and reading it fails: such a file is not taken for an empty one. */
static void rewind_keeps_what_it_can_t_read(void **state)
{
    (void)state;
    char path[] = "/tmp/rstream-test-XXXXXX", partial[64];
    struct rs_error err = {0};
    assert_non_null(mkdtemp(path));
    snprintf(partial, sizeof partial, "%s.partial", path);
    assert_int_equal(rs_sink_jsonl_rewind(path, 2, 1, &err), RS_E_IO);
    assert_non_null(strstr(err.message, path));
    assert_non_null(strstr(err.message, "can't be read to its end"));
    assert_int_equal(access(partial, F_OK), -1);
    rmdir(path);
}

static void a_full_disk_is_an_error_with_the_path(void **state)
{
    (void)state;
    void *sink;
    struct rs_error err = {0};
    struct rs_epoch_summary s;
    struct rs_progress p;
    summary(&s, &p);
    assert_int_equal(rs_sink_jsonl_create(&sink, "/dev/full", NULL), 0);
    assert_int_equal(rs_sink_jsonl.epoch(sink, &s, &err), RS_E_NO_SPACE);
    assert_non_null(strstr(err.message, "/dev/full"));
    rs_sink_jsonl.destroy(sink);
}

static void console_prints_the_notebook_s_line_and_the_verdict(void **state)
{
    (void)state;
    char text[1024] = "";
    FILE *f = fmemopen(text, sizeof text, "w");
    void *sink;
    struct rs_epoch_summary s;
    struct rs_progress p;
    struct rs_report r = step_report();
    summary(&s, &p);
    assert_int_equal(rs_sink_console_create(&sink, f, false, 20, NULL), 0);
    rs_sink_console.batch(sink, &r, NULL);
    rs_sink_console.tick(sink, NULL); /* no terminal: no progress line */
    rs_sink_console.epoch(sink, &s, NULL);
    rs_sink_console.destroy(sink);
    fclose(f);
    assert_string_equal(
        text, "Epoch 0. Train Loss: 1.634481, Train Acc: 0.400000, Valid Loss: 1.518368, Valid Acc: "
              "0.500000, Time 00:02:06\n"
              "  1.0 img/s; the step waited 25.0% of the time for data; limit: decode; try --workers "
              "2\n");
}

static void a_terminal_gets_a_progress_line_that_is_cleared(void **state)
{
    (void)state;
    char text[1024] = "";
    FILE *f = fmemopen(text, sizeof text, "w");
    void *sink;
    struct rs_report r = step_report();
    assert_int_equal(rs_sink_console_create(&sink, f, true, 20, NULL), 0);
    rs_sink_console.tick(sink, NULL); /* nothing to show yet */
    rs_sink_console.batch(sink, &r, NULL);
    rs_sink_console.tick(sink, NULL);
    rs_sink_console.destroy(sink);
    fclose(f);
    assert_string_equal(text, "\r\033[Kepoch 1/19  batch 8/861  loss 1.2500  acc 0.5000\r\033[K");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jsonl_has_an_object_a_line),
        cmocka_unit_test(rewind_drops_what_will_be_written_again),
        cmocka_unit_test(rewind_ends_the_last_line),
        cmocka_unit_test(rewind_keeps_what_it_can_t_read),
        cmocka_unit_test(a_full_disk_is_an_error_with_the_path),
        cmocka_unit_test(console_prints_the_notebook_s_line_and_the_verdict),
        cmocka_unit_test(a_terminal_gets_a_progress_line_that_is_cleared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
