/* upload.h: the upload stage: brings a batch's tensor and labels to where the device computes.
 *
 * How it works: for a device in host memory it passes the slot on: the step reads the slot, and done() gives
 * it back. For a device with memory of its own (kernels/stream.h) it starts a copy into a free device slot;
 * poll() gives the host slot back when its copy has completed and frees the device slot when the step has
 * read it. Neither waits.
 *
 * Owner: the train stage, on whose thread it runs. A host slot is the upload's from begin until it gives it
 * back.
 * @thread consumer.
 */
#ifndef RS_UPLOAD_H
#define RS_UPLOAD_H

#include "backend.h"
#include "stream.h"
#include "worker_pool.h"

#define RS_DEVICE_SLOTS_MAX 8u

struct rs_upload_options {
    const struct rs_backend *backend;
    struct rs_plan *plan;
    struct rs_pool *slots;
};

struct rs_upload {
    struct rs_upload_options o;
    struct rs_stage_figures figures;
    /* device slots: the host slot that is being copied, and whether a step still needs the copy */
    struct rs_slot *copying[RS_DEVICE_SLOTS_MAX];
    bool in_use[RS_DEVICE_SLOTS_MAX];
    uint32_t next; /* device slot; they are used in turn */
};

void rs_upload_init(struct rs_upload *upload, const struct rs_upload_options *options);
/* Whether a device slot is free, without which begin may not be called; in host memory there always is. */
bool rs_upload_ready(const struct rs_upload *upload);
/* input names what the step reads, *device_slot the device slot (0 in host memory). Errors: the backend's. */
int rs_upload_begin(struct rs_upload *upload, struct rs_slot *slot, struct rs_batch_input *input,
                    uint32_t *device_slot, struct rs_error *err);
/* Host memory: the step is done with slot. With device memory nothing: poll does it. */
void rs_upload_done(struct rs_upload *upload, struct rs_slot *slot);
/* Asks for completed copies and released device slots. RS_AGAIN while any is in use, else 0; or an error. */
int rs_upload_poll(struct rs_upload *upload, struct rs_error *err);

#endif
