/* cudnn_api.c: see cudnn_api.h. @thread any. */
#include "cudnn_api.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char LIBRARY[] = "libcudnn.so.9";

/* The library, or NULL with the loader's words for each place in reasons. */
static void *open_library(char *reasons, size_t size)
{
    const char *hint = getenv("RSTREAM_CUDNN");
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (library)
        return library;
    snprintf(reasons, size, "%s", dlerror());
    if (!hint || !*hint)
        return NULL;
    char path[1024];
    const size_t used = strlen(reasons);
    library = dlopen(hint, RTLD_NOW | RTLD_LOCAL);
    if (!library && snprintf(path, sizeof(path), "%s/%s", hint, LIBRARY) < (int)sizeof(path))
        library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        snprintf(reasons + used, size - used, "; RSTREAM_CUDNN: %s", dlerror());
    return library;
}

/* The name of the first function that isn't there, or NULL. */
static const char *find_functions(struct rs__cudnn_api *api)
{
    const struct {
        const char *name;
        void *place; /* of a function pointer */
    } wanted[] = {
        {"cudnnGetVersion", &api->get_version},
        {"cudnnGetErrorString", &api->error_string},
        {"cudnnGetLastErrorString", &api->last_error},
        {"cudnnCreate", &api->create},
        {"cudnnDestroy", &api->destroy},
        {"cudnnSetStream", &api->set_stream},
        {"cudnnBackendCreateDescriptor", &api->descriptor_create},
        {"cudnnBackendDestroyDescriptor", &api->descriptor_destroy},
        {"cudnnBackendFinalize", &api->finalize},
        {"cudnnBackendSetAttribute", &api->set},
        {"cudnnBackendGetAttribute", &api->get},
        {"cudnnBackendExecute", &api->execute},
    };
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        void *function = dlsym(api->library, wanted[i].name);
        if (!function)
            return wanted[i].name;
        memcpy(wanted[i].place, &function, sizeof(function)); /* POSIX: they have one representation */
    }
    return NULL;
}

int rs__cudnn_open(struct rs__cudnn_api *api, struct rs_error *err)
{
    char reasons[400] = "";
    memset(api, 0, sizeof(*api));
    api->library = open_library(reasons, sizeof(reasons));
    if (!api->library)
        return rs_error_set(
            err, RS_E_DEVICE,
            "cuDNN 9 was not found: install it, or set RSTREAM_CUDNN to its %s (searched: %s)", LIBRARY,
            reasons);
    const char *missing = find_functions(api);
    if (missing) {
        rs__cudnn_close(api);
        return rs_error_set(err, RS_E_DEVICE, "%s has no %s: install cuDNN 9.0 or newer", LIBRARY, missing);
    }
    api->version = api->get_version();
    if (api->version < 90000) {
        const size_t version = api->version;
        rs__cudnn_close(api);
        return rs_error_set(err, RS_E_UNSUPPORTED, "%s is version %zu: install cuDNN 9.0 or newer", LIBRARY,
                            version);
    }
    return 0;
}

void rs__cudnn_close(struct rs__cudnn_api *api)
{
    if (api->library)
        dlclose(api->library);
    api->library = NULL;
}

int rs__cudnn_check(const struct rs__cudnn_api *api, cudnnStatus_t status, const char *what,
                    struct rs_error *err)
{
    char words[256] = "";
    if (status == CUDNN_STATUS_SUCCESS)
        return 0;
    api->last_error(words, sizeof(words));
    words[strcspn(words, "\n")] = 0;
    return rs_error_set(err, RS_E_BACKEND, "cuDNN %zu: %s: %s (%d) %s", api->version, what,
                        api->error_string(status), (int)status, words);
}
