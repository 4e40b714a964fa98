/* host_gpu.h: a device for tests: gpu.h, conv.h and the launchers on the CPU, so that whole plans run without
 * a GPU.
 *
 * How it works: calls are carried out at once; within a capture, kernels and convolutions are noted with
 * copies of their arguments and run at a launch. The wishes below make it slow or failing.
 *
 * Owner: rs_host_wishes is the test's. @thread one.
 */
#ifndef RS_TEST_HOST_GPU_H
#define RS_TEST_HOST_GPU_H

#include "conv.h"
#include <stdint.h>

struct rs_host_wishes {
    uint32_t late;       /* queries of an event that answer RS_AGAIN after each record */
    uint32_t fail_after; /* 0: never; else the number of the call (copies, launches, convolutions) that fails,
                            from 1 */
    int old;             /* 1: a GPU without bf16 and TF32 */
    int forget_causes;   /* 1: records belong to nothing */
    int no_records;      /* 1: traces can't be begun */
    int fail_capture;    /* 1: captures end in an error */
    enum rs__math math;  /* of the convolution made last */
    uint32_t calls;      /* so far */
    uint32_t captures, launches; /* captures ended well; launches of them */
};

extern struct rs_host_wishes rs_host_wishes;

#endif
