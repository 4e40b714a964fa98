/* gate.h: waiting for something that another thread does: an eventcount.
 *
 * How it works: who waits takes a key (prepare), looks again whether the thing is there, and if not waits
 * with the key. Who does the thing does it first, then notifies. A wait returns at once if anything was
 * notified since its key was taken, so nothing is lost between looking and waiting. A wait spins for a few
 * microseconds at most, as long as spinning has been worth it at this gate lately, then parks on a futex. A
 * stopped run opens the gate for good.
 *
 *     for (;;) {
 *         uint32_t key = rs_gate_prepare(gate);
 *         if (take() == 0 || rs_run_stopped(run)) break;
 *         rs_gate_wait(gate, key);
 *     }
 *
 * Owner: the creator. @thread create, destroy: alone; the rest: any.
 */
#ifndef RS_GATE_H
#define RS_GATE_H

#include "run.h"
#include <stdint.h>

struct rs_gate;

/* The run must outlive the gate. Errors: RS_E_NOMEM. */
int rs_gate_create(struct rs_gate **out, struct rs_run *run, struct rs_error *err);
void rs_gate_destroy(struct rs_gate *gate);

/* A key for rs_gate_wait. What was done before a notify that this key has seen is visible now. */
uint32_t rs_gate_prepare(const struct rs_gate *gate);
/* Returns after a notify later than the key, or when the run is stopped. */
void rs_gate_wait(struct rs_gate *gate, uint32_t key);
/* Opens the gate for who spins and for one who is parked. No system call when nobody is. */
void rs_gate_notify(struct rs_gate *gate);
/* Threads parked now; a hint. */
uint32_t rs_gate_parked(const struct rs_gate *gate);

#endif
