/* run.h: one run of a pipeline: its first error, its end, and everyone who has to wake for it.
 *
 * How it works: every thread of a run holds the same struct rs_run. The first rs_run_fail wins (later ones
 * are dropped, they are echoes), marks the run as stopped and calls each registered waker, so that whoever is
 * parked at a gate or in the event loop looks again and leaves. rs_run_cancel stops it without an error.
 *
 * Owner: the creator; it outlives all threads, gates and loops of the run.
 * @thread create, destroy, add_waker: one thread, before and after the others live; the rest: any.
 */
#ifndef RS_RUN_H
#define RS_RUN_H

#include "errors.h"
#include <stdbool.h>

struct rs_run;

int rs_run_create(struct rs_run **out, struct rs_error *err);
void rs_run_destroy(struct rs_run *run);

/* wake(arg) is called once, on the thread that stops the run; it must not block nor call this module. At most
 * 32 wakers. */
void rs_run_add_waker(struct rs_run *run, void (*wake)(void *arg), void *arg);
/* For who is destroyed before the run. After it wake(arg) is not called any more, nor still at work. @thread
 * any */
void rs_run_remove_waker(struct rs_run *run, void (*wake)(void *arg), void *arg);

/* Records stage and cause unless the run is stopped already; stops the run. Returns cause->code. @thread any
 */
int rs_run_fail(struct rs_run *run, const char *stage, const struct rs_error *cause);
/* Stops the run without an error. @thread any */
void rs_run_cancel(struct rs_run *run);
/* True once the run failed or was cancelled. @thread any */
bool rs_run_stopped(const struct rs_run *run);
/* 0, or the first error with "stage: " before its sentence, copied to err. @thread any */
int rs_run_error(const struct rs_run *run, struct rs_error *err);

#endif
