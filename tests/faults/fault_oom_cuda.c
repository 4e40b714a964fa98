/* Memory runs out while the CUDA backend compiles, records, runs and stores a plan, on the tests' device,
 * whose own memory counts too. */
#include "cuda_backend.h"
#include "host_gpu.h"
#include "oom.h"
#include "plan_run.h"

#include "cmocka_all.h"

#define CAPTURE                                                                                              \
    30 /* a step that could not be recorded runs call by call; its record has fewer blocks than that */

static struct plan_setup setup = {.backend = &rs_backend_cuda};

static int run(uint64_t *result, struct rs_error *err)
{
    rs_host_wishes = (struct rs_host_wishes){.late = 1};
    return plan_run(&setup, result, err);
}

static void tensors(void **unused)
{
    (void)unused;
    oom_sweep(&(struct oom_scenario){.name = "a plan of cuda", .run = run, .optional = CAPTURE});
}

static void call_by_call(void **unused)
{
    (void)unused;
    setup.eager = true;
    oom_sweep(&(struct oom_scenario){.name = "a plan of cuda, eager", .run = run});
    setup.eager = false;
}

static void bf16_pixels(void **unused)
{
    (void)unused;
    setup.precision = RS_PRECISION_BF16;
    setup.pixels = (struct rs_pixel_format){.height = 6, .width = 7, .planar = true};
    oom_sweep(
        &(struct oom_scenario){.name = "a plan of cuda, bf16, pixels", .run = run, .optional = CAPTURE});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tensors),
        cmocka_unit_test(call_by_call),
        cmocka_unit_test(bf16_pixels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
