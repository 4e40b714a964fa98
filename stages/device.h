/* device.h: the backend and device that a run computes on, by name.
 * Owner: the caller closes it. @thread main. */
#ifndef RS_DEVICE_H
#define RS_DEVICE_H

#include "backend.h"
#include "training.h"

struct rs_chosen_device {
    const struct rs_backend *backend;
    struct rs_device *device;
    struct rs_device_info info;
    uint32_t threads;
    bool computes_on_cpu;  /* the step needs the same cores as the workers */
    char passed_over[600]; /* "cuda can't be used: …" where auto took another; else "" */
};

/* backend NULL: found by name. name: "auto" (the first device that can be used), "cuda", "cpu", "ref".
 * options: threads 0: all cores; ordinal: which device of that name, for auto 0. Errors: RS_E_DEVICE with the
 * reason. */
int rs_chosen_device_open(struct rs_chosen_device *out, const struct rs_backend *backend, const char *name,
                          const struct rs_device_options *options, struct rs_error *err);
/* A line on stderr where auto passed a better device over. */
void rs_chosen_device_note(const struct rs_chosen_device *device);
/* *eager for rs_plan_options. Errors: RS_E_USAGE where a device without graphs is asked for or against them.
 */
int rs_chosen_device_eager(const struct rs_chosen_device *device, enum rs_step_graph wish, bool *eager,
                           struct rs_error *err);
void rs_chosen_device_close(struct rs_chosen_device *device); /* of a zeroed one: nothing */

#endif
