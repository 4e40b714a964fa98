/* cuda_check.c: the CUDA backend on a real GPU, checked and timed: for machines that have one.
 *
 * How it works: each part can be named on the command line; without names all but small run. Parts that
 * compare count their failures; the exit code is 0 when there are none, 1 otherwise, 3 with the reason where
 * no device can be used.
 * - operators: every case of cases.h against ref, fp32 and bf16;
 * - bits: eager against captured, and two runs, bit for bit; short batches among the full ones;
 * - stream: steps through stream.h with all slots in use: the same bits;
 * - input: pixels resized and normalized by the device against tensors made by the host, bit for bit; its
 * records;
 * - speed: images a second of the step at batch 64, 512, 1024: bf16, tf32; fp32 at 64;
 * - layers: the table of convolution choices at batch 512, bf16;
 * - small: operators without the whole network, for compute-sanitizer, under which that takes too long.
 *
 * @thread one.
 */
#include "alloc.h"
#include "cases.h"
#include "check_input.h"
#include "clock.h"
#include "cuda_backend.h"
#include "resnet.h"
#include "stream_steps.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCHES 4u /* different ones in host memory */

static const struct rs_backend *const cuda = &rs_backend_cuda;

struct check {
    struct rs_device *device;
    int failures;
};

/* The ResNet at 96 x 96, its state, and batches in pinned memory. */
struct bench {
    struct rs_graph *graph;
    struct rs_state *state;
    struct rs_plan *plan;
    void *tensors[BATCHES];
    int32_t *labels[BATCHES];
    uint32_t counts[BATCHES];
};

static void report(struct check *check, const char *what, int good)
{
    printf("%-60s %s\n", what, good ? "ok" : "FAILED");
    check->failures += !good;
}

/* Prints the error and counts it; 1 when there was none. */
static int went_well(struct check *check, const char *what, int code, const struct rs_error *err)
{
    if (code >= 0)
        return 1;
    printf("%-60s FAILED: %s\n", what, err->message);
    check->failures++;
    return 0;
}

static void close_bench(const struct check *check, struct bench *b)
{
    cuda->destroy(b->plan);
    for (uint32_t i = 0; i < BATCHES; i++) {
        cuda->host_free(check->device, b->tensors[i]);
        cuda->host_free(check->device, b->labels[i]);
    }
    rs_state_destroy(b->state);
    rs_graph_destroy(b->graph);
    memset(b, 0, sizeof(*b));
}

/* last: samples of the last batch, the others have batch. Loads the same state every time. */
static int open_bench(const struct check *check, struct bench *b, enum rs_precision precision, bool eager,
                      uint32_t batch, uint32_t last, struct rs_error *err)
{
    const struct rs_plan_options options = {.precision = precision,
                                            .beta1 = 0.9,
                                            .beta2 = 0.999,
                                            .eps = 1e-8,
                                            .train_batches = {batch, last == batch ? 0 : last},
                                            .eval_batches = {batch},
                                            .eager = eager};
    memset(b, 0, sizeof(*b));
    RS_TRY(rs_resnet_build(&b->graph, 96, 10, err));
    RS_TRY(rs_state_create(&b->state, b->graph, err));
    rs_state_init(b->state, 1);
    RS_TRY(cuda->compile(check->device, b->graph, &options, &b->plan, err));
    RS_TRY(cuda->load(b->plan, b->state, err));
    const size_t pixels = (size_t)3 * 96 * 96;
    for (uint32_t i = 0; i < BATCHES; i++) {
        b->counts[i] = i + 1 == BATCHES ? last : batch;
        b->tensors[i] = cuda->host_alloc(check->device, batch * pixels * sizeof(float));
        b->labels[i] = cuda->host_alloc(check->device, batch * sizeof(int32_t));
        if (!b->tensors[i] || !b->labels[i])
            return rs_error_set(err, RS_E_NOMEM, "no pinned memory");
        rs_case_fill(b->tensors[i], cuda->input_element(b->plan), b->counts[i] * pixels, b->labels[i],
                     b->counts[i], 10, i);
    }
    return 0;
}

static struct rs_batch_input batch_of(const struct bench *b, uint64_t step)
{
    const uint64_t i = step % BATCHES;
    return (struct rs_batch_input){b->tensors[i], b->labels[i], b->counts[i]};
}

static void compare_cases(struct check *check, bool networks)
{
    for (uint32_t i = 0; rs_case_at(i) && (networks || strcmp(rs_case_at(i)->name, "resnet") != 0); i++)
        for (int p = 0; p < 2; p++) {
            const enum rs_precision precision = p ? RS_PRECISION_BF16 : RS_PRECISION_FP32;
            const struct rs_case *c = rs_case_at(i);
            struct rs_case_report r;
            struct rs_error err = {0};
            char what[64];
            snprintf(what, sizeof(what), "%s, %s, against ref", c->name, p ? "bf16" : "fp32");
            const int code = rs_case_compare(c, cuda, check->device, precision, RS_OPTIMIZER_SGD, &r, &err);
            if (!went_well(check, what, code, &err))
                continue;
            report(check, what, rs_case_passed(c, &r, precision));
            printf("    draw %u: loss %.1e gradients %.1e (%s) parameters %.1e moments %.1e statistics %.1e "
                   "probabilities %.1e\n",
                   r.draws, r.loss, r.gradients, r.worst, r.parameters, r.moments, r.statistics,
                   r.probabilities);
        }
}

static void check_operators(struct check *check)
{
    compare_cases(check, true);
}

static void check_small(struct check *check)
{
    compare_cases(check, false);
}

/* Synchronous steps; their losses; the state in bench. */
static int train(struct bench *b, uint32_t steps, double *losses, struct rs_error *err)
{
    for (uint32_t i = 0; i < steps; i++) {
        const struct rs_batch_input input = batch_of(b, i);
        struct rs_step_result result = {.loss_sum = 0};
        RS_TRY(cuda->train_step(b->plan, &input, 1e-3f, &result, err));
        losses[i] = result.loss_sum;
    }
    return cuda->store(b->plan, b->state, err);
}

/* Steps through the stream, uploads ahead; their losses and the seconds of all. */
static int train_stream(struct bench *b, uint32_t steps, double *losses, double *seconds,
                        struct rs_error *err)
{
    struct rs_batch_input batches[BATCHES];
    for (uint64_t i = 0; i < BATCHES; i++)
        batches[i] = batch_of(b, i);
    struct rs_stream_steps s = {
        .stream = cuda->stream, .plan = b->plan, .batches = batches, .count = BATCHES, .lr = 1e-3f};
    const uint64_t begin = rs_now_ns();
    RS_TRY(rs_stream_steps_run(&s, steps, NULL, losses, err));
    *seconds = (double)(rs_now_ns() - begin) * 1e-9;
    return 0;
}

/* Those, and the state in bench. */
static int train_beside_uploads(struct bench *b, uint32_t steps, double *losses, struct rs_error *err)
{
    double seconds;
    RS_TRY(train_stream(b, steps, losses, &seconds, err));
    return cuda->store(b->plan, b->state, err);
}

#define BIT_STEPS 16u

static int same_losses(const double *a, const double *b)
{
    int same = isfinite(a[0]);
    for (uint32_t i = 0; i < BIT_STEPS; i++)
        same = same && a[i] == b[i];
    return same;
}

static int same_bits(const struct bench *a, const struct bench *b)
{
    if (!a->state || !b->state)
        return 0;
    const size_t params = (size_t)a->graph->param_floats * sizeof(float);
    return memcmp(a->state->params, b->state->params, params) == 0 &&
           memcmp(a->state->moment1, b->state->moment1, params) == 0 &&
           memcmp(a->state->moment2, b->state->moment2, params) == 0 &&
           memcmp(a->state->buffers, b->state->buffers, (size_t)a->graph->buffer_floats * sizeof(float)) == 0;
}

enum how { CAPTURED, EAGER, STREAMED };

static int run_how(struct check *check, struct bench *b, enum rs_precision precision, enum how how,
                   double *losses, struct rs_error *err)
{
    RS_TRY(open_bench(check, b, precision, how == EAGER, 64, 40, err));
    return how == STREAMED ? train_beside_uploads(b, BIT_STEPS, losses, err)
                           : train(b, BIT_STEPS, losses, err);
}

static void compare_runs(struct check *check, enum rs_precision precision, enum how how, const char *what)
{
    struct bench a, b;
    struct rs_error err = {0};
    double losses[2][BIT_STEPS];
    char line[96];
    snprintf(line, sizeof(line), "%s, %s", what, precision == RS_PRECISION_BF16 ? "bf16" : "fp32");
    memset(&b, 0, sizeof(b));
    int code = run_how(check, &a, precision, CAPTURED, losses[0], &err);
    if (code == 0)
        code = run_how(check, &b, precision, how, losses[1], &err);
    if (went_well(check, line, code, &err))
        report(check, line, same_losses(losses[0], losses[1]) && same_bits(&a, &b));
    close_bench(check, &a);
    close_bench(check, &b);
}

static void check_bits(struct check *check)
{
    for (int p = 0; p < 2; p++) {
        const enum rs_precision precision = p ? RS_PRECISION_BF16 : RS_PRECISION_FP32;
        compare_runs(check, precision, CAPTURED, "two runs, bit for bit");
        compare_runs(check, precision, EAGER, "captured against eager, bit for bit");
    }
}

static void time_batch(struct check *check, enum rs_precision precision, const char *name, uint32_t batch)
{
    struct bench b;
    struct rs_error err = {0};
    char what[64];
    double losses[8];
    snprintf(what, sizeof(what), "step, %s, batch %u", name, batch);
    int code = open_bench(check, &b, precision, false, batch, batch, &err);
    if (code == 0)
        code = train(&b, 8, losses, &err); /* warm, captured */
    if (went_well(check, what, code, &err)) {
        const uint32_t steps = 51200 / batch < 40 ? 40 : 51200 / batch;
        double seconds = 0;
        if (went_well(check, what, train_stream(&b, steps, NULL, &seconds, &err), &err))
            printf("%-60s %.0f img/s, %.3f ms a step, uploads included\n", what, steps * batch / seconds,
                   1000 * seconds / steps);
    }
    close_bench(check, &b);
}

static void check_stream(struct check *check)
{
    compare_runs(check, RS_PRECISION_FP32, STREAMED, "stream against synchronous steps, bit for bit");
    compare_runs(check, RS_PRECISION_BF16, STREAMED, "stream against synchronous steps, bit for bit");
}

static void check_input(struct check *check)
{
    static const struct rs_pixel_format formats[] = {{32, 32, true}, {75, 75, true}, {200, 131, false}};
    struct rs_error err = {0};
    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
        for (int p = 0; p < 2; p++) {
            const enum rs_precision precision = p ? RS_PRECISION_BF16 : RS_PRECISION_FP32;
            char what[64];
            snprintf(what, sizeof(what), "pixels %u x %u, %s, against tensors, bit for bit", formats[i].width,
                     formats[i].height, p ? "bf16" : "fp32");
            if (went_well(check, what, rs_check_pixels(cuda, check->device, precision, &formats[i], &err),
                          &err))
                report(check, what, 1);
        }
    const int code = rs_check_records(cuda, check->device, &err);
    if (code == RS_E_UNSUPPORTED)
        printf("%-60s not checked: %s\n", "records of uploads and steps", err.message);
    else if (went_well(check, "records of uploads and steps", code, &err))
        report(check, "records of uploads and steps", 1);
}

static void check_speed(struct check *check)
{
    static const uint32_t batches[] = {64, 512, 1024};
    for (size_t i = 0; i < 3; i++) {
        time_batch(check, RS_PRECISION_BF16, "bf16", batches[i]);
        time_batch(check, RS_PRECISION_TF32, "tf32", batches[i]);
    }
    time_batch(check, RS_PRECISION_FP32, "fp32", 64);
}

static void check_layers(struct check *check)
{
    struct bench b;
    struct rs_error err = {0};
    const size_t size = 65536;
    char *text = rs_calloc(1, size);
    const int code = open_bench(check, &b, RS_PRECISION_BF16, false, 512, 512, &err);
    if (went_well(check, "table of convolutions", text ? code : RS_E_NOMEM, &err)) {
        const struct rs_batch_input input = batch_of(&b, 0);
        if (went_well(check, "table of convolutions", cuda->profile(b.plan, &input, text, size, &err), &err))
            printf("%s", text);
    }
    rs_free(text);
    close_bench(check, &b);
}

static const struct part {
    const char *name;
    void (*run)(struct check *check);
    bool named; /* runs only when it is named */
} parts[] = {{"operators", check_operators, false}, {"bits", check_bits, false},
             {"stream", check_stream, false},       {"input", check_input, false},
             {"speed", check_speed, false},         {"layers", check_layers, false},
             {"small", check_small, true}};

static int wanted(int count, char **names, const struct part *part)
{
    for (int i = 1; i < count; i++)
        if (strcmp(names[i], part->name) == 0)
            return 1;
    return count < 2 && !part->named;
}

static int names_are_known(int count, char **names)
{
    for (int i = 1; i < count; i++) {
        int known = 0;
        for (size_t k = 0; k < sizeof(parts) / sizeof(parts[0]); k++)
            known = known || strcmp(names[i], parts[k].name) == 0;
        if (!known) {
            fprintf(
                stderr,
                "cuda_check: there is no part '%s'; parts are operators, bits, stream, input, speed, layers, "
                "small\n",
                names[i]);
            return 0;
        }
    }
    return 1;
}

int main(int argc, char **argv)
{
    struct check check = {.failures = 0};
    struct rs_device_info info;
    struct rs_error err = {0};
    if (!names_are_known(argc, argv))
        return 2;
    if (cuda->probe(0, &info, &err) < 0 ||
        cuda->open(&check.device, &(struct rs_device_options){.threads = 1}, &err) < 0) {
        fprintf(stderr, "cuda_check: no device: %s\n", err.message);
        return 3;
    }
    printf("%s; %s; %s; %llu MiB\n", info.name, info.library, info.precisions,
           (unsigned long long)(info.memory_bytes >> 20));
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        if (wanted(argc, argv, &parts[i])) {
            printf("\n%s\n", parts[i].name);
            parts[i].run(&check);
            (void)fflush(stdout);
        }
    cuda->close(check.device);
    printf("\n%d failed\n", check.failures);
    return check.failures > 0;
}
