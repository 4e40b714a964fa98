/* bench_cpu_step.c: the CPU backend's training step of the default network, alone, on one cached batch.
 * Usage: bench_cpu_step [batch 64] [steps 12] [threads 2] [profile]: ms a step (minimum and median) and
 * images a second in fp32 and in each way of bf16, and, asked for, the time of every operation of one step.
 */
#include "alloc.h"
#include "clock.h"
#include "cpu.h"
#include "resnet.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIDE 96
#define CLASSES 10

struct bench {
    uint32_t batch, threads;
    int steps, profile;
    struct rs_graph *graph;
    struct rs_state *state;
    void *tensor;
    int32_t *labels;
    struct rs_error err;
};

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void fill(struct bench *b, enum rs_element element)
{
    uint32_t random = 1;
    for (size_t i = 0; i < (size_t)b->batch * 3 * SIDE * SIDE; i++) {
        random = random * 1664525u + 1013904223u;
        float value = (float)(random >> 8) * 0x1p-23f - 1.0f;
        uint32_t bits;
        memcpy(&bits, &value, sizeof bits);
        if (element == RS_ELEMENT_BF16)
            ((uint16_t *)b->tensor)[i] = (uint16_t)(bits >> 16);
        else
            ((float *)b->tensor)[i] = value;
    }
    for (uint32_t i = 0; i < b->batch; i++)
        b->labels[i] = (int32_t)(i % CLASSES);
}

static int measure(struct bench *b, struct rs_plan *plan, const char *title)
{
    const struct rs_backend *cpu = &rs_backend_cpu;
    const struct rs_batch_input input = {b->tensor, b->labels, b->batch};
    struct rs_step_result result = {0};
    static char text[32768];
    double *ms = rs_calloc((size_t)b->steps, sizeof(double));
    if (!ms)
        return rs_error_set(&b->err, RS_E_NOMEM, "out of memory for %d times", b->steps);
    int code = cpu->load(plan, b->state, &b->err);
    fill(b, cpu->input_element(plan));
    for (int i = -2; code >= 0 && i < b->steps; i++) {
        uint64_t start = rs_now_ns();
        code = cpu->train_step(plan, &input, 1e-4f, &result, &b->err);
        if (i >= 0)
            ms[i] = (double)(rs_now_ns() - start) * 1e-6;
    }
    qsort(ms, (size_t)b->steps, sizeof(double), by_value);
    if (code >= 0)
        printf("%-12s batch %u: minimum %.1f ms, median %.1f ms, %.0f images/s (minimum); loss %.4f\n", title,
               b->batch, ms[0], ms[b->steps / 2], (double)b->batch * 1e3 / ms[0],
               result.loss_sum / (double)b->batch);
    if (code >= 0 && b->profile)
        code = cpu->profile(plan, &input, text, sizeof text, &b->err);
    if (code >= 0 && b->profile)
        fputs(text, stdout);
    rs_free(ms);
    return code;
}

static int run(struct bench *b, enum rs_precision precision, enum rs_cpu_bf16 how, const char *title)
{
    const struct rs_plan_options options = {.precision = precision,
                                            .optimizer = RS_OPTIMIZER_ADAM,
                                            .beta1 = 0.9,
                                            .beta2 = 0.999,
                                            .eps = 1e-8,
                                            .train_batches = {b->batch}};
    struct rs_device *device = NULL;
    struct rs_plan *plan = NULL;
    int code = rs_backend_cpu.open(&device, &(struct rs_device_options){.threads = b->threads}, &b->err);
    if (code >= 0) {
        rs_cpu_set_bf16(device, how);
        code = rs_backend_cpu.compile(device, b->graph, &options, &plan, &b->err);
    }
    if (code >= 0)
        code = measure(b, plan, title);
    if (code < 0)
        printf("%-12s %s\n", title, b->err.message);
    rs_backend_cpu.destroy(plan);
    rs_backend_cpu.close(device);
    return code;
}

int main(int argc, char **argv)
{
    struct bench b = {.batch = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 64,
                      .steps = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 12,
                      .threads = argc > 3 ? (uint32_t)strtoul(argv[3], NULL, 10) : 2,
                      .profile = argc > 4 && strcmp(argv[4], "profile") == 0};
    struct rs_device_info info;
    if (b.batch == 0 || b.steps < 1) {
        fprintf(stderr, "usage: bench_cpu_step [batch] [steps] [threads] [profile]\n");
        return 2;
    }
    if (rs_resnet_build(&b.graph, SIDE, CLASSES, &b.err) < 0 ||
        rs_state_create(&b.state, b.graph, &b.err) < 0 || rs_backend_cpu.probe(0, &info, &b.err) < 0) {
        fprintf(stderr, "%s\n", b.err.message);
        return 1;
    }
    rs_state_init(b.state, 0);
    b.tensor = rs_calloc((size_t)b.batch * 3 * SIDE * SIDE, sizeof(float));
    b.labels = rs_calloc(b.batch, sizeof(int32_t));
    if (!b.tensor || !b.labels)
        return 1;
    printf("%s; %s; %s; %u threads used\n", info.name, info.library, info.precisions, b.threads);
    int code = run(&b, RS_PRECISION_FP32, RS_CPU_BF16_AUTO, "fp32");
    run(&b, RS_PRECISION_BF16, RS_CPU_BF16_WIDE, "bf16 wide");
    run(&b, RS_PRECISION_BF16, RS_CPU_BF16_NATIVE, "bf16 native");
    rs_free(b.tensor);
    rs_free(b.labels);
    rs_state_destroy(b.state);
    rs_graph_destroy(b.graph);
    return code < 0 ? 1 : 0;
}
