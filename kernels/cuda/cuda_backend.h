/* cuda_backend.h: the backend "cuda": cuDNN convolutions and own kernels on an NVIDIA GPU.
 *
 * How it works: see plan.h. The rstream command meets it through plugin.h alone; programs that are built with
 * its objects (checks, tests) may name it.
 *
 * @thread as backend.h says.
 */
#ifndef RS_CUDA_BACKEND_H
#define RS_CUDA_BACKEND_H

#include "backend.h"

extern const struct rs_backend rs_backend_cuda;

#endif
