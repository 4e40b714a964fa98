/* fake_stream_plugin.c: a plugin with a device that runs by itself: the stages' fake_stream under CUDA's
 * name.
 *
 * How it works: RS_FAKE_FAIL, where it is set, is the number of a plan's upload that fails, from 1. Each plan
 * tells on stderr what a sample takes. @thread any.
 */
#include "fake_backend.h"
#include "plugin.h"

#include <stdio.h>
#include <stdlib.h>

#define LATENCY 6u /* so that results are late */

static struct fake_script script = {.latency = LATENCY};

static int compile_and_tell(struct rs_device *device, const struct rs_graph *graph,
                            const struct rs_plan_options *options, struct rs_plan **out, struct rs_error *err)
{
    int code = fake_stream.compile(device, graph, options, out, err);
    (void)fprintf(stderr, "a plan for %zu bytes a sample\n", script.sample_bytes);
    return code;
}

const struct rs_backend *rs_backend_plugin(uint32_t version)
{
    static struct rs_backend backend;
    const char *fail = getenv("RS_FAKE_FAIL");
    if (fail) {
        script.fail = FAKE_UPLOAD;
        script.fail_at = (uint32_t)strtoul(fail, NULL, 10);
    }
    fake_set_script(&script);
    backend = fake_stream;
    backend.name = "cuda";
    backend.compile = compile_and_tell;
    return version == RS_PLUGIN_VERSION ? &backend : NULL;
}
