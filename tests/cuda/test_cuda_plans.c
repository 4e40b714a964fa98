/* test_cuda_plans.c: cuDNN has a deterministic plan for every convolution of the network, every pass and
 * precision, on devices that aren't here: plans are finalized from device properties alone. Skipped (77)
 * where cuDNN isn't installed.
 */
#include "cudnn_graph_pvt.h"
#include "program.h"
#include "resnet.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct device {
    const char *name;
    int version; /* compute capability, 900: 9.0 */
    int multiprocessors, shared, threads, l2;
    bool bf16;
};

/* From NVIDIA's tables of compute capabilities and data sheets. */
static const struct device devices[] = {
    {"Turing T4", 750, 40, 65536, 1024, 4194304, false},
    {"A100", 800, 108, 166912, 2048, 41943040, true},
    {"H100", 900, 132, 232448, 2048, 52428800, true},
    {"B200", 1000, 148, 232448, 2048, 132644864, true},
    {"GeForce RTX 5090", 1200, 170, 101376, 1536, 100663296, true},
};

static struct rs__cudnn_api api;

/* Descriptors that are alive, counted here: a leak checker finds cuDNN's and cuBLAS's own, and is off for
 * this test. */
static struct {
    cudnnStatus_t (*create)(cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t *out);
    cudnnStatus_t (*destroy)(cudnnBackendDescriptor_t descriptor);
    long alive;
} counted;

static cudnnStatus_t create_counted(cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t *out)
{
    const cudnnStatus_t status = counted.create(type, out);
    counted.alive += status == CUDNN_STATUS_SUCCESS;
    return status;
}

static cudnnStatus_t destroy_counted(cudnnBackendDescriptor_t descriptor)
{
    counted.alive--;
    return counted.destroy(descriptor);
}

static void test_nothing_is_left(void **state)
{
    (void)state;
    assert_int_equal(counted.alive, 0);
}

static const char *const passes[] = {"forward", "data gradient", "weight gradient"};
static const char *const maths[] = {"fp32", "tf32", "bf16"};

static void describe(const struct device *d, char *json, size_t size)
{
    snprintf(
        json, size,
        "{\"maxGridSize\": [2147483647, 65535, 65535], \"maxBlockSize\": [1024, 1024, 64], \"regsPerBlock\": "
        "65536, "
        "\"multiProcessorCount\": %d, \"warpSize\": 32, \"maxSharedMemoryPerBlock\": 49152, "
        "\"maxSharedMemoryPerBlockOptin\": %d, \"reservedSharedMemoryPerBlock\": 1024, "
        "\"maxRegistersPerSM\": 65536, "
        "\"maxCtasPerSM\": 32, \"maxThreadsPerBlock\": 1024, \"maxThreadsPerSM\": %d, \"pciDeviceId\": 0, "
        "\"isTccDriver\": 0, \"supportCoopLaunch\": 1, \"totalGlobalMem\": 34359738368, \"smClockRateKHz\": "
        "1800000, "
        "\"memClockRateKHz\": 2600000, \"l2CacheSize\": %d, \"cudaDeviceId\": 0, \"deviceVer\": %d, "
        "\"driverVer\": 13000, \"deviceName\": \"%s\"}",
        d->multiprocessors, d->shared, d->threads, d->l2, d->version, d->name);
}

/* The shapes as plans have them: padded channels, the folded stem. */
static struct rs__conv_shape shape_of(const struct rs__program *p, const struct rs__op *op)
{
    const struct rs__value *x = &p->values[op->x], *y = &p->values[op->y];
    struct rs__conv_shape s = {
        .n = p->batch, .c = x->cp, .h = x->h, .w = x->w, .k = y->cp, .p = y->h, .q = y->w};
    s.r = op->folded ? (op->node->kernel + 1) / 2 : op->node->kernel;
    s.s = op->folded ? 1 : op->node->kernel;
    s.stride = op->folded ? 1 : op->node->stride;
    s.padding = op->node->padding;
    return s;
}

/* Plans of one pass; a choice must give the same plan again. Their number. */
static int count_plans(const struct rs__planner *planner, const struct rs__conv_shape *shape,
                       enum rs__conv_pass pass, enum rs__math math, struct rs_error *err)
{
    struct rs__conv_graph graph;
    struct rs__choice choices[RS__CHOICES_MAX];
    cudnnBackendDescriptor_t plans[RS__CHOICES_MAX], again;
    int64_t workspaces[RS__CHOICES_MAX], workspace;
    const int code = rs__conv_graph_create(&graph, planner, shape, pass, math, err);
    if (code < 0)
        return code;
    const int count = rs__conv_choices(planner, &graph, choices, plans, workspaces, err);
    for (int i = 0; i < count; i++) {
        assert_int_equal(rs__plan_from_choice(planner, &graph, &choices[i], &again, &workspace, err), 0);
        assert_int_equal(workspace, workspaces[i]);
        assert_true(workspace <= planner->workspace_limit);
        (void)api.descriptor_destroy(again);
        (void)api.descriptor_destroy(plans[i]);
    }
    rs__conv_graph_destroy(&graph, planner);
    return count;
}

static void plan_network(const struct rs__planner *planner, const struct device *d, enum rs__math math,
                         uint32_t batch)
{
    struct rs_error err = {0};
    struct rs_graph *graph;
    struct rs__program program;
    int planned = 0, fewest = RS__CHOICES_MAX, convolutions = 0;
    assert_int_equal(rs_resnet_build(&graph, 96, 10, &err), 0);
    assert_int_equal(rs__program_create(&program, graph, math == RS__MATH_BF16, batch, &err), 0);
    for (int32_t i = 0; i < program.op_count; i++) {
        const struct rs__op *op = &program.ops[i];
        if (op->kind != RS__KIND_CONV)
            continue;
        convolutions++;
        const struct rs__conv_shape shape = shape_of(&program, op);
        for (int pass = 0; pass < 3; pass++) {
            if (pass == RS__CONV_DATA_GRADIENT && !op->dx)
                continue;
            const int count = count_plans(planner, &shape, (enum rs__conv_pass)pass, math, &err);
            if (count < 0)
                fail_msg("%s %s, %s, %s, batch %u: %s", d->name, maths[math], op->node->name, passes[pass],
                         batch, err.message);
            planned++;
            fewest = count < fewest ? count : fewest;
        }
    }
    assert_int_equal(convolutions, 20);
    assert_int_equal(planned, 3 * 20 - 1); /* nobody wants the pictures' gradient */
    print_message("%-16s sm_%d %s batch %u: %d passes planned, %d candidates or more\n", d->name,
                  d->version / 10, maths[math], batch, planned, fewest);
    rs__program_destroy(&program);
    rs_graph_destroy(graph);
}

static void test_network(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(devices) / sizeof(devices[0]); i++) {
        char json[2048];
        struct rs_error err = {0};
        struct rs__planner planner = {.workspace_limit = (int64_t)512 << 20};
        describe(&devices[i], json, sizeof(json));
        if (rs__planner_for_properties(&planner, &api, json, &err) < 0)
            fail_msg("%s: %s", devices[i].name, err.message);
        plan_network(&planner, &devices[i], RS__MATH_FP32, 64);
        plan_network(&planner, &devices[i], RS__MATH_TF32, 64);
        if (devices[i].bf16) {
            plan_network(&planner, &devices[i], RS__MATH_BF16, 64);
            plan_network(&planner, &devices[i], RS__MATH_BF16, 17); /* a short batch */
        }
        rs__planner_close(&planner);
    }
}

/* What can't be planned says so by name: no bf16 before sm_80, a workspace limit of nothing, properties that
 * lack a field. */
static void test_refusals(void **state)
{
    const struct rs__conv_shape shape = {64, 64, 22, 22, 64, 3, 3, 1, 1, 22, 22};
    char json[2048];
    struct rs_error err = {0};
    struct rs__planner planner = {.workspace_limit = (int64_t)512 << 20};
    (void)state;
    describe(&devices[0], json, sizeof(json));
    assert_int_equal(rs__planner_for_properties(&planner, &api, json, &err), 0);
    assert_int_equal(count_plans(&planner, &shape, RS__CONV_FORWARD, RS__MATH_BF16, &err), RS_E_UNSUPPORTED);
    assert_non_null(strstr(err.message, "no engine"));
    planner.workspace_limit = -1;
    assert_int_equal(count_plans(&planner, &shape, RS__CONV_FORWARD, RS__MATH_FP32, &err), RS_E_UNSUPPORTED);
    rs__planner_close(&planner);
    assert_int_equal(rs__planner_for_properties(&planner, &api, "{}", &err), RS_E_BACKEND);
    assert_non_null(strstr(err.message, "maxGridSize"));
    assert_null(planner.properties);
}

/* How many of the engines that TF32 takes for a convolution strict fp32 refuses with such a reason. */
static int count_refused(const struct device *device, const char *reason)
{
    const struct rs__conv_shape shape = {64, 64, 22, 22, 64, 3, 3, 1, 1, 22, 22};
    char json[2048];
    struct rs_error err = {0};
    struct rs__planner planner = {.workspace_limit = (int64_t)512 << 20};
    struct rs__conv_graph graph;
    struct rs__choice choices[RS__CHOICES_MAX];
    cudnnBackendDescriptor_t plans[RS__CHOICES_MAX], plan;
    int64_t workspaces[RS__CHOICES_MAX], workspace;
    describe(device, json, sizeof(json));
    assert_int_equal(rs__planner_for_properties(&planner, &api, json, &err), 0);
    assert_int_equal(rs__conv_graph_create(&graph, &planner, &shape, RS__CONV_FORWARD, RS__MATH_TF32, &err),
                     0);
    const int count = rs__conv_choices(&planner, &graph, choices, plans, workspaces, &err);
    assert_true(count > 0);
    graph.math = RS__MATH_FP32;
    int refused = 0;
    for (int i = 0; i < count; i++) {
        const int code = rs__plan_from_choice(&planner, &graph, &choices[i], &plan, &workspace, &err);
        refused += code == RS_E_UNSUPPORTED && strstr(err.message, reason) != NULL;
        if (code == 0)
            (void)api.descriptor_destroy(plan);
        (void)api.descriptor_destroy(plans[i]);
    }
    rs__conv_graph_destroy(&graph, &planner);
    rs__planner_close(&planner);
    return refused;
}

/* Strict fp32 has no engine that TF32 added, and none that sums transformed values; the oldest device, which
 * has no TF32, is offered such. */
static void test_fp32_is_strict(void **state)
{
    (void)state;
    assert_true(count_refused(&devices[2], "TF32") > 0);
    assert_true(count_refused(&devices[0], "transformed values") > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_network), cmocka_unit_test(test_refusals),
                                       cmocka_unit_test(test_fp32_is_strict),
                                       cmocka_unit_test(test_nothing_is_left)};
    struct rs_error err = {0};
    if (!getenv("RSTREAM_CUDNN"))
        setenv("RSTREAM_CUDNN", RS_CUDNN_FOLDER, 0);
    if (rs__cudnn_open(&api, &err) < 0) {
        fprintf(stderr, "skipped: %s\n", err.message);
        return 77;
    }
    if (api.version < 90800) {
        fprintf(stderr, "skipped: cuDNN %zu can't plan without a device; 9.8 can\n", api.version);
        return 77;
    }
    counted.create = api.descriptor_create;
    counted.destroy = api.descriptor_destroy;
    api.descriptor_create = create_counted;
    api.descriptor_destroy = destroy_counted;
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    rs__cudnn_close(&api);
    return failed;
}
