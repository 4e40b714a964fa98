/* launch.cu: the kernels of kernels.h for the device, and their launchers.
 *
 * How it works: a kernel is its phases with a barrier between, once for each element type; a launcher asks
 * the body for its grid and enqueues. Everything that computes is in the body_ headers.
 *
 * @thread the plan's.
 */
#include "kernels.h"

extern "C" {
#include "gpu_pvt.h"
}

#define RS__THREADS_MAX 512 /* of any kernel's block */

namespace
{

__device__ __forceinline__ rs__place here(const rs__grid *grid)
{
    rs__place place;
    place.block_x = blockIdx.x;
    place.block_y = blockIdx.y;
    place.thread = threadIdx.x;
    place.grid = grid;
    return place;
}

} // namespace

#define RS__LAUNCH(name)                                                                                     \
    extern "C" int rs__launch_##name(struct rs__gpu *gpu, const struct rs__##name *args,                     \
                                     struct rs_error *err)                                                   \
    {                                                                                                        \
        const rs__grid grid = rs__##name##_grid(args);                                                       \
        const dim3 blocks(grid.blocks_x, grid.blocks_y);                                                     \
        const cudaStream_t stream = gpu->streams[RS__QUEUE_COMPUTE];                                         \
        if (args->bf16)                                                                                      \
            name##_kernel<1><<<blocks, grid.threads, grid.shared, stream>>>(*args, grid);                    \
        else                                                                                                 \
            name##_kernel<0><<<blocks, grid.threads, grid.shared, stream>>>(*args, grid);                    \
        return rs__cuda_check(cudaGetLastError(), "kernel " #name, err);                                     \
    }

#define RS__ONE_PHASE(name)                                                                                  \
    template <int bf16>                                                                                      \
    static __global__ void __launch_bounds__(RS__THREADS_MAX)                                                \
        name##_kernel(const rs__##name args, const rs__grid grid)                                            \
    {                                                                                                        \
        rs__##name##_0(&args, bf16, here(&grid), nullptr);                                                   \
    }                                                                                                        \
    RS__LAUNCH(name)

#define RS__TWO_PHASES(name)                                                                                 \
    template <int bf16>                                                                                      \
    static __global__ void __launch_bounds__(RS__THREADS_MAX)                                                \
        name##_kernel(const rs__##name args, const rs__grid grid)                                            \
    {                                                                                                        \
        extern __shared__ __align__(16) float shared[];                                                      \
        rs__##name##_0(&args, bf16, here(&grid), shared);                                                    \
        __syncthreads();                                                                                     \
        rs__##name##_1(&args, bf16, here(&grid), shared);                                                    \
    }                                                                                                        \
    RS__LAUNCH(name)

RS__KERNELS(RS__ONE_PHASE, RS__TWO_PHASES)
