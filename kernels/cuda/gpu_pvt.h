/* gpu_pvt.h: an open device, for the files that call CUDA and cuDNN; private to this folder.
 *
 * Owner: gpu.c. @thread one at a time.
 */
#ifndef RS_CUDA_GPU_PVT_H
#define RS_CUDA_GPU_PVT_H

#include "choices.h"
#include "cudnn_graph_pvt.h"
#include "gpu.h"
#include <cuda_runtime_api.h>

struct rs__gpu {
    int ordinal;
    struct cudaDeviceProp properties;
    cudaStream_t streams[2]; /* by enum rs__queue */
    struct rs__cudnn_api cudnn;
    struct rs__planner planner;
    struct rs__choice_cache choices;
    struct rs__cupti *cupti; /* NULL: nothing is recorded */
};

/* RS_E_BACKEND (RS_E_NOMEM where memory is out) with what was tried; 0 for success without touching err. */
int rs__cuda_check(cudaError_t code, const char *what, struct rs_error *err);

/* graph.c: takes the nodes out that zero a part of counters for the only time, and zeroes all of it before
 * the graph's first nodes. */
int rs__graph_clear_once(cudaGraph_t graph, void *counters, size_t bytes, struct rs_error *err);

#endif
