/* Totals, and the JSON that carries a run's progress exactly. */
#include "progress.h"

#include "cmocka_all.h"
#include "random.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
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

static void assert_same(const struct rs_progress *a, const struct rs_progress *b)
{
    assert_int_equal(a->epoch, b->epoch);
    assert_int_equal(a->epoch_steps, b->epoch_steps);
    assert_int_equal(a->steps, b->steps);
    assert_int_equal(a->train_count, b->train_count);
    assert_int_equal(a->valid_count, b->valid_count);
    assert_int_equal(a->validated, b->validated);
    assert_true(a->train.loss_sum == b->train.loss_sum);
    assert_int_equal(a->train.correct, b->train.correct);
    assert_int_equal(a->train.samples, b->train.samples);
    assert_true(a->train.batch_loss_sum == b->train.batch_loss_sum);
    assert_true(a->train.batch_accuracy_sum == b->train.batch_accuracy_sum);
    assert_int_equal(a->train.batches, b->train.batches);
    assert_true(a->train_seconds == b->train_seconds);
    assert_true(a->train_wait_seconds == b->train_wait_seconds);
    assert_true(a->best_accuracy == b->best_accuracy);
}

static void assert_survives(const struct rs_progress *before)
{
    struct rs_progress after;
    struct rs_error err = {0};
    char *text = rs_progress_print(before);
    assert_non_null(text);
    if (rs_progress_parse(text, "file", &after, &err) < 0)
        fail_msg("%s: %s", err.message, text);
    assert_same(before, &after);
    assert_int_equal(after.valid.batches, 0); /* a validation begins anew */
    assert_true(after.valid_seconds == 0);
    free(text);
}

static void survives_the_json_exactly(void **state)
{
    (void)state;
    struct rs_progress p = awkward();
    assert_survives(&p);
    p.validated = false;
    p.epoch = UINT32_MAX;
    p.steps = p.epoch_steps = p.train_count = p.valid_count = (1ull << 53) - 1;
    p.train.correct = p.train.samples = p.train.batches = (1ull << 53) - 1;
    p.best_accuracy = 1;
    assert_survives(&p);
    assert_survives(&(struct rs_progress){0});
}

/* Random bits of all the doubles. */
static void doubles_of_any_size_survive(void **state)
{
    (void)state;
    struct rs_random random;
    rs_random_init(&random, 5, 0, 0);
    for (int i = 0; i < 2000; i++) {
        struct rs_progress p = awkward();
        double *doubles[] = {&p.train.loss_sum, &p.train.batch_loss_sum, &p.train.batch_accuracy_sum,
                             &p.train_seconds,  &p.train_wait_seconds,   &p.best_accuracy};
        for (size_t d = 0; d < sizeof doubles / sizeof *doubles; d++) {
            uint64_t bits = (uint64_t)rs_random_u32(&random) << 32 | rs_random_u32(&random);
            memcpy(doubles[d], &bits, sizeof bits);
            if (!isfinite(*doubles[d]))
                *doubles[d] = i;
        }
        assert_survives(&p);
    }
}

static const char *const names[] = {
    "epoch",
    "epoch_steps",
    "steps",
    "train_count",
    "valid_count",
    "validated",
    "train.loss_sum",
    "train.correct",
    "train.samples",
    "train.batch_loss_sum",
    "train.batch_accuracy_sum",
    "train.batches",
    "train_seconds",
    "train_wait_seconds",
    "best_accuracy",
};
#define NAMES (sizeof names / sizeof *names)

static cJSON *print_json(void)
{
    struct rs_progress p = awkward();
    char *text = rs_progress_print(&p);
    cJSON *json = cJSON_Parse(text);
    assert_non_null(json);
    free(text);
    return json;
}

/* Frees json. */
static void assert_refused(cJSON *json, const char *name)
{
    struct rs_progress after;
    struct rs_error err = {0};
    char quoted[64], *text = cJSON_PrintUnformatted(json);
    snprintf(quoted, sizeof quoted, "'%s'", name);
    if (rs_progress_parse(text, "the/file", &after, &err) != RS_E_CORRUPT)
        fail_msg("accepted: %s", text);
    assert_non_null(strstr(err.message, "the/file"));
    assert_non_null(strstr(err.message, quoted));
    cJSON_free(text);
    cJSON_Delete(json);
}

static void a_field_that_is_missing_or_of_another_type_is_named(void **state)
{
    (void)state;
    static const char *const values[] = {"null", "true", "\"1\"", "[1]", "{}", "1e999", "-1e999"};
    cJSON *json = print_json();
    assert_int_equal(cJSON_GetArraySize(json), NAMES);
    cJSON_Delete(json);
    for (size_t i = 0; i < NAMES; i++) {
        json = print_json();
        cJSON_DeleteItemFromObjectCaseSensitive(json, names[i]);
        assert_refused(json, names[i]);
        for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
            json = print_json();
            cJSON_ReplaceItemInObjectCaseSensitive(json, names[i], cJSON_CreateRaw(values[v]));
            assert_refused(json, names[i]);
        }
    }
}

static void a_counter_that_is_out_of_range_is_named(void **state)
{
    (void)state;
    for (size_t i = 0; i < NAMES; i++) {
        double limit = strcmp(names[i], "epoch") == 0       ? UINT32_MAX
                       : strcmp(names[i], "validated") == 0 ? 1
                                                            : 9007199254740991.0;
        const double bad[] = {-1, 0.5, limit < 1e10 ? limit + 1 : limit * 2};
        if (strstr(names[i], "_sum") || strstr(names[i], "seconds") || strstr(names[i], "accuracy"))
            continue;
        for (size_t b = 0; b < sizeof bad / sizeof *bad; b++) {
            cJSON *json = print_json();
            cJSON_ReplaceItemInObjectCaseSensitive(json, names[i], cJSON_CreateNumber(bad[b]));
            assert_refused(json, names[i]);
        }
    }
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

/* Everything that is read can be written and read again. */
static void a_number_that_no_run_writes_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *written, *read;
    } cases[] = {
        {"\"best_accuracy\":-1", "\"best_accuracy\":-1e999"},
        {"\"epoch_steps\":3", "\"epoch_steps\":3.5"},
        {"\"epoch_steps\":3", "\"epoch_steps\":9007199254740993"},
        {"\"validated\":1", "\"validated\":0.5"},
        {"\"best_accuracy\":-1}", "\"best_accuracy\":-1}}"},
    };
    struct rs_progress p = awkward(), after;
    char *text = rs_progress_print(&p);
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        char changed[1024];
        const char *at = strstr(text, cases[c].written);
        assert_non_null(at);
        snprintf(changed, sizeof changed, "%.*s%s%s", (int)(at - text), text, cases[c].read,
                 at + strlen(cases[c].written));
        assert_int_equal(rs_progress_parse(changed, "f", &after, NULL), RS_E_CORRUPT);
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(means_over_samples_and_over_batches),
        cmocka_unit_test(survives_the_json_exactly),
        cmocka_unit_test(doubles_of_any_size_survive),
        cmocka_unit_test(a_field_that_is_missing_or_of_another_type_is_named),
        cmocka_unit_test(a_counter_that_is_out_of_range_is_named),
        cmocka_unit_test(a_bad_field_is_named),
        cmocka_unit_test(a_number_that_no_run_writes_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
