/* step_tool.c: training steps of one backend on given batches, for comparison with another program.
 *
 * How it works: loads weights, trains K steps on consecutive batches of a tensor file (raw float32 N,3,S,S;
 * raw int32 labels), prints a line a step, writes the gradients of step 1 (a safetensors file with the
 * parameters' names; its buffers mean nothing) and the final weights and buffers.
 *
 * @thread main.
 */
#include "alloc.h"
#include "backend.h"
#include "checkpoint.h"
#include "resnet.h"
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct options {
    const char *device, *init, *tensor, *labels, *gradients, *out;
    uint32_t threads, batch, steps;
    int32_t image_size, classes;
    float lr;
    struct rs_plan_options plan;
};

struct job { /* all that a run needs; zeroed, then filled in order */
    const struct rs_backend *backend;
    struct rs_graph *graph;
    struct rs_state *state;
    struct rs_device *device;
    struct rs_plan *plan;
    float *floats;
    int32_t *labels;
    void *tensor; /* in the plan's element type */
};

static const char usage[] =
    "usage: step_tool --device NAME --threads N --precision fp32|bf16 --init W.safetensors --tensor X.f32 "
    "--labels L.i32\n"
    "                 --batch N --image-size S --classes C --steps K --lr LR --optimizer adam|sgd "
    "[--momentum M]\n"
    "                 [--weight-decay D] [--gradients G.safetensors] [--out W2.safetensors]\n";

enum key {
    DEVICE = 1,
    THREADS,
    PRECISION,
    INIT,
    TENSOR,
    LABELS,
    BATCH,
    SIZE,
    CLASSES,
    STEPS,
    LR,
    OPTIMIZER,
    MOMENTUM,
    DECAY,
    GRADIENTS,
    OUT
};

static const struct option long_options[] = {{"device", required_argument, NULL, DEVICE},
                                             {"threads", required_argument, NULL, THREADS},
                                             {"precision", required_argument, NULL, PRECISION},
                                             {"init", required_argument, NULL, INIT},
                                             {"tensor", required_argument, NULL, TENSOR},
                                             {"labels", required_argument, NULL, LABELS},
                                             {"batch", required_argument, NULL, BATCH},
                                             {"image-size", required_argument, NULL, SIZE},
                                             {"classes", required_argument, NULL, CLASSES},
                                             {"steps", required_argument, NULL, STEPS},
                                             {"lr", required_argument, NULL, LR},
                                             {"optimizer", required_argument, NULL, OPTIMIZER},
                                             {"momentum", required_argument, NULL, MOMENTUM},
                                             {"weight-decay", required_argument, NULL, DECAY},
                                             {"gradients", required_argument, NULL, GRADIENTS},
                                             {"out", required_argument, NULL, OUT},
                                             {NULL, 0, NULL, 0}};

/* A count of 1 to 2^31 - 1, or 0. */
static int32_t count_of(const char *text)
{
    char *end = NULL;
    errno = 0;
    const long value = strtol(text, &end, 10);
    return errno || end == text || *end || value < 1 || value > INT32_MAX ? 0 : (int32_t)value;
}

static int set_option(struct options *o, int key, const char *value)
{
    const int32_t count =
        key == THREADS || key == BATCH || key == SIZE || key == CLASSES || key == STEPS ? count_of(value) : 1;
    if (count < 1)
        return -1;
    switch (key) {
    case DEVICE:
        o->device = value;
        return 0;
    case INIT:
        o->init = value;
        return 0;
    case TENSOR:
        o->tensor = value;
        return 0;
    case LABELS:
        o->labels = value;
        return 0;
    case GRADIENTS:
        o->gradients = value;
        return 0;
    case OUT:
        o->out = value;
        return 0;
    case THREADS:
        o->threads = (uint32_t)count;
        return 0;
    case BATCH:
        o->batch = (uint32_t)count;
        return 0;
    case STEPS:
        o->steps = (uint32_t)count;
        return 0;
    case SIZE:
        o->image_size = count;
        return 0;
    case CLASSES:
        o->classes = count;
        return 0;
    case LR:
        o->lr = strtof(value, NULL);
        return 0;
    case MOMENTUM:
        o->plan.momentum = strtof(value, NULL);
        return 0;
    case DECAY:
        o->plan.weight_decay = strtof(value, NULL);
        return 0;
    case PRECISION:
        o->plan.precision = strcmp(value, "bf16") == 0 ? RS_PRECISION_BF16 : RS_PRECISION_FP32;
        return strcmp(value, "bf16") == 0 || strcmp(value, "fp32") == 0 ? 0 : -1;
    case OPTIMIZER:
        o->plan.optimizer = strcmp(value, "sgd") == 0 ? RS_OPTIMIZER_SGD : RS_OPTIMIZER_ADAM;
        return strcmp(value, "sgd") == 0 || strcmp(value, "adam") == 0 ? 0 : -1;
    default:
        return -1;
    }
}

static int parse(int argc, char **argv, struct options *o)
{
    int key;
    *o = (struct options){.device = "ref",
                          .threads = 2,
                          .batch = 64,
                          .steps = 1,
                          .image_size = 96,
                          .classes = 10,
                          .lr = 0.01f,
                          .plan = {.beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8}};
    while ((key = getopt_long(argc, argv, "", long_options, NULL)) != -1)
        if (set_option(o, key, optarg ? optarg : "") < 0)
            return -1;
    return o->init && o->tensor && o->labels && optind == argc ? 0 : -1;
}

/* size bytes of a file, to a new block. */
static int read_block(const char *path, size_t size, void *out, struct rs_error *err)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return rs_error_set_errno(err, errno, "%s: can't be opened", path);
    void *block = rs_alloc(size);
    const size_t got = block ? fread(block, 1, size, file) : 0;
    fclose(file);
    memcpy(out, &block, sizeof(block));
    if (!block)
        return rs_error_set(err, RS_E_NOMEM, "%s: out of memory for %zu bytes", path, size);
    if (got < size)
        return rs_error_set(err, RS_E_CORRUPT, "%s: has %zu bytes, the steps need %zu", path, got, size);
    return 0;
}

static size_t batch_elements(const struct options *o)
{
    return (size_t)o->batch * 3 * (size_t)o->image_size * (size_t)o->image_size;
}

/* Opens all that a job needs. */
static int prepare(struct job *j, const struct options *o, struct rs_error *err)
{
    struct rs_plan_options plan = o->plan;
    plan.train_batches[0] = o->batch;
    j->backend = rs_backend_find(o->device);
    if (!j->backend)
        return rs_error_set(err, RS_E_USAGE, "no device is called %s", o->device);
    RS_TRY(rs_resnet_build(&j->graph, o->image_size, o->classes, err));
    RS_TRY(rs_state_create(&j->state, j->graph, err));
    RS_TRY(rs_checkpoint_load(o->init, j->state, 0, err));
    RS_TRY(read_block(o->tensor, o->steps * batch_elements(o) * sizeof(float), &j->floats, err));
    RS_TRY(read_block(o->labels, (size_t)o->steps * o->batch * sizeof(int32_t), &j->labels, err));
    for (size_t i = 0; i < (size_t)o->steps * o->batch; i++)
        if (j->labels[i] < 0 || j->labels[i] >= o->classes)
            return rs_error_set(err, RS_E_CORRUPT, "%s: label %zu is %d, there are %d classes", o->labels, i,
                                j->labels[i], o->classes);
    RS_TRY(j->backend->open(&j->device, &(struct rs_device_options){.threads = o->threads}, err));
    j->tensor = j->backend->host_alloc(j->device, batch_elements(o) * sizeof(float));
    if (!j->tensor)
        return rs_error_set(err, RS_E_NOMEM, "out of memory for a batch");
    RS_TRY(j->backend->compile(j->device, j->graph, &plan, &j->plan, err));
    return j->backend->load(j->plan, j->state, err);
}

static void clean_up(struct job *j)
{
    if (j->plan)
        j->backend->destroy(j->plan);
    if (j->tensor)
        j->backend->host_free(j->device, j->tensor);
    if (j->device)
        j->backend->close(j->device);
    rs_free(j->floats);
    rs_free(j->labels);
    rs_state_destroy(j->state);
    rs_graph_destroy(j->graph);
}

/* Nearest, ties to even; NaN stays one. */
static uint16_t to_bf16(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    if (value != value)
        return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static void fill_tensor(struct job *j, const float *from, size_t count)
{
    uint16_t *halves = j->tensor;
    if (j->backend->input_element(j->plan) == RS_ELEMENT_F32)
        memcpy(j->tensor, from, count * sizeof(float));
    else
        for (size_t i = 0; i < count; i++)
            halves[i] = to_bf16(from[i]);
}

static int save_gradients(struct job *j, const char *path, struct rs_error *err)
{
    struct rs_state *gradients;
    RS_TRY(rs_state_create(&gradients, j->graph, err));
    int code = j->backend->store_gradients(j->plan, gradients->params, err);
    if (code == 0)
        code = rs_checkpoint_save(path, gradients, 0, NULL, 0, err);
    rs_state_destroy(gradients);
    return code;
}

static int train(struct job *j, const struct options *o, struct rs_error *err)
{
    for (uint32_t step = 0; step < o->steps; step++) {
        struct rs_step_result result = {0};
        const struct rs_batch_input input = {j->tensor, j->labels + (size_t)step * o->batch, o->batch};
        fill_tensor(j, j->floats + step * batch_elements(o), batch_elements(o));
        RS_TRY(j->backend->train_step(j->plan, &input, o->lr, &result, err));
        printf("step %u loss %.9g accuracy %.6f\n", step + 1, result.loss_sum / o->batch,
               (double)result.correct / o->batch);
        fflush(stdout);
        if (step == 0 && o->gradients)
            RS_TRY(save_gradients(j, o->gradients, err));
    }
    RS_TRY(j->backend->store(j->plan, j->state, err));
    return o->out ? rs_checkpoint_save(o->out, j->state, 0, NULL, 0, err) : 0;
}

int main(int argc, char **argv)
{
    struct options options;
    struct rs_error err = {0};
    struct job job = {0};
    if (parse(argc, argv, &options) < 0) {
        fputs(usage, stderr);
        return 2;
    }
    int code = prepare(&job, &options, &err);
    if (code == 0)
        code = train(&job, &options, &err);
    if (code < 0)
        fprintf(stderr, "step_tool: %s\n", err.message);
    clean_up(&job);
    return code < 0;
}
