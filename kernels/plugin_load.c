/* plugin_load.c: see plugin_load.h. @thread any. */
#include "plugin_load.h"

#include "plugin.h"
#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_NAME "librstream-cuda.so"

static struct {
    pthread_once_t once;
    const struct rs_backend *backend;
    struct rs_error reason; /* of the stand-in */
} loaded = {.once = PTHREAD_ONCE_INIT};

static int stand_in_probe(uint32_t ordinal, struct rs_device_info *info, struct rs_error *err)
{
    (void)ordinal;
    memset(info, 0, sizeof(*info));
    return rs_error_set(err, RS_E_DEVICE, "%s", loaded.reason.message);
}

static int stand_in_open(struct rs_device **out, const struct rs_device_options *options,
                         struct rs_error *err)
{
    (void)options;
    *out = NULL;
    return rs_error_set(err, RS_E_DEVICE, "%s", loaded.reason.message);
}

static const struct rs_backend stand_in = {.name = "cuda", .probe = stand_in_probe, .open = stand_in_open};

/* name in the executable's folder; false where the system doesn't tell. */
static bool beside_executable(const char *name, char *path, size_t size)
{
    char self[PATH_MAX];
    const ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (length <= 0)
        return false;
    self[length] = '\0';
    char *slash = strrchr(self, '/');
    if (!slash)
        return false;
    *slash = '\0';
    return (size_t)snprintf(path, size, "%s/%s", self, name) < size;
}

/* The file to open. */
static int find_file(char *path, size_t size, struct rs_error *err)
{
    static const char *const places[] = {FILE_NAME, "../lib/rstream/" FILE_NAME};
    const char *named = getenv("RSTREAM_CUDA_PLUGIN");
    if (named && *named) {
        (void)snprintf(path, size, "%s", named);
        return access(path, F_OK) == 0
                   ? 0
                   : rs_error_set(err, RS_E_DEVICE,
                                  "RSTREAM_CUDA_PLUGIN names %s, which isn't there: name a " FILE_NAME
                                  " or unset it",
                                  named);
    }
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
        if (beside_executable(places[i], path, size) && access(path, F_OK) == 0)
            return 0;
    return rs_error_set(err, RS_E_DEVICE,
                        "there is no " FILE_NAME " beside rstream or in ../lib/rstream: build with a CUDA "
                        "toolkit and cuDNN (cmake --preset cuda), or set RSTREAM_CUDA_PLUGIN to one");
}

/* Asks the library at path for its backend. */
static int open_file(const char *path, const struct rs_backend **out, struct rs_error *err)
{
    rs_backend_plugin_fn entry;
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return rs_error_set(err, RS_E_DEVICE, "the plugin can't be loaded: %s", dlerror());
    void *symbol = dlsym(library, RS_PLUGIN_ENTRY);
    if (!symbol) {
        (void)dlclose(library);
        return rs_error_set(err, RS_E_DEVICE, "%s is no plugin of rstream: it has no " RS_PLUGIN_ENTRY, path);
    }
    memcpy(&entry, &symbol, sizeof(entry)); /* POSIX: they have one representation */
    const struct rs_backend *backend = entry(RS_PLUGIN_VERSION);
    if (!backend) {
        (void)dlclose(library);
        return rs_error_set(err, RS_E_DEVICE,
                            "%s belongs to another rstream: this one needs a plugin of version %u, from the "
                            "same build",
                            path, RS_PLUGIN_VERSION);
    }
    *out = backend;
    return 0;
}

static void load(void)
{
    char path[PATH_MAX + sizeof("/../lib/rstream/" FILE_NAME)];
    loaded.backend = &stand_in;
    if (find_file(path, sizeof(path), &loaded.reason) == 0)
        (void)open_file(path, &loaded.backend, &loaded.reason); /* the reason is what the stand-in says */
}

const struct rs_backend *rs__plugin_cuda(void)
{
    (void)pthread_once(&loaded.once, load); /* fails for no valid control */
    return loaded.backend;
}
