/* disk_script.c: the wrapped calls; see disk_script.h. */
#include "disk_script.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define HOLE_MIN 65536u /* bytes */

int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);
int __wrap_fsync(int file);
ssize_t __real_write(int file, const void *data, size_t size);
ssize_t __wrap_write(int file, const void *data, size_t size);

static struct disk_script *script;

void disk_set_script(struct disk_script *s)
{
    script = s;
}

static enum disk_event next_event(enum disk_call call, const char *path)
{
    if (!script || (script->match && !strstr(path, script->match)))
        return DISK_NOTHING;
    if (script->before)
        script->before(call, path);
    uint32_t number = atomic_fetch_add(&script->calls[call], 1) + 1;
    return call == script->call && number == script->at ? script->event : DISK_NOTHING;
}

static void die_at(enum disk_event event, enum disk_event at)
{
    if (event == at)
        kill(getpid(), SIGKILL);
}

int __wrap_rename(const char *from, const char *to)
{
    enum disk_event event = next_event(DISK_RENAME, to);
    if (event == DISK_FAIL) {
        errno = EIO;
        return -1;
    }
    die_at(event, DISK_KILL_BEFORE);
    int code = __real_rename(from, to);
    die_at(event, DISK_KILL_AFTER);
    return code;
}

int __wrap_fsync(int file)
{
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    path[length < 0 ? 0 : length] = '\0';
    enum disk_event event = next_event(DISK_FSYNC, path);
    if (event == DISK_FAIL) {
        errno = EIO;
        return -1;
    }
    die_at(event, DISK_KILL_BEFORE);
    die_at(event, DISK_KILL_AFTER);
    return 0;
}

static bool all_zero(const char *data, size_t size)
{
    return data[0] == 0 && memcmp(data, data + 1, size - 1) == 0;
}

ssize_t __wrap_write(int file, const void *data, size_t size)
{
    if (size < HOLE_MIN || !all_zero(data, size))
        return __real_write(file, data, size);
    off_t end = lseek(file, (off_t)size, SEEK_CUR);
    if (end < 0)
        return __real_write(file, data, size);
    return ftruncate(file, end) == 0 ? (ssize_t)size : -1;
}
