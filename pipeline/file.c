/* file.c: see file.h. */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int rs_file_open(const char *path, int flags)
{
    int file;
    do
        file = open(path, flags | O_CLOEXEC, 0666);
    while (file < 0 && errno == EINTR);
    return file;
}

/* 0 or a negative errno. */
static int sync_again(int file)
{
    int result;
    do
        result = fsync(file);
    while (result < 0 && errno == EINTR);
    return result < 0 ? -errno : 0;
}

/* errnum: what went wrong. */
static int fail(struct rs_replacement *r, int errnum, struct rs_error *err)
{
    const char *remedy = errnum == ENOSPC || errnum == EDQUOT ? "free some space" : "choose another folder";
    rs_file_replace_abandon(r);
    return rs_error_set_errno(err, errnum, "%s: can't be written; %s, the file is as it was", r->path,
                              remedy);
}

int rs_file_replace_begin(struct rs_replacement *r, const char *path, struct rs_error *err)
{
    r->path = path;
    r->file = -1;
    if ((size_t)snprintf(r->partial, sizeof r->partial, "%s.partial", path) >= sizeof r->partial)
        return rs_error_set(err, RS_E_LIMIT, "the path %.200s… is too long", path);
    r->file = rs_file_open(r->partial, O_WRONLY | O_CREAT | O_TRUNC);
    return r->file < 0 ? fail(r, errno, err) : 0;
}

int rs_file_replace_write(struct rs_replacement *r, const void *data, size_t size, struct rs_error *err)
{
    const uint8_t *at = data;
    while (size > 0) {
        ssize_t n = write(r->file, at, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail(r, errno, err);
        at += n;
        size -= (size_t)n;
    }
    return 0;
}

/* Makes the new name last. File systems that can't sync a folder say EINVAL; there it is theirs to keep. 0 or
 * a negative errno. */
static int sync_folder(const char *path)
{
    char folder[4096] = ".";
    const char *slash = strrchr(path, '/');
    if (slash)
        snprintf(folder, sizeof folder, "%.*s", (int)(slash - path) + 1, path);
    int file = rs_file_open(folder, O_RDONLY | O_DIRECTORY);
    if (file < 0)
        return -errno;
    int code = sync_again(file);
    close(file); /* nothing was written to it */
    return code == -EINVAL ? 0 : code;
}

int rs_file_replace_commit(struct rs_replacement *r, struct rs_error *err)
{
    int code = sync_again(r->file);
    if (close(r->file) < 0 && code == 0 && errno != EINTR) /* closed all the same, and synced before */
        code = -errno;
    r->file = -1;
    if (code == 0 && rename(r->partial, r->path) < 0)
        code = -errno;
    if (code < 0) {
        unlink(r->partial);
        return fail(r, -code, err);
    }
    code = sync_folder(r->path);
    if (code < 0)
        return rs_error_set_errno(err, -code, "%s: is written, but its folder can't be synced", r->path);
    return 0;
}

void rs_file_replace_abandon(struct rs_replacement *r)
{
    if (r->file < 0)
        return;
    close(r->file);
    unlink(r->partial);
    r->file = -1;
}
