/* bench_train.c: rstream bench train: the training step alone, and inside a whole run.
 *
 * How a figure is made: the step alone runs --steps times on four batches of random pixels in memory, after
 * two steps that don't count; each is timed. End to end is a whole run (rs_training_run) on --data for
 * --steps + 5 steps into a temporary folder; its metrics.jsonl says for each step the seconds since the step
 * before, waiting for data included. The first five, in which the pipeline fills, don't count. The step alone
 * is measured before and after the run; the share printed is the mean of its two means over the run's mean.
 * Means, since a step that waits now and then leaves a median unchanged.
 */
#include "alloc.h"
#include "backend.h"
#include "clock.h"
#include "commands.h"
#include "device.h"
#include "image.h"
#include "random.h"
#include "resnet.h"
#include "scratch.h"
#include "source.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define STEPS_AUTO 20u
#define BATCHES 4u
#define WARM_UP 2u
#define RUN_WARM_UP 5u
#define CLASSES 10
#define LEARNING_RATE 1e-4F

struct step_bench {
    struct rs_chosen_device device;
    struct rs_graph *graph;
    struct rs_state *state;
    struct rs_plan *plan;
    void *tensors[BATCHES];
    int32_t *labels;
    uint32_t batch;
};

static void close_step(struct step_bench *b)
{
    for (uint32_t i = 0; i < BATCHES; i++) {
        if (b->tensors[i])
            b->device.backend->host_free(b->device.device, b->tensors[i]);
    }
    free(b->labels);
    if (b->plan)
        b->device.backend->destroy(b->plan);
    rs_chosen_device_close(&b->device);
    rs_state_destroy(b->state);
    rs_graph_destroy(b->graph);
}

/* Random pixels through the same normalization as real ones. */
static int fill_batches(struct step_bench *b, size_t values, struct rs_error *err)
{
    uint8_t *pixels = rs_alloc(values);
    b->labels = calloc(b->batch, sizeof *b->labels);
    bool there = pixels && b->labels;
    struct rs_random random;
    rs_random_init(&random, 0, 0, 0);
    for (uint32_t i = 0; there && i < BATCHES; i++) {
        b->tensors[i] = b->device.backend->host_alloc(b->device.device, values * sizeof(float));
        there = b->tensors[i] != NULL;
        for (size_t k = 0; there && k < values; k++)
            pixels[k] = (uint8_t)(rs_random_u32(&random) >> 24);
        if (there && b->device.backend->input_element(b->plan) == RS_ELEMENT_BF16)
            rs_normalize_bf16(pixels, b->tensors[i], values);
        else if (there)
            rs_normalize_f32(pixels, b->tensors[i], values);
    }
    for (uint32_t i = 0; there && i < b->batch; i++)
        b->labels[i] = (int32_t)(i % (uint32_t)b->graph->classes);
    rs_free(pixels);
    return there ? RS_OK
                 : rs_error_set(err, RS_E_NOMEM, "out of memory for %u batches of %u images", BATCHES,
                                b->batch);
}

static int open_step(struct step_bench *b, const struct rs_config *config, int32_t classes,
                     struct rs_error *err)
{
    const struct rs_device_options device = rs_config_device_options(config);
    b->batch = (uint32_t)config->batch_size;
    RS_TRY(rs_resnet_build(&b->graph, (int32_t)config->image_size, classes, err));
    RS_TRY(rs_state_create(&b->state, b->graph, err));
    rs_state_init(b->state, 0);
    RS_TRY(rs_chosen_device_open(&b->device, NULL, rs_config_device(config), &device, err));
    struct rs_plan_options options = {.precision = (enum rs_precision)config->precision,
                                      .optimizer = RS_OPTIMIZER_ADAM,
                                      .beta1 = 0.9,
                                      .beta2 = 0.999,
                                      .eps = 1e-8,
                                      .train_batches = {b->batch}};
    RS_TRY(rs_chosen_device_eager(&b->device, rs_config_step_graph(config), &options.eager, err));
    RS_TRY(b->device.backend->compile(b->device.device, b->graph, &options, &b->plan, err));
    RS_TRY(b->device.backend->load(b->plan, b->state, err));
    return fill_batches(b, (size_t)b->batch * 3 * config->image_size * config->image_size, err);
}

/* seconds: one a step */
static int run_steps(struct step_bench *b, double *seconds, uint64_t steps, struct rs_error *err)
{
    for (uint64_t i = 0; i < WARM_UP + steps; i++) {
        const struct rs_batch_input input = {b->tensors[i % BATCHES], b->labels, b->batch};
        struct rs_step_result result = {0};
        uint64_t start = rs_now_ns();
        RS_TRY(b->device.backend->train_step(b->plan, &input, LEARNING_RATE, &result, err));
        if (i >= WARM_UP)
            seconds[i - WARM_UP] = (double)(rs_now_ns() - start) * 1e-9;
    }
    return RS_OK;
}

struct steps_job { /* arguments and result of run_steps, for a thread */
    struct step_bench *bench;
    double *seconds;
    uint64_t steps;
    struct rs_error *err;
    int code;
};

static void *steps_main(void *arg)
{
    struct steps_job *job = arg;
    job->code = run_steps(job->bench, job->seconds, job->steps, job->err);
    return NULL;
}

/* On a thread of its own, as the train stage runs it: OpenMP's runtime spins longer when the process has no
 * more threads than cores, so on the main thread the same step would be measured under other rules. */
static int run_steps_apart(struct step_bench *b, double *seconds, uint64_t steps, struct rs_error *err)
{
    struct steps_job job = {b, seconds, steps, err, RS_OK};
    pthread_t thread;
    int failed = pthread_create(&thread, NULL, steps_main, &job);
    if (failed)
        return rs_error_set(err, RS_E_THREAD, "a thread for the steps can't be started: error %d", failed);
    (void)pthread_join(thread, NULL); /* can't fail for a thread just made */
    return job.code;
}

static double mean(const double *values, uint64_t count)
{
    double sum = 0;
    for (uint64_t i = 0; i < count; i++)
        sum += values[i];
    return sum / (double)count;
}

/* say: the first of its kind in this command. */
static int step_alone(const struct rs_config *config, int32_t classes, bool say, double *seconds,
                      uint64_t steps, double *mean_seconds, struct rs_error *err)
{
    struct step_bench b = {0};
    int code = open_step(&b, config, classes, err);
    if (code == RS_OK && say)
        rs_chosen_device_note(&b.device);
    if (code == RS_OK)
        code = run_steps_apart(&b, seconds, steps, err);
    if (code == RS_OK) {
        *mean_seconds = mean(seconds, steps);
        double median = rs__median(seconds, steps);
        (void)printf(
            "Step alone: %.1f ms median of %llu steps (%.1f mean, %.1f least), %.1f img/s (%s, %s, %s, "
            "batch %u)\n",
            median * 1e3, (unsigned long long)steps, *mean_seconds * 1e3, seconds[0] * 1e3, b.batch / median,
            b.device.backend->name, b.device.info.library,
            rs_options[RS_OPTION_PRECISION].choices[config->precision], b.batch);
        (void)fflush(stdout);
    }
    close_step(&b);
    return code;
}

/* Sums up the step events behind the warm-up that have a full batch. */
static int read_metrics(const char *path, uint64_t batch, double *seconds, double *waits, uint64_t *steps,
                        struct rs_error *err)
{
    FILE *file = fopen(path, "r");
    if (!file)
        return rs_error_set_errno(err, errno, "%s can't be opened", path);
    char *line = NULL;
    size_t size = 0;
    *seconds = *waits = 0;
    *steps = 0;
    while (getline(&line, &size, file) >= 0) {
        cJSON *event = cJSON_Parse(line);
        const cJSON *kind = cJSON_GetObjectItemCaseSensitive(event, "event");
        if (cJSON_IsString(kind) && strcmp(kind->valuestring, "step") == 0 &&
            cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(event, "step")) > RUN_WARM_UP &&
            cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(event, "images")) == (double)batch) {
            *seconds += cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(event, "seconds"));
            *waits += cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(event, "data_wait_seconds"));
            ++*steps;
        }
        cJSON_Delete(event);
    }
    free(line);
    (void)fclose(file);
    return *steps ? RS_OK
                  : rs_error_set(err, RS_E_LIMIT,
                                 "no full batch after the first %u steps: the data set is too small "
                                 "for --batch-size %llu",
                                 RUN_WARM_UP, (unsigned long long)batch);
}

/* mean_seconds: of a step of a whole run */
static int end_to_end(const struct rs_config *config, const char *out, uint64_t steps, double *mean_seconds,
                      struct rs_error *err)
{
    struct rs_training_options options;
    struct rs_training_outcome outcome = {0};
    rs_config_training(config, "{}", &options);
    options.out = out;
    options.lr = LEARNING_RATE;
    options.epochs = UINT32_MAX;
    options.max_steps = steps + RUN_WARM_UP;
    RS_TRY(rs_training_run(&options, &outcome, err));
    if (outcome.interrupted)
        return rs_error_set(err, RS_E_CANCELLED, "interrupted");
    char path[300];
    (void)snprintf(path, sizeof path, "%s/metrics.jsonl", out);
    double seconds = 0, waits = 0;
    uint64_t counted = 0;
    RS_TRY(read_metrics(path, config->batch_size, &seconds, &waits, &counted, err));
    *mean_seconds = seconds / (double)counted;
    (void)printf("End to end: %.1f ms mean of %llu steps, of that %.2f ms waiting for data, %.1f img/s\n",
                 *mean_seconds * 1e3, (unsigned long long)counted, waits / (double)counted * 1e3,
                 (double)config->batch_size / *mean_seconds);
    (void)fflush(stdout);
    return RS_OK;
}

static int count_classes(const char *data, int32_t *classes, struct rs_error *err)
{
    struct rs_source *source = NULL;
    RS_TRY(rs_source_open(&source, data, RS_SPLIT_TRAIN, err));
    *classes = rs_source_classes(source);
    rs_source_destroy(source);
    return RS_OK;
}

/* The run stands between two measurements of the step, so that a machine that slows down or speeds up
 * meanwhile favours neither. */
static int compare(const struct rs_config *config, int32_t classes, double *seconds, uint64_t steps,
                   struct rs_error *err)
{
    struct rs_scratch scratch = {0};
    double before = 0, after = 0, run = 0;
    RS_TRY(step_alone(config, classes, true, seconds, steps, &before, err));
    if (!config->data)
        return RS_OK;
    RS_TRY(rs__scratch_create(&scratch, err));
    int code = end_to_end(config, scratch.path, steps, &run, err);
    rs__scratch_remove(&scratch);
    RS_TRY(code);
    RS_TRY(step_alone(config, classes, false, seconds, steps, &after, err));
    (void)printf("End to end runs at %.1f%% of the step alone's rate\n", (before + after) / 2 / run * 100);
    return RS_OK;
}

int rs__bench_train(const struct rs_config *config, struct rs_error *err)
{
    uint64_t steps = config->steps ? config->steps : STEPS_AUTO;
    int32_t classes = CLASSES;
    if (config->data)
        RS_TRY(count_classes(config->data, &classes, err));
    double *seconds = calloc(steps, sizeof *seconds);
    if (!seconds)
        return rs_error_set(err, RS_E_NOMEM, "out of memory for the times of %llu steps",
                            (unsigned long long)steps);
    int code = compare(config, classes, seconds, steps, err);
    free(seconds);
    return code;
}
