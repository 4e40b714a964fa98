/* test_cli.c: the built command as a person meets it: helps, hints, exit codes, outputs. */
#include "support.h"

#include "config.h"
#include "scratch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
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

static void test_help_and_version(void **unused)
{
    (void)unused;
    run_rstream(&o, scratch.path, "--version");
    assert_int_equal(o.exit_code, 0);
    assert_string_equal(o.out, "rstream " RS_VERSION "\n");
    run_rstream(&o, scratch.path, "--help");
    assert_int_equal(o.exit_code, 0);
    for (int c = 0; c < RS_COMMAND_COUNT; c++) {
        expect(o.out, rs_commands[c].name);
        expect(o.out, rs_commands[c].summary);
    }
    run_rstream(&o, scratch.path, " ");
    assert_int_equal(o.exit_code, 2);
    expect(o.err, "Usage: rstream COMMAND");
}

static void test_help_of_commands(void **unused)
{
    (void)unused;
    for (int c = 0; c < RS_COMMAND_COUNT; c++) {
        run_rstream(&o, scratch.path, "%s --help", rs_commands[c].name);
        assert_int_equal(o.exit_code, 0);
        assert_string_equal(o.err, "");
        char name[64];
        snprintf(name, sizeof name, "Usage: rstream %s [OPTION...]", rs_commands[c].name);
        expect(o.out, name);
        for (int id = 0; id < RS_OPTIONS; id++) {
            snprintf(name, sizeof name, "      --%s", rs_options[id].name);
            bool taken = rs_option_taken((enum rs_option_id)id, (enum rs_command)c);
            if (taken && !strstr(o.out, name))
                fail_msg("--%s is missing in %s --help", rs_options[id].name, rs_commands[c].name);
        }
    }
    run_rstream(&o, scratch.path, "train --help");
    expect(o.out, "(default 64; 1 to 4096)");
    expect(o.out, "--no-shuffle");
    expect(o.out, "--optimizer=adam|sgd");
}

static void test_usage_errors(void **unused)
{
    (void)unused;
    run_rstream(&o, scratch.path, "trian --data x");
    expect_failure(2, "rstream: ", "did you mean train?");
    run_rstream(&o, scratch.path, "train --data x --epoch 3");
    expect_failure(2, "rstream train: ", "--epochs?");
    run_rstream(&o, scratch.path, "train --data x --prefetch 65");
    expect_failure(2, "rstream train: ", "1 to 64");
    run_rstream(&o, scratch.path, "eval --data x");
    expect_failure(2, "rstream eval: ", "--weights");
    run_rstream(&o, scratch.path, "train --data %s", in(scratch.path, "nowhere"));
    expect_failure(1, "rstream train: ", "nowhere");
    run_rstream(&o, scratch.path, "train --resume %s", in(scratch.path, "nowhere"));
    expect_failure(1, "rstream train: ", "resume.safetensors");
}

static void test_full_output(void **unused)
{
    (void)unused;
    char line[256];
    snprintf(line, sizeof line, "%s summary > /dev/full 2> %s", RSTREAM_BINARY, in(scratch.path, "err.txt"));
    int status = system(line);
    assert_int_equal(status >> 8, 1);
    o.err[read_bytes(in(scratch.path, "err.txt"), o.err, TEXT_MAX - 1)] = '\0';
    expect(o.err, "rstream summary: standard output can't be written");
}

static void test_summary_and_devices(void **unused)
{
    (void)unused;
    run_rstream(&o, scratch.path, "summary");
    assert_int_equal(o.exit_code, 0);
    expect(o.out, "block1 output: 1 x 64 x 45 x 45\nblock2 output: 1 x 64 x 22 x 22\n"
                  "block3 output: 1 x 128 x 11 x 11\nblock4 output: 1 x 256 x 6 x 6\n"
                  "block5 output: 1 x 512 x 1 x 1\noutput: 1 x 10\n");
    expect(o.out, "Parameters: 11180682 ");
    run_rstream(&o, scratch.path, "summary --classes 100");
    expect(o.out, "output: 1 x 100\n");
    run_rstream(&o, scratch.path, "devices");
    assert_int_equal(o.exit_code, 0);
    expect(o.out, "ref ");
    expect(o.out, "--device auto takes this one");
}

static void test_synth_and_preview(void **unused)
{
    (void)unused;
    run_rstream(&o, scratch.path, "synth %s --train 90 --test 10 --seed 5", in(scratch.path, "set"));
    assert_int_equal(o.exit_code, 0);
    run_rstream(&o, scratch.path, "preview --data %s --count 70 --image-size 20 --npy %s --png %s",
                in(scratch.path, "set"), in(scratch.path, "a.npy"), in(scratch.path, "a.png"));
    if (o.exit_code != 0)
        fail_msg("%s", o.err);
    expect(o.out, "70 x 3 x 20 x 20 float32 of 90 training images");
    expect(o.out, "9 x 8 tiles");
    struct stat about;
    char bytes[256];
    assert_int_equal(stat(in(scratch.path, "a.npy"), &about), 0);
    assert_int_equal(about.st_size, 128 + 70 * 3 * 20 * 20 * 4);
    read_bytes(in(scratch.path, "a.npy"), bytes, sizeof bytes);
    assert_memory_equal(bytes, "\x93NUMPY\x01\x00", 8);
    read_bytes(in(scratch.path, "a.png"), bytes, sizeof bytes);
    assert_memory_equal(bytes, "\x89PNG\r\n\x1a\n", 8);
    assert_int_equal((unsigned char)bytes[19], 9 * 20 + 8 * 2); /* width, big endian at 16 */
    assert_int_equal((unsigned char)bytes[23], 8 * 20 + 7 * 2);
    /* fewer images than asked for */
    run_rstream(&o, scratch.path, "preview --data %s --count 1000 --image-size 8", in(scratch.path, "set"));
    expect(o.out, "90 x 3 x 8 x 8 ");
    /* a place that can't be written */
    run_rstream(&o, scratch.path, "preview --data %s --npy %s", in(scratch.path, "set"),
                in(scratch.path, "no/a.npy"));
    expect_failure(1, "rstream preview: ", "no/a.npy");
    run_rstream(&o, scratch.path, "synth %s --train 90 --test 10", in(scratch.path, "set"));
    expect_failure(2, "rstream synth: ", "set");
}

static void test_predict(void **unused)
{
    (void)unused;
    char weights[300];
    snprintf(weights, sizeof weights, "%s", in(scratch.path, "named.safetensors"));
    write_weights(weights, "ant\nbee\ncat\ndog\neel\nfly\ngnu\nhen\nibis\njay", NULL);
    run_rstream(&o, scratch.path, "synth %s --format png --train 10 --test 10", in(scratch.path, "png"));
    assert_int_equal(o.exit_code, 0);
    /* the first test image, wherever it lies */
    char find[512], image[512];
    snprintf(find, sizeof find, "find %s -name '*.png' | sort | head -1 > %s", in(scratch.path, "png/test"),
             in(scratch.path, "image.txt"));
    assert_int_equal(system(find), 0);
    image[read_bytes(in(scratch.path, "image.txt"), image, sizeof image - 1)] = '\0';
    image[strcspn(image, "\n")] = '\0';
    run_rstream(&o, scratch.path, "predict --weights %s --top 2 %s", weights, image);
    if (o.exit_code != 0)
        fail_msg("%s", o.err);
    assert_int_equal(strncmp(o.out, image, strlen(image)), 0);
    assert_int_equal(lines(o.out), 1);
    char first[32], second[32];
    float p = 0, q = 0;
    assert_int_equal(sscanf(o.out + strlen(image), ": %31s %f, %31s %f", first, &p, second, &q), 4);
    assert_true(p >= q && q >= 0 && p <= 1);
    assert_non_null(strstr(" ant bee cat dog eel fly gnu hen ibis jay ", first));
    run_rstream(&o, scratch.path, "predict --weights %s --top 99 --data %s %s", weights,
                in(scratch.path, "png"), image);
    assert_int_equal(o.exit_code, 0);
    assert_null(strstr(o.out, " ant "));
    /* a broken file is named, and the others go on */
    FILE *broken = fopen(in(scratch.path, "broken.png"), "wb");
    assert_non_null(broken);
    fputs("\x89PNG\r\n\x1a\nlies", broken);
    fclose(broken);
    run_rstream(&o, scratch.path, "predict --weights %s %s %s %s %s", weights, image,
                in(scratch.path, "broken.png"), in(scratch.path, "gone.jpg"), image);
    assert_int_equal(o.exit_code, 1);
    assert_int_equal(lines(o.out), 2);
    /* with --device auto a line may say why the CPU computes */
    assert_int_equal(lines(o.err), 3 + (strstr(o.err, "computing on ") != NULL));
    expect(o.err, "broken.png");
    expect(o.err, "gone.jpg");
    expect(o.err, "2 of 4 images failed");
    run_rstream(&o, scratch.path, "predict --weights %s x.png", in(scratch.path, "broken.png"));
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
    /* without --data the stored one is taken: its name is in the message */
    run_rstream(&o, scratch.path, "train --resume %s --batch-size 32", run);
    expect_failure(1, "rstream train: ", "/nowhere/at/all");
    run_rstream(&o, scratch.path, "train --resume %s --data %s", run, in(scratch.path, "moved"));
    expect_failure(1, "rstream train: ", "moved");
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
        cmocka_unit_test(test_help_and_version),
        cmocka_unit_test(test_help_of_commands),
        cmocka_unit_test(test_usage_errors),
        cmocka_unit_test(test_full_output),
        cmocka_unit_test(test_summary_and_devices),
        cmocka_unit_test(test_synth_and_preview),
        cmocka_unit_test(test_predict),
        cmocka_unit_test(test_stored_options),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
