/* oom.c: see oom.h. */
#include "oom.h"

#include "alloc.h"
#include "log.h"
#include <cJSON.h>
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define POINTS 60u       /* tried for a scenario unless it says otherwise */
#define FIRST_POINTS 2   /* this part of them is at the beginning: a half */
#define HANG_SECONDS 120 /* no single run takes a tenth of it, on a busy machine either */

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#define LEAKS() __lsan_do_recoverable_leak_check()
#else
#define LEAKS() 0
#endif

#ifdef __SANITIZE_THREAD__
#define FEWER 8u /* every run takes many times as long */
#else
#define FEWER 1u
#endif

/* Shared by all threads of a run. Relaxed: set while no other thread runs, and each number is exact by
 * itself.
 */
static atomic_uint_fast64_t seen;        /* allocations of this run */
static atomic_uint_fast64_t first, last; /* those that fail; 0: none */
static atomic_uint_fast64_t failed;

static char point[160]; /* what runs now */
static char not_allocated[64];

static bool fails(void)
{
    uint64_t number = atomic_fetch_add_explicit(&seen, 1, memory_order_relaxed) + 1;
    uint64_t from = atomic_load_explicit(&first, memory_order_relaxed);
    if (!from || number < from || number > atomic_load_explicit(&last, memory_order_relaxed))
        return false;
    atomic_fetch_add_explicit(&failed, 1, memory_order_relaxed);
    errno = ENOMEM;
    return true;
}

/* The linker's names: a call of f in this program goes to __wrap_f, and __real_f is the library's f. */
/* NOLINTBEGIN(bugprone-reserved-identifier) */
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t size);

void *__wrap_aligned_alloc(size_t alignment, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t size);
int __wrap_asprintf(char **out, const char *format, ...) __attribute__((format(printf, 2, 3)));

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return fails() ? NULL : __real_aligned_alloc(alignment, size);
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}

char *__wrap_strdup(const char *text)
{
    return fails() ? NULL : __real_strdup(text);
}

char *__wrap_strndup(const char *text, size_t size)
{
    return fails() ? NULL : __real_strndup(text, size);
}

/* Where asprintf fails, the pointer's value is undefined: here it is one that free ends the process for. */
int __wrap_asprintf(char **out, const char *format, ...)
{
    va_list args;
    if (fails()) {
        *out = not_allocated;
        return -1;
    }
    va_start(args, format);
    int length = vasprintf(out, format, args);
    va_end(args);
    return length;
}

ssize_t __real_getline(char **line, size_t *size, FILE *file);
ssize_t __wrap_getline(char **line, size_t *size, FILE *file);

/* As glibc's where it has no memory for a line: neither an error nor the end in the stream. */
ssize_t __wrap_getline(char **line, size_t *size, FILE *file)
{
    return fails() ? -1 : __real_getline(line, size, file);
}
/* NOLINTEND(bugprone-reserved-identifier) */

static void on_signal(int number)
{
    const char *what = number == SIGALRM ? "\nhangs: " : "\nends by a signal: ";
    (void)!write(STDERR_FILENO, what, strlen(what));
    (void)!write(STDERR_FILENO, point, strlen(point));
    (void)!write(STDERR_FILENO, "\n", 1);
    (void)signal(SIGABRT, SIG_DFL);
    abort();
}

static uint32_t open_files(void)
{
    uint32_t count = 0;
    DIR *stream = opendir("/proc/self/fd");
    assert_non_null(stream);
    while (readdir(stream))
        count++;
    closedir(stream);
    return count;
}

/* What a run prints is of no interest. Its errors are: of an assertion, of a sanitizer. */
static int run_quietly(const struct oom_scenario *s, uint64_t *result, struct rs_error *err)
{
    FILE *out = stdout, *nowhere = fopen("/dev/null", "w");
    assert_non_null(nowhere);
    *result = 0;
    stdout = nowhere;
    (void)alarm(HANG_SECONDS);
    int code = s->run(result, err);
    (void)alarm(0);
    stdout = out;
    fclose(nowhere);
    return code;
}

struct sweep {
    const struct oom_scenario *scenario;
    uint64_t result; /* of every run without a fault */
    uint64_t allocations;
    uint64_t passed, points; /* faulted runs that succeeded; all of them */
};

/* A run in which allocations from..to fail (0: none), and what it left. Returns its code. */
static int run(const struct sweep *s, uint64_t from, uint64_t to, uint64_t *result, struct rs_error *err)
{
    const uint64_t bytes = rs_alloc_bytes();
    const uint32_t files = open_files();
    *err = (struct rs_error){0};
    atomic_store(&seen, 0);
    atomic_store(&failed, 0);
    atomic_store(&last, to);
    atomic_store(&first, from);
    int code = run_quietly(s->scenario, result, err);
    atomic_store(&first, 0);
    if (rs_alloc_bytes() != bytes)
        fail_msg("%s: %lld bytes are not freed", point, (long long)(rs_alloc_bytes() - bytes));
    if (open_files() != files)
        fail_msg("%s: %u files were open before, %u are now", point, files, open_files());
    return code;
}

static void run_without_fault(const struct sweep *s)
{
    struct rs_error err;
    uint64_t result;
    size_t length = strlen(point);
    (void)snprintf(point + length, sizeof point - length, ", then without a fault");
    if (run(s, 0, 0, &result, &err) != 0)
        fail_msg("%s: %s", point, err.message);
    if (result != s->result)
        fail_msg("%s: the result is not what it is without faults before", point);
}

static void check_failure(const struct sweep *s, int code, const struct rs_error *err)
{
    (void)s;
    if (code != RS_E_NOMEM || err->code != RS_E_NOMEM)
        fail_msg("%s: %s (%s): %s", point, rs_error_name(code), rs_error_name(err->code), err->message);
    if (!strstr(err->message, "memory"))
        fail_msg("%s: the message doesn't say what was lacking: %s", point, err->message);
}

/* False where the run had fewer allocations. */
static bool try_point(struct sweep *s, uint64_t n, uint64_t to)
{
    struct rs_error err;
    uint64_t result;
    (void)snprintf(point, sizeof point, "%s, allocation %llu of %llu fails%s", s->scenario->name,
                   (unsigned long long)n, (unsigned long long)s->allocations,
                   to > n ? " and all after it" : "");
    if (getenv("RS_SWEEP_TRACE"))
        print_message("%s\n", point);
    int code = run(s, n, to, &result, &err);
    bool reached = atomic_load(&failed) > 0;
    if (reached && code != 0)
        check_failure(s, code, &err);
    else if (code != 0)
        fail_msg("%s: not reached, but %s", point, err.message);
    else if (result != s->result)
        fail_msg("%s: the run succeeds with another result", point);
    s->points += reached;
    s->passed += reached && code == 0;
    if (reached && code != 0)
        run_without_fault(s);
    if (s->scenario->reset)
        s->scenario->reset();
    return reached;
}

/* The point after n. */
static uint64_t next(const struct sweep *s, uint64_t n)
{
    const char *wish = getenv("RS_SWEEP");
    uint64_t budget = (s->scenario->points ? s->scenario->points : POINTS) / FEWER;
    uint64_t dense = budget / FIRST_POINTS;
    if (wish && strcmp(wish, "full") == 0)
        return n + 1;
    if (wish)
        return n == 0 ? strtoull(wish, NULL, 10) : UINT64_MAX;
    if (n < dense || s->allocations <= budget)
        return n + 1;
    return n + 1 + (s->allocations - dense) / (budget - dense + 1);
}

static void count_allocations(struct sweep *s)
{
    struct rs_error err;
    uint64_t result;
    (void)snprintf(point, sizeof point, "%s, without a fault", s->scenario->name);
    /* the first run opens what stays open: descriptors of libuv, OpenMP's threads */
    for (int i = 0; i < 2; i++) {
        if (run_quietly(s->scenario, &s->result, &err) != 0)
            fail_msg("%s: %s", point, err.message);
        if (s->scenario->reset)
            s->scenario->reset();
    }
    if (run(s, 0, 0, &result, &err) != 0 || result != s->result)
        fail_msg("%s: two runs differ: %s", point, err.message);
    s->allocations = atomic_load(&seen);
    if (s->scenario->reset)
        s->scenario->reset();
}

void oom_files_in_memory(void)
{
    static const char folder[] = "/dev/shm";
    if (!getenv("TMPDIR") && access(folder, W_OK | X_OK) == 0)
        setenv("TMPDIR", folder, 1);
}

void oom_sweep(const struct oom_scenario *scenario)
{
    const char *only = getenv("RS_SWEEP_ONLY");
    struct sweep s = {.scenario = scenario};
    if (only && strcmp(only, scenario->name) != 0)
        return;
    cJSON_InitHooks(&(cJSON_Hooks){__wrap_malloc, free});
    rs_log_set_level(RS_LOG_ERROR); /* a warning is in place of an optional allocation */
    (void)signal(SIGALRM, on_signal);
    (void)signal(SIGABRT, on_signal);
    count_allocations(&s);
    /* fewer allocations than were counted: threads share them out differently from run to run */
    for (uint64_t n = next(&s, 0); n != UINT64_MAX; n = next(&s, n)) {
        bool once = try_point(&s, n, n), all = try_point(&s, n, UINT64_MAX);
        if (!once && !all)
            break;
    }
    print_message("%s: %llu allocations, %llu faulted runs, %llu of them succeeded\n", scenario->name,
                  (unsigned long long)s.allocations, (unsigned long long)s.points,
                  (unsigned long long)s.passed);
    assert_int_equal(LEAKS(), 0);
    assert_true(s.points > 0);
    assert_true(s.passed <= scenario->optional);
}

uint64_t oom_file_hash(const char *path, uint64_t seed)
{
    uint8_t bytes[4096];
    size_t count;
    uint64_t hash = seed + 0xcbf29ce484222325u;
    FILE *file = fopen(path, "rb");
    if (!file)
        return 0;
    while ((count = fread(bytes, 1, sizeof bytes, file)) > 0)
        for (size_t i = 0; i < count; i++)
            hash = (hash ^ bytes[i]) * 0x100000001b3u;
    fclose(file);
    return hash;
}
