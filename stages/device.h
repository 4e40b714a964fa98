/* device.h: the backend and device that a run computes on, by name.
 * Owner: the caller closes it. @thread main. */
#ifndef RS_DEVICE_H
#define RS_DEVICE_H

#include "backend.h"

struct rs_chosen_device {
    const struct rs_backend *backend;
    struct rs_device *device;
    struct rs_device_info info;
    uint32_t threads;
    bool computes_on_cpu; /* the step needs the same cores as the workers */
};

/* backend NULL: found by name. name: "auto" (the first backend that can be used), "cpu", "ref". threads: 0:
 * all cores. Errors: RS_E_USAGE (no such device), RS_E_DEVICE with the reason. */
int rs_chosen_device_open(struct rs_chosen_device *out, const struct rs_backend *backend, const char *name,
                          uint32_t threads, struct rs_error *err);
void rs_chosen_device_close(struct rs_chosen_device *device); /* of a zeroed one: nothing */

#endif
