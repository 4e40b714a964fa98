/* oom.h: memory runs out at each allocation of a scenario in turn.
 *
 * How it works: the program is linked with --wrap for aligned_alloc (rs_alloc's only source), malloc, calloc,
 * strdup, strndup, asprintf and getline, and cJSON gets its memory from here too, so every allocation of the
 * project's own code and of its JSON is counted, in all threads. oom_sweep runs the scenario without a fault
 * and counts its allocations. Then, for n = 1, 2, 3, ..., it runs the scenario with a fault at allocation n,
 * until a run ends before that; each n twice, once with one failing allocation and once with all from n on
 * failing. Each faulted run must
 *   - return RS_E_NOMEM with a sentence about memory,
 *   - leave no block of memory and no file descriptor behind,
 *   - leave a state in which the same scenario without a fault succeeds, with the result that it always has.
 * A run that hangs is ended by a watchdog, which names the point.
 *
 * Environment: RS_SWEEP unset: the first points and every k-th of the rest, the same ones each time;
 * RS_SWEEP=full: all points; RS_SWEEP=N: only allocation N. RS_SWEEP_ONLY=NAME: only the scenario of that
 * name. RS_SWEEP_TRACE=1 prints each point before it runs.
 *
 * Owner: the caller owns scenarios. @thread main; what a scenario runs may have threads.
 */
#ifndef RS_TEST_OOM_H
#define RS_TEST_OOM_H

#include "errors.h"
#include <stdbool.h>
#include <stdint.h>

struct oom_scenario {
    const char *name;
    /* Does all of the work, and undoes it in memory: 0 or an error. *result: a number that every successful
     * run has, 0 where there is none. */
    int (*run)(uint64_t *result, struct rs_error *err);
    /* NULL, or puts the files back as they were before the first run. */
    void (*reset)(void);
    /* At most so many of this scenario's allocations are optional: without them the run succeeds. */
    uint32_t optional;
    uint32_t points; /* how many are tried without RS_SWEEP, 0: 60 */
};

/* Fails the running cmocka test on the first violation. */
void oom_sweep(const struct oom_scenario *scenario);

/* Temporary files go to a file system in memory where there is one: thousands of runs write checkpoints, and
 * wait for the disk each time. Before any file is made. */
void oom_files_in_memory(void);

/* Hash of a file's bytes, to be part of a result. 0 if the file does not exist. */
uint64_t oom_file_hash(const char *path, uint64_t seed);

#endif
