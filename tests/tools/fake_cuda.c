/* fake_cuda.c: a libcuda.so.1 that refuses, for machines without a GPU and with one: put before the real one
 * in LD_LIBRARY_PATH, it makes the CUDA runtime answer as on a machine with another driver.
 *
 * How it works: the runtime finds every function through cuGetProcAddress. cuInit returns the number in
 * RS_FAKE_CUDA_INIT, cuDriverGetVersion tells RS_FAKE_CUDA_VERSION. With 34 every function returns that, as
 * those of the toolkit's stub do. A driver that is too old is one whose cuInit would succeed: the runtime
 * compares versions itself and says 35; cuGetProcAddress knows nothing that is newer than the driver, as
 * cuda.h has it. A device can't be shown this way, since the runtime checks that a driver that has one is
 * NVIDIA's: fake_runtime.c does that.
 *
 * @thread any.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { INVALID_VALUE = 1, STUB_LIBRARY = 34, NOT_INITIALIZED = 3, UNKNOWN = 999 }; /* CUresult */
enum { FOUND, NOT_FOUND }; /* CUdriverProcAddressQueryResult */

int cuInit(unsigned flags);
int cuDriverGetVersion(int *version);
int cuGetProcAddress(const char *symbol, void **function, int version, uint64_t flags);
int cuGetProcAddress_v2(const char *symbol, void **function, int version, uint64_t flags, int *status);

static int number(const char *name)
{
    const char *text = getenv(name);
    return text ? atoi(text) : UNKNOWN;
}

static int is_stub(void)
{
    return number("RS_FAKE_CUDA_INIT") == STUB_LIBRARY;
}

int cuInit(unsigned flags)
{
    (void)flags;
    return number("RS_FAKE_CUDA_INIT");
}

int cuDriverGetVersion(int *version)
{
    if (is_stub())
        return STUB_LIBRARY;
    *version = number("RS_FAKE_CUDA_VERSION");
    return 0;
}

/* Every other function. */
static int refuse(void)
{
    const int code = number("RS_FAKE_CUDA_INIT");
    return code ? code : NOT_INITIALIZED;
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
    (void)flags;
    if (is_stub())
        return STUB_LIBRARY;
    if (version > number("RS_FAKE_CUDA_VERSION"))
        return INVALID_VALUE;
    if (status)
        *status = *symbol ? FOUND : NOT_FOUND;
    if (!*symbol) /* the runtime asks for it, to see whether the function works */
        *function = NULL;
    else if (strcmp(symbol, "cuInit") == 0)
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
