/* cpu.c: the backend's vtable, its device, and what this machine can do. */
#include "cpu.h"
#include "alloc.h"
#include "plan.h"
#include <omp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* oneDNN's ISAs are sets of bits; its environment variable DNNL_MAX_CPU_ISA caps them, and with them our
 * kernels. */
static int has_isa(dnnl_cpu_isa_t isa)
{
    return ((unsigned)dnnl_get_effective_cpu_isa() & (unsigned)isa) == (unsigned)isa;
}

static const struct rs__kernels *kernels_for_machine(void)
{
    if (has_isa(dnnl_cpu_isa_avx512_core))
        return rs__kernels_of(RS__ISA_AVX512);
    return rs__kernels_of(has_isa(dnnl_cpu_isa_avx2) ? RS__ISA_AVX2 : RS__ISA_GENERIC);
}

static int has_bf16(void)
{
    return has_isa(dnnl_cpu_isa_avx512_core_bf16);
}

/* Intel's cores run vdpbf16ps at a quarter of the rate of an fp32 FMA (measured on Sapphire Rapids: 173
 * GFLOP/s beside 352 on two cores), AMD's Zen 4 and 5 at the same rate; with AMX oneDNN doesn't use it. */
static int has_slow_bf16(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_is("intel") && !has_isa(dnnl_cpu_isa_avx512_core_amx);
}

/* "model name" of /proc/cpuinfo, or what is known without it. */
static void cpu_name(char *out, size_t size)
{
    char line[256];
    snprintf(out, size, "x86-64 CPU");
    FILE *file = fopen("/proc/cpuinfo", "r");
    if (!file)
        return;
    while (fgets(line, sizeof line, file)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || !colon)
            continue;
        colon[strcspn(colon, "\n")] = '\0';
        snprintf(out, size, "%s", colon + 1 + strspn(colon + 1, " "));
        break;
    }
    fclose(file);
}

static int cpu_probe(uint32_t ordinal, struct rs_device_info *info, struct rs_error *err)
{
    (void)ordinal; /* all sockets are one device */
    char name[96];
    dnnl_engine_t engine;
    const dnnl_version_t *version = dnnl_version();
    dnnl_status_t status = dnnl_engine_create(&engine, dnnl_cpu, 0);
    if (status != dnnl_success)
        return rs_error_set(err, RS_E_DEVICE, "oneDNN offers no CPU engine here (status %d)", (int)status);
    dnnl_engine_destroy(engine);
    cpu_name(name, sizeof name);
    memset(info, 0, sizeof *info);
    snprintf(info->name, sizeof info->name, "%s, %d threads", name, omp_get_num_procs());
    snprintf(info->library, sizeof info->library, "oneDNN %d.%d.%d, %s kernels", version->major,
             version->minor, version->patch, kernels_for_machine()->name);
    snprintf(info->precisions, sizeof info->precisions, "%s", has_bf16() ? "fp32 bf16" : "fp32");
    info->count = 1;
    info->memory_bytes = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    return 0;
}

static void cpu_close(struct rs_device *device)
{
    if (!device)
        return;
    if (device->stream)
        dnnl_stream_destroy(device->stream);
    if (device->engine)
        dnnl_engine_destroy(device->engine);
    rs_free(device);
}

static int cpu_open(struct rs_device **out, const struct rs_device_options *options, struct rs_error *err)
{
    const uint32_t threads = options->threads;
    *out = NULL;
    if (threads == 0 || threads > 4096)
        return rs_error_set(err, RS_E_USAGE, "%u compute threads: give 1 or more, at most one a core",
                            threads);
    struct rs_device *device = rs_calloc(1, sizeof(*device));
    if (!device)
        return rs_error_set(err, RS_E_NOMEM, "out of memory for a device");
    device->threads = threads;
    device->kernels = kernels_for_machine();
    dnnl_status_t status = dnnl_engine_create(&device->engine, dnnl_cpu, 0);
    if (status == dnnl_success)
        status = dnnl_stream_create(&device->stream, device->engine, dnnl_stream_default_flags);
    if (status != dnnl_success) {
        cpu_close(device);
        return rs_error_set(err, RS_E_DEVICE, "oneDNN's CPU engine can't be used (status %d)", (int)status);
    }
    *out = device;
    return 0;
}

void rs_cpu_set_bf16(struct rs_device *device, enum rs_cpu_bf16 how)
{
    device->bf16 = how;
}

static void *cpu_host_alloc(struct rs_device *device, size_t bytes)
{
    (void)device;
    return rs_alloc(bytes);
}

static void cpu_host_free(struct rs_device *device, void *block)
{
    (void)device;
    rs_free(block);
}

static int cpu_compile(struct rs_device *device, const struct rs_graph *graph,
                       const struct rs_plan_options *options, struct rs_plan **out, struct rs_error *err)
{
    enum rs__element element = RS__F32;
    *out = NULL;
    RS_ASSERT(options->pixels.height == 0);
    if (options->precision == RS_PRECISION_TF32)
        return rs_error_set(err, RS_E_UNSUPPORTED,
                            "the device cpu has no tf32, which is for GPUs: use --precision fp32%s",
                            has_bf16() ? " or bf16" : "");
    if (options->precision == RS_PRECISION_BF16) {
        if (!has_bf16())
            return rs_error_set(
                err, RS_E_UNSUPPORTED,
                "bf16 needs a CPU with AVX512_BF16, which this one lacks: use --precision fp32");
        int wide = device->bf16 == RS_CPU_BF16_WIDE || (device->bf16 == RS_CPU_BF16_AUTO && has_slow_bf16());
        element = wide ? RS__WIDE : RS__BF16;
    }
    return rs__plan_create(device, graph, options, element, out, err);
}

static enum rs_element cpu_input_element(const struct rs_plan *plan)
{
    return plan->element == RS__F32 ? RS_ELEMENT_F32 : RS_ELEMENT_BF16;
}

const struct rs_backend rs_backend_cpu = {
    .name = "cpu",
    .probe = cpu_probe,
    .open = cpu_open,
    .close = cpu_close,
    .host_alloc = cpu_host_alloc,
    .host_free = cpu_host_free,
    .compile = cpu_compile,
    .destroy = rs__plan_destroy,
    .input_element = cpu_input_element,
    .load = rs__params_load,
    .store = rs__params_store,
    .train_step = rs__train_step,
    .eval_step = rs__eval_step,
    .store_gradients = rs__params_store_gradients,
    .profile = rs__profile,
};
