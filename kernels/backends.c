/* backends.c: the table of backends, best first.
 *
 * How it works: a new backend is a folder, an include and a line here. RS_HAVE_ says what this build has;
 * only this file asks.
 * @thread any.
 */
#include "backend.h"

#ifdef RS_HAVE_CPU
#include "cpu.h"
#endif
#include "ref.h"
#include <string.h>

static const struct rs_backend *const backends[] = {
#ifdef RS_HAVE_CPU
    &rs_backend_cpu,
#endif
    &rs_backend_ref,
};

const struct rs_backend *rs_backend_at(uint32_t i)
{
    return i < sizeof(backends) / sizeof(backends[0]) ? backends[i] : NULL;
}

const struct rs_backend *rs_backend_find(const char *name)
{
    for (uint32_t i = 0; rs_backend_at(i); i++)
        if (strcmp(rs_backend_at(i)->name, name) == 0)
            return rs_backend_at(i);
    return NULL;
}
