/* test_cli.c: the built command as a person meets it: hints, failures, exit codes; devices and predict;
 * stored options. */
#include "support.h"

#include "config.h"
#include "scratch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct rs_scratch scratch;
static struct outcome o;

static void expect(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("no '%s' in:\n%s", part, text);
}

static int lines(const char *text)
{
    int count = 0;
    for (; *text; text++)
        count += *text == '\n';
    return count;
}

/* One line on stderr that begins with the program, holds part, and this exit code. */
static void expect_failure(int exit_code, const char *begin, const char *part)
{
    if (o.exit_code != exit_code)
        fail_msg("exit code %d, not %d: %s", o.exit_code, exit_code, o.err);
    assert_int_equal(strncmp(o.err, begin, strlen(begin)), 0);
    expect(o.err, part);
    assert_int_equal(lines(o.err), 1);
}

/* Wrong usage: exit code 2, one line, nothing on standard output. */
static void test_usage_errors(void **unused)
{
    (void)unused;
    static const char *const cases[][2] = {
        {"trian --data x", "rstream: unknown command 'trian': did you mean train?"},
        {"evla", "rstream: unknown command 'evla': did you mean eval?"},
        {"sumary", "rstream: unknown command 'sumary': did you mean summary?"},
        {"ev", "rstream: unknown command 'ev': rstream --help lists what there is"},
        {"x", "rstream: unknown command 'x': rstream --help lists what there is"},
        {"abc", "rstream: unknown command 'abc': rstream --help lists what there is"},
        {"transmogrify", "rstream: unknown command 'transmogrify': rstream --help lists what there is"},
        {"help trian", "rstream: unknown command 'trian': did you mean train?"},
        {"--data x", "rstream: unknown command '--data': rstream --help lists what there is"},
        {"train --data x --epoch 3", "rstream train: unknown option --epoch: did you mean --epochs?"},
        {"train --data x --ep 3", "rstream train: unknown option --ep: did you mean --epochs?"},
        {"train --data x --warmup 3",
         "rstream train: unknown option --warmup: rstream train --help lists what there is"},
        {"train --data x --top 3",
         "rstream train: --top is an option of rstream predict, not of rstream train"},
        {"synth d --device cpu",
         "rstream synth: --device is an option of rstream train, not of rstream synth"},
        {"train --data x --prefetch 65",
         "rstream train: --prefetch 65: a whole number from 1 to 64 is allowed"},
        {"train --data x --prefetch", "rstream train: --prefetch lacks its value, N"},
        {"train --data x --prefetch --quiet", "rstream train: --prefetch lacks its value, N"},
        {"train --data x --fuse --quiet", "rstream train: --fuse lacks its value"},
        {"train --data=", "rstream train: --data is empty: it takes a DIR"},
        {"train --data x --quiet=yes", "rstream train: --quiet takes no value: leave out =yes"},
        {"train --data x --shuffle --no-shuffle",
         "rstream train: --shuffle and --no-shuffle contradict each other: leave one out"},
        {"train", "rstream train: --data DIR is missing: see rstream train --help"},
        {"train photos", "rstream train: 'photos' stands alone: did you mean --data photos?"},
        {"train --data x photos", "rstream train: 'photos' is too much: see rstream train --help"},
        {"eval --data x", "rstream eval: --weights FILE.safetensors is missing: see rstream eval --help"},
        {"eval --weights x", "rstream eval: --data DIR is missing: see rstream eval --help"},
        {"preview", "rstream preview: --data DIR is missing: see rstream preview --help"},
        {"predict x.png",
         "rstream predict: --weights FILE.safetensors is missing: see rstream predict --help"},
        {"predict --weights w", "rstream predict: IMAGE is missing: see rstream predict --help"},
        {"predict --weights w --top 0 x.png",
         "rstream predict: --top 0: a whole number from 1 to 1000 is allowed"},
        {"predict --weights w --top 1001 x.png",
         "rstream predict: --top 1001: a whole number from 1 to 1000 is allowed"},
        {"predict --weights w --image-size 74 x.png",
         "rstream predict: --image-size 74 is too small for the network: from 75 to 1024 is allowed"},
        {"predict --weights w --workers 1 x.png",
         "rstream predict: --workers is an option of rstream train, not of rstream predict"},
        {"devices all", "rstream devices: 'all' is too much: see rstream devices --help"},
        {"bench", "rstream bench: ring|pipeline|train is missing: see rstream bench --help"},
        {"bench disk", "rstream bench: disk: one of ring, pipeline, train is allowed"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char expected[256];
        run_rstream(&o, scratch.path, "%s", cases[i][0]);
        snprintf(expected, sizeof expected, "%s\n", cases[i][1]);
        assert_string_equal(o.err, expected);
        assert_string_equal(o.out, "");
        assert_int_equal(o.exit_code, 2);
    }
}

/* What isn't there or can't be used: exit code 1 and its path; a device: 3. */
static void test_failures(void **unused)
{
    (void)unused;
    char expected[1024], nowhere[300];
    snprintf(nowhere, sizeof nowhere, "%s", in(scratch.path, "nowhere"));
    run_rstream(&o, scratch.path, "train --data %s --out %s", nowhere, in(scratch.path, "no-run"));
    snprintf(expected, sizeof expected, "rstream train: %s: no such folder; check the path of the data\n",
             nowhere);
    assert_string_equal(o.err, expected);
    assert_int_equal(o.exit_code, 1);
    assert_int_equal(access(in(scratch.path, "no-run"), F_OK), -1);
    run_rstream(&o, scratch.path, "train --resume %s", nowhere);
    expect_failure(1, "rstream train: --resume ", "nowhere/resume.safetensors: can't be opened");
    run_rstream(&o, scratch.path, "eval --data %s --weights %s", scratch.path,
                in(scratch.path, "no.safetensors"));
    expect_failure(1, "rstream eval: ", "no.safetensors: can't be opened");
    run_rstream(&o, scratch.path, "predict --weights %s x.png", in(scratch.path, "no.safetensors"));
    expect_failure(1, "rstream predict: ", "no.safetensors: can't be opened");
    run_rstream(&o, scratch.path, "preview --data %s", nowhere);
    expect_failure(1, "rstream preview: ", "nowhere: no such folder");
    run_rstream(&o, scratch.path, "bench train --device cuda:63 --steps 1");
    assert_int_equal(o.exit_code, 3);
    assert_int_equal(strncmp(o.err, "rstream bench: ", 15), 0);
}

/* What was printed must have arrived: /dev/full takes nothing. The summary fails while it is printed; the few
 * lines of devices wait in the buffer until the end. */
static void test_full_output(void **unused)
{
    (void)unused;
    static const char *const commands[] = {"summary", "devices"};
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        char line[512], expected[128];
        snprintf(line, sizeof line, "'%s' %s >/dev/full 2>'%s'", RSTREAM_BINARY, commands[i],
                 in(scratch.path, "err.txt"));
        int status = system(line); /* NOLINT(cert-env33-c): the shell redirects */
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 1);
        o.err[read_bytes(in(scratch.path, "err.txt"), o.err, TEXT_MAX - 1)] = '\0';
        snprintf(expected, sizeof expected,
                 "rstream %s: standard output can't be written: No space left on device\n", commands[i]);
        assert_string_equal(o.err, expected);
    }
}

/* Each backend once, best first, and auto takes one of them. */
static void test_devices(void **unused)
{
    (void)unused;
    static const char chosen[] = "; --device auto takes this one\n";
    run_rstream(&o, scratch.path, "devices");
    assert_int_equal(o.exit_code, 0);
    assert_string_equal(o.err, "");
    const char *ref = strstr(o.out, "\nref   any CPU, 1 thread\n      library plain C loops, memory ");
    assert_non_null(ref);
    if (strncmp(o.out, "cuda", 4) != 0)
        fail_msg("cuda isn't the first: %s", o.out);
    const char *cpu = strstr(o.out, "\ncpu   "); /* where it is built */
    assert_true(!cpu || cpu < ref);
    double memory = 0;
    char precisions[64];
    assert_int_equal(sscanf(strstr(ref, "memory "), "memory %lf GiB, precisions %63s", &memory, precisions),
                     2);
    const double installed = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE) / 1073741824;
    assert_true(memory > installed * 0.5 && memory < installed + 0.06); /* a container may have less */
    const char *one = strstr(o.out, chosen);
    assert_non_null(one);
    assert_null(strstr(one + 1, chosen));
}

#define CLASSES 10
static char image[512], weights[300]; /* of predict's tests */

/* The classes of a line of predict, in its order, and their probabilities, which fall. Their number. */
static int read_line(const char *line, const char *path, char names[CLASSES][32], double values[CLASSES])
{
    int count = 0, length = 0;
    assert_memory_equal(line, path, strlen(path));
    line += strlen(path);
    assert_memory_equal(line, ": ", 2);
    line += 2;
    while (count < CLASSES && sscanf(line, "%31s %lf%n", names[count], &values[count], &length) == 2) {
        assert_true(values[count] >= 0 && values[count] <= 1);
        assert_true(count == 0 || values[count] <= values[count - 1]);
        line += length;
        count++;
        if (strncmp(line, ", ", 2) != 0)
            break;
        line += 2;
    }
    assert_int_equal(*line, '\n');
    return count;
}

/* All ten classes, each once; their probabilities sum to 1. The names of the order are those of the list. */
static void check_all_classes(const char *const list[CLASSES])
{
    char names[CLASSES][32];
    double values[CLASSES], sum = 0;
    assert_int_equal(read_line(o.out, image, names, values), CLASSES);
    for (int i = 0; i < CLASSES; i++) {
        int found = 0;
        for (int k = 0; k < CLASSES; k++)
            found += strcmp(list[i], names[k]) == 0;
        assert_int_equal(found, 1);
        sum += values[i];
    }
    assert_true(sum > 0.9994 && sum < 1.0006); /* four digits each */
}

static void test_predict_names(void **unused)
{
    (void)unused;
    static const char *const stored[] = {"ant", "bee", "cat", "dog",  "eel",
                                         "fly", "gnu", "hen", "ibis", "jay"};
    static const char *const hues[] = {"hue-000", "hue-036", "hue-072", "hue-108", "hue-144",
                                       "hue-180", "hue-216", "hue-252", "hue-288", "hue-324"};
    static const char *const numbers[] = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"};
    run_rstream(&o, scratch.path, "predict --weights %s --top 10 %s", weights, image);
    assert_int_equal(o.exit_code, 0);
    check_all_classes(stored);
    run_rstream(&o, scratch.path, "predict --weights %s --top 99 --data %s %s", weights,
                in(scratch.path, "png"), image);
    assert_int_equal(o.exit_code, 0);
    check_all_classes(hues);
    write_weights(in(scratch.path, "unnamed.safetensors"), NULL, NULL);
    run_rstream(&o, scratch.path, "predict --weights %s --top 10 %s", in(scratch.path, "unnamed.safetensors"),
                image);
    assert_int_equal(o.exit_code, 0);
    check_all_classes(numbers);
    /* the same weights: class i has the same place in all three orders */
    char names[CLASSES][32], first[32];
    double values[CLASSES];
    read_line(o.out, image, names, values);
    const int best = atoi(names[0]);
    run_rstream(&o, scratch.path, "predict --weights %s --top 1 %s", weights, image);
    assert_int_equal(read_line(o.out, image, names, values), 1);
    assert_string_equal(names[0], stored[best]);
    snprintf(first, sizeof first, "%s", names[0]);
    run_rstream(&o, scratch.path, "predict --weights %s %s", weights, image); /* 3 by default */
    assert_int_equal(read_line(o.out, image, names, values), 3);
    assert_string_equal(names[0], first);
    /* another number of classes */
    char command[4096];
    snprintf(command, sizeof command, "mkdir -p %s/two/a %s/two/b && cp %s %s/two/a && cp %s %s/two/b",
             scratch.path, scratch.path, image, scratch.path, image, scratch.path);
    assert_int_equal(system(command), 0);
    run_rstream(&o, scratch.path, "predict --weights %s --data %s %s", weights, in(scratch.path, "two"),
                image);
    expect_failure(1, "rstream predict: ", "two has 2 classes and ");
    expect(o.err, "named.safetensors tells 10 apart: name the folder that the weights were trained on\n");
}

/* The size stored with the weights counts, unless another is given. */
static void test_predict_image_size(void **unused)
{
    (void)unused;
    static struct outcome stored, same, other;
    run_rstream(&stored, scratch.path, "predict --weights %s --top 10 %s", weights, image);
    run_rstream(&same, scratch.path, "predict --weights %s --top 10 --image-size 75 %s", weights, image);
    run_rstream(&other, scratch.path, "predict --weights %s --top 10 --image-size 96 %s", weights, image);
    assert_int_equal(other.exit_code, 0);
    assert_string_equal(stored.out, same.out);
    assert_string_not_equal(stored.out, other.out);
}

/* A broken file is named, and the others go on, in their order. */
static void test_predict_broken_files(void **unused)
{
    (void)unused;
    char names[CLASSES][32], broken[300], gone[300];
    double values[CLASSES];
    snprintf(broken, sizeof broken, "%s", in(scratch.path, "broken.png"));
    snprintf(gone, sizeof gone, "%s", in(scratch.path, "gone.jpg"));
    FILE *file = fopen(broken, "wb");
    assert_non_null(file);
    fputs("\x89PNG\r\n\x1a\nlies", file);
    fclose(file);
    run_rstream(&o, scratch.path, "predict --weights %s %s %s %s %s", weights, image, broken, gone, image);
    assert_int_equal(o.exit_code, 1);
    assert_int_equal(lines(o.out), 2);
    read_line(o.out, image, names, values);
    read_line(strchr(o.out, '\n') + 1, image, names, values);
    const char *first = o.err;
    if (strncmp(first, "rstream: computing on ", 22) ==
        0) /* with --device auto a line may say why the CPU computes */
        first = strchr(first, '\n') + 1;
    assert_int_equal(lines(first), 3);
    const char *second = strchr(first, '\n') + 1;
    assert_int_equal(strncmp(first, "rstream predict: ", 17), 0);
    assert_memory_equal(first + 17, broken, strlen(broken));
    assert_int_equal(strncmp(second, "rstream predict: ", 17), 0);
    assert_memory_equal(second + 17, gone, strlen(gone));
    assert_string_equal(strchr(second, '\n') + 1, "rstream predict: 2 of 4 images failed\n");
    run_rstream(&o, scratch.path, "predict --weights %s %s", weights, in(scratch.path, "png"));
    assert_int_equal(o.exit_code, 1);
    expect(o.err, "1 of 1 images failed\n");
    run_rstream(&o, scratch.path, "predict --weights %s --max-pixels 1023 %s", weights, image);
    assert_int_equal(o.exit_code, 1);
    expect(o.err, "32x32 = 1024 pixels");
    run_rstream(&o, scratch.path, "predict --weights %s --max-pixels 1024 %s", weights, image);
    assert_int_equal(o.exit_code, 0);
    run_rstream(&o, scratch.path, "predict --weights %s x.png", broken);
    expect_failure(1, "rstream predict: ", "broken.png");
}

static void test_stored_options(void **unused)
{
    (void)unused;
    char run[300];
    snprintf(run, sizeof run, "%s", in(scratch.path, "stored"));
    assert_int_equal(mkdir(run, 0700), 0);
    write_weights(in(scratch.path, "stored/resume.safetensors"), NULL,
                  "{\"data\":\"/nowhere/at/all\",\"batch_size\":32,\"seed\":4,\"precision\":\"fp32\"}");
    run_rstream(&o, scratch.path, "train --resume %s --batch-size 64", run);
    expect_failure(
        2, "rstream train: ", "--batch-size 64 contradicts the run, which was started with --batch-size 32");
    run_rstream(&o, scratch.path, "train --resume %s --out %s", run, in(scratch.path, "other"));
    expect_failure(2, "rstream train: ", "--out");
    /* another name of the same folder is none of another */
    run_rstream(&o, scratch.path, "train --resume %s --out %s/../stored/. --batch-size 32", run, run);
    expect_failure(1, "rstream train: ", "/nowhere/at/all");
    /* without --data the stored one is taken: its name is in the message */
    run_rstream(&o, scratch.path, "train --resume %s --batch-size 32", run);
    expect_failure(1, "rstream train: ", "/nowhere/at/all");
    run_rstream(&o, scratch.path, "train --resume %s --data %s", run, in(scratch.path, "moved"));
    expect_failure(1, "rstream train: ", "moved");
}

static int set_up(void **unused)
{
    (void)unused;
    if (rs__scratch_create(&scratch, NULL) != 0)
        return -1;
    snprintf(weights, sizeof weights, "%s", in(scratch.path, "named.safetensors"));
    write_weights(weights, "ant\nbee\ncat\ndog\neel\nfly\ngnu\nhen\nibis\njay", NULL);
    snprintf(image, sizeof image, "%s", in(scratch.path, "png/test/hue-108/0000000003.png"));
    run_rstream(&o, scratch.path, "synth %s --format png --train 10 --test 10", in(scratch.path, "png"));
    return o.exit_code;
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
        cmocka_unit_test(test_usage_errors),         cmocka_unit_test(test_failures),
        cmocka_unit_test(test_full_output),          cmocka_unit_test(test_devices),
        cmocka_unit_test(test_predict_names),        cmocka_unit_test(test_predict_image_size),
        cmocka_unit_test(test_predict_broken_files), cmocka_unit_test(test_stored_options),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
