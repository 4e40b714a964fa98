/* run_sums.c: progress and epoch lines against the lines of their steps; see run_files.h. */
#include "run_files.h"

#include "cmocka_all.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <string.h>

/* Of the lines of an epoch's steps. */
struct sums {
    struct rs_totals train;
    double seconds, wait_seconds;
};

static double number(const cJSON *line, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(line, key);
    if (!cJSON_IsNumber(item))
        fail_msg("no number '%s' in a line", key);
    return item->valuedouble;
}

/* Lines have nine digits, and microseconds. */
static void assert_near(double a, double b, double most)
{
    if (!(fabs(a - b) <= most))
        fail_msg("%.17g and %.17g differ by more than %g", a, b, most);
}

static void assert_close(double a, double b)
{
    assert_near(a, b, 1e-7 * (1 + fabs(a)));
}

static void add_step(struct sums *s, const cJSON *line)
{
    double images = number(line, "images"), loss = number(line, "loss"), accuracy = number(line, "accuracy");
    s->train.loss_sum += loss * images;
    s->train.correct += (uint64_t)llround(accuracy * images);
    s->train.samples += (uint64_t)images;
    s->train.batch_loss_sum += loss;
    s->train.batch_accuracy_sum += accuracy;
    s->train.batches++;
    s->seconds += number(line, "seconds");
    s->wait_seconds += number(line, "data_wait_seconds");
    assert_true(number(line, "seconds") >= 0 && number(line, "data_wait_seconds") >= 0);
}

static void check_epoch(const struct sums *s, const cJSON *line)
{
    assert_close(number(line, "train_loss"), rs_totals_loss(&s->train));
    assert_close(number(line, "train_accuracy"), rs_totals_accuracy(&s->train));
    assert_close(number(line, "train_loss_batch_mean"), rs_totals_batch_loss(&s->train));
    assert_close(number(line, "train_accuracy_batch_mean"), rs_totals_batch_accuracy(&s->train));
    assert_true(number(line, "train_images") == (double)s->train.samples);
    assert_near(number(line, "train_seconds"), s->seconds, 1e-4);
    assert_true(number(line, "data_wait_seconds") <= s->wait_seconds + 1e-4);
}

static void check_progress(const struct run_files *files, const struct sums *s)
{
    const struct rs_progress *p = &files->progress;
    assert_int_equal(p->epoch_steps, s->train.batches);
    assert_int_equal(p->train.batches, s->train.batches);
    assert_int_equal(p->train.samples, s->train.samples);
    assert_int_equal(p->train.correct, s->train.correct);
    assert_close(p->train.loss_sum, s->train.loss_sum);
    assert_close(p->train.batch_loss_sum, s->train.batch_loss_sum);
    assert_close(p->train.batch_accuracy_sum, s->train.batch_accuracy_sum);
    assert_near(p->train_seconds, s->seconds, 1e-4);
    assert_true(p->train_wait_seconds >= 0 && p->train_wait_seconds <= s->wait_seconds + 1e-4);
    assert_int_equal(files->resume.steps, p->steps);
}

void assert_whole(const struct run_files *files)
{
    const struct rs_progress *p = &files->progress;
    struct sums sums = {0};
    uint64_t steps = 0;
    uint32_t epochs = 0, expected = p->epoch + p->validated;
    assert_true(files->resume.there);
    for (uint32_t i = 0; i < files->line_count; i++) {
        cJSON *line = cJSON_Parse(files->lines[i]);
        bool step = strcmp(cJSON_GetObjectItemCaseSensitive(line, "event")->valuestring, "step") == 0;
        assert_true(number(line, "epoch") == epochs);
        if (step) {
            assert_true(number(line, "step") == (double)++steps);
            add_step(&sums, line);
        } else {
            assert_true(number(line, "step") == (double)steps);
            check_epoch(&sums, line);
            epochs++;
            if (epochs < expected || !p->validated)
                sums = (struct sums){0};
        }
        cJSON_Delete(line);
    }
    assert_int_equal(steps, p->steps);
    assert_int_equal(epochs, expected);
    check_progress(files, &sums);
}
