/* backends.c: the table of backends, best first.
 *
 * How it works: a new backend is a folder, an include and a line here. RS_HAVE_ says what this build has;
 * only this file asks. A backend in a plugin is loaded when it is asked for, by its name or by its place, so
 * that --device cpu opens no library.
 * @thread any.
 */
#include "backend.h"

#ifdef RS_HAVE_CPU
#include "cpu.h"
#endif
#include "plugin_load.h"
#include "ref.h"
#include <string.h>

static const struct {
    const char *name;
    const struct rs_backend *built_in;
    const struct rs_backend *(*load)(void); /* where it isn't */
} backends[] = {
    {"cuda", NULL, rs__plugin_cuda},
#ifdef RS_HAVE_CPU
    {"cpu", &rs_backend_cpu, NULL},
#endif
    {"ref", &rs_backend_ref, NULL},
};

#define BACKENDS (sizeof(backends) / sizeof(backends[0]))

const struct rs_backend *rs_backend_at(uint32_t i)
{
    if (i >= BACKENDS)
        return NULL;
    return backends[i].built_in ? backends[i].built_in : backends[i].load();
}

const struct rs_backend *rs_backend_find(const char *name)
{
    for (uint32_t i = 0; i < BACKENDS; i++)
        if (strcmp(backends[i].name, name) == 0)
            return rs_backend_at(i);
    return NULL;
}
