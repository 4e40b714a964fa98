/* The output folder is tried before the first step. */
#include "run_dir.h"

#include "cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[64];

static int begin(void **state)
{
    (void)state;
    strcpy(root, "/tmp/rstream-test-XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static void path_of(char *path, const char *name)
{
    snprintf(path, 256, "%s/%s", root, name);
}

static void makes_the_folder_with_its_parents(void **state)
{
    (void)state;
    char dir[256], file[300], text[16] = "";
    struct stat st;
    path_of(dir, "a/b/c");
    assert_int_equal(rs_run_dir_prepare(dir, false, 1, NULL), 0);
    assert_int_equal(stat(dir, &st), 0);
    assert_int_equal(rs_run_dir_write(dir, "x.json", "{}", NULL), 0);
    snprintf(file, sizeof file, "%s/x.json", dir);
    FILE *f = fopen(file, "r");
    assert_non_null(f);
    assert_non_null(fgets(text, sizeof text, f));
    fclose(f);
    assert_string_equal(text, "{}");
}

static void resume_and_a_new_run_don_t_mix(void **state)
{
    (void)state;
    char dir[256];
    struct rs_error err;
    path_of(dir, "run");
    assert_int_equal(rs_run_dir_prepare(dir, true, 1, &err), RS_E_USAGE);
    assert_non_null(strstr(err.message, "without --resume"));
    assert_int_equal(rs_run_dir_prepare(dir, false, 1, &err), 0);
    assert_int_equal(rs_run_dir_write(dir, "resume.safetensors", "x", &err), 0);
    assert_int_equal(rs_run_dir_prepare(dir, false, 1, &err), RS_E_USAGE);
    assert_non_null(strstr(err.message, "--resume"));
    assert_int_equal(rs_run_dir_prepare(dir, true, 1, &err), 0);
}

static void a_folder_that_can_t_be_used_is_named(void **state)
{
    (void)state;
    char file[256], dir[256];
    struct rs_error err;
    path_of(file, "plain");
    fclose(fopen(file, "w"));
    path_of(dir, "plain/run");
    assert_true(rs_run_dir_prepare(dir, false, 1, &err) < 0);
    assert_non_null(strstr(err.message, "plain"));
    assert_int_equal(rs_run_dir_prepare("/proc/rstream", false, 1, &err) < 0, 1);
    assert_non_null(strstr(err.message, "/proc/rstream"));
}

static void too_little_space_is_found_at_once(void **state)
{
    (void)state;
    char dir[256];
    struct rs_error err;
    path_of(dir, "space");
    assert_int_equal(rs_run_dir_prepare(dir, false, UINT64_MAX, &err), RS_E_NO_SPACE);
    assert_non_null(strstr(err.message, dir));
}

static void one_run_at_a_time(void **state)
{
    (void)state;
    int first, second;
    struct rs_error err;
    assert_int_equal(rs_run_dir_lock(root, &first, &err), 0);
    assert_int_equal(rs_run_dir_lock(root, &second, &err),
                     RS_E_USAGE); /* a second open is as another process */
    assert_int_equal(second, -1);
    assert_non_null(strstr(err.message, root));
    close(first);
    assert_int_equal(rs_run_dir_lock(root, &second, &err), 0);
    close(second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(makes_the_folder_with_its_parents, begin),
        cmocka_unit_test_setup(resume_and_a_new_run_don_t_mix, begin),
        cmocka_unit_test_setup(a_folder_that_can_t_be_used_is_named, begin),
        cmocka_unit_test_setup(too_little_space_is_found_at_once, begin),
        cmocka_unit_test_setup(one_run_at_a_time, begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
