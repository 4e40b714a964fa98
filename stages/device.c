/* device.c: finds, probes and opens the backend that a name stands for. */
#include "device.h"

#include "log.h"
#include "planner.h"
#include "stream.h"

#include <stdio.h>
#include <string.h>

/* Any of a backend's devices: its number, or the reason why the first can't be used. */
static int probe_any(const struct rs_backend *backend, uint32_t *ordinal, struct rs_error *err)
{
    struct rs_device_info info;
    const int code = backend->probe(0, &info, err);
    *ordinal = 0;
    if (code == 0)
        return 0;
    for (uint32_t i = 1, count = info.count; i < count; i++) {
        *ordinal = i;
        if (backend->probe(i, &info, NULL) == 0)
            return 0;
    }
    return code;
}

/* --device auto: the best backend that can be used; out notes why the very best can't. */
static int choose(struct rs_chosen_device *out, uint32_t *ordinal, struct rs_error *err)
{
    for (uint32_t i = 0; (out->backend = rs_backend_at(i)); i++) {
        struct rs_error why = {0};
        if (probe_any(out->backend, ordinal, &why) == 0)
            return 0;
        if (!out->passed_over[0])
            (void)snprintf(out->passed_over, sizeof out->passed_over, "%s can't be used: %s",
                           out->backend->name, why.message);
    }
    return rs_error_set(err, RS_E_DEVICE, "no device can be used on this machine; rstream devices says why");
}

static int find(struct rs_chosen_device *out, const char *name, uint32_t *ordinal, struct rs_error *err)
{
    if (strcmp(name, "auto") == 0)
        return choose(out, ordinal, err);
    out->backend = rs_backend_find(name);
    if (!out->backend)
        return rs_error_set(err, RS_E_DEVICE,
                            "this rstream was built without %s; rstream devices lists what it has", name);
    return 0;
}

int rs_chosen_device_open(struct rs_chosen_device *out, const struct rs_backend *backend, const char *name,
                          const struct rs_device_options *options, struct rs_error *err)
{
    struct rs_device_options chosen = *options;
    chosen.threads = chosen.threads ? chosen.threads : rs_planner_cores();
    *out = (struct rs_chosen_device){.backend = backend, .threads = chosen.threads};
    if (!backend)
        RS_TRY(find(out, name, &chosen.ordinal, err));
    RS_TRY(out->backend->probe(chosen.ordinal, &out->info, err));
    out->computes_on_cpu = !out->backend->stream;
    return out->backend->open(&out->device, &chosen, err);
}

void rs_chosen_device_note(const struct rs_chosen_device *d)
{
    if (d->passed_over[0])
        rs_log(RS_LOG_INFO, "computing on %s: %s", d->backend->name, d->passed_over);
}

int rs_chosen_device_eager(const struct rs_chosen_device *d, enum rs_step_graph wish, bool *eager,
                           struct rs_error *err)
{
    *eager = wish == RS_STEP_GRAPH_OFF;
    if (wish == RS_STEP_GRAPH_DEFAULT || d->backend->stream)
        return 0;
    return rs_error_set(err, RS_E_USAGE, "--cuda-graph %s: the device %s has no graphs; leave it out",
                        *eager ? "off" : "on", d->backend->name);
}

void rs_chosen_device_close(struct rs_chosen_device *d)
{
    if (d->device)
        d->backend->close(d->device);
    d->device = NULL;
}
