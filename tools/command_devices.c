/* command_devices.c: rstream devices. */
#include "backend.h"
#include "commands.h"

/* One device of a backend, or why it can't be used. Returns whether it can. */
static bool list_device(const struct rs_backend *backend, uint32_t ordinal, bool first, uint32_t *count)
{
    char name[24];
    struct rs_device_info info = {0};
    struct rs_error why = {0};
    const int code = backend->probe(ordinal, &info, &why);
    *count = info.count;
    (void)snprintf(name, sizeof name, info.count > 1 ? "%s:%u" : "%s", backend->name, ordinal);
    if (code < 0) {
        (void)printf("%-5s can't be used: %s\n", name, why.message);
        return false;
    }
    (void)printf("%-5s %s\n      library %s, memory %.1f GiB, precisions %s%s\n", name, info.name,
                 info.library, (double)info.memory_bytes / (double)(UINT64_C(1) << 30), info.precisions,
                 first ? "; --device auto takes this one" : "");
    return true;
}

int rs_command_devices(const struct rs_config *config, struct rs_error *err)
{
    (void)config;
    bool usable = false;
    const struct rs_backend *backend = NULL;
    for (uint32_t i = 0; (backend = rs_backend_at(i)); i++) {
        uint32_t count = 1;
        for (uint32_t ordinal = 0; ordinal == 0 || ordinal < count; ordinal++)
            if (list_device(backend, ordinal, !usable, &count))
                usable = true;
    }
    return usable ? RS_OK : rs_error_set(err, RS_E_DEVICE, "no device can be used on this machine");
}
