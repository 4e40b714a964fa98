/* command_devices.c: rstream devices. */
#include "backend.h"
#include "commands.h"

int rs_command_devices(const struct rs_config *config, struct rs_error *err)
{
    (void)config;
    uint32_t usable = 0;
    const struct rs_backend *backend = NULL;
    for (uint32_t i = 0; (backend = rs_backend_at(i)); i++) {
        struct rs_device_info info = {0};
        struct rs_error why = {0};
        if (backend->probe(&info, &why) < 0) {
            (void)printf("%-5s can't be used: %s\n", backend->name, why.message);
            continue;
        }
        (void)printf("%-5s %s\n      library %s, memory %.1f GiB, precisions %s%s\n", backend->name,
                     info.name, info.library, (double)info.memory_bytes / (double)(UINT64_C(1) << 30),
                     info.precisions, usable == 0 ? "; --device auto takes this one" : "");
        usable++;
    }
    return usable ? RS_OK : rs_error_set(err, RS_E_DEVICE, "no device can be used on this machine");
}
