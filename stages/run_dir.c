/* run_dir.c: makes, checks and writes a run's folder. */
#include "run_dir.h"

#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define PATH_SIZE 4096

int rs_run_dir_path(char *path, size_t size, const char *dir, const char *name, struct rs_error *err)
{
    if ((size_t)snprintf(path, size, "%s/%s", dir, name) >= size)
        return rs_error_set(err, RS_E_LIMIT, "the path %.200s… is too long", dir);
    return 0;
}

static int make_dirs(const char *dir, struct rs_error *err)
{
    char path[PATH_SIZE];
    if ((size_t)snprintf(path, sizeof path, "%s", dir) >= sizeof path)
        return rs_error_set(err, RS_E_LIMIT, "the path %.200s… is too long", dir);
    for (char *at = path + 1;; at++) {
        if (*at != '/' && *at != '\0')
            continue;
        bool last = *at == '\0';
        *at = '\0';
        if (mkdir(path, 0777) != 0 && errno != EEXIST)
            return rs_error_set_errno(err, errno, "the output folder %s can't be made; choose another --out",
                                      path);
        if (last)
            return 0;
        *at = '/';
    }
}

int rs_run_dir_write(const char *dir, const char *name, const char *text, struct rs_error *err)
{
    char path[PATH_SIZE];
    struct rs_replacement file;
    RS_TRY(rs_run_dir_path(path, sizeof path, dir, name, err));
    RS_TRY(rs_file_replace_begin(&file, path, err));
    RS_TRY(rs_file_replace_write(&file, text, strlen(text), err));
    return rs_file_replace_commit(&file, err);
}

static int check_space(const char *dir, uint64_t needed, struct rs_error *err)
{
    struct statvfs fs;
    if (statvfs(dir, &fs) != 0)
        return rs_error_set_errno(err, errno, "the free space of %s can't be read", dir);
    uint64_t left = (uint64_t)fs.f_bavail * fs.f_frsize;
    if (left < needed)
        return rs_error_set(
            err, RS_E_NO_SPACE,
            "%s has %llu MB free, and the checkpoints need %llu MB; free space or choose another --out", dir,
            (unsigned long long)left / 1000000, (unsigned long long)needed / 1000000);
    return 0;
}

int rs_run_dir_prepare(const char *dir, bool resume, uint64_t needed, struct rs_error *err)
{
    static const char probe[] = "writable.tmp";
    char path[PATH_SIZE];
    struct stat st;
    RS_TRY(rs_run_dir_path(path, sizeof path, dir, "resume.safetensors", err));
    bool holds_run = stat(path, &st) == 0;
    if (!holds_run && errno != ENOENT && errno != ENOTDIR) /* a run that can't be seen must not be replaced */
        return rs_error_set_errno(err, errno, "%s can't be looked at; choose another --out", path);
    if (resume && !holds_run)
        return rs_error_set(err, RS_E_USAGE,
                            "%s is not there, so there is no run to go on with; train without --resume",
                            path);
    if (!resume && holds_run)
        return rs_error_set(err, RS_E_USAGE,
                            "%s holds a run already; go on with --resume %s, or choose another --out", dir,
                            dir);
    RS_TRY(make_dirs(dir, err));
    RS_TRY(rs_run_dir_path(path, sizeof path, dir, probe, err));
    int code = rs_run_dir_write(dir, probe, "rstream\n", err);
    bool removed = unlink(path) == 0; /* it may be there after a failure, too */
    RS_TRY(code);
    if (!removed)
        return rs_error_set_errno(err, errno, "%s can't be removed", path);
    return check_space(dir, needed, err);
}

int rs_run_dir_lock(const char *dir, int *fd, struct rs_error *err)
{
    *fd = rs_file_open(dir, O_RDONLY | O_DIRECTORY);
    if (*fd < 0)
        return rs_error_set_errno(err, errno, "the output folder %s can't be opened; choose another --out",
                                  dir);
    if (flock(*fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK)
        return 0;
    close(*fd);
    *fd = -1;
    return rs_error_set(err, RS_E_USAGE,
                        "another run is writing into %s; wait for its end, or choose another --out", dir);
}
