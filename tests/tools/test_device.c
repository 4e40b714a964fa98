/* test_device.c: --device and rstream devices where CUDA can't be used, each reason by name; and where a
 * plugin is there and has devices. Neither needs a GPU, nor minds one. */
#include "support.h"

#include "scratch.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PLUGIN "RSTREAM_CUDA_PLUGIN"

static struct rs_scratch scratch;
static struct outcome o;

static void expect(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("no '%s' in:\n%s%s", part, text, o.err);
}

/* rstream devices says why, train --device cuda ends with 3 for the same reason, and auto goes on without. */
static void expect_reason(const char *reason)
{
    char line[600];
    run_rstream(&o, scratch.path, "devices");
    assert_int_equal(o.exit_code, 0);
    (void)snprintf(line, sizeof line, "cuda  can't be used: ");
    assert_int_equal(strncmp(o.out, line, strlen(line)), 0);
    const char *end = strchr(o.out, '\n');
    assert_non_null(end);
    const char *found = strstr(o.out, reason);
    if (!found || found > end)
        fail_msg("no '%s' in the first line of:\n%s", reason, o.out);
    expect(end, "--device auto takes this one"); /* another does */
    run_rstream(&o, scratch.path, "train --device cuda --data %s --out %s --image-size 75 --batch-size 8",
                in(scratch.path, "set"), in(scratch.path, "none"));
    if (o.exit_code != 3)
        fail_msg("exit code %d: %s%s", o.exit_code, o.out, o.err);
    expect(o.err, reason);
    assert_int_equal(strncmp(o.err, "rstream train: ", 15), 0);
}

static void test_without_plugin(void **unused)
{
    (void)unused;
    setenv(PLUGIN, in(scratch.path, "nowhere.so"), 1);
    expect_reason("nowhere.so, which isn't there");
    run_rstream(&o, scratch.path, "train --data %s --out %s --image-size 75 --batch-size 4 --max-steps 1",
                in(scratch.path, "set"), in(scratch.path, "auto"));
    if (o.exit_code != 0)
        fail_msg("%s", o.err);
    expect(o.out, "device   c");
    expect(o.out, "\n         cuda can't be used: " PLUGIN " names ");
    run_rstream(&o, scratch.path, "eval --data %s --weights %s", in(scratch.path, "set"),
                in(scratch.path, "auto/last.safetensors"));
    assert_int_equal(o.exit_code, 0);
    expect(o.err, "rstream: computing on c");
    expect(o.err, ": cuda can't be used: " PLUGIN " names ");
    run_rstream(&o, scratch.path, "devices");
    unsetenv(PLUGIN);
}

static void test_broken_plugins(void **unused)
{
    (void)unused;
    FILE *file = fopen(in(scratch.path, "text.so"), "w");
    assert_non_null(file);
    fputs("no library", file);
    fclose(file);
    setenv(PLUGIN, in(scratch.path, "text.so"), 1);
    expect_reason("can't be loaded: ");
    setenv(PLUGIN, FAKE_CUDA, 1);
    expect_reason("is no plugin of rstream: it has no rs_backend_plugin");
    setenv(PLUGIN, OLD_PLUGIN, 1);
    expect_reason("belongs to another rstream");
    unsetenv(PLUGIN);
}

static void test_numbers(void **unused)
{
    (void)unused;
    setenv(PLUGIN, FAKE_PLUGIN, 1);
    run_rstream(&o, scratch.path, "devices");
    assert_int_equal(o.exit_code, 0);
    expect(o.out, "cuda:0 can't be used: the test refuses number 0\n"
                  "cuda:1 a made-up GPU, number 1\n      library a library, memory 3.0 GiB, precisions fp32; "
                  "--device auto takes this one\n");
    assert_null(strstr(strstr(o.out, "takes this one") + 1, "takes this one"));
    run_rstream(&o, scratch.path, "bench train --device cuda --steps 1");
    assert_int_equal(o.exit_code, 3);
    expect(o.err, "the test refuses number 0");
    run_rstream(&o, scratch.path, "bench train --device cuda:1 --steps 1");
    assert_int_equal(o.exit_code, 3);
    expect(o.err, "the test opens no number 1");
    run_rstream(&o, scratch.path, "bench train --device auto --steps 1"); /* the first that can be used */
    assert_int_equal(o.exit_code, 3);
    expect(o.err, "the test opens no number 1");
    unsetenv(PLUGIN);
}

/* Beside the executable, then in ../lib/rstream from there. */
static void test_places(void **unused)
{
    (void)unused;
    char line[2048];
    (void)snprintf(line, sizeof line,
                   "cd %s && mkdir -p a/bin a/lib/rstream && cp %s a/bin/rstream && "
                   "a/bin/rstream devices > none.txt; cp %s a/lib/rstream/librstream-cuda.so && "
                   "a/bin/rstream devices > lib.txt; cp %s a/bin/librstream-cuda.so && "
                   "a/bin/rstream devices > beside.txt",
                   scratch.path, RSTREAM_BINARY, FAKE_PLUGIN, OLD_PLUGIN);
    assert_int_equal(system(line), 0);
    o.out[read_bytes(in(scratch.path, "none.txt"), o.out, TEXT_MAX - 1)] = '\0';
    expect(o.out, "cuda  can't be used: there is no librstream-cuda.so beside rstream or in ../lib/rstream");
    o.out[read_bytes(in(scratch.path, "lib.txt"), o.out, TEXT_MAX - 1)] = '\0';
    expect(o.out, "cuda:1 a made-up GPU, number 1\n");
    o.out[read_bytes(in(scratch.path, "beside.txt"), o.out, TEXT_MAX - 1)] = '\0';
    expect(o.out, "a/bin/librstream-cuda.so belongs to another rstream");
}

/* A device that is named doesn't look for a plugin, so nothing is said about a broken one. */
static void test_named_cpu_loads_nothing(void **unused)
{
    (void)unused;
    setenv(PLUGIN, in(scratch.path, "text.so"), 1);
    run_rstream(&o, scratch.path, "bench train --device ref --steps 1 --batch-size 2 --image-size 75");
    unsetenv(PLUGIN);
    if (o.exit_code != 0)
        fail_msg("%s", o.err);
    assert_string_equal(o.err, "");
}

#ifdef REAL_PLUGIN
static void with_driver(const char *init, const char *version, const char *reason)
{
    char folder[4096];
    (void)snprintf(folder, sizeof folder, "%s", FAKE_CUDA);
    *strrchr(folder, '/') = '\0';
    setenv(PLUGIN, REAL_PLUGIN, 1);
    setenv("LD_LIBRARY_PATH", folder, 1);
    setenv("RS_FAKE_CUDA_INIT", init, 1);
    setenv("RS_FAKE_CUDA_VERSION", version, 1);
    expect_reason(reason);
    unsetenv("LD_LIBRARY_PATH");
    unsetenv(PLUGIN);
}

/* A driver and a GPU, and no cuDNN: RSTREAM_CUDNN is the remedy, and is one. */
static void test_no_cudnn(void **unused)
{
    static const char remedy[] =
        "cuDNN 9 was not found: install it, or set RSTREAM_CUDNN to its libcudnn.so.9 (searched: "
        "libcudnn.so.9: cannot open shared object file: No such file or directory";
    (void)unused;
    setenv(PLUGIN, FAKE_GPU_PLUGIN, 1);
    setenv("LD_AUDIT", WITHOUT_CUDNN, 1);
    unsetenv("RSTREAM_CUDNN");
    expect_reason(remedy);
    run_rstream(&o, scratch.path, "train --data %s --out %s --image-size 75 --batch-size 4 --max-steps 1",
                in(scratch.path, "set"), in(scratch.path, "no-cudnn"));
    if (o.exit_code != 0)
        fail_msg("%s", o.err);
    expect(o.out, "\n         cuda can't be used: cuDNN 9 was not found: install it, or set RSTREAM_CUDNN");
    setenv("RSTREAM_CUDNN", scratch.path, 1);
    expect_reason(remedy);
    expect(o.err, "; RSTREAM_CUDNN: ");
    setenv("RSTREAM_CUDNN", FAKE_CUDNN_FOLDER, 1);
    run_rstream(&o, scratch.path, "devices");
    expect(o.out, "cuda  made-up GPU, cuda:0, sm_90\n      library cuDNN 9.12.3, CUDA ");
    setenv("RSTREAM_CUDNN", FAKE_CUDNN_FOLDER "/libcudnn.so.9", 1);
    run_rstream(&o, scratch.path, "devices");
    expect(o.out, "cuda  made-up GPU, cuda:0, sm_90\n      library cuDNN 9.12.3, CUDA ");
    unsetenv("RSTREAM_CUDNN");
    unsetenv("LD_AUDIT");
    unsetenv(PLUGIN);
}

static void test_drivers(void **unused)
{
    (void)unused;
    with_driver("100", "13000", "the NVIDIA driver is there but shows no GPU");
    with_driver("34", "13000", "libcuda.so.1 is the CUDA toolkit's stub and not a driver");
    with_driver("0", "12040", "the NVIDIA driver supports CUDA 12.4 at most and this build needs 13.0");
    with_driver("999", "13000", "CUDA failed with code 999");
}

static void test_no_driver(void **unused)
{
    (void)unused;
    void *driver = dlopen("libcuda.so.1", RTLD_LAZY);
    if (driver) {
        print_message("a driver is installed here: its absence isn't tested\n");
        dlclose(driver);
        skip();
    }
    setenv(PLUGIN, REAL_PLUGIN, 1);
    expect_reason("there is no NVIDIA driver: install one that supports CUDA ");
    unsetenv(PLUGIN);
}
#endif

static int set_up(void **unused)
{
    (void)unused;
    unsetenv(PLUGIN);
    if (rs__scratch_create(&scratch, NULL) != 0)
        return -1;
    run_rstream(&o, scratch.path, "synth %s --train 10 --test 10", in(scratch.path, "set"));
    return o.exit_code;
}

static int tear_down(void **unused)
{
    (void)unused;
    rs__scratch_remove(&scratch);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_plugin),
        cmocka_unit_test(test_broken_plugins),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_named_cpu_loads_nothing),
#ifdef REAL_PLUGIN
        cmocka_unit_test(test_drivers),
        cmocka_unit_test(test_no_driver),
        cmocka_unit_test(test_no_cudnn),
#endif
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
