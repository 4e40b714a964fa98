/* tsan_openmp.c: tells ThreadSanitizer what OpenMP synchronizes; linked into every program of a TSan build.
 *
 * How it works: GCC's libgomp is not instrumented and synchronizes its team with raw futexes that TSan can't
 * see. The linker sends our calls of GOMP_parallel and GOMP_barrier here (--wrap); each of the two is
 * reported as what it is: what the caller did before a region is visible in it, what the team did in it is
 * visible after it, what was before a barrier is visible behind it. So races within a region are found, and
 * its borders are no false ones. Without this each step of the CPU backend makes millions of reports, whose
 * suppression takes minutes. libdnnl's own regions don't come through here, and aren't instrumented.
 *
 * Owner: a region lives on its caller's stack until its team is done. @thread any.
 */
#include <sanitizer/tsan_interface.h>
#include <stddef.h>

struct region {
    void (*body)(void *);
    void *data;
};

static _Thread_local struct region *current; /* the innermost region that this thread works in */

/* The real functions; weak, since not every program links libgomp. */
void __real_GOMP_parallel(void (*body)(void *), void *data, unsigned threads, unsigned flags)
    __attribute__((weak));
void __real_GOMP_barrier(void) __attribute__((weak));
void __wrap_GOMP_parallel(void (*body)(void *), void *data, unsigned threads, unsigned flags);
void __wrap_GOMP_barrier(void);

static void run_body(void *arg)
{
    struct region *region = arg;
    struct region *outer = current;
    __tsan_acquire(region);
    current = region;
    region->body(region->data);
    current = outer;
    __tsan_release(region);
}

void __wrap_GOMP_parallel(void (*body)(void *), void *data, unsigned threads, unsigned flags)
{
    struct region region = {.body = body, .data = data};
    __tsan_release(&region);
    __real_GOMP_parallel(run_body, &region, threads, flags);
    __tsan_acquire(&region);
}

void __wrap_GOMP_barrier(void)
{
    struct region *region = current;
    if (region)
        __tsan_release(region);
    __real_GOMP_barrier();
    if (region)
        __tsan_acquire(region);
}
