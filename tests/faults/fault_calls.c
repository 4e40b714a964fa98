/* fault_calls.c: the calls that the preloaded library takes over from libc, one wrapper each; see
 * fault_plan.h. */
#include "fault_plan.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* libc's function of that name, looked up once. A data race of two first calls stores the same value twice.
 */
#define REAL(name, ...)                                                                                      \
    ({                                                                                                       \
        static __typeof__(name) *real_;                                                                      \
        __typeof__(name) *call_ = __atomic_load_n(&real_, __ATOMIC_ACQUIRE);                                 \
        if (!call_) {                                                                                        \
            call_ = (__typeof__(name) *)fault_real(#name);                                                   \
            __atomic_store_n(&real_, call_, __ATOMIC_RELEASE);                                               \
        }                                                                                                    \
        call_(__VA_ARGS__);                                                                                  \
    })

/* Makes the call, or the fault: an int function with a subject; the call itself where that is NULL. */
#define WRAP(function, subject, call)                                                                        \
    const char *subject_ = (subject);                                                                        \
    if (!subject_)                                                                                           \
        return call;                                                                                         \
    struct fault fault_ = fault_next(function, subject_);                                                    \
    __typeof__(call) result_ = fault_.errnum ? -1 : (call);                                                  \
    fault_record(function, subject_, NULL, &fault_, (long)result_);                                          \
    return result_

static size_t reduced(const struct fault *fault, size_t size)
{
    return fault->is_short && size > 1 ? size / 2 : size;
}

int fault_open(const char *function, const char *path, int flags, mode_t mode)
{
    const char *subject = fault_subject(path);
    if (!subject)
        return REAL(open, path, flags, mode);
    struct fault fault = fault_next(function, subject);
    int fd = fault.errnum ? -1 : REAL(open, path, flags, mode);
    fault_record(function, subject, NULL, &fault, fd);
    fault_track(fd, subject);
    return fd;
}

static mode_t mode_of(int flags, va_list args)
{
    return flags & (O_CREAT | __O_TMPFILE) ? va_arg(args, mode_t) : 0;
}

int open(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = mode_of(flags, args);
    va_end(args);
    return fault_open("open", path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = mode_of(flags, args);
    va_end(args);
    return fault_open("open", path, flags, mode);
}

/* After the system's close the descriptor is gone, whatever close says. */
int fault_close(const char *function, int fd)
{
    const char *subject = fault_tracked(fd);
    fault_untrack(fd);
    if (!subject)
        return (int)REAL(syscall, SYS_close, fd);
    struct fault fault = fault_next(function, subject);
    int result = (int)REAL(syscall, SYS_close, fd);
    if (fault.errnum) {
        errno = fault.errnum;
        result = -1;
    }
    fault_record(function, subject, NULL, &fault, result);
    return result;
}

int close(int fd)
{
    return fault_close("close", fd);
}

#define TRANSFER(function, fd, size, call)                                                                   \
    const char *subject = fault_tracked(fd);                                                                 \
    struct fault fault = {0};                                                                                \
    size_t length = size;                                                                                    \
    if (!subject)                                                                                            \
        return call;                                                                                         \
    fault = fault_next(function, subject);                                                                   \
    length = reduced(&fault, size);                                                                          \
    ssize_t result = fault.errnum ? -1 : (call);                                                             \
    fault_record(function, subject, NULL, &fault, (long)result);                                             \
    return result

ssize_t read(int fd, void *to, size_t size)
{
    TRANSFER("read", fd, size, REAL(read, fd, to, length));
}

ssize_t pread(int fd, void *to, size_t size, off_t offset)
{
    TRANSFER("read", fd, size, REAL(pread, fd, to, length, offset));
}

ssize_t pread64(int fd, void *to, size_t size, off_t offset)
{
    TRANSFER("read", fd, size, REAL(pread, fd, to, length, offset));
}

ssize_t write(int fd, const void *from, size_t size)
{
    TRANSFER("write", fd, size, REAL(write, fd, from, length));
}

ssize_t pwrite(int fd, const void *from, size_t size, off_t offset)
{
    TRANSFER("write", fd, size, REAL(pwrite, fd, from, length, offset));
}

/* A short read of several pieces is one of a part of the first. */
ssize_t preadv(int fd, const struct iovec *pieces, int count, off_t offset)
{
    size_t first = pieces[0].iov_len;
    TRANSFER("read", fd, first,
             length < first ? REAL(pread, fd, pieces[0].iov_base, length, offset)
                            : REAL(preadv, fd, pieces, count, offset));
}

ssize_t writev(int fd, const struct iovec *pieces, int count)
{
    TRANSFER("write", fd, (size_t)count, REAL(writev, fd, pieces, (int)length));
}

ssize_t fault_stream_read(int fd, void *to, size_t size)
{
    TRANSFER("stream-read", fd, size, REAL(read, fd, to, length));
}

ssize_t fault_stream_write(int fd, const void *from, size_t size)
{
    TRANSFER("stream-write", fd, size, REAL(write, fd, from, length));
}

int fsync(int fd)
{
    WRAP("fsync", fault_tracked(fd), REAL(fsync, fd));
}

int fdatasync(int fd)
{
    WRAP("fsync", fault_tracked(fd), REAL(fdatasync, fd));
}

int flock(int fd, int operation)
{
    WRAP("flock", fault_tracked(fd), REAL(flock, fd, operation));
}

int rename(const char *from, const char *to)
{
    const char *subject = fault_subject(to);
    if (!subject)
        return REAL(rename, from, to);
    struct fault fault = fault_next("rename", subject);
    int result = fault.errnum ? -1 : REAL(rename, from, to);
    fault_record("rename", subject, fault_subject(from), &fault, result);
    return result;
}

int unlink(const char *path)
{
    WRAP("unlink", fault_subject(path), REAL(unlink, path));
}

int mkdir(const char *path, mode_t mode)
{
    WRAP("mkdir", fault_subject(path), REAL(mkdir, path, mode));
}

int stat(const char *path, struct stat *info)
{
    WRAP("stat", fault_subject(path), REAL(stat, path, info));
}

int fstat(int fd, struct stat *info)
{
    WRAP("stat", fault_tracked(fd), REAL(fstat, fd, info));
}

/* The subject is the entry: folder/name. */
int fstatat(int fd, const char *path, struct stat *info, int flags)
{
    const char *folder = fault_tracked(fd);
    char name[4096];
    if (!folder || path[0] == '/')
        return REAL(fstatat, fd, path, info, flags);
    snprintf(name, sizeof name, "%s/%s", folder, path);
    WRAP("stat", fault_name(name), REAL(fstatat, fd, path, info, flags));
}

int statvfs(const char *path, struct statvfs *info)
{
    WRAP("statvfs", fault_subject(path), REAL(statvfs, path, info));
}

/* ---- without a file ---- */

int eventfd(unsigned value, int flags)
{
    WRAP("eventfd", fault_caller(), REAL(eventfd, value, flags));
}

int epoll_create1(int flags)
{
    WRAP("epoll_create", fault_caller(), REAL(epoll_create1, flags));
}

int epoll_pwait(int fd, struct epoll_event *events, int count, int timeout, const sigset_t *signals)
{
    WRAP("epoll_wait", fault_caller(), REAL(epoll_pwait, fd, events, count, timeout, signals));
}

int epoll_wait(int fd, struct epoll_event *events, int count, int timeout)
{
    WRAP("epoll_wait", fault_caller(), REAL(epoll_wait, fd, events, count, timeout));
}

int pipe2(int ends[2], int flags)
{
    WRAP("pipe", fault_caller(), REAL(pipe2, ends, flags));
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *arg)
{
    const char *subject = fault_caller();
    struct fault fault = fault_next("pthread_create", subject);
    int result = fault.errnum ? fault.errnum : REAL(pthread_create, thread, attributes, start, arg);
    fault_record("pthread_create", subject, NULL, &fault, result);
    return result;
}

/* Of oneDNN's code generator. Sanitizers map memory before this library is ready. */
static bool ready;

static void __attribute__((constructor)) begin(void)
{
    (void)fault_caller(); /* the first one loads the unwinder */
    ready = true;
}

void *mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
    if (!ready)
        /* NOLINTNEXTLINE(performance-no-int-to-ptr): the kernel's own result */
        return (void *)REAL(syscall, SYS_mmap, at, size, protection, flags, fd, offset);
    const char *subject = fault_caller();
    struct fault fault = fault_next("mmap", subject);
    void *result = fault.errnum ? MAP_FAILED : REAL(mmap, at, size, protection, flags, fd, offset);
    fault_record("mmap", subject, NULL, &fault, result != MAP_FAILED);
    return result;
}

/* libuv closes and reads by number. */
long syscall(long number, ...)
{
    long a[6];
    va_list args;
    va_start(args, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(args, long);
    va_end(args);
    if (number == SYS_close && fault_tracked((int)a[0]))
        return fault_close("close", (int)a[0]);
    if (number == SYS_preadv)
        /* NOLINTNEXTLINE(performance-no-int-to-ptr): as the kernel takes it */
        return preadv((int)a[0], (const struct iovec *)a[1], (int)a[2], a[3]);
    return REAL(syscall, number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
