/* rstream bench train: what it prints of a device in host memory, and of one that runs by itself, for which a
 * plugin stands. */
#include "support.h"

#include "scratch.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PLUGIN "RSTREAM_CUDA_PLUGIN"
#define HOST "--device cpu --batch-size 2 --image-size 75"
#define DEVICE "--device cuda --batch-size 8"

static struct rs_scratch scratch;
static struct outcome o;

static const char *expect(const char *text, const char *part)
{
    const char *found = strstr(text, part);
    if (!found)
        fail_msg("no '%s' in:\n%s%s", part, text, o.err);
    return found;
}

static void expect_success(void)
{
    if (o.exit_code != 0)
        fail_msg("exit code %d: %s%s", o.exit_code, o.out, o.err);
}

/* The parts of a line agree with each other; the share of waiting and the rate follow from the times. */
static double check_run(const char *from, unsigned steps, unsigned batch)
{
    double ms, wait, share, rate;
    unsigned counted;
    const char *line = expect(from, "End to end: ");
    if (sscanf(line,
               "End to end: %lf ms mean of %u steps, of that %lf ms (%lf%%) waiting for data, %lf img/s", &ms,
               &counted, &wait, &share, &rate) != 5)
        fail_msg("%s", line);
    assert_int_equal(counted, steps);
    assert_true(wait <= ms + 0.01 && share >= 0 && share <= 100);
    assert_true(fabs(share / 100 * ms - wait) < 0.012 + ms / 1000);
    assert_true((rate - 0.1) * (ms - 0.006) <= batch * 1e3 && (rate + 0.1) * (ms + 0.006) >= batch * 1e3);
    return ms;
}

static void test_host_memory(void **unused)
{
    (void)unused;
    unsigned steps;
    double median, average, least, rate, share;
    run_rstream(&o, scratch.path, "bench train " HOST " --steps 2 --data %s", in(scratch.path, "set"));
    expect_success();
    if (sscanf(o.out, "Step alone: %lf ms median of %u steps (%lf mean, %lf least), %lf img/s", &median,
               &steps, &average, &least, &rate) != 5)
        fail_msg("%s", o.out);
    assert_int_equal(steps, 2);
    assert_true(least <= median && least <= average);
    expect(o.out, " img/s (cpu, ");
    expect(o.out, ", fp32, batch 2)\n");
    const char *second = expect(strchr(o.out, '\n'), "\nStep alone: ");
    assert_int_equal(sscanf(expect(second, "End to end runs at"), "End to end runs at %lf%% of", &share), 1);
    double run = check_run(o.out, 2, 2), again, again_average;
    assert_int_equal(sscanf(second + 1, "Step alone: %lf ms median of %u steps (%lf mean, ", &again, &steps,
                            &again_average),
                     3);
    assert_true(fabs(share - (average + again_average) / 2 / run * 100) <
                share * 0.06 / fmin(run, (average + again_average) / 2) + 0.1);
}

/* Mean and windows of the line at text. */
static double check_steps(const char *text, unsigned steps, unsigned windows)
{
    unsigned counted, parts;
    double average, least, most, rate;
    if (sscanf(
            text,
            "Step alone: %lf ms mean of %u steps, uploads beside them (%lf to %lf in %u windows), %lf img/s "
            "(cuda, none, fp32, batch 8)",
            &average, &counted, &least, &most, &parts, &rate) != 6)
        fail_msg("%s", text);
    assert_int_equal(counted, steps);
    assert_int_equal(parts, windows);
    assert_true(least <= average && average <= most);
    return average;
}

/* count plans, all for the same kind of sample */
static void expect_plans(unsigned count, const char *line)
{
    const char *at = o.err;
    for (unsigned i = 0; i < count; i++)
        at = expect(at, line) + strlen(line);
    assert_string_equal(at, "");
}

/* A CIFAR set: images of 32 x 32 go up as decoded, in the run and in the steps alone. */
static void test_stream(void **unused)
{
    (void)unused;
    run_rstream(&o, scratch.path, "bench train " DEVICE " --steps 17 --data %s", in(scratch.path, "set"));
    expect_success();
    expect_plans(3, "a plan for 3072 bytes a sample\n");
    double share, before = check_steps(o.out, 17, 5), run = check_run(o.out, 17, 8);
    double after = check_steps(expect(strchr(o.out, '\n'), "\nStep alone: ") + 1, 17, 5);
    assert_int_equal(sscanf(expect(o.out, "End to end runs at"), "End to end runs at %lf%% of", &share), 1);
    double rounding = share * 0.01 / fmin(run, (before + after) / 2) + 0.1;
    assert_true(fabs(share - (before + after) / 2 / run * 100) < rounding);
}

static void test_stream_tensors(void **unused)
{
    (void)unused;
    run_rstream(&o, scratch.path, "bench train " DEVICE " --steps 2 --preprocess host --data %s",
                in(scratch.path, "set"));
    expect_success();
    expect_plans(3, "a plan for 110592 bytes a sample\n"); /* 3 x 96 x 96 floats */
    check_steps(o.out, 2, 2);
    check_run(o.out, 2, 8);
}

/* Without data: pixels of the network's size. */
static void test_stream_alone(void **unused)
{
    (void)unused;
    run_rstream(&o, scratch.path, "bench train " DEVICE " --steps 1");
    expect_success();
    expect_plans(1, "a plan for 27648 bytes a sample\n");
    check_steps(o.out, 1, 1);
    assert_null(strstr(o.out, "End to end"));
}

static void test_stream_fails(void **unused)
{
    (void)unused;
    static const char *const uploads[] = {"1", "20", "22"}; /* first, in the warm-up, after it */
    for (size_t i = 0; i < sizeof uploads / sizeof *uploads; i++) {
        setenv("RS_FAKE_FAIL", uploads[i], 1);
        run_rstream(&o, scratch.path, "bench train " DEVICE " --steps 3");
        assert_int_equal(o.exit_code, 1);
        expect(o.err, "made to fail");
        assert_string_equal(o.out, "");
    }
    unsetenv("RS_FAKE_FAIL");
}

static int set_up(void **unused)
{
    (void)unused;
    setenv(PLUGIN, STREAM_PLUGIN, 1);
    if (rs__scratch_create(&scratch, NULL) != 0)
        return -1;
    run_rstream(&o, scratch.path, "synth %s --train 40 --test 10", in(scratch.path, "set"));
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
        cmocka_unit_test(test_host_memory),    cmocka_unit_test(test_stream),
        cmocka_unit_test(test_stream_tensors), cmocka_unit_test(test_stream_alone),
        cmocka_unit_test(test_stream_fails),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
