/* fault_plan.c: see fault_plan.h. */
#include "fault_plan.h"

#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ROOTS_MAX 4
#define KEYS_MAX 1024
#define DESCRIPTORS_MAX 1024
#define PATH_SIZE 4096

struct key {
    const char *function, *subject;
    unsigned calls;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
/* protected by mutex */
static struct key keys[KEYS_MAX];
static size_t key_count;
static const char *subjects[KEYS_MAX];
static size_t subject_count;
static const char *tracked[DESCRIPTORS_MAX];
static bool disk_full;
/* set once */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static char root_text[ROOTS_MAX * PATH_SIZE], plan_text[2 * PATH_SIZE]; /* cut into what follows */
static char *roots[ROOTS_MAX];
static char *function_wanted, *subject_wanted, *kind_wanted;
static unsigned number_wanted;
static int log_file = -1;

static const struct {
    const char *name;
    int errnum;
} errors[] = {{"EIO", EIO},       {"ENOSPC", ENOSPC}, {"EACCES", EACCES}, {"EMFILE", EMFILE},
              {"ENOMEM", ENOMEM}, {"EINTR", EINTR},   {"EAGAIN", EAGAIN}, {"EINVAL", EINVAL}};

void *fault_real(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    if (!found)
        abort();
    return found;
}

static void read_plan(void)
{
    char *save = NULL;
    char *root = getenv("RS_FAULT_ROOT"), *plan = getenv("RS_FAULT"), *path = getenv("RS_FAULT_LOG");
    size_t count = 0;
    snprintf(root_text, sizeof root_text, "%s", root ? root : "");
    snprintf(plan_text, sizeof plan_text, "%s", plan ? plan : "");
    if (root)
        for (char *r = strtok_r(root_text, ":", &save); r && count < ROOTS_MAX;
             r = strtok_r(NULL, ":", &save))
            roots[count++] = r;
    if (path)
        log_file = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (!plan)
        return;
    function_wanted = strtok_r(plan_text, "|", &save);
    subject_wanted = strtok_r(NULL, "|", &save);
    char *number = strtok_r(NULL, "|", &save);
    kind_wanted = strtok_r(NULL, "|", &save);
    if (!number || !kind_wanted)
        abort();
    number_wanted = (unsigned)strtoul(number, NULL, 10);
}

/* A string that stays; mutex is held. */
static const char *keep(const char *text)
{
    for (size_t i = 0; i < subject_count; i++)
        if (strcmp(subjects[i], text) == 0)
            return subjects[i];
    if (subject_count == KEYS_MAX)
        abort();
    return subjects[subject_count++] = strdup(text);
}

const char *fault_name(const char *name)
{
    pthread_mutex_lock(&mutex);
    const char *kept = keep(name);
    pthread_mutex_unlock(&mutex);
    return kept;
}

/* The process's number in a name becomes PID, so that the name is the same in the next run. */
static void hide_number(char *name, size_t size)
{
    char number[32], rest[PATH_SIZE];
    snprintf(number, sizeof number, ".%ld.", (long)getpid());
    char *at = strstr(name, number);
    if (!at)
        return;
    snprintf(rest, sizeof rest, "%s", at + strlen(number));
    snprintf(at, size - (size_t)(at - name), ".PID.%s", rest);
}

const char *fault_subject(const char *path)
{
    int kept = errno;
    const char *found = NULL;
    char name[PATH_SIZE];
    pthread_once(&once, read_plan);
    for (size_t i = 0; path && i < ROOTS_MAX && roots[i] && !found; i++) {
        size_t length = strlen(roots[i]);
        if (strncmp(path, roots[i], length) != 0 || path[length] != '/')
            continue;
        while (path[length] == '/')
            length++;
        snprintf(name, sizeof name, "%s", path + length);
        for (size_t n = strlen(name); n > 0 && name[n - 1] == '/'; n--) /* "folder/" is "folder" */
            name[n - 1] = '\0';
        hide_number(name, sizeof name);
        found = fault_name(name);
    }
    errno = kept;
    return found;
}

const char *fault_caller(void)
{
    static const char *const passed_over[] = {"libfault_io", "libasan", "libtsan", "libubsan"};
    void *frames[16];
    int kept = errno, count = backtrace(frames, 16);
    const char *name = "unknown";
    for (int i = 0; i < count; i++) {
        Dl_info info;
        if (!dladdr(frames[i], &info) || !info.dli_fname)
            continue;
        const char *slash = strrchr(info.dli_fname, '/');
        name = slash ? slash + 1 : info.dli_fname;
        bool skip = false;
        for (size_t k = 0; k < sizeof passed_over / sizeof *passed_over; k++)
            skip = skip || strncmp(name, passed_over[k], strlen(passed_over[k])) == 0;
        if (!skip)
            break;
    }
    name = fault_name(name);
    errno = kept;
    return name;
}

static unsigned count_call(const char *function, const char *subject)
{
    for (size_t i = 0; i < key_count; i++)
        if (keys[i].subject == subject && strcmp(keys[i].function, function) == 0)
            return ++keys[i].calls;
    if (key_count == KEYS_MAX)
        abort();
    keys[key_count++] = (struct key){function, subject, 1};
    return 1;
}

/* What another program does to a file while it is read. */
static void change_file(bool grow)
{
    const char *path = getenv("RS_FAULT_FILE");
    int fd = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_APPEND | O_CLOEXEC) : -1;
    long size = fd < 0 ? -1 : syscall(SYS_lseek, fd, 0L, SEEK_END);
    if (size < 0 || (grow ? syscall(SYS_write, fd, "x", 1L) != 1 : syscall(SYS_ftruncate, fd, size / 2) != 0))
        abort();
    syscall(SYS_close, fd);
}

static struct fault fault_of_kind(const char *kind)
{
    if (strcmp(kind, "grow") == 0 || strcmp(kind, "shrink") == 0)
        return (struct fault){.changes = true, .name = kind};
    if (strcmp(kind, "short") == 0)
        return (struct fault){.is_short = true, .name = "short"};
    if (strcmp(kind, "full") == 0) {
        disk_full = true;
        return (struct fault){.is_short = true, .name = "full"};
    }
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        if (strcmp(kind, errors[i].name) == 0)
            return (struct fault){.errnum = errors[i].errnum, .name = errors[i].name};
    abort();
}

struct fault fault_next(const char *function, const char *subject)
{
    struct fault fault = {.name = "-"};
    int kept = errno;
    pthread_once(&once, read_plan);
    pthread_mutex_lock(&mutex);
    unsigned number = count_call(function, subject);
    if (disk_full && strstr(function, "write"))
        fault = (struct fault){.errnum = ENOSPC, .name = "full"};
    else if (function_wanted && number == number_wanted && strcmp(function, function_wanted) == 0 &&
             strcmp(subject, subject_wanted) == 0)
        fault = fault_of_kind(kind_wanted);
    fault.number = number;
    pthread_mutex_unlock(&mutex);
    if (fault.changes)
        change_file(fault.name[0] == 'g');
    errno = fault.errnum ? fault.errnum : kept;
    return fault;
}

void fault_record(const char *function, const char *subject, const char *second, const struct fault *fault,
                  long result)
{
    char line[2 * PATH_SIZE];
    int kept = errno;
    int length = snprintf(line, sizeof line, "%s\t%s\t%u\t%ld\t%s\t%s\n", function, subject, fault->number,
                          result, fault->name, second ? second : "");
    if (log_file >= 0 && length > 0 && syscall(SYS_write, log_file, line, (size_t)length) != length)
        abort();
    errno = kept;
}

void fault_track(int fd, const char *subject)
{
    if (fd < 0 || fd >= DESCRIPTORS_MAX)
        return;
    pthread_mutex_lock(&mutex);
    tracked[fd] = subject;
    pthread_mutex_unlock(&mutex);
}

const char *fault_tracked(int fd)
{
    if (fd < 0 || fd >= DESCRIPTORS_MAX)
        return NULL;
    pthread_mutex_lock(&mutex);
    const char *subject = tracked[fd];
    pthread_mutex_unlock(&mutex);
    return subject;
}

void fault_untrack(int fd)
{
    fault_track(fd, NULL);
}

static void __attribute__((destructor)) report_open(void)
{
    const struct fault none = {.name = "-"};
    for (int fd = 0; fd < DESCRIPTORS_MAX; fd++)
        if (tracked[fd])
            fault_record("open-at-end", tracked[fd], NULL, &none, fd);
}
