/* bench_ring.c: the rings' benchmark as a program of its own; not a test. */
#include "ring_bench.h"

int main(void)
{
    struct rs_error err;
    if (rs_ring_bench_run(stdout, &err) < 0) {
        fprintf(stderr, "bench_ring: %s\n", err.message);
        return 1;
    }
    return 0;
}
