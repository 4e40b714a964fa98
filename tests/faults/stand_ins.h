/* stand_ins.h: a small network in place of the default one, and a device of the test's.
 *
 * How it works: the program is linked with --wrap for rs_resnet_build and rs_backend_find, so that whole runs
 * and commands, which know only the default network and the built-in devices, take milliseconds.
 *
 * @thread main, between runs.
 */
#ifndef RS_TEST_STAND_INS_H
#define RS_TEST_STAND_INS_H

#include "backend.h"

/* Whether rs_resnet_build builds the small network (as at the start) or the default one. */
void stand_in_network(bool small);
/* The device that --device cuda names; NULL, as at the start: whatever the build has. */
void stand_in_device(const struct rs_backend *backend);

#endif
