/* fault_plan.h: which call of the program fails and how, and a record of all calls in their order.
 *
 * How it works: a preloaded library stands between the program and libc. Every call that concerns a file of
 * the scenario, or that needs no file (threads, events, memory), is counted by its function and its subject:
 * a path below one of the roots, or the library that calls. So "the second read of data/test_batch.bin" is
 * the same call in every run, whatever thread makes it. The environment says what to do:
 *
 *   RS_FAULT_ROOT  folders, separated by ':'; the first one that holds a path gives it its name
 *   RS_FAULT_LOG   a file that gets one line per call: function, subject, number, result, name of the fault
 * that was made or '-'; at the end of the program one line "open" for each file that is still open RS_FAULT
 * function|subject|number|kind; kind is an errno's name, "short" (half of the bytes), or "full" (half of the
 * bytes, and from then on ENOSPC for every write)
 *
 * Owner: strings that are returned live as long as the process. @thread any.
 */
#ifndef FAULT_PLAN_H
#define FAULT_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct fault {
    int errnum;       /* 0: the call is made */
    bool is_short;    /* of half of the bytes */
    bool changes;     /* the file changes before the call */
    const char *name; /* for the record */
    unsigned number;  /* of the call, from 1 */
};

/* The name of a path, or NULL if it is not under any of the roots. */
const char *fault_subject(const char *path);
/* The same for a name that is one already. */
const char *fault_name(const char *name);
/* The library that calls, as a subject; the interposed libraries and sanitizers are passed over. */
const char *fault_caller(void);
/* Counts a call and says what becomes of it. */
struct fault fault_next(const char *function, const char *subject);
/* Records a call that has ended; a rename has two subjects. errno stays as it is. */
void fault_record(const char *function, const char *subject, const char *second, const struct fault *fault,
                  long result);

/* What a descriptor was opened on; NULL: nothing of the scenario. */
void fault_track(int fd, const char *subject);
const char *fault_tracked(int fd);
void fault_untrack(int fd);

/* libc's own function. @thread any */
void *fault_real(const char *name);

/* Made by the files of the library for each other: the system calls with their faults. mode is that of open.
 */
int fault_open(const char *function, const char *path, int flags, mode_t mode);
ssize_t fault_stream_read(int fd, void *to, size_t size);
ssize_t fault_stream_write(int fd, const void *from, size_t size);
int fault_close(const char *function, int fd);

#endif
