/* test_cli_train.c: train, eval, resume and Ctrl-C through the built command, on a tiny generated set and
 * whatever device is there. Apart from test_cli.c, because it computes: slow where only the reference backend
 * works. */
#include "support.h"

#include "scratch.h"

#include <math.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static struct rs_scratch scratch;
static struct outcome o;

static void expect(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("no '%s' in:\n%s", part, text);
}

/* Generates the set once. */
static void make_set(char set[300])
{
    struct stat about;
    snprintf(set, 300, "%s", in(scratch.path, "tiny"));
    if (stat(set, &about) == 0)
        return;
    run_rstream(&o, scratch.path, "synth %s --train 10 --test 10", set);
    assert_int_equal(o.exit_code, 0);
}

/* The values of "Epoch 0. Train Loss: …", which is somewhere in text. */
struct epoch_line {
    double train_loss, train_accuracy, valid_loss, valid_accuracy;
};

static struct epoch_line read_epoch(const char *text, unsigned epoch)
{
    struct epoch_line e;
    unsigned number, hours, minutes, seconds;
    expect(text, "\nEpoch ");
    if (sscanf(strstr(text, "\nEpoch "),
               "\nEpoch %u. Train Loss: %lf, Train Acc: %lf, Valid Loss: %lf, Valid Acc: %lf, Time "
               "%2u:%2u:%2u\n",
               &number, &e.train_loss, &e.train_accuracy, &e.valid_loss, &e.valid_accuracy, &hours, &minutes,
               &seconds) != 8)
        fail_msg("%s", text);
    assert_int_equal(number, epoch);
    return e;
}

/* The metrics file is one line a step, numbered from 1, then the epoch's with the values that were printed
 * (NULL: none were). */
static void check_metrics(const char *run, unsigned steps, const struct epoch_line *printed)
{
    char text[8192];
    const char *line = text;
    text[read_bytes(in(run, "metrics.jsonl"), text, sizeof text - 1)] = '\0';
    for (unsigned step = 1; step <= steps; step++, line = strchr(line, '\n') + 1) {
        char begin[80];
        snprintf(begin, sizeof begin, "{\"event\":\"step\",\"epoch\":0,\"step\":%u,\"loss\":", step);
        assert_memory_equal(line, begin, strlen(begin));
        assert_non_null(strstr(line, ",\"lr\":0.01,\"images\":2,"));
    }
    double loss, accuracy, valid_loss, valid_accuracy;
    unsigned last, images, valid_images;
    if (sscanf(
            line,
            "{\"event\":\"epoch\",\"epoch\":0,\"step\":%u,\"train_loss\":%lf,\"train_accuracy\":%lf,\"train_"
            "loss_batch_mean\":%*f,"
            "\"train_accuracy_batch_mean\":%*f,\"train_images\":%u,\"valid_loss\":%lf,\"valid_accuracy\":%lf,"
            "\"valid_loss_batch_mean\":%*f,\"valid_accuracy_batch_mean\":%*f,\"valid_images\":%u,",
            &last, &loss, &accuracy, &images, &valid_loss, &valid_accuracy, &valid_images) != 7)
        fail_msg("%s", line);
    assert_int_equal(last, steps);
    assert_int_equal(images, 2 * steps);
    assert_int_equal(valid_images, 10);
    assert_string_equal(strchr(line, '\n'), "\n"); /* nothing follows */
    if (!printed)
        return;
    assert_true(fabs(loss - printed->train_loss) < 1e-6 + 1e-8 * loss);
    assert_true(fabs(accuracy - printed->train_accuracy) < 1e-6);
    assert_true(fabs(valid_loss - printed->valid_loss) < 1e-6 + 1e-8 * valid_loss);
    assert_true(fabs(valid_accuracy - printed->valid_accuracy) < 1e-6);
}

/* The tables agree with each other and with the accuracy: ten classes, an image each. */
static void check_tables(double accuracy)
{
    unsigned matrix[10][10], right = 0;
    const char *row = strstr(o.out, "\nConfusion matrix: a row a true class, a column what was predicted\n");
    assert_non_null(row);
    row = strchr(strchr(row + 1, '\n') + 1, '\n') + 1; /* behind the names of the columns */
    for (int label = 0; label < 10; label++, row = strchr(row, '\n') + 1) {
        unsigned hue, sum = 0;
        int length;
        assert_int_equal(sscanf(row, "hue-%u%n", &hue, &length), 1);
        assert_int_equal(hue, label * 36);
        const char *at = row + length;
        for (int p = 0; p < 10; p++, at += length) {
            assert_int_equal(sscanf(at, "%u%n", &matrix[label][p], &length), 1);
            sum += matrix[label][p];
        }
        assert_int_equal(sum, 1);
        right += matrix[label][label];
    }
    assert_string_equal(row, "");
    assert_true(accuracy == (double)right / 10);
    row = strstr(o.out, "\nclass              images  accuracy  most often taken for\n");
    assert_non_null(row);
    row = strchr(row + 1, '\n') + 1;
    for (int label = 0; label < 10; label++, row = strchr(row, '\n') + 1) {
        char expected[80];
        int used = snprintf(expected, sizeof expected, "hue-%03d                 1    %s", label * 36,
                            matrix[label][label] ? "1.0000" : "0.0000");
        for (int p = 0; p < 10 && !matrix[label][label]; p++)
            if (matrix[label][p])
                snprintf(expected + used, sizeof expected - (size_t)used, "  hue-%03d (1)", p * 36);
        assert_memory_equal(row, expected, strlen(expected));
        assert_int_equal(row[strlen(expected)], '\n');
    }
}

static void test_train_eval_resume(void **unused)
{
    (void)unused;
    char set[300], run[300];
    make_set(set);
    snprintf(run, sizeof run, "%s", in(scratch.path, "run"));
    run_rstream(&o, scratch.path,
                "train --data %s --out %s --batch-size 2 --eval-batch-size 5 --image-size 75 --max-steps 1",
                set, run);
    if (o.exit_code != 0)
        fail_msg("%s", o.err);
    struct epoch_line epoch = read_epoch(o.out, 0);
    check_metrics(run, 1, &epoch);
    /* the size is the weights'; the same batches give the same bits as the run's own validation */
    run_rstream(&o, scratch.path, "eval --data %s --weights %s/last.safetensors --eval-batch-size 5", set,
                run);
    if (o.exit_code != 0)
        fail_msg("%s", o.err);
    char begin[128];
    snprintf(begin, sizeof begin, "Loss: %.6f, Acc: %.6f, 10 images of 75 x 75 in ", epoch.valid_loss,
             epoch.valid_accuracy);
    assert_memory_equal(o.out, begin, strlen(begin));
    check_tables(epoch.valid_accuracy);
    run_rstream(&o, scratch.path, "eval --data %s --weights %s/last.safetensors --image-size 80", set, run);
    expect(o.out, ", 10 images of 80 x 80 in ");
    run_rstream(&o, scratch.path, "train --resume %s --max-steps 2 --quiet", run);
    if (o.exit_code != 0)
        fail_msg("%s", o.err);
    assert_string_equal(o.out, "");
    assert_string_equal(o.err, "");
    check_metrics(run, 2, NULL);
    char text[8192];
    text[read_bytes(in(run, "config.json"), text, sizeof text - 1)] = '\0';
    expect(text, "\n\t\"batch_size\":\t2,\n");
    expect(text, "\n\t\"max_steps\":\t2,\n");
    expect(text, "\n\t\"image_size\":\t75,\n");
    /* nothing is left to do: the run stays as it is */
    run_rstream(&o, scratch.path, "train --resume %s --quiet", run);
    assert_int_equal(o.exit_code, 0);
    check_metrics(run, 2, NULL);
}

/* What the device can't do is refused before a folder is made, with what to do. */
static void test_refusals(void **unused)
{
    (void)unused;
    char set[300], run[300];
    make_set(set);
    snprintf(run, sizeof run, "%s", in(scratch.path, "refused"));
    run_rstream(&o, scratch.path, "train --data %s --out %s --device ref --preprocess device", set, run);
    assert_int_equal(o.exit_code, 2);
    assert_string_equal(o.err, "rstream train: --preprocess device: the device ref computes in the host's "
                               "memory; use --preprocess host or leave "
                               "it out\n");
    run_rstream(&o, scratch.path, "train --data %s --out %s --device ref --cuda-graph off", set, run);
    assert_int_equal(o.exit_code, 2);
    assert_string_equal(o.err,
                        "rstream train: --cuda-graph off: the device ref has no graphs; leave it out\n");
    assert_int_not_equal(access(run, F_OK), 0);
    run_rstream(&o, scratch.path, "bench train --device ref --cuda-graph on");
    assert_int_equal(o.exit_code, 2);
    assert_string_equal(o.err,
                        "rstream bench: --cuda-graph on: the device ref has no graphs; leave it out\n");
    run_rstream(&o, scratch.path, "eval --data %s --weights none.safetensors --precision fp16", set);
    assert_int_equal(o.exit_code, 2);
    assert_string_equal(o.err, "rstream eval: --precision fp16: one of fp32, tf32, bf16 is allowed\n");
}

/* The file is there and not empty within a minute. */
static bool appears(const char *path)
{
    struct stat about;
    for (int i = 0; i < 1200; i++) {
        if (stat(path, &about) == 0 && about.st_size > 0)
            return true;
        nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    }
    return false;
}

/* The last bytes of a file, ended by a zero. */
static void read_tail(const char *path, char *text, size_t size)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    if (fseek(file, -(long)(size - 1), SEEK_END) != 0)
        rewind(file); /* a shorter one */
    text[fread(text, 1, size - 1, file)] = '\0';
    fclose(file);
}

static void test_interrupt(void **unused)
{
    (void)unused;
    char set[300], run[300], line[1024];
    make_set(set);
    snprintf(run, sizeof run, "%s", in(scratch.path, "interrupted"));
    snprintf(line, sizeof line, "train --data %s --out %s --batch-size 2 --image-size 75 --epochs 100000",
             set, run);
    int process = start_rstream(scratch.path, line);
    bool runs = appears(in(run, "metrics.jsonl"));
    kill(process, SIGINT);
    int exit_code = wait_rstream(process);
    assert_true(runs);
    assert_int_equal(exit_code, 130);
    assert_int_equal(access(in(run, "resume.safetensors"), R_OK), 0);
    o.err[read_bytes(in(scratch.path, "err.txt"), o.err, TEXT_MAX - 1)] = '\0';
    unsigned steps;
    if (sscanf(o.err, "rstream train: interrupted after step %u\n", &steps) != 1)
        fail_msg("%s", o.err);
    /* the metrics end with that step, and the run can go on with the next one */
    char text[8192], last[32];
    read_tail(in(run, "metrics.jsonl"), text, sizeof text);
    snprintf(last, sizeof last, "\"step\":%u,", steps);
    expect(text, last);
    snprintf(last, sizeof last, "\"step\":%u,", steps + 1);
    assert_null(strstr(text, last));
    run_rstream(&o, scratch.path, "train --resume %s --max-steps %u --quiet", run, steps + 1);
    assert_int_equal(o.exit_code, 0);
    read_tail(in(run, "metrics.jsonl"), text, sizeof text);
    expect(text, last);
}

static int set_up(void **unused)
{
    (void)unused;
    return rs__scratch_create(&scratch, NULL);
}

static int tear_down(void **unused)
{
    (void)unused;
    rs__scratch_remove(&scratch);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_train_eval_resume),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_interrupt),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
