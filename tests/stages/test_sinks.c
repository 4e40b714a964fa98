/* metrics.jsonl and the console's lines. */
#include "sinks.h"

#include "cmocka_all.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The clock of the console's rate. */
static uint64_t now_ns;
uint64_t __wrap_rs_now_ns(void);
uint64_t __wrap_rs_now_ns(void)
{
    return now_ns;
}

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
                              .train_wait_seconds = 0.5,
                              .valid_seconds = 26};
    *s = (struct rs_epoch_summary){
        .epoch = 3, .progress = p, .validated = true, .images_per_second = 1, .stage_count = 2};
    s->stages[0] = (struct rs_named_figures){"read",
                                             {.batches = 2,
                                              .samples = 110,
                                              .busy_ns = 1500000000,
                                              .wait_input_ns = 250000000,
                                              .wait_slot_ns = 750000000,
                                              .threads = 1}};
    s->stages[1] =
        (struct rs_named_figures){"decode", {.batches = 4, .samples = 120, .busy_ns = 1000, .threads = 7}};
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
    assert_string_equal(
        slurp(path),
        "{\"event\":\"step\",\"epoch\":1,\"step\":790,\"loss\":1.25,\"accuracy\":0.5,\"lr\":0.01,"
        "\"images\":64,\"seconds\":0.250000,\"data_wait_seconds\":0.001000}\n"
        "{\"event\":\"epoch\",\"epoch\":3,\"step\":782,"
        "\"train_loss\":1.634481,\"train_accuracy\":0.4,\"train_loss_batch_mean\":1.5,\"train_accuracy_batch_"
        "mean\":0.5,"
        "\"train_images\":100,"
        "\"valid_loss\":1.518368,\"valid_accuracy\":0.5,\"valid_loss_batch_mean\":0,\"valid_accuracy_batch_"
        "mean\":0,"
        "\"valid_images\":10,"
        "\"seconds\":126.000000,\"train_seconds\":100.000000,\"data_wait_seconds\":0.500000,\"images_per_"
        "second\":1.000,"
        "\"limit\":\"decode\",\"stages\":{"
        "\"read\":{\"batches\":2,\"samples\":110,\"threads\":1,\"busy_seconds\":1.500000,\"wait_input_"
        "seconds\":0.250000,"
        "\"wait_slot_seconds\":0.750000},"
        "\"decode\":{\"batches\":4,\"samples\":120,\"threads\":7,\"busy_seconds\":0.000001,\"wait_input_"
        "seconds\":0.000000,"
        "\"wait_slot_seconds\":0.000000}}}\n");
    unlink(path);
}

/* Without validation there are no values of it; a file that is there is continued. */
static void jsonl_appends_and_flushes(void **state)
{
    (void)state;
    char path[] = "/tmp/rstream-test-XXXXXX";
    void *sink;
    struct rs_report r = step_report();
    struct rs_epoch_summary s;
    struct rs_progress p;
    summary(&s, &p);
    s.validated = false;
    s.stage_count = 0;
    int fd = mkstemp(path);
    assert_int_equal(write(fd, "{}\n", 3), 3);
    close(fd);
    assert_int_equal(rs_sink_jsonl_create(&sink, path, NULL), 0);
    assert_int_equal(rs_sink_jsonl.batch(sink, &r, NULL), 0);
    char *text = slurp(path); /* a step's line is visible at once */
    static const char begin[] = "{}\n{\"event\":\"step\",\"epoch\":1,";
    assert_memory_equal(text, begin, strlen(begin));
    assert_string_equal(text + strlen(text) - 3, "0}\n");
    const size_t before = strlen(text);
    assert_int_equal(rs_sink_jsonl.epoch(sink, &s, NULL), 0);
    text = slurp(path) + before; /* an epoch's line is visible at once */
    assert_null(strstr(text, "valid_"));
    assert_string_equal(strstr(text, "\"limit\""), "\"limit\":\"decode\",\"stages\":{}}\n");
    rs_sink_jsonl.destroy(sink);
    unlink(path);
}

static void jsonl_names_a_file_that_can_t_be_opened(void **state)
{
    (void)state;
    void *sink;
    struct rs_error err = {0};
    assert_int_equal(rs_sink_jsonl_create(&sink, "/nowhere/metrics.jsonl", &err), RS_E_NOT_FOUND);
    assert_non_null(strstr(err.message, "/nowhere/metrics.jsonl"));
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
    assert_int_equal(access(path, F_OK), -1);
}

/* Every position of a resume: steps up to it stay, and the epochs before it. */
static void rewind_at_every_step(void **state)
{
    (void)state;
    static const char *const lines[] = {"{\"event\":\"step\",\"epoch\":0,\"step\":1}\n",
                                        "{\"event\":\"epoch\",\"epoch\":0,\"step\":1}\n",
                                        "{\"event\":\"step\",\"epoch\":1,\"step\":2}\n",
                                        "{\"event\":\"epoch\",\"epoch\":1,\"step\":2}\n",
                                        "not an object\n",
                                        "{\"event\":\"step\",\"step\":1}\n"};
    static const struct {
        uint64_t steps;
        uint32_t epoch;
        const char *kept; /* numbers of the lines */
    } cases[] = {{0, 0, ""}, {1, 0, "0"}, {1, 1, "01"}, {2, 1, "012"}, {2, 2, "0123"}, {9, 9, "0123"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char path[] = "/tmp/rstream-test-XXXXXX", expected[512] = "", beside[64];
        int fd = mkstemp(path);
        for (size_t l = 0; l < sizeof lines / sizeof *lines; l++)
            assert_int_equal(write(fd, lines[l], strlen(lines[l])), strlen(lines[l]));
        close(fd);
        size_t used = 0;
        for (const char *number = cases[i].kept; *number; number++)
            used += (size_t)snprintf(expected + used, sizeof expected - used, "%s", lines[*number - '0']);
        assert_int_equal(rs_sink_jsonl_rewind(path, cases[i].steps, cases[i].epoch, NULL), 0);
        assert_string_equal(slurp(path), expected);
        snprintf(beside, sizeof beside, "%s.partial", path);
        assert_int_equal(access(beside, F_OK), -1);
        unlink(path);
    }
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
        text, "Epoch 3. Train Loss: 1.634481, Train Acc: 0.400000, Valid Loss: 1.518368, Valid Acc: "
              "0.500000, Time 00:02:06\n"
              "  1.0 img/s; the step waited 25.0% of the time for data; limit: decode; try --workers "
              "2\n");
}

/* Hours, no validation, no advice. */
static void console_prints_long_epochs(void **state)
{
    (void)state;
    char text[1024] = "";
    FILE *f = fmemopen(text, sizeof text, "w");
    void *sink;
    struct rs_epoch_summary s;
    struct rs_progress p;
    summary(&s, &p);
    p.train_seconds = 2 * 3600 + 59 * 60 + 58;
    p.valid_seconds = 1.5;
    s.validated = false;
    s.verdict = (struct rs_verdict){.stage = "train"};
    assert_int_equal(rs_sink_console_create(&sink, f, false, 20, NULL), 0);
    rs_sink_console.epoch(sink, &s, NULL);
    rs_sink_console.destroy(sink);
    fclose(f);
    assert_string_equal(text, "Epoch 3. Train Loss: 1.634481, Train Acc: 0.400000, Time 03:00:00\n"
                              "  1.0 img/s; the step waited 0.0% of the time for data; limit: train\n");
}

/* Means are over the images of the epoch so far; the rate is over two seconds at least; validation says so;
 * an epoch's end clears the line and begins anew. */
static void the_progress_line_of_two_epochs(void **state)
{
    (void)state;
    char text[2048] = "";
    FILE *f = fmemopen(text, sizeof text, "w");
    void *sink;
    struct rs_epoch_summary s;
    struct rs_progress p;
    struct rs_report r = step_report();
    summary(&s, &p);
    now_ns = 5000000000;
    r.epoch_batches = 108;
    assert_int_equal(rs_sink_console_create(&sink, f, true, 20, NULL), 0);
    rs_sink_console.batch(sink, &r, NULL); /* 64 images, loss 1.25, accuracy 0.5 */
    rs_sink_console.tick(sink, NULL);      /* the rate's time begins */
    r.images = 16;
    r.batch = 9;
    r.loss = 0.25;
    r.accuracy = 1;
    rs_sink_console.batch(sink, &r, NULL);
    now_ns += 1999999999;
    rs_sink_console.tick(sink, NULL); /* too early for a rate */
    now_ns += 1;
    rs_sink_console.tick(sink, NULL); /* 16 images in 2 s; 99 batches of 16 are left: 198 s */
    r.kind = RS_REPORT_VALID;
    r.batch = 10;
    rs_sink_console.batch(sink, &r, NULL); /* doesn't count in the means */
    rs_sink_console.tick(sink, NULL);
    rs_sink_console.epoch(sink, &s, NULL);
    rs_sink_console.tick(sink, NULL); /* nothing to show yet */
    r = (struct rs_report){.kind = RS_REPORT_STEP,
                           .epoch = 2,
                           .images = 8,
                           .batch = 1,
                           .epoch_batches = 108,
                           .loss = 4,
                           .accuracy = 0.125};
    rs_sink_console.batch(sink, &r, NULL);
    now_ns += 2000000000;
    rs_sink_console.tick(sink, NULL); /* 16 images of validation and 8 in 2 s */
    rs_sink_console.destroy(sink);
    fclose(f);
    assert_string_equal(
        text, "\r\033[Kepoch 1/19  batch 8/108  loss 1.2500  acc 0.5000"
              "\r\033[Kepoch 1/19  batch 9/108  loss 1.0500  acc 0.6000"
              "\r\033[Kepoch 1/19  batch 9/108  loss 1.0500  acc 0.6000  8 img/s  03:18 left"
              "\r\033[Kvalidating epoch 1/19  batch 10/108  loss 1.0500  acc 0.6000  8 img/s  03:16 left"
              "\r\033[K"
              "Epoch 3. Train Loss: 1.634481, Train Acc: 0.400000, Valid Loss: 1.518368, Valid Acc: "
              "0.500000, Time 00:02:06\n"
              "  1.0 img/s; the step waited 25.0% of the time for data; limit: decode; try --workers 2\n"
              "\r\033[Kepoch 2/19  batch 1/108  loss 4.0000  acc 0.1250  12 img/s  01:11 left"
              "\r\033[K");
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
        cmocka_unit_test(jsonl_appends_and_flushes),
        cmocka_unit_test(jsonl_names_a_file_that_can_t_be_opened),
        cmocka_unit_test(rewind_at_every_step),
        cmocka_unit_test(console_prints_long_epochs),
        cmocka_unit_test(the_progress_line_of_two_epochs),
        cmocka_unit_test(rewind_drops_what_will_be_written_again),
        cmocka_unit_test(rewind_ends_the_last_line),
        cmocka_unit_test(rewind_keeps_what_it_can_t_read),
        cmocka_unit_test(a_full_disk_is_an_error_with_the_path),
        cmocka_unit_test(console_prints_the_notebook_s_line_and_the_verdict),
        cmocka_unit_test(a_terminal_gets_a_progress_line_that_is_cleared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
