/* run_dir.h: the folder that a run writes into.
 *
 * How it works: before the first step the folder is made (with its parents), a file is written and removed
 * there, and the free space is held against what the checkpoints need. A folder that holds a run already is
 * only used to resume it. A lock on the folder keeps two runs apart; it goes with its process, however that
 * ends.
 *
 * @thread main.
 */
#ifndef RS_RUN_DIR_H
#define RS_RUN_DIR_H

#include "errors.h"
#include <stdbool.h>
#include <stdint.h>

/* Errors: RS_E_USAGE (holds a run and resume is false, or holds none and resume is true), RS_E_PERMISSION,
 * RS_E_NO_SPACE, RS_E_IO, each with the path and the remedy. needed: bytes. */
int rs_run_dir_prepare(const char *dir, bool resume, uint64_t needed, struct rs_error *err);
/* Locks an existing dir for this process until *fd is closed. RS_E_USAGE when another run has it. A file
 * system without locks gives none: *fd is open all the same. */
int rs_run_dir_lock(const char *dir, int *fd, struct rs_error *err);
/* Writes text as dir/name, by file.h: whole, and on the disk when it returns. */
int rs_run_dir_write(const char *dir, const char *name, const char *text, struct rs_error *err);
/* dir/name into path of size bytes; RS_E_LIMIT when it doesn't fit. */
int rs_run_dir_path(char *path, size_t size, const char *dir, const char *name, struct rs_error *err);

#endif
