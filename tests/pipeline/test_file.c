/* test_file.c: a file is replaced as a whole or stays as it was; the order of the calls is tests/faults'
 * part. */
#include "file.h"
#include "support.h"

#include <fcntl.h>
#include <sys/stat.h>

static char folder[64], path[96], partial[128];

static int set_up(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/rstream-test-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/file", folder);
    snprintf(partial, sizeof partial, "%s.partial", path);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(path);
    rmdir(path);
    return rmdir(folder); /* fails when something is left over */
}

static void expect(const char *wanted)
{
    char text[64] = "";
    int file = rs_file_open(path, O_RDONLY);
    assert_true(file >= 0);
    assert_true(fcntl(file, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(read(file, text, sizeof text - 1), strlen(wanted));
    close(file);
    assert_string_equal(text, wanted);
}

static void put(const char *text)
{
    struct rs_replacement r;
    assert_int_equal(rs_file_replace_begin(&r, path, NULL), 0);
    assert_int_equal(rs_file_replace_write(&r, text, strlen(text), NULL), 0);
    assert_int_equal(rs_file_replace_commit(&r, NULL), 0);
}

static void test_new_and_old(void **state)
{
    (void)state;
    put("first");
    expect("first");
    struct rs_replacement r;
    assert_int_equal(rs_file_replace_begin(&r, path, NULL), 0);
    assert_int_equal(rs_file_replace_write(&r, "sec", 3, NULL), 0);
    assert_int_equal(rs_file_replace_write(&r, "ond", 3, NULL), 0);
    expect("first"); /* until the commit */
    assert_int_equal(rs_file_replace_commit(&r, NULL), 0);
    expect("second");
}

static void test_abandoned(void **state)
{
    (void)state;
    struct rs_replacement r;
    put("first");
    assert_int_equal(rs_file_replace_begin(&r, path, NULL), 0);
    assert_int_equal(rs_file_replace_write(&r, "second", 6, NULL), 0);
    assert_int_equal(access(partial, F_OK), 0);
    rs_file_replace_abandon(&r);
    rs_file_replace_abandon(&r);
    expect("first");
}

/* A disk that is full, for which /dev/full stands. */
static void test_failed_write(void **state)
{
    (void)state;
    struct rs_replacement r;
    struct rs_error err;
    put("first");
    assert_int_equal(symlink("/dev/full", partial), 0);
    assert_int_equal(rs_file_replace_begin(&r, path, &err), 0);
    assert_int_equal(rs_file_replace_write(&r, "second", 6, &err), RS_E_NO_SPACE);
    assert_non_null(strstr(err.message, path));
    assert_non_null(strstr(err.message, "free some space"));
    rs_file_replace_abandon(&r);
    expect("first");
}

/* A folder can't be replaced by a file. */
static void test_failed_commit(void **state)
{
    (void)state;
    struct rs_replacement r;
    struct rs_error err;
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(rs_file_replace_begin(&r, path, &err), 0);
    assert_int_equal(rs_file_replace_commit(&r, &err), RS_E_IO);
    assert_non_null(strstr(err.message, path));
}

static void test_failed_begin(void **state)
{
    (void)state;
    char missing[128], longer[5000];
    struct rs_replacement r;
    struct rs_error err;
    snprintf(missing, sizeof missing, "%s/none/file", folder);
    assert_int_equal(rs_file_replace_begin(&r, missing, &err), RS_E_NOT_FOUND);
    assert_non_null(strstr(err.message, missing));
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    assert_int_equal(rs_file_replace_begin(&r, longer, &err), RS_E_LIMIT);
    rs_file_replace_abandon(&r);
}

int main(void)
{
#define FILE_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        FILE_TEST(test_new_and_old),   FILE_TEST(test_abandoned),    FILE_TEST(test_failed_write),
        FILE_TEST(test_failed_commit), FILE_TEST(test_failed_begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
