/* fake_runtime.c: one GPU that isn't there, for a plugin that is otherwise the real one. Its calls of the
 * CUDA runtime that ask what devices there are come here (the linker's --wrap).
 *
 * @thread any.
 */
#include <cuda_runtime_api.h>
#include <stdio.h>
#include <string.h>

/* The linker's names; cudaGetDeviceProperties is a macro where the toolkit has versions of it. */
#define NAME_OF(function) WRAPPED(function)
#define WRAPPED(function) __wrap_##function

cudaError_t NAME_OF(cudaGetDeviceCount)(int *count);
cudaError_t NAME_OF(cudaGetDeviceProperties)(struct cudaDeviceProp *properties, int device);
cudaError_t NAME_OF(cudaDriverGetVersion)(int *version);

cudaError_t NAME_OF(cudaGetDeviceCount)(int *count)
{
    *count = 1;
    return cudaSuccess;
}

cudaError_t NAME_OF(cudaGetDeviceProperties)(struct cudaDeviceProp *properties, int device)
{
    if (device != 0)
        return cudaErrorInvalidDevice;
    memset(properties, 0, sizeof(*properties));
    (void)snprintf(properties->name, sizeof(properties->name), "made-up GPU");
    properties->major = 9;
    properties->totalGlobalMem = (size_t)3 << 30;
    return cudaSuccess;
}

cudaError_t NAME_OF(cudaDriverGetVersion)(int *version)
{
    *version = CUDART_VERSION;
    return cudaSuccess;
}
