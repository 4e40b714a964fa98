/* test_refusals.c: what the command refuses once it has opened a file, and what --quiet says when it is
 * interrupted. */
#include "support.h"

#include "scratch.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define TICKS_MAX 60000 /* of 10 ms: the CTest time limit ends it before */

static struct rs_scratch scratch;
static struct outcome o;

static void refused(const char *words)
{
    if (o.exit_code == 0 || !strstr(o.err, words))
        fail_msg("exit code %d, no '%s' in:\n%s", o.exit_code, words, o.err);
}

static void a_resume_file_without_options(void **unused)
{
    (void)unused;
    write_weights(in(scratch.path, "resume.safetensors"), NULL, NULL);
    run_rstream(&o, scratch.path, "train --resume %s", scratch.path);
    refused("/resume.safetensors: holds no options of a run");
}

static void a_run_folder_of_too_long_a_name(void **unused)
{
    (void)unused;
    char name[4080 + 1]; /* a path may have it, but not with a file's name behind it */
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    run_rstream(&o, scratch.path, "train --resume %s", name);
    refused("--resume: the folder's name is too long");
}

/* Data of two classes, going by its names; nothing of it is read. */
static void weights_for_other_classes(void **unused)
{
    (void)unused;
    char set[300];
    snprintf(set, sizeof set, "%s", in(scratch.path, "two"));
    run_rstream(&o, scratch.path, "synth %s --train 10 --test 10", set);
    assert_int_equal(o.exit_code, 0);
    FILE *names = fopen(in(set, "batches.meta.txt"), "w");
    assert_non_null(names);
    fputs("cat\ndog\n", names);
    fclose(names);
    write_weights(in(scratch.path, "ten.safetensors"), NULL, NULL);
    run_rstream(&o, scratch.path, "eval --data %s --weights %s", set, in(scratch.path, "ten.safetensors"));
    refused("ten.safetensors is for 10 classes, and ");
    refused("/two has 2");
}

/* As predict takes any file that it is given: its size is looked at before memory is asked for. */
static void an_image_of_gigabytes(void **unused)
{
    (void)unused;
    char image[300];
    snprintf(image, sizeof image, "%s", in(scratch.path, "large.png"));
    FILE *file = fopen(image, "w");
    assert_non_null(file);
    int without_holes = ftruncate(fileno(file), ((off_t)1 << 31) + 1); /* takes no room on the disk */
    fclose(file);
    if (without_holes)
        skip();
    write_weights(in(scratch.path, "ten.safetensors"), NULL, NULL);
    run_rstream(&o, scratch.path, "predict --weights %s %s", in(scratch.path, "ten.safetensors"), image);
    refused("large.png is larger than 2 GiB");
}

/* Steps are measured, but no batch of the set is whole. */
static void a_set_smaller_than_the_batch(void **unused)
{
    (void)unused;
    char set[300];
    snprintf(set, sizeof set, "%s", in(scratch.path, "small"));
    run_rstream(&o, scratch.path, "synth %s --train 10 --test 10", set);
    assert_int_equal(o.exit_code, 0);
    run_rstream(&o, scratch.path,
                "bench train --data %s --batch-size 12 --image-size 75 --steps 1 --device cpu", set);
    refused("the data set is too small for --batch-size 12");
}

/* Its only words are the error, which says how to go on. */
static void quiet_and_interrupted(void **unused)
{
    (void)unused;
    char set[300], run[300], line[1024], metrics[400];
    struct stat about = {0};
    snprintf(set, sizeof set, "%s", in(scratch.path, "set"));
    snprintf(run, sizeof run, "%s", in(scratch.path, "run"));
    snprintf(metrics, sizeof metrics, "%s/metrics.jsonl", run);
    run_rstream(&o, scratch.path, "synth %s --train 10 --test 10", set);
    assert_int_equal(o.exit_code, 0);
    snprintf(line, sizeof line,
             "train --quiet --data %s --out %s --batch-size 2 --eval-batch-size 5 --image-size 75 "
             "--epochs 100000",
             set, run);
    int process = start_rstream(scratch.path, line);
    for (int tick = 0; about.st_size == 0; tick++) { /* until a step is done */
        assert_true(tick < TICKS_MAX);
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
        if (stat(metrics, &about) != 0)
            about.st_size = 0;
    }
    kill(process, SIGINT);
    assert_int_equal(wait_rstream(process), 130);
    o.out[read_bytes(in(scratch.path, "out.txt"), o.out, TEXT_MAX - 1)] = '\0';
    o.err[read_bytes(in(scratch.path, "err.txt"), o.err, TEXT_MAX - 1)] = '\0';
    assert_string_equal(o.out, "");
    char go_on[400];
    snprintf(go_on, sizeof go_on, "; go on with: rstream train --resume %s\n", run);
    assert_non_null(strstr(o.err, "interrupted after step "));
    assert_non_null(strstr(o.err, go_on));
}

static int set_up(void **state)
{
    (void)state;
    return rs__scratch_create(&scratch, NULL);
}

static int tear_down(void **state)
{
    (void)state;
    rs__scratch_remove(&scratch);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_resume_file_without_options), cmocka_unit_test(a_run_folder_of_too_long_a_name),
        cmocka_unit_test(weights_for_other_classes),     cmocka_unit_test(an_image_of_gigabytes),
        cmocka_unit_test(a_set_smaller_than_the_batch),  cmocka_unit_test(quiet_and_interrupted),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
