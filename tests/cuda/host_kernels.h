/* host_kernels.h: the kernels of kernels/cuda/kernels.h run on the CPU, thread by thread, phase by phase,
 * from the same bodies.
 *
 * How it works: rs_host_K(args) does what rs__launch_K enqueues. Shared memory is filled with NaN before a
 * block, so a body that reads what no thread wrote shows.
 *
 * @thread any.
 */
#ifndef RS_TEST_HOST_KERNELS_H
#define RS_TEST_HOST_KERNELS_H

#include "kernels.h"

#define RS_HOST_KERNEL(name) void rs_host_##name(const struct rs__##name *args);
RS__KERNELS(RS_HOST_KERNEL, RS_HOST_KERNEL)
#undef RS_HOST_KERNEL

#endif
