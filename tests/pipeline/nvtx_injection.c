/* nvtx_injection.c: a tool for NVTX, as nsys is one, that writes what it is told to a file.
 *
 * How it works: NVTX opens the library that NVTX_INJECTION64_PATH names at the program's first NVTX call, and
 * calls its InitializeInjectionNvtx2, which puts the functions below into NVTX's tables. Each call becomes a
 * line of words separated by tabs in the file that RS_NVTX_LOG names, closed when the program ends:
 *     domain  ID NAME              destroy DOMAIN
 *     string  ID DOMAIN TEXT       thread  TID NAME
 *     push    TID DOMAIN STRING PAYLOAD        pop  TID DOMAIN
 *     start   ID DOMAIN TEXT                   end  ID DOMAIN
 * A push whose message isn't registered has STRING 0, one whose payload isn't an uint64 has PAYLOAD -.
 *
 * @thread any: stdio's lock keeps lines whole.
 */
#include <nvtx3/nvToolsExt.h>

#include <inttypes.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#define IDS_MAX 4096

/* What NVTX looks for in the library; its headers declare no prototype. */
__attribute__((visibility("default"))) int InitializeInjectionNvtx2(NvtxGetExportTableFunc_t get_table);

static FILE *log_file;       /* set before NVTX makes the first call */
static atomic_uintptr_t ids; /* relaxed: nothing but distinct numbers */
/* A handle is the address of its number's byte; no byte is ever used. */
static char handles[IDS_MAX];

static uintptr_t next_id(void)
{
    return atomic_fetch_add_explicit(&ids, 1, memory_order_relaxed) + 1;
}

static uintptr_t number_of(const void *handle)
{
    return (uintptr_t)handle - (uintptr_t)handles;
}

static long own_tid(void)
{
    return syscall(SYS_gettid);
}

static nvtxDomainHandle_t domain_create(const char *name)
{
    uintptr_t id = next_id();
    fprintf(log_file, "domain\t%" PRIuPTR "\t%s\n", id, name);
    return (void *)&handles[id % IDS_MAX];
}

static void domain_destroy(nvtxDomainHandle_t domain)
{
    fprintf(log_file, "destroy\t%" PRIuPTR "\n", number_of(domain));
}

static nvtxStringHandle_t register_string(nvtxDomainHandle_t domain, const char *text)
{
    uintptr_t id = next_id();
    fprintf(log_file, "string\t%" PRIuPTR "\t%" PRIuPTR "\t%s\n", id, number_of(domain), text);
    return (void *)&handles[id % IDS_MAX];
}

static int range_push(nvtxDomainHandle_t domain, const nvtxEventAttributes_t *a)
{
    uintptr_t string = a->messageType == NVTX_MESSAGE_TYPE_REGISTERED ? number_of(a->message.registered) : 0;
    char payload[24] = "-";
    if (a->payloadType == NVTX_PAYLOAD_TYPE_UNSIGNED_INT64)
        snprintf(payload, sizeof payload, "%" PRIu64, a->payload.ullValue);
    fprintf(log_file, "push\t%ld\t%" PRIuPTR "\t%" PRIuPTR "\t%s\n", own_tid(), number_of(domain), string,
            payload);
    return 0;
}

static int range_pop(nvtxDomainHandle_t domain)
{
    fprintf(log_file, "pop\t%ld\t%" PRIuPTR "\n", own_tid(), number_of(domain));
    return 0;
}

static nvtxRangeId_t range_start(nvtxDomainHandle_t domain, const nvtxEventAttributes_t *a)
{
    uintptr_t id = next_id();
    fprintf(log_file, "start\t%" PRIuPTR "\t%" PRIuPTR "\t%s\n", id, number_of(domain),
            a->messageType == NVTX_MESSAGE_TYPE_ASCII ? a->message.ascii : "");
    return id;
}

static void range_end(nvtxDomainHandle_t domain, nvtxRangeId_t id)
{
    fprintf(log_file, "end\t%" PRIu64 "\t%" PRIuPTR "\n", id, number_of(domain));
}

static void name_thread(uint32_t tid, const char *name)
{
    fprintf(log_file, "thread\t%" PRIu32 "\t%s\n", tid, name);
}

__attribute__((destructor)) static void close_log(void)
{
    if (log_file)
        fclose(log_file);
}

/* Sets entry number id of a table of count entries; NVTX may leave entries out. */
static void hook(NvtxFunctionTable table, unsigned count, unsigned id, NvtxFunctionPointer function)
{
    if (id < count && table[id])
        *table[id] = function;
}

/* NVTX stores functions of many types as one, and casts each back. */
#define HOOK(table, count, id, function) hook(table, count, id, (NvtxFunctionPointer)(function))

int InitializeInjectionNvtx2(NvtxGetExportTableFunc_t get_table)
{
    const NvtxExportTableCallbacks *callbacks = get_table(NVTX_ETID_CALLBACKS);
    const char *path = getenv("RS_NVTX_LOG");
    NvtxFunctionTable core, core2;
    unsigned core_count, core2_count;
    if (!callbacks || !path)
        return 0;
    if (!callbacks->GetModuleFunctionTable(NVTX_CB_MODULE_CORE, &core, &core_count) ||
        !callbacks->GetModuleFunctionTable(NVTX_CB_MODULE_CORE2, &core2, &core2_count))
        return 0;
    log_file = fopen(path, "we");
    if (!log_file)
        return 0;
    HOOK(core, core_count, NVTX_CBID_CORE_NameOsThreadA, name_thread);
    HOOK(core2, core2_count, NVTX_CBID_CORE2_DomainCreateA, domain_create);
    HOOK(core2, core2_count, NVTX_CBID_CORE2_DomainDestroy, domain_destroy);
    HOOK(core2, core2_count, NVTX_CBID_CORE2_DomainRegisterStringA, register_string);
    HOOK(core2, core2_count, NVTX_CBID_CORE2_DomainRangePushEx, range_push);
    HOOK(core2, core2_count, NVTX_CBID_CORE2_DomainRangePop, range_pop);
    HOOK(core2, core2_count, NVTX_CBID_CORE2_DomainRangeStartEx, range_start);
    HOOK(core2, core2_count, NVTX_CBID_CORE2_DomainRangeEnd, range_end);
    return 1;
}
