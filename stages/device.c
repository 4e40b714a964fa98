/* device.c: finds, probes and opens the backend that a name stands for. */
#include "device.h"

#include "planner.h"

#include <string.h>

static const struct rs_backend *first_usable(struct rs_error *err)
{
    const struct rs_backend *backend;
    struct rs_device_info info;
    for (uint32_t i = 0; (backend = rs_backend_at(i)); i++)
        if (backend->probe(&info, err) == 0)
            return backend;
    return NULL;
}

int rs_chosen_device_open(struct rs_chosen_device *out, const struct rs_backend *backend, const char *name,
                          uint32_t threads, struct rs_error *err)
{
    *out = (struct rs_chosen_device){.backend = backend, .threads = threads ? threads : rs_planner_cores()};
    if (!backend && strcmp(name, "auto") == 0) {
        out->backend = first_usable(err);
        if (!out->backend)
            return RS_E_DEVICE;
    } else if (!backend) {
        out->backend = rs_backend_find(name);
        if (!out->backend)
            return rs_error_set(err, RS_E_USAGE, "there is no device '%s' in this build; see rstream devices",
                                name);
    }
    out->computes_on_cpu = !out->backend->stream;
    RS_TRY(out->backend->probe(&out->info, err));
    return out->backend->open(&out->device, out->threads, err);
}

void rs_chosen_device_close(struct rs_chosen_device *d)
{
    if (d->device)
        d->backend->close(d->device);
    d->device = NULL;
}
