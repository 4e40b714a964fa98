/* The output folder is tried before the first step. */
#include "run_dir.h"

#include "cmocka_all.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
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

static size_t entries(const char *dir)
{
    size_t count = 0;
    DIR *stream = opendir(dir);
    assert_non_null(stream);
    while (readdir(stream))
        count++;
    closedir(stream);
    return count - 2;
}

static void assert_holds(const char *dir, const char *name, const char *expected)
{
    char file[300], text[64];
    snprintf(file, sizeof file, "%s/%s", dir, name);
    FILE *f = fopen(file, "r");
    assert_non_null(f);
    text[fread(text, 1, sizeof text - 1, f)] = '\0';
    fclose(f);
    assert_string_equal(text, expected);
}

static void makes_the_folder_with_its_parents(void **state)
{
    (void)state;
    char dir[256];
    path_of(dir, "a/b/c");
    assert_int_equal(rs_run_dir_prepare(dir, false, 1, NULL), 0);
    assert_int_equal(entries(dir), 0); /* what was tried there is gone */
    path_of(dir, "a/b/c/");            /* as shells complete it, and there already */
    assert_int_equal(rs_run_dir_prepare(dir, false, 1, NULL), 0);
}

/* The text replaces what was there; nothing else stays. */
static void writes_a_file_whole(void **state)
{
    (void)state;
    assert_int_equal(rs_run_dir_write(root, "x.json", "a longer text", NULL), 0);
    assert_int_equal(rs_run_dir_write(root, "x.json", "{}", NULL), 0);
    assert_holds(root, "x.json", "{}");
    assert_int_equal(entries(root), 1);
}

/* A limit on the size of files stands for a full disk. */
static void a_failed_write_leaves_the_old_file(void **state)
{
    (void)state;
    struct rlimit before, limit;
    struct rs_error err = {0};
    char dir[256], beside[300];
    assert_int_equal(rs_run_dir_write(root, "x.json", "old", NULL), 0);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = (struct rlimit){.rlim_cur = 4, .rlim_max = before.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    const int code = rs_run_dir_write(root, "x.json", "more than four bytes", &err);
    path_of(dir, "tried");
    struct rs_error tried = {0};
    const int prepared = rs_run_dir_prepare(dir, false, 1, &tried);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, SIG_DFL);
    assert_int_equal(code, RS_E_IO);
    snprintf(beside, sizeof beside, "%s/x.json", root);
    assert_non_null(strstr(err.message, beside));
    assert_holds(root, "x.json", "old");
    assert_int_equal(prepared, RS_E_IO); /* found before the first step */
    assert_non_null(strstr(tried.message, dir));
    assert_int_equal(entries(dir), 0);
    assert_int_equal(entries(root), 2);
}

static void paths_have_a_limit(void **state)
{
    (void)state;
    char path[16];
    struct rs_error err = {0};
    assert_int_equal(rs_run_dir_path(path, sizeof path, "folder", "file.nam", &err), 0);
    assert_string_equal(path, "folder/file.nam");
    assert_int_equal(rs_run_dir_path(path, sizeof path, "folder", "file.name", &err), RS_E_LIMIT);
    assert_non_null(strstr(err.message, "folder"));
}

static void resume_and_a_new_run_don_t_mix(void **state)
{
    (void)state;
    char dir[256];
    struct rs_error err;
    path_of(dir, "run");
    assert_int_equal(rs_run_dir_prepare(dir, true, 1, &err), RS_E_USAGE);
    assert_non_null(strstr(err.message, "run/resume.safetensors is not there"));
    assert_non_null(strstr(err.message, "train without --resume"));
    assert_int_equal(access(dir, F_OK), -1); /* and nothing was made */
    assert_int_equal(rs_run_dir_prepare(dir, false, 1, &err), 0);
    assert_int_equal(rs_run_dir_write(dir, "resume.safetensors", "x", &err), 0);
    assert_int_equal(rs_run_dir_prepare(dir, false, 1, &err), RS_E_USAGE);
    assert_non_null(strstr(err.message, "holds a run already; go on with --resume "));
    assert_int_equal(rs_run_dir_prepare(dir, true, 1, &err), 0);
    assert_holds(dir, "resume.safetensors", "x");
    assert_int_equal(entries(dir), 1);
}

static void a_folder_that_can_t_be_used_is_named(void **state)
{
    (void)state;
    char file[256], dir[256];
    struct rs_error err;
    path_of(file, "plain");
    fclose(fopen(file, "w"));
    path_of(dir, "plain/run");
    assert_int_equal(rs_run_dir_prepare(dir, false, 1, &err), RS_E_IO);
    assert_non_null(strstr(err.message, dir));
    assert_non_null(strstr(err.message, "choose another --out"));
    assert_int_equal(rs_run_dir_prepare("/proc/rstream", false, 1, &err), RS_E_NOT_FOUND);
    assert_non_null(
        strstr(err.message, "the output folder /proc/rstream can't be made; choose another --out"));
}

static void too_little_space_is_found_at_once(void **state)
{
    (void)state;
    char dir[256];
    struct rs_error err;
    path_of(dir, "space");
    assert_int_equal(rs_run_dir_prepare(dir, false, UINT64_MAX, &err), RS_E_NO_SPACE);
    assert_non_null(strstr(err.message, dir));
    assert_non_null(strstr(err.message, "the checkpoints need 18446744073709 MB"));
    /* Others write on the same disk, so the border itself can't be tried: more and less by a quarter. */
    struct statvfs fs;
    assert_int_equal(statvfs(dir, &fs), 0);
    const uint64_t left = (uint64_t)fs.f_bavail * fs.f_frsize;
    assert_int_equal(rs_run_dir_prepare(dir, false, left / 4 * 3, &err), 0);
    assert_int_equal(rs_run_dir_prepare(dir, false, left / 4 * 5, &err), RS_E_NO_SPACE);
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
    assert_non_null(strstr(err.message, "another run is writing into "));
    assert_non_null(strstr(err.message, root));
    close(first);
    assert_int_equal(rs_run_dir_lock(root, &second, &err), 0);
    close(second);
    assert_int_equal(rs_run_dir_lock("/nowhere/at/all", &first, &err), RS_E_NOT_FOUND);
    assert_non_null(strstr(err.message, "/nowhere/at/all"));
}

static int end(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -r '%s'", root);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(makes_the_folder_with_its_parents, begin, end),
        cmocka_unit_test_setup_teardown(writes_a_file_whole, begin, end),
        cmocka_unit_test_setup_teardown(a_failed_write_leaves_the_old_file, begin, end),
        cmocka_unit_test_setup_teardown(paths_have_a_limit, begin, end),
        cmocka_unit_test_setup_teardown(resume_and_a_new_run_don_t_mix, begin, end),
        cmocka_unit_test_setup_teardown(a_folder_that_can_t_be_used_is_named, begin, end),
        cmocka_unit_test_setup_teardown(too_little_space_is_found_at_once, begin, end),
        cmocka_unit_test_setup_teardown(one_run_at_a_time, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
