/* disk_script.h: makes a file call of a run fail, or the process die at it, where a test says.
 *
 * How it works: the linker gives the program's calls of rename, fsync and write to this file (rs_disk_script
 * in CMakeLists.txt). Renames and fsyncs of the files that match are counted; the script's one fails or kills
 * the process. fsync itself is left out, for no test cuts the power. A write of zeros only makes a hole, so
 * that the checkpoint of a network that is all zeros costs little.
 *
 * Owner: the script is the test's; set before a run. @thread any, as the wrapped calls.
 */
#ifndef DISK_SCRIPT_H
#define DISK_SCRIPT_H

#include <stdatomic.h>
#include <stdint.h>

enum disk_call { DISK_RENAME, DISK_FSYNC, DISK_CALLS };
enum disk_event { DISK_NOTHING, DISK_FAIL, DISK_KILL_BEFORE, DISK_KILL_AFTER };

struct disk_script {
    enum disk_event event; /* of the at-th (from 1) matching call */
    enum disk_call call;
    uint32_t at;
    const char *match; /* in the path that is synced or renamed to; NULL: every path */
    void (*before)(enum disk_call call,
                   const char *path); /* called before each matching one; NULL: nothing */
    uint64_t
        hold_after; /* validation batches after which a flush waits a while for that call; 0: none does */
    /* written by the wrapped calls */
    atomic_uint calls[DISK_CALLS]; /* that matched */
};

void disk_set_script(struct disk_script *script); /* NULL: calls are forwarded */

#endif
