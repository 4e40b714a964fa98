/* nvtx.c: see nvtx_pvt.h. The only file that knows NVTX. */
#include "nvtx_pvt.h"

#ifdef RS_HAVE_NVTX
#include <nvtx3/nvToolsExt.h>
#include <sys/syscall.h>
#include <unistd.h>

void *rs__nvtx_domain_create(const char *name)
{
    return nvtxDomainCreateA(name);
}

void rs__nvtx_domain_destroy(void *domain)
{
    nvtxDomainDestroy(domain);
}

void *rs__nvtx_register(void *domain, const char *text)
{
    return nvtxDomainRegisterStringA(domain, text);
}

static nvtxEventAttributes_t attributes(uint64_t payload)
{
    nvtxEventAttributes_t a = {0};
    a.version = NVTX_VERSION;
    a.size = NVTX_EVENT_ATTRIB_STRUCT_SIZE;
    a.payloadType = NVTX_PAYLOAD_TYPE_UNSIGNED_INT64;
    a.payload.ullValue = payload;
    return a;
}

void rs__nvtx_push(void *domain, void *registered, uint64_t payload)
{
    nvtxEventAttributes_t a = attributes(payload);
    a.messageType = NVTX_MESSAGE_TYPE_REGISTERED;
    a.message.registered = registered;
    nvtxDomainRangePushEx(domain, &a);
}

void rs__nvtx_pop(void *domain)
{
    nvtxDomainRangePop(domain);
}

uint64_t rs__nvtx_start(void *domain, const char *text)
{
    nvtxEventAttributes_t a = attributes(0);
    a.payloadType = NVTX_PAYLOAD_UNKNOWN;
    a.messageType = NVTX_MESSAGE_TYPE_ASCII;
    a.message.ascii = text;
    return nvtxDomainRangeStartEx(domain, &a);
}

void rs__nvtx_stop(void *domain, uint64_t range)
{
    nvtxDomainRangeEnd(domain, range);
}

void rs__nvtx_name_thread(const char *name)
{
    nvtxNameOsThreadA((uint32_t)syscall(SYS_gettid), name);
}
#else
void *rs__nvtx_domain_create(const char *name)
{
    (void)name;
    return 0;
}

void rs__nvtx_domain_destroy(void *domain)
{
    (void)domain;
}

void *rs__nvtx_register(void *domain, const char *text)
{
    (void)domain;
    (void)text;
    return 0;
}

void rs__nvtx_push(void *domain, void *registered, uint64_t payload)
{
    (void)domain;
    (void)registered;
    (void)payload;
}

void rs__nvtx_pop(void *domain)
{
    (void)domain;
}

uint64_t rs__nvtx_start(void *domain, const char *text)
{
    (void)domain;
    (void)text;
    return 0;
}

void rs__nvtx_stop(void *domain, uint64_t range)
{
    (void)domain;
    (void)range;
}

void rs__nvtx_name_thread(const char *name)
{
    (void)name;
}
#endif
