/* ring_bench.h: how fast the rings are, beside Concurrency Kit's ck_ring where the build found it.
 *
 * How it works: each of four tasks is run by the own ring and by ck_ring in turn, several times; the medians
 * and their ratio are printed. Every run checks that what went in came out.
 *
 * @thread any one; it starts up to four threads for a few seconds.
 */
#ifndef RS_RING_BENCH_H
#define RS_RING_BENCH_H

#include "errors.h"
#include <stdio.h>

/* Prints a table to out. Errors: RS_E_NOMEM, RS_E_THREAD, RS_E_CORRUPT (a ring lost a value: a defect). */
int rs_ring_bench_run(FILE *out, struct rs_error *err);

#endif
