/* test_cli_train.c: train, eval, resume and Ctrl-C through the built command, on a tiny generated set and
 * whatever device is there. Apart from test_cli.c, because it computes: slow where only the reference backend
 * works. */
#include "support.h"

#include "scratch.h"

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
    expect(o.out, "Epoch 0. Train Loss: ");
    run_rstream(&o, scratch.path, "eval --data %s --weights %s/last.safetensors", set, run);
    if (o.exit_code != 0)
        fail_msg("%s", o.err);
    expect(o.out, "10 images of 75 x 75"); /* the size is the weights' */
    expect(o.out, "Confusion matrix");
    run_rstream(&o, scratch.path, "train --resume %s --max-steps 2 --quiet", run);
    if (o.exit_code != 0)
        fail_msg("%s", o.err);
    assert_string_equal(o.out, "");
    char text[8192];
    text[read_bytes(in(run, "metrics.jsonl"), text, sizeof text - 1)] = '\0';
    expect(text, "\"step\":2,");
    text[read_bytes(in(run, "config.json"), text, sizeof text - 1)] = '\0';
    expect(text, "\"batch_size\":\t2,");
    expect(text, "\"max_steps\":\t2,");
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
    expect(o.err, "use --preprocess host or leave it out");
    run_rstream(&o, scratch.path, "train --data %s --out %s --device ref --cuda-graph off", set, run);
    assert_int_equal(o.exit_code, 2);
    expect(o.err, "--cuda-graph off: the device ref has no graphs; leave it out");
    assert_int_not_equal(access(run, F_OK), 0);
    run_rstream(&o, scratch.path, "bench train --device ref --cuda-graph on");
    assert_int_equal(o.exit_code, 2);
    expect(o.err, "--cuda-graph on: ");
    run_rstream(&o, scratch.path, "eval --data %s --weights none.safetensors --precision fp16", set);
    assert_int_equal(o.exit_code, 2);
    expect(o.err, "one of fp32, tf32, bf16 is allowed");
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
    expect(o.err, "rstream train: interrupted after step ");
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
