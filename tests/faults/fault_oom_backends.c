/* Memory runs out while a backend compiles, runs and stores a plan. */
#include "fake_backend.h"
#include "oom.h"
#include "plan_run.h"

#ifdef RS_TEST_CPU
#include "cpu.h"
#endif
#include "cmocka_all.h"

#include <string.h>

#define CPU_POINTS 24 /* oneDNN compiles its kernels in each run */

static int run_ref(uint64_t *result, struct rs_error *err)
{
    return plan_run(&(struct plan_setup){.backend = rs_backend_find("ref")}, result, err);
}

static void ref(void **unused)
{
    (void)unused;
    oom_sweep(&(struct oom_scenario){.name = "a plan of ref", .run = run_ref, .points = 100});
}

/* The step of a device with a stream, whose resizer gets its memory when the first batch is there. */
static int run_stream(uint64_t *result, struct rs_error *err)
{
    struct fake_script script = {.latency = 3, .seed = 1};
    fake_set_script(&script);
    return plan_run(&(struct plan_setup){.backend = &fake_stream}, result, err);
}

static void stream(void **unused)
{
    (void)unused;
    oom_sweep(&(struct oom_scenario){.name = "steps of a stream", .run = run_stream, .points = 100});
}

#if defined(RS_TEST_CPU) && !defined(__SANITIZE_THREAD__)
static enum rs_cpu_bf16 bf16;

static void set_bf16(struct rs_device *device)
{
    rs_cpu_set_bf16(device, bf16);
}

static int run_cpu(uint64_t *result, struct rs_error *err)
{
    return plan_run(&(struct plan_setup){.backend = &rs_backend_cpu}, result, err);
}

static int run_cpu_bf16(uint64_t *result, struct rs_error *err)
{
    return plan_run(
        &(struct plan_setup){.backend = &rs_backend_cpu, .precision = RS_PRECISION_BF16, .prepare = set_bf16},
        result, err);
}

static void cpu(void **unused)
{
    (void)unused;
    oom_sweep(&(struct oom_scenario){.name = "a plan of cpu", .points = CPU_POINTS, .run = run_cpu});
}

static void cpu_bf16(void **unused)
{
    struct rs_device_info info;
    (void)unused;
    assert_int_equal(rs_backend_cpu.probe(0, &info, NULL), 0);
    if (!strstr(info.precisions, "bf16"))
        skip();
    bf16 = RS_CPU_BF16_WIDE;
    oom_sweep(&(struct oom_scenario){
        .name = "a plan of cpu, bf16 in fp32", .points = CPU_POINTS, .run = run_cpu_bf16});
    bf16 = RS_CPU_BF16_NATIVE;
    oom_sweep(
        &(struct oom_scenario){.name = "a plan of cpu, bf16", .points = CPU_POINTS, .run = run_cpu_bf16});
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ref),
        cmocka_unit_test(stream),
#if defined(RS_TEST_CPU) && !defined(__SANITIZE_THREAD__)
        cmocka_unit_test(cpu),
        cmocka_unit_test(cpu_bf16),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
