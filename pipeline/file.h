/* file.h: opening files, and replacing a file as a whole so that it is on the disk when that is done.
 *
 * How it works: what is written goes to path + ".partial". The commit then keeps the order that survives a
 * crash: the data is synced, the name changes, the folder is synced. So a reader sees the old file or the new
 * one. A failure at any step removes the partial file and leaves path as it was.
 *
 * Owner: the caller has the struct and, until the end, the path's string. @thread any; one at a time for a
 * struct.
 */
#ifndef RS_FILE_H
#define RS_FILE_H

#include "errors.h"

/* As open with O_CLOEXEC, again where a signal came first. */
int rs_file_open(const char *path, int flags);

struct rs_replacement {
    const char *path;
    char partial[4096];
    int file; /* -1: there is none (any more) */
};

/* Errors of all: RS_E_NO_SPACE, RS_E_PERMISSION, RS_E_NOT_FOUND (no such folder), RS_E_IO, RS_E_LIMIT (a path
 * that is too long), with the path. After an error the replacement has ended. */
int rs_file_replace_begin(struct rs_replacement *r, const char *path, struct rs_error *err);
int rs_file_replace_write(struct rs_replacement *r, const void *data, size_t size, struct rs_error *err);
int rs_file_replace_commit(struct rs_replacement *r, struct rs_error *err);
/* Ends one that is not committed; does nothing after an error. */
void rs_file_replace_abandon(struct rs_replacement *r);

#endif
