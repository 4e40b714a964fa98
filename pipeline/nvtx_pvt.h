/* nvtx_pvt.h: the few NVTX calls that spans.c makes, or nothing where the headers are missing.
 * @thread any. */
#ifndef RS_NVTX_PVT_H
#define RS_NVTX_PVT_H

#include <stdint.h>

/* NULL without NVTX. */
void *rs__nvtx_domain_create(const char *name);
void rs__nvtx_domain_destroy(void *domain);
void *rs__nvtx_register(void *domain, const char *text);
void rs__nvtx_push(void *domain, void *registered, uint64_t payload);
void rs__nvtx_pop(void *domain);
uint64_t rs__nvtx_start(void *domain, const char *text);
void rs__nvtx_stop(void *domain, uint64_t range);
void rs__nvtx_name_thread(const char *name); /* the calling one */

#endif
