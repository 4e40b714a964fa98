/* bench_train.c: rstream bench train: the training step alone, and inside a whole run.
 *
 * How a figure is made: the step alone runs --steps times on four batches of random pixels in memory, of the
 * kind that the whole run uploads. In host memory each step is timed, after two that don't count. On a device
 * with a stream steps overlap with uploads and with each other's start, as they do in a run, so a single
 * step's time means nothing: after WARM_UP_DEVICE steps the whole is timed from an idle device to an idle
 * device (stream_steps.h), and windows of these steps show how the speed scatters.
 * End to end is a whole run (rs_training_run) on --data into a temporary folder; its metrics.jsonl says for
 * each step the seconds since the step before, waiting for data included. Its first steps, in which the
 * pipeline fills and a device captures its step, don't count: five, or WARM_UP_DEVICE. The step alone is
 * measured before and after the run; the share printed is the mean of its two means over the run's mean.
 * Means, since a step that waits now and then leaves a median unchanged.
 */
#include "alloc.h"
#include "backend.h"
#include "clock.h"
#include "commands.h"
#include "data.h"
#include "device.h"
#include "image.h"
#include "preprocess.h"
#include "random.h"
#include "resnet.h"
#include "scratch.h"
#include "stream_steps.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define STEPS_AUTO 20u
#define BATCHES 4u
#define WARM_UP 2u
#define WARM_UP_RUN 5u
#define WARM_UP_DEVICE                                                                                       \
    20u /* more than a capture takes, and than the batches that a run has ready by then                      \
         */
#define WINDOWS 5u
#define CLASSES 10
#define LEARNING_RATE 1e-4F

struct step_bench {
    struct rs_chosen_device device;
    struct rs_preprocess_choice preprocess;
    struct rs_graph *graph;
    struct rs_state *state;
    struct rs_plan *plan;
    void *tensors[BATCHES];
    int32_t *labels;
    struct rs_batch_input inputs[BATCHES];
    uint32_t batch;
};

/* What the steps are measured with, and what became of it. */
struct comparison {
    const struct rs_config *config;
    struct rs_data data; /* zeroed without --data */
    uint64_t steps;
    double *seconds;  /* steps of them */
    uint32_t warm_up; /* of the whole run, as the device wants it */
    double alone[2];  /* mean seconds of a step, before and after */
    double run;       /* the same of the whole run */
};

/* The plan goes first: it waits for what the device still copies. */
static void close_step(struct step_bench *b)
{
    if (b->plan)
        b->device.backend->destroy(b->plan);
    for (uint32_t i = 0; i < BATCHES; i++) {
        if (b->tensors[i])
            b->device.backend->host_free(b->device.device, b->tensors[i]);
    }
    if (b->labels)
        b->device.backend->host_free(b->device.device, b->labels);
    rs_chosen_device_close(&b->device);
    rs_state_destroy(b->state);
    rs_graph_destroy(b->graph);
}

/* Random pixels, as they are or through the same normalization as real ones. scratch: values bytes. */
static void fill_tensor(const struct step_bench *b, struct rs_random *random, void *tensor, uint8_t *scratch,
                        size_t values)
{
    enum rs_element element = b->device.backend->input_element(b->plan);
    uint8_t *pixels = element == RS_ELEMENT_U8 ? tensor : scratch;
    for (size_t k = 0; k < values; k++)
        pixels[k] = (uint8_t)(rs_random_u32(random) >> 24);
    if (element == RS_ELEMENT_BF16)
        rs_normalize_bf16(pixels, tensor, values);
    else if (element == RS_ELEMENT_F32)
        rs_normalize_f32(pixels, tensor, values);
}

static int fill_batches(struct step_bench *b, size_t image_size, struct rs_error *err)
{
    const struct rs_backend *backend = b->device.backend;
    const struct rs_pixel_format *pixels = &b->preprocess.pixels;
    size_t area = pixels->height ? (size_t)pixels->height * pixels->width : image_size * image_size;
    size_t values = (size_t)b->batch * 3 * area;
    uint8_t *scratch = rs_alloc(values);
    b->labels = backend->host_alloc(b->device.device, b->batch * sizeof *b->labels);
    bool there = scratch && b->labels;
    struct rs_random random;
    rs_random_init(&random, 0, 0, 0);
    for (uint32_t i = 0; there && i < BATCHES; i++) {
        b->tensors[i] = backend->host_alloc(b->device.device, values * (pixels->height ? 1 : sizeof(float)));
        there = b->tensors[i] != NULL;
        if (there)
            fill_tensor(b, &random, b->tensors[i], scratch, values);
        b->inputs[i] = (struct rs_batch_input){b->tensors[i], b->labels, b->batch};
    }
    for (uint32_t i = 0; there && i < b->batch; i++)
        b->labels[i] = (int32_t)(i % (uint32_t)b->graph->classes);
    rs_free(scratch);
    return there ? RS_OK
                 : rs_error_set(err, RS_E_NOMEM, "out of memory for %u batches of %u images", BATCHES,
                                b->batch);
}

static int open_step(struct step_bench *b, const struct comparison *c, struct rs_error *err)
{
    const struct rs_config *config = c->config;
    const struct rs_device_options device = rs_config_device_options(config);
    const struct rs_source *train = c->data.sources[RS_PHASE_TRAIN];
    b->batch = (uint32_t)config->batch_size;
    RS_TRY(rs_resnet_build(&b->graph, (int32_t)config->image_size, train ? rs_source_classes(train) : CLASSES,
                           err));
    RS_TRY(rs_state_create(&b->state, b->graph, err));
    rs_state_init(b->state, 0);
    RS_TRY(rs_chosen_device_open(&b->device, NULL, rs_config_device(config), &device, err));
    RS_TRY(rs_preprocess_choose((enum rs_preprocess)config->preprocess, b->device.backend, c->data.sources,
                                (uint32_t)config->image_size, &b->preprocess, err));
    struct rs_plan_options options = {.precision = (enum rs_precision)config->precision,
                                      .optimizer = RS_OPTIMIZER_ADAM,
                                      .beta1 = 0.9,
                                      .beta2 = 0.999,
                                      .eps = 1e-8,
                                      .train_batches = {b->batch},
                                      .pixels = b->preprocess.pixels};
    RS_TRY(rs_chosen_device_eager(&b->device, rs_config_step_graph(config), &options.eager, err));
    RS_TRY(b->device.backend->compile(b->device.device, b->graph, &options, &b->plan, err));
    RS_TRY(b->device.backend->load(b->plan, b->state, err));
    return fill_batches(b, config->image_size, err);
}

static int run_stream_steps(struct step_bench *b, double *seconds, uint64_t steps, struct rs_error *err)
{
    struct rs_stream_steps run = {.stream = b->device.backend->stream,
                                  .plan = b->plan,
                                  .batches = b->inputs,
                                  .count = BATCHES,
                                  .lr = LEARNING_RATE};
    RS_TRY(rs_stream_steps_run(&run, WARM_UP_DEVICE, NULL, NULL, err));
    return rs_stream_steps_run(&run, steps, seconds, NULL, err);
}

/* seconds: one a step */
static int run_steps(struct step_bench *b, double *seconds, uint64_t steps, struct rs_error *err)
{
    if (b->device.backend->stream)
        return run_stream_steps(b, seconds, steps, err);
    for (uint64_t i = 0; i < WARM_UP + steps; i++) {
        struct rs_step_result result = {0};
        uint64_t start = rs_now_ns();
        RS_TRY(b->device.backend->train_step(b->plan, &b->inputs[i % BATCHES], LEARNING_RATE, &result, err));
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

/* What a figure of the step alone was measured with. */
static void print_how(const struct step_bench *b, const struct rs_config *config)
{
    (void)printf(" (%s, %s, %s, batch %u)\n", b->device.backend->name, b->device.info.library,
                 rs_options[RS_OPTION_PRECISION].choices[config->precision], b->batch);
    (void)fflush(stdout);
}

static void print_steps(double *seconds, uint64_t steps, double average, uint32_t batch)
{
    double median = rs__median(seconds, steps); /* sorts them */
    (void)printf("Step alone: %.1f ms median of %llu steps (%.1f mean, %.1f least), %.1f img/s", median * 1e3,
                 (unsigned long long)steps, average * 1e3, seconds[0] * 1e3, batch / median);
}

/* Steps that overlap have no time of their own, but many of them in a row have. */
static void print_stream_steps(const double *seconds, uint64_t steps, double average, uint32_t batch)
{
    uint64_t windows = steps < WINDOWS ? steps : WINDOWS;
    double least = INFINITY, most = 0;
    for (uint64_t i = 0; i < windows; i++) {
        uint64_t begin = i * steps / windows, end = (i + 1) * steps / windows;
        double window = mean(seconds + begin, end - begin);
        least = fmin(least, window);
        most = fmax(most, window);
    }
    (void)printf(
        "Step alone: %.2f ms mean of %llu steps, uploads beside them (%.2f to %.2f in %llu windows), "
        "%.1f img/s",
        average * 1e3, (unsigned long long)steps, least * 1e3, most * 1e3, (unsigned long long)windows,
        batch / average);
}

/* average: mean seconds of a step. first: of its kind in this command. */
static int step_alone(struct comparison *c, bool first, double *average, struct rs_error *err)
{
    struct step_bench b = {0};
    int code = open_step(&b, c, err);
    if (code == RS_OK && first)
        rs_chosen_device_note(&b.device);
    if (code == RS_OK)
        code = run_steps_apart(&b, c->seconds, c->steps, err);
    if (code == RS_OK) {
        bool stream = b.device.backend->stream != NULL;
        c->warm_up = stream ? WARM_UP_DEVICE : WARM_UP_RUN;
        *average = mean(c->seconds, c->steps);
        if (stream)
            print_stream_steps(c->seconds, c->steps, *average, b.batch);
        else
            print_steps(c->seconds, c->steps, *average, b.batch);
        print_how(&b, c->config);
    }
    close_step(&b);
    return code;
}

static double number(const cJSON *event, const char *name)
{
    return cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(event, name));
}

/* Sums of step events. */
struct step_sums {
    double seconds, waits;
    uint64_t steps;
};

/* Adds the line's event if it is a step behind the warm-up that has a full batch. RS_E_NOMEM, or 0. */
static int add_line(struct step_sums *sums, const char *line, const struct comparison *c)
{
    errno = 0;
    cJSON *event = cJSON_Parse(line);
    if (!event && errno == ENOMEM)
        return RS_E_NOMEM;
    const cJSON *kind = cJSON_GetObjectItemCaseSensitive(event, "event");
    if (cJSON_IsString(kind) && strcmp(kind->valuestring, "step") == 0 &&
        number(event, "step") > c->warm_up && number(event, "images") == (double)c->config->batch_size) {
        sums->seconds += number(event, "seconds");
        sums->waits += number(event, "data_wait_seconds");
        sums->steps++;
    }
    cJSON_Delete(event);
    return RS_OK;
}

static int read_metrics(const char *path, const struct comparison *c, struct step_sums *sums,
                        struct rs_error *err)
{
    FILE *file = fopen(path, "r");
    if (!file)
        return rs_error_set_errno(err, errno, "%s can't be opened", path);
    char *line = NULL;
    size_t size = 0;
    int code = RS_OK;
    while (code == RS_OK && getline(&line, &size, file) >= 0)
        if (add_line(sums, line, c) < 0)
            code = rs_error_set(err, RS_E_NOMEM, "%s: out of memory for a line of it", path);
    if (code == RS_OK && !feof(file))
        code = rs_error_set_errno(err, errno, "%s can't be read", path);
    free(line);
    (void)fclose(file);
    if (code == RS_OK && !sums->steps)
        code = rs_error_set(err, RS_E_LIMIT,
                            "no full batch after the first %u steps: the data set is too small "
                            "for --batch-size %llu",
                            c->warm_up, (unsigned long long)c->config->batch_size);
    return code;
}

static int end_to_end(struct comparison *c, const char *out, struct rs_error *err)
{
    struct rs_training_options options;
    struct rs_training_outcome outcome = {0};
    rs_config_training(c->config, "{}", &options);
    options.out = out;
    options.lr = LEARNING_RATE;
    options.epochs = UINT32_MAX;
    options.max_steps = c->steps + c->warm_up;
    RS_TRY(rs_training_run(&options, &outcome, err));
    if (outcome.interrupted)
        return rs_error_set(err, RS_E_CANCELLED, "interrupted");
    char path[300];
    (void)snprintf(path, sizeof path, "%s/metrics.jsonl", out);
    struct step_sums sums = {0};
    RS_TRY(read_metrics(path, c, &sums, err));
    c->run = sums.seconds / (double)sums.steps;
    (void)printf("End to end: %.2f ms mean of %llu steps, of that %.2f ms (%.1f%%) waiting for data, %.1f "
                 "img/s\n",
                 c->run * 1e3, (unsigned long long)sums.steps, sums.waits / (double)sums.steps * 1e3,
                 sums.waits / sums.seconds * 100, (double)c->config->batch_size / c->run);
    (void)fflush(stdout);
    return RS_OK;
}

/* The run stands between two measurements of the step, so that a machine that slows down or speeds up
 * meanwhile favours neither. */
static int compare(struct comparison *c, struct rs_error *err)
{
    struct rs_scratch scratch = {0};
    RS_TRY(step_alone(c, true, &c->alone[0], err));
    if (!c->config->data)
        return RS_OK;
    RS_TRY(rs__scratch_create(&scratch, err));
    int code = end_to_end(c, scratch.path, err);
    rs__scratch_remove(&scratch);
    RS_TRY(code);
    RS_TRY(step_alone(c, false, &c->alone[1], err));
    (void)printf("End to end runs at %.1f%% of the step alone's rate\n",
                 (c->alone[0] + c->alone[1]) / 2 / c->run * 100);
    return RS_OK;
}

int rs__bench_train(const struct rs_config *config, struct rs_error *err)
{
    struct comparison c = {.config = config, .steps = config->steps ? config->steps : STEPS_AUTO};
    int code = config->data ? rs_data_open(&c.data, config->data, NULL, err) : RS_OK;
    if (code == RS_OK) {
        c.seconds = calloc(c.steps, sizeof *c.seconds);
        code = c.seconds ? compare(&c, err)
                         : rs_error_set(err, RS_E_NOMEM, "out of memory for the times of %llu steps",
                                        (unsigned long long)c.steps);
    }
    free(c.seconds);
    rs_data_close(&c.data);
    return code;
}
