/* fault_plugin.c: a plugin of rstream whose device computes in host memory: the stages' fake_sync under
 * CUDA's name, so that a run takes a fraction of a second and its weights still depend on every byte of every
 * batch.
 * @thread any. */
#include "fake_backend.h"
#include "plugin.h"

static struct fake_script script;

const struct rs_backend *rs_backend_plugin(uint32_t version)
{
    static struct rs_backend backend;
    fake_set_script(&script);
    backend = fake_sync;
    backend.name = "cuda";
    return version == RS_PLUGIN_VERSION ? &backend : NULL;
}
