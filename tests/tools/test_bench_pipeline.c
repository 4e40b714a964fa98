/* test_bench_pipeline.c: rstream bench pipeline: what it says that it measures, a row for each way of placing
 * the stages, and nothing left behind. */
#include "support.h"

#include "scratch.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define OPTIONS "--steps 4 --batch-size 8 --image-size 32 --prefetch 3 --workers 1 --repeats 2"

static struct rs_scratch scratch;
static struct outcome o;

/* Checks the two lines above the rows, for this data; returns the first row. */
static const char *check_head(const char *data, const char *batches)
{
    char expected[1024];
    snprintf(expected, sizeof expected,
             "Loader alone: %s to float32 3 x 32 x 32, batch 8, %s batches, prefetch 3, median of 2\n"
             "fuse         img/s  CPU seconds a 1000 images      img/s a CPU\n",
             data, batches);
    assert_string_equal(o.err, "");
    assert_int_equal(o.exit_code, 0);
    assert_memory_equal(o.out, expected, strlen(expected));
    return o.out + strlen(expected);
}

/* A row's values are positive, and images a second of a CPU are 1000 through the seconds; returns the next
 * row. */
static const char *check_row(const char *row, const char *fuse)
{
    char name[8];
    double rate, cpu, per_cpu;
    assert_int_equal(sscanf(row, "%7s %lf %lf %lf\n", name, &rate, &cpu, &per_cpu), 4);
    assert_string_equal(name, fuse);
    assert_true(rate > 0);
    assert_true(cpu > 0.00005);
    assert_true(per_cpu >= 1000 / (cpu + 0.00005) - 1 && per_cpu <= 1000 / (cpu - 0.00005) + 1);
    return strchr(row, '\n') + 1;
}

static void test_rows(void **unused)
{
    (void)unused;
    const char *set = in(scratch.path, "set");
    run_rstream(&o, scratch.path, "bench pipeline --data %s " OPTIONS, set);
    assert_string_equal(check_row(check_row(check_head(set, "4"), "auto"), "none"), "");
    static const char *const ways[] = {"auto", "none"};
    for (int i = 0; i < 2; i++) {
        set = in(scratch.path, "set");
        run_rstream(&o, scratch.path, "bench pipeline --data %s " OPTIONS " --fuse %s", set, ways[i]);
        assert_string_equal(check_row(check_head(set, "4"), ways[i]), "");
    }
}

/* The generated set is in a temporary folder, which goes with the measurement. */
static void test_without_data(void **unused)
{
    (void)unused;
    char folder[512];
    run_rstream(&o, scratch.path, "bench pipeline " OPTIONS " --fuse auto");
    assert_int_equal(sscanf(o.out, "Loader alone: %511s to", folder), 1);
    assert_string_equal(check_row(check_head(folder, "4"), "auto"), "");
    assert_int_equal(access(folder, F_OK), -1);
}

static void test_one_batch_is_refused(void **unused)
{
    (void)unused;
    run_rstream(&o, scratch.path, "bench pipeline --data %s --steps 1 --image-size 32",
                in(scratch.path, "set"));
    assert_int_equal(o.exit_code, 1);
    assert_string_equal(o.err,
                        "rstream bench: one batch is too little to measure a rate: take a larger --steps\n");
}

static int set_up(void **unused)
{
    (void)unused;
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
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_without_data),
        cmocka_unit_test(test_one_batch_is_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
