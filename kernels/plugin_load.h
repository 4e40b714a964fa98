/* plugin_load.h: the backend in a shared library, or the reason why there is none.
 *
 * How it works: the first call opens the library and asks its entry (plugin.h) for the version that this
 * build knows. RSTREAM_CUDA_PLUGIN names the file and is then the only place; else it is looked for beside
 * the executable and in ../lib/rstream from there. dlopen binds all at once (RTLD_NOW), so that a library
 * that lacks something fails here with its name, and keeps its symbols to itself (RTLD_LOCAL). Where there is
 * no library, the answer is a stand-in of the same name, whose probe and open fail with the reason: above, a
 * missing library is one more device that can't be used.
 *
 * Owner: the process, for good: CUDA has handlers that run at exit, and cuDNN threads, so the library is
 * never closed. It and the reason are mutable state outside any object, on purpose and written once
 * (pthread_once): a table of backends has no context to keep it in, and a process has a library once, however
 * often it is asked for. @thread any.
 */
#ifndef RS_PLUGIN_LOAD_H
#define RS_PLUGIN_LOAD_H

#include "backend.h"

/* The backend "cuda", or its stand-in; never NULL. */
const struct rs_backend *rs__plugin_cuda(void);

#endif
