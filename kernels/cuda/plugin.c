/* plugin.c: what librstream-cuda.so exports. @thread any. */
#include "plugin.h"

#include "cuda_backend.h"

const struct rs_backend *rs_backend_plugin(uint32_t version)
{
    return version == RS_PLUGIN_VERSION ? &rs_backend_cuda : NULL;
}
