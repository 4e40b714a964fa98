/* fake_cudnn.c: a libcudnn.so.9 that has a version and the functions that the plugin looks for; none of them
 * works. RSTREAM_CUDNN finds it.
 *
 * @thread any.
 */
#include <stddef.h>

size_t cudnnGetVersion(void);

size_t cudnnGetVersion(void)
{
    return 91203; /* 9.12.3 */
}

#define FAILS(name)                                                                                          \
    int name(void);                                                                                          \
    int name(void)                                                                                           \
    {                                                                                                        \
        return 1; /* CUDNN_STATUS of some kind */                                                            \
    }

FAILS(cudnnGetErrorString)
FAILS(cudnnGetLastErrorString)
FAILS(cudnnCreate)
FAILS(cudnnDestroy)
FAILS(cudnnSetStream)
FAILS(cudnnBackendCreateDescriptor)
FAILS(cudnnBackendDestroyDescriptor)
FAILS(cudnnBackendFinalize)
FAILS(cudnnBackendSetAttribute)
FAILS(cudnnBackendGetAttribute)
FAILS(cudnnBackendExecute)
