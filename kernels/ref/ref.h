/* ref.h: the backend "ref": plain C, one thread, float32; the oracle that other backends are tested against.
 *
 * How it works: ops.h has the operators, net.h walks a graph with them; ref.c puts that behind the vtable. It
 * computes on the calling thread whatever number of threads its device is opened with, and says so in its
 * device's name.
 *
 * @thread as backend.h says.
 */
#ifndef RS_REF_H
#define RS_REF_H

#include "backend.h"

extern const struct rs_backend rs_backend_ref;

#endif
