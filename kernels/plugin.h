/* plugin.h: how a backend in a shared library is found.
 *
 * How it works: the library exports rs_backend_plugin and nothing else. The caller passes the version it was
 * built for; a plugin of another version answers NULL, and the caller says that the two don't belong
 * together. Raise the version with every change of backend.h, stream.h, graph.h or state.h that changes a
 * struct.
 *
 * Owner: the backend is const and lives as long as the library is loaded. @thread any.
 */
#ifndef RS_PLUGIN_H
#define RS_PLUGIN_H

#include "backend.h"
#include <stdint.h>

#define RS_PLUGIN_VERSION 4u
#define RS_PLUGIN_ENTRY "rs_backend_plugin"

typedef const struct rs_backend *(*rs_backend_plugin_fn)(uint32_t version);

__attribute__((visibility("default"))) const struct rs_backend *rs_backend_plugin(uint32_t version);

#endif
