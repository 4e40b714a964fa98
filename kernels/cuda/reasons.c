/* reasons.c: see reasons.h. @thread any. */
#include "reasons.h"

#include <stdio.h>

enum { STUB_LIBRARY = 34, INSUFFICIENT_DRIVER = 35, NO_DEVICE = 100 }; /* cudaError_t */

void rs__cuda_reason(int code, int driver, int runtime, const char *words, char *text, size_t size)
{
    const int major = runtime / 1000, minor = runtime % 1000 / 10;
    switch (code) {
    case INSUFFICIENT_DRIVER:
        if (driver == 0)
            snprintf(text, size,
                     "there is no NVIDIA driver: install one that supports CUDA %d.%d, or, in a container, "
                     "start it with "
                     "its GPUs (docker run --gpus all)",
                     major, minor);
        else
            snprintf(
                text, size,
                "the NVIDIA driver supports CUDA %d.%d at most and this build needs %d.%d: update the driver",
                driver / 1000, driver % 1000 / 10, major, minor);
        return;
    case STUB_LIBRARY:
        snprintf(text, size,
                 "libcuda.so.1 is the CUDA toolkit's stub and not a driver: take the toolkit's stubs folder "
                 "out of "
                 "LD_LIBRARY_PATH, and install the NVIDIA driver");
        return;
    case NO_DEVICE:
        snprintf(text, size,
                 "the NVIDIA driver is there but shows no GPU: see what nvidia-smi lists and whether "
                 "CUDA_VISIBLE_DEVICES hides it");
        return;
    default:
        snprintf(text, size,
                 "CUDA failed with code %d (%s) when asked for devices: see whether nvidia-smi works", code,
                 words);
    }
}
