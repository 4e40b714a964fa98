/* fake_cuda.c: a libcuda.so.1 that refuses, for machines without a GPU and with one: put before the real one
 * in LD_LIBRARY_PATH, it makes the CUDA runtime answer as on a machine with another driver.
 *
 * How it works: the runtime finds every function through cuGetProcAddress. cuInit returns the number in
 * RS_FAKE_CUDA_INIT, cuDriverGetVersion tells RS_FAKE_CUDA_VERSION; nothing else of it is reached.
 *
 * @thread any.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int cuInit(unsigned flags);
int cuDriverGetVersion(int *version);
int cuGetProcAddress(const char *symbol, void **function, int version, uint64_t flags);
int cuGetProcAddress_v2(const char *symbol, void **function, int version, uint64_t flags, int *status);

static int number(const char *name)
{
    const char *text = getenv(name);
    return text ? atoi(text) : 999; /* CUDA_ERROR_UNKNOWN */
}

int cuInit(unsigned flags)
{
    (void)flags;
    return number("RS_FAKE_CUDA_INIT");
}

int cuDriverGetVersion(int *version)
{
    *version = number("RS_FAKE_CUDA_VERSION");
    return 0;
}

static int refuse(void)
{
    return number("RS_FAKE_CUDA_INIT");
}

/* Functions as data: what dlsym returns as well. */
static void give(void **function, const void *address)
{
    memcpy(function, address, sizeof(*function));
}

int cuGetProcAddress_v2(const char *symbol, void **function, int version, uint64_t flags, int *status)
{
    int (*const init)(unsigned) = cuInit;
    int (*const driver_version)(int *) = cuDriverGetVersion;
    int (*const find)(const char *, void **, int, uint64_t, int *) = cuGetProcAddress_v2;
    int (*const other)(void) = refuse;
    (void)version, (void)flags;
    if (status)
        *status = 0; /* found */
    if (strcmp(symbol, "cuInit") == 0)
        give(function, &init);
    else if (strcmp(symbol, "cuDriverGetVersion") == 0)
        give(function, &driver_version);
    else if (strcmp(symbol, "cuGetProcAddress") == 0)
        give(function, &find);
    else
        give(function, &other);
    return 0;
}

int cuGetProcAddress(const char *symbol, void **function, int version, uint64_t flags)
{
    return cuGetProcAddress_v2(symbol, function, version, flags, NULL);
}
