/* test_file_calls.c: the system's calls behind a replaced file: each once interrupted by a signal, writes
 * that are short, and the order that survives a crash. The linker sends open, write, fsync and rename here.
 */
#include "file.h"
#include "support.h"

#include <errno.h>
#include <fcntl.h>

static char folder[64], path[96];
static char calls[64]; /* a letter each: o w f r; capital: interrupted */
static bool interrupts, is_short;

int __real_open(const char *name, int flags, ...);
ssize_t __real_write(int file, const void *data, size_t size);
int __real_fsync(int file);
int __real_rename(const char *from, const char *to);
int __wrap_open(const char *name, int flags, ...);
ssize_t __wrap_write(int file, const void *data, size_t size);
int __wrap_fsync(int file);
int __wrap_rename(const char *from, const char *to);

/* Notes a call; true when it is to be interrupted: every other one of those that may be. */
static bool interrupted(char letter)
{
    size_t used = strlen(calls);
    bool now = interrupts && letter != 'r' && (used == 0 || calls[used - 1] != letter - 'a' + 'A');
    assert_true(used + 1 < sizeof calls);
    calls[used] = now ? (char)(letter - 'a' + 'A') : letter;
    errno = now ? EINTR : 0;
    return now;
}

int __wrap_open(const char *name, int flags, ...)
{
    return interrupted('o') ? -1 : __real_open(name, flags, 0600);
}

ssize_t __wrap_write(int file, const void *data, size_t size)
{
    if (interrupted('w'))
        return -1;
    return __real_write(file, data, is_short && size > 2 ? 2 : size);
}

int __wrap_fsync(int file)
{
    return interrupted('f') ? -1 : __real_fsync(file);
}

int __wrap_rename(const char *from, const char *to)
{
    return interrupted('r') ? -1 : __real_rename(from, to);
}

/* Replaces the file and says which calls that took. */
static void check(const char *expected)
{
    char text[16] = "";
    struct rs_error err = {0};
    struct rs_replacement r;
    memset(calls, 0, sizeof calls);
    if (rs_file_replace_begin(&r, path, &err) < 0 || rs_file_replace_write(&r, "12345", 5, &err) < 0 ||
        rs_file_replace_commit(&r, &err) < 0)
        fail_msg("%s", err.message);
    assert_string_equal(calls, expected);
    int file = __real_open(path, O_RDONLY);
    assert_int_equal(read(file, text, sizeof text), 5);
    close(file);
    assert_string_equal(text, "12345");
}

static void calls_come_in_the_order_that_survives_a_crash(void **state)
{
    (void)state;
    check("owfrof"); /* file: open, write, sync; rename; folder: open, sync */
}

static void interrupted_calls_are_repeated(void **state)
{
    (void)state;
    interrupts = true;
    check("OoWwFfrOoFf");
}

static void short_writes_go_on(void **state)
{
    (void)state;
    is_short = true;
    check("owwwfrof");
    interrupts = true;
    check("OoWwWwWwFfrOoFf");
}

static int set_up(void **state)
{
    (void)state;
    interrupts = is_short = false;
    strcpy(folder, "/tmp/rstream-test-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/file", folder);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder); /* fails when something is left over */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(calls_come_in_the_order_that_survives_a_crash, set_up, tear_down),
        cmocka_unit_test_setup_teardown(interrupted_calls_are_repeated, set_up, tear_down),
        cmocka_unit_test_setup_teardown(short_writes_go_on, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
