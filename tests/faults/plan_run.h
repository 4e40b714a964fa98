/* plan_run.h: everything that a backend does for one plan of the small network, from the device's opening to
 * its closing, as a scenario's run. @thread main. */
#ifndef RS_TEST_PLAN_RUN_H
#define RS_TEST_PLAN_RUN_H

#include "backend.h"

struct plan_setup {
    const struct rs_backend *backend;
    enum rs_precision precision;
    struct rs_pixel_format pixels;
    bool eager;
    void (*prepare)(struct rs_device *device); /* NULL, or what to set before the plan is compiled */
};

/* Trains on full and short batches, evaluates, profiles where that is offered, and stores; through the stream
 * as well where there is one. *result: a hash of the trained parameters. */
int plan_run(const struct plan_setup *setup, uint64_t *result, struct rs_error *err);

#endif
