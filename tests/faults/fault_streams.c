/* fault_streams.c: stdio's files and folders, whose calls to the system stay within libc.
 *
 * How it works: fopen of a file of the scenario gives a stream of our own (fopencookie), whose reads, writes
 * and close are the wrapped system calls. As in libc's own streams, the rest of a short write is written
 * next, and an interrupted write is an error. A folder is known by its descriptor.
 */
#include "fault_plan.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define STREAMS_MAX 64

static struct {
    FILE *stream;
    int fd;
} streams[STREAMS_MAX]; /* slots are taken and given back by compare and swap */

static int fd_of(void *cookie)
{
    return (int)(intptr_t)cookie;
}

static ssize_t read_stream(void *cookie, char *to, size_t size)
{
    return fault_stream_read(fd_of(cookie), to, size);
}

static ssize_t write_stream(void *cookie, const char *from, size_t size)
{
    size_t done = 0;
    while (done < size) {
        ssize_t n = fault_stream_write(fd_of(cookie), from + done, size - done);
        if (n < 0)
            break;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

static int seek_stream(void *cookie, off_t *offset, int whence)
{
    *offset = lseek(fd_of(cookie), *offset, whence);
    return *offset < 0 ? -1 : 0;
}

static int close_stream(void *cookie)
{
    int fd = fd_of(cookie);
    for (int i = 0; i < STREAMS_MAX; i++) {
        FILE *stream = __atomic_load_n(&streams[i].stream, __ATOMIC_ACQUIRE);
        if (stream && streams[i].fd == fd)
            __atomic_store_n(&streams[i].stream, NULL, __ATOMIC_RELEASE);
    }
    return fault_close("stream-close", fd);
}

static int flags_of(const char *mode)
{
    int access = strchr(mode, '+') ? O_RDWR : mode[0] == 'r' ? O_RDONLY : O_WRONLY;
    int create = mode[0] == 'w' ? O_CREAT | O_TRUNC : mode[0] == 'a' ? O_CREAT | O_APPEND : 0;
    return access | create | (strchr(mode, 'e') ? O_CLOEXEC : 0);
}

static void remember(FILE *stream, int fd)
{
    for (int i = 0; i < STREAMS_MAX; i++) {
        FILE *none = NULL;
        if (!__atomic_compare_exchange_n(&streams[i].stream, &none, stream, 0, __ATOMIC_ACQ_REL,
                                         __ATOMIC_RELAXED))
            continue;
        streams[i].fd = fd;
        return;
    }
}

FILE *fopen(const char *path, const char *mode)
{
    FILE *(*real)(const char *, const char *) = (FILE * (*)(const char *, const char *)) fault_real("fopen");
    const cookie_io_functions_t calls = {read_stream, write_stream, seek_stream, close_stream};
    FILE *(*make)(void *, const char *, cookie_io_functions_t) =
        (FILE * (*)(void *, const char *, cookie_io_functions_t)) fault_real("fopencookie");
    if (!fault_subject(path))
        return real(path, mode);
    int fd = fault_open("fopen", path, flags_of(mode), 0666);
    if (fd < 0)
        return NULL;
    /* NOLINTNEXTLINE(performance-no-int-to-ptr): the cookie is the descriptor */
    FILE *stream = make((void *)(intptr_t)fd, mode, calls);
    if (stream)
        remember(stream, fd);
    else
        close(fd);
    return stream;
}

FILE *fopen64(const char *path, const char *mode)
{
    return fopen(path, mode);
}

int fileno(FILE *stream)
{
    int (*real)(FILE *) = (int (*)(FILE *))fault_real("fileno");
    for (int i = 0; i < STREAMS_MAX; i++)
        if (__atomic_load_n(&streams[i].stream, __ATOMIC_ACQUIRE) == stream)
            return streams[i].fd;
    return real(stream);
}

DIR *opendir(const char *path)
{
    DIR *(*real)(const char *) = (DIR * (*)(const char *)) fault_real("opendir");
    const char *subject = fault_subject(path);
    if (!subject)
        return real(path);
    struct fault fault = fault_next("opendir", subject);
    DIR *stream = fault.errnum ? NULL : real(path);
    int fd = stream ? dirfd(stream) : -1;
    fault_record("opendir", subject, NULL, &fault, fd);
    fault_track(fd, subject);
    return stream;
}

struct dirent *readdir(DIR *stream)
{
    struct dirent *(*real)(DIR *) = (struct dirent * (*)(DIR *)) fault_real("readdir");
    const char *subject = fault_tracked(dirfd(stream));
    if (!subject)
        return real(stream);
    struct fault fault = fault_next("readdir", subject);
    struct dirent *entry = fault.errnum ? NULL : real(stream);
    fault_record("readdir", subject, NULL, &fault, entry != NULL);
    return entry;
}

struct dirent64 *readdir64(DIR *stream)
{
    return (struct dirent64 *)readdir(stream);
}

int closedir(DIR *stream)
{
    int (*real)(DIR *) = (int (*)(DIR *))fault_real("closedir");
    fault_untrack(dirfd(stream));
    return real(stream);
}
