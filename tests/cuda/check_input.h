/* check_input.h: what a device must show of its input and its records, for cuda_check and for the tests'
 * device.
 * @thread one. */
#ifndef RS_TEST_CHECK_INPUT_H
#define RS_TEST_CHECK_INPUT_H

#include "backend.h"

/* Training on pixels of this form against training on the tensors that kernels/image makes of them: the same
 * losses, bit for bit. Errors: RS_E_BACKEND with the step that differs; the backend's. */
int rs_check_pixels(const struct rs_backend *backend, struct rs_device *device, enum rs_precision precision,
                    const struct rs_pixel_format *format, struct rs_error *err);
/* Streamed steps with records: each upload has a copy, each step a kernel, at times within the run. Errors:
 * RS_E_UNSUPPORTED with the reason why there are no records; RS_E_BACKEND with what is missing. */
int rs_check_records(const struct rs_backend *backend, struct rs_device *device, struct rs_error *err);

#endif
