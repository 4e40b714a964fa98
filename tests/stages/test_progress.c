/* Totals, and the JSON that carries a run's progress exactly. */
#include "progress.h"

#include "cmocka_all.h"

#include <stdlib.h>
#include <string.h>

static void means_over_samples_and_over_batches(void **state)
{
    (void)state;
    struct rs_totals t = {0};
    struct rs_step_result a = {.loss_sum = 8, .correct = 1}, b = {.loss_sum = 1, .correct = 1};
    assert_true(rs_totals_loss(&t) == 0);
    rs_totals_add(&t, &a, 4);
    rs_totals_add(&t, &b, 1);
    assert_true(rs_totals_loss(&t) == 9.0 / 5);
    assert_true(rs_totals_accuracy(&t) == 2.0 / 5);
    assert_true(rs_totals_batch_loss(&t) == 1.5);
    assert_true(rs_totals_batch_accuracy(&t) == 0.625);
}

static struct rs_progress awkward(void)
{
    return (struct rs_progress){
        .epoch = 4000000000u,
        .epoch_steps = 3,
        .train_count = 50000,
        .steps = (1ull << 52) + 1,
        .validated = true,
        .train = {.loss_sum = 0.1 + 0.2, .correct = 7, .samples = 9, .batch_loss_sum = 1.0 / 3, .batches = 2},
        .train_seconds = 12345.678901234567,
        .train_wait_seconds = 1e-300,
        .best_accuracy = -1,
    };
}

static void survives_the_json_exactly(void **state)
{
    (void)state;
    struct rs_progress before = awkward(), after;
    struct rs_error err;
    char *text = rs_progress_print(&before);
    assert_non_null(text);
    assert_int_equal(rs_progress_parse(text, "file", &after, &err), 0);
    assert_int_equal(after.epoch, before.epoch);
    assert_int_equal(after.steps, before.steps);
    assert_true(after.validated);
    assert_true(after.train.loss_sum == before.train.loss_sum);
    assert_true(after.train.batch_loss_sum == before.train.batch_loss_sum);
    assert_int_equal(after.train.samples, 9);
    assert_true(after.train_seconds == before.train_seconds);
    assert_true(after.train_wait_seconds == before.train_wait_seconds);
    assert_true(after.best_accuracy == -1);
    free(text);
}

static void a_bad_field_is_named(void **state)
{
    (void)state;
    struct rs_progress p = awkward(), after;
    struct rs_error err;
    char *text = rs_progress_print(&p), *at = strstr(text, "4000000000");
    at[0] = '-';
    at[1] = '1';
    assert_int_equal(rs_progress_parse(text, "the/file", &after, &err), RS_E_CORRUPT);
    assert_non_null(strstr(err.message, "the/file"));
    assert_int_equal(rs_progress_parse("{\"epoch\":1}", "f", &after, &err), RS_E_CORRUPT);
    assert_non_null(strstr(err.message, "epoch_steps"));
    assert_int_equal(rs_progress_parse("not json", "f", &after, &err), RS_E_CORRUPT);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(means_over_samples_and_over_batches),
        cmocka_unit_test(survives_the_json_exactly),
        cmocka_unit_test(a_bad_field_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
