/* test_cuda_plugin.c: the shared library as rstream meets it: found by its entry, of the right version, with
 * a reason where it can't be used. */
#include "plugin.h"
#include "stream.h"
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const struct rs_backend *open_plugin(void **library)
{
    rs_backend_plugin_fn entry;
    *library = dlopen(RS_CUDA_PLUGIN, RTLD_NOW | RTLD_LOCAL);
    if (!*library)
        fail_msg("%s", dlerror());
    void *symbol = dlsym(*library, RS_PLUGIN_ENTRY);
    assert_non_null(symbol);
    memcpy(&entry, &symbol, sizeof(entry));
    assert_null(entry(RS_PLUGIN_VERSION + 1));
    const struct rs_backend *backend = entry(RS_PLUGIN_VERSION);
    assert_non_null(backend);
    return backend;
}

static void test_entry(void **state)
{
    void *library;
    const struct rs_backend *backend = open_plugin(&library);
    (void)state;
    assert_string_equal(backend->name, "cuda");
    assert_non_null(backend->stream);
    assert_in_range(backend->stream->slots, 2, 8);
    assert_null(dlsym(library, "rs_error_set")); /* nothing else shows */
    assert_null(dlsym(library, "rs_backend_cuda"));
}

/* With a GPU the probe describes it; without one both probe and open say why. */
static void test_probe(void **state)
{
    void *library;
    const struct rs_backend *backend = open_plugin(&library);
    struct rs_device_info info;
    struct rs_device *device;
    struct rs_error err = {0};
    (void)state;
    const int code = backend->probe(0, &info, &err);
    if (code == 0) {
        print_message("%s; %s; %s\n", info.name, info.library, info.precisions);
        assert_non_null(strstr(info.library, "cuDNN"));
        assert_true(info.memory_bytes > 0);
        assert_int_equal(backend->open(&device, &(struct rs_device_options){.threads = 1}, &err), 0);
        backend->close(device);
        return;
    }
    print_message("%s\n", err.message);
    assert_int_equal(code, RS_E_DEVICE);
    assert_true(strlen(err.message) > 40);
    err.message[0] = 0;
    assert_int_equal(backend->open(&device, &(struct rs_device_options){.threads = 1}, &err), RS_E_DEVICE);
    assert_true(strlen(err.message) > 40);
    assert_null(device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_entry), cmocka_unit_test(test_probe)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
