/* test_source.c: image folders: their order, their splits, and each way in which one is wrong; classes of two
 * sources. */
#include "source.h"

#include "source_cases.h"
#include "support.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NOBODY 65534

/* The samples' paths below dir, a line each with their label. */
static char *listing(const struct rs_source *source, const char *dir)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    for (uint64_t i = 0; i < rs_source_count(source); i++) {
        struct rs_sample_ref ref;
        rs_source_sample(source, i, &ref);
        assert_int_equal(ref.file, i);
        assert_int_equal(strncmp(ref.path, dir, strlen(dir)), 0);
        fprintf(out, "%d %s\n", (int)ref.label, ref.path + strlen(dir) + 1);
    }
    fclose(out);
    return text;
}

static void folder_order_is_torchvisions(void **state)
{
    (void)state;
    char *dir = support_folder();
    static const char *const files[] = {
        "train/b/2.png",        "train/b/10.PNG",  "train/b/a/1.jpeg", "train/b/a-b/1.jpg",
        "train/b/a/b/c/0.JPEG", "train/b/z.txt",   "train/b/.h.jpg",   "train/B/x.jpg",
        "train/.k/.g/1.png",    "train/stray.png", "valid/B/only.png", "valid/b/only.png",
        "valid/.k/only.jpg",    "train/b/noext",   "train/b/a/.jpg",
    };
    for (size_t f = 0; f < sizeof files / sizeof files[0]; f++)
        touch(dir, files[f]);
    struct rs_source *train = must_open(dir, RS_SPLIT_TRAIN), *valid = must_open(dir, RS_SPLIT_VALID);
    char *text = listing(train, dir);
    /* sorted(os.walk) sorts by the path as a string, so "a-b" precedes "a/b". */
    assert_string_equal(text, "0 train/.k/.g/1.png\n"
                              "1 train/B/x.jpg\n"
                              "2 train/b/.h.jpg\n"
                              "2 train/b/10.PNG\n"
                              "2 train/b/2.png\n"
                              "2 train/b/a/.jpg\n"
                              "2 train/b/a/1.jpeg\n"
                              "2 train/b/a-b/1.jpg\n"
                              "2 train/b/a/b/c/0.JPEG\n");
    free(text);
    assert_string_equal(rs_source_kind(train), "folder");
    assert_false(rs_source_is_packed(train));
    assert_int_equal(rs_source_classes(train), 3);
    assert_string_equal(rs_source_class_name(train, 1), "B");
    assert_int_equal(rs_source_count(valid), 3);
    assert_int_equal(rs_source_same_classes(train, valid, NULL), 0);
    struct rs_sample_ref ref;
    rs_source_sample(train, 4, &ref);
    assert_int_equal(ref.codec, RS_CODEC_PNG);
    assert_int_equal(ref.length, 1);
    rs_source_sample(train, 8, &ref);
    assert_int_equal(ref.codec, RS_CODEC_JPEG);
    rs_source_destroy(train);
    rs_source_destroy(valid);
    support_remove(dir);
}

static void folder_splits(void **state)
{
    (void)state;
    char *dir = support_folder();
    touch(dir, "plain/a/1.png");
    touch(dir, "plain/train/1.png"); /* a class of vehicles, for there is no test/ */
    char plain[1024];
    snprintf(plain, sizeof plain, "%s/plain/", dir); /* with a slash behind, as shells complete it */
    struct rs_source *source = must_open(plain, RS_SPLIT_TRAIN);
    assert_int_equal(rs_source_classes(source), 2);
    assert_string_equal(rs_source_file_path(source, 1) + strlen(plain),
                        "train/1.png"); /* and no slash more */
    rs_source_destroy(source);
    source = must_open(plain, RS_SPLIT_ALL_OF_IT);
    assert_int_equal(rs_source_count(source), 2);
    rs_source_destroy(source);
    refuse(dir, "/plain", RS_SPLIT_VALID, RS_E_NO_SPLIT, "--valid-data");
    static const char *const splits[] = {"test", "val"}; /* the later one is preferred to the earlier */
    touch(dir, "both/train/a/1.png");
    touch(dir, "both/train/b/1.png");
    for (size_t s = 0; s < 2; s++) {
        char path[1024], wanted[64];
        for (int c = 'a'; c <= 'b'; c++) {
            snprintf(path, sizeof path, "both/%s/%c/1.png", splits[s], c);
            touch(dir, path);
        }
        snprintf(path, sizeof path, "%s/both", dir);
        snprintf(wanted, sizeof wanted, "/%s/", splits[s]);
        for (int all = 0; all <= 1; all++) {
            source = must_open(path, all ? RS_SPLIT_ALL_OF_IT : RS_SPLIT_VALID);
            support_says(rs_source_file_path(source, 0), wanted);
            rs_source_destroy(source);
        }
    }
    touch(dir, "rest/test/a/1.png");
    refuse(dir, "/rest", RS_SPLIT_TRAIN, RS_E_NOT_FOUND, "no train/");
    support_remove(dir);
}

/* Where several validation splits are there, the one that comes first in this list is taken. */
static void folder_splits_in_order(void **state)
{
    (void)state;
    static const char *const names[] = {"val", "valid", "validation", "test"};
    for (size_t first = 0; first < 4; first++) {
        char *dir = support_folder(), path[64], expected[64];
        for (int c = 'a'; c <= 'b'; c++) {
            for (size_t n = first; n < 4; n++) {
                snprintf(path, sizeof path, "%s/%c/1.png", names[n], c);
                touch(dir, path);
            }
            snprintf(path, sizeof path, "train/%c/1.png", c);
            touch(dir, path);
        }
        snprintf(expected, sizeof expected, "%s/a/1.png\n%s/b/1.png\n", names[first], names[first]);
        expect_files(dir, RS_SPLIT_VALID, expected);
        expect_files(dir, RS_SPLIT_ALL_OF_IT, expected);
        expect_files(dir, RS_SPLIT_TRAIN, "train/a/1.png\ntrain/b/1.png\n");
        support_remove(dir);
    }
}

/* A folder of splits alone, and one in which such a name is a class among others. */
static void folder_splits_or_classes(void **state)
{
    (void)state;
    char *dir = support_folder(), path[1024];
    touch(dir, "only/test/a/1.png");
    touch(dir, "only/test/b/1.png");
    snprintf(path, sizeof path, "%s/only", dir);
    expect_files(path, RS_SPLIT_VALID, "test/a/1.png\ntest/b/1.png\n");
    expect_files(path, RS_SPLIT_ALL_OF_IT, "test/a/1.png\ntest/b/1.png\n");
    refuse(dir, "/only", RS_SPLIT_TRAIN, RS_E_NOT_FOUND, "no train/");
    touch(dir, "classes/test/1.png");
    touch(dir, "classes/quiz/1.png");
    snprintf(path, sizeof path, "%s/classes", dir);
    expect_files(path, RS_SPLIT_TRAIN, "quiz/1.png\ntest/1.png\n");
    refuse(dir, "/classes", RS_SPLIT_VALID, RS_E_NO_SPLIT, "no test/, val/, valid/ or validation/ in it");
    touch(dir, "train-alone/train/a/1.png");
    touch(dir, "train-alone/train/b/1.png");
    snprintf(path, sizeof path, "%s/train-alone", dir);
    expect_files(path, RS_SPLIT_TRAIN, "train/a/1.png\ntrain/b/1.png\n");
    expect_files(path, RS_SPLIT_ALL_OF_IT, "train/a/1.png\ntrain/b/1.png\n");
    refuse(dir, "/train-alone", RS_SPLIT_VALID, RS_E_NO_SPLIT, "--valid-data");
    support_remove(dir);
}

/* Sizes and their sum are the files'; images of a folder may have any size. */
static void folder_sizes(void **state)
{
    (void)state;
    char *dir = support_folder();
    struct rs_source_pixels pixels;
    struct rs_sample_ref ref;
    support_write("12345", 5, "%s/a/1.png", dir);
    support_write("1234567", 7, "%s/b/1.jpg", dir);
    struct rs_source *source = must_open(dir, RS_SPLIT_TRAIN);
    assert_int_equal(rs_source_bytes(source), 12);
    assert_int_equal(rs_source_file_size(source, 1), 7);
    rs_source_sample(source, 0, &ref);
    assert_int_equal(ref.length, 5);
    rs_source_sample(source, 1, &ref);
    assert_int_equal(ref.length, 7);
    assert_int_equal(ref.offset, 0);
    assert_false(rs_source_uniform(source, &pixels));
    rs_source_destroy(source);
    support_remove(dir);
}

/* Names of more empty classes than a message holds are left out, never cut inside. */
static void folder_with_many_empty_classes(void **state)
{
    (void)state;
    char *dir = support_folder();
    struct rs_source *source = NULL;
    struct rs_error err = {0};
    touch(dir, "a/1.png");
    for (int c = 0; c < 60; c++)
        support_mkdir("%s/class-%02d", dir, c);
    assert_int_equal(rs_source_open(&source, dir, RS_SPLIT_TRAIN, &err), RS_E_NOT_FOUND);
    support_says(err.message, "for the classes class-00, class-01, ");
    support_says(err.message, " (60 without .png, .jpg or .jpeg)");
    assert_null(strstr(err.message, "class-59"));
    const char *last = strstr(err.message, " (60 without");
    assert_memory_equal(last - 8, "class-", 6);
    support_remove(dir);
}

static void folder_links_are_followed(void **state)
{
    (void)state;
    char *dir = support_folder(), from[1024], to[1024];
    touch(dir, "elsewhere/deep/1.png");
    touch(dir, "set/a/1.png");
    static const char *const links[][2] = {
        {"elsewhere", "set/b"},      {"set/a/1.png", "set/a/2.png"},       {"set", "set/a/loop"},
        {"set/a", "set/a/sub-loop"}, {"elsewhere", "elsewhere/deep/loop"},
    };
    for (size_t l = 0; l < sizeof links / sizeof links[0]; l++) {
        snprintf(to, sizeof to, "%s/%s", dir, links[l][0]);
        snprintf(from, sizeof from, "%s/%s", dir, links[l][1]);
        assert_int_equal(symlink(to, from), 0);
    }
    snprintf(from, sizeof from, "%s/set", dir);
    struct rs_source *source = must_open(from, RS_SPLIT_TRAIN);
    char *text = listing(source, from);
    /* set/a/loop leads to set, whose a is an ancestor and is left out, but not its b */
    assert_string_equal(text, "0 a/1.png\n0 a/2.png\n0 a/loop/b/deep/1.png\n1 b/deep/1.png\n");
    free(text);
    rs_source_destroy(source);
    snprintf(from, sizeof from, "%s/set/b/gone.jpg", dir);
    assert_int_equal(symlink("nowhere", from), 0);
    refuse(dir, "/set", RS_SPLIT_TRAIN, RS_E_NOT_FOUND, "b/gone.jpg");
    unlink(from);
    assert_int_equal(mkfifo(from, 0644), 0);
    refuse(dir, "/set", RS_SPLIT_TRAIN, RS_E_UNSUPPORTED, "not a regular file");
    support_remove(dir);
}

static void folder_that_is_wrong(void **state)
{
    (void)state;
    char *dir = support_folder();
    refuse(dir, "/missing", RS_SPLIT_TRAIN, RS_E_NOT_FOUND, "no such folder");
    refuse(dir, "", RS_SPLIT_TRAIN, RS_E_NOT_FOUND, "data_batch_1.bin");
    touch(dir, "1.png");
    refuse(dir, "", RS_SPLIT_TRAIN, RS_E_NOT_FOUND, "a directory a class");
    refuse(dir, "/1.png", RS_SPLIT_TRAIN, RS_E_USAGE, "not a folder");
    touch(dir, "a/readme.txt");
    refuse(dir, "", RS_SPLIT_TRAIN, RS_E_NOT_FOUND, "no images in it");
    touch(dir, "a/1.png");
    refuse(dir, "", RS_SPLIT_TRAIN, RS_E_USAGE, "one class only (a)");
    touch(dir, "d/1.png");
    support_mkdir("%s/b", dir);
    support_mkdir("%s/c", dir);
    refuse(dir, "", RS_SPLIT_TRAIN, RS_E_NOT_FOUND, "found no valid file for the classes b, c (2 without");
    support_remove(dir);
}

/* Permissions do not stop root, so as root the test becomes the user nobody. */
static void closed_to_us(void **state)
{
    (void)state;
    char *dir = support_folder(), path[1024];
    touch(dir, "set/a/1.png");
    touch(dir, "set/b/1.png");
    write_cifar10(dir, "cifar/data_batch_1.bin", 1);
    touch(dir, "cifar/batches.meta.txt");
    static const char *const closed[] = {"set/b", "cifar/data_batch_1.bin", "cifar/batches.meta.txt", "set"};
    static const char *const asked[] = {"/set", "/cifar", "/cifar", "/set"};
    int was_root = geteuid() == 0;
    if (was_root && seteuid(NOBODY) != 0)
        skip();
    for (size_t c = 0; c < sizeof closed / sizeof closed[0]; c++) {
        snprintf(path, sizeof path, "%s/%s", dir, closed[c]);
        if (was_root)
            assert_int_equal(seteuid(0), 0);
        assert_int_equal(chmod(path, 0), 0);
        if (was_root)
            assert_int_equal(seteuid(NOBODY), 0);
        refuse(dir, asked[c], RS_SPLIT_TRAIN, RS_E_PERMISSION, closed[c]);
        if (was_root)
            assert_int_equal(seteuid(0), 0);
        assert_int_equal(chmod(path, 0755), 0);
    }
    support_remove(dir);
}

static void same_classes(void **state)
{
    (void)state;
    char *dir = support_folder(), path[1024];
    static const char *const files[] = {"x/a/1.png", "x/b/1.png", "y/a/1.png", "y/b/1.png",
                                        "y/c/1.png", "z/a/1.png", "z/d/1.png"};
    for (size_t f = 0; f < sizeof files / sizeof files[0]; f++)
        touch(dir, files[f]);
    struct rs_source *source[3];
    for (int s = 0; s < 3; s++) {
        snprintf(path, sizeof path, "%s/%c", dir, 'x' + s);
        source[s] = must_open(path, RS_SPLIT_TRAIN);
    }
    struct rs_error err = {0};
    assert_int_equal(rs_source_same_classes(source[0], source[0], &err), 0);
    assert_int_equal(rs_source_same_classes(source[0], source[1], &err), RS_E_USAGE);
    support_says(err.message, "'c' exists beside");
    assert_int_equal(rs_source_same_classes(source[1], source[0], &err), RS_E_USAGE);
    support_says(err.message, "'c' exists beside");
    assert_int_equal(rs_source_same_classes(source[0], source[2], &err), RS_E_USAGE);
    support_says(err.message, "class 1 is 'b' beside");
    /* Numbered classes have no names to compare. */
    write_cifar10(dir, "named/data_batch_1.bin", 1);
    write_cifar10(dir, "numbered/test_batch.bin", 1);
    support_write("0\n1\n2\n3\n4\n5\n6\n7\n8\nnine\n", 23, "%s/named/batches.meta.txt", dir);
    snprintf(path, sizeof path, "%s/named", dir);
    struct rs_source *named = must_open(path, RS_SPLIT_TRAIN);
    snprintf(path, sizeof path, "%s/numbered", dir);
    struct rs_source *numbered = must_open(path, RS_SPLIT_VALID);
    assert_int_equal(rs_source_same_classes(named, numbered, &err), 0);
    assert_int_equal(rs_source_same_classes(numbered, named, &err), 0);
    assert_int_equal(rs_source_same_classes(named, source[0], &err), RS_E_USAGE);
    assert_int_equal(rs_source_same_classes(numbered, source[0], &err), RS_E_USAGE);
    rs_source_destroy(named);
    rs_source_destroy(numbered);
    for (int s = 0; s < 3; s++)
        rs_source_destroy(source[s]);
    support_remove(dir);
}

/* More names than a block of strings and an array's first size hold; paths handed out must stay where they
 * are. */
static void many_files(void **state)
{
    (void)state;
    char *dir = support_folder();
    for (int f = 0; f < 3000; f++)
        support_write("x", 1,
                      "%s/%s/some-directory-with-a-long-name-%03d/another-one-that-makes-paths-long/%04d.jpg",
                      dir, f % 2 ? "odd" : "even", f % 7, f);
    struct rs_source *source = must_open(dir, RS_SPLIT_TRAIN);
    assert_int_equal(rs_source_count(source), 3000);
    for (uint32_t i = 1; i < 3000; i++) {
        struct rs_sample_ref ref;
        rs_source_sample(source, i, &ref);
        assert_true(strcmp(rs_source_file_path(source, i - 1), ref.path) < 0);
        assert_int_equal(ref.label, i >= 1500);
    }
    rs_source_destroy(source);
    support_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folder_order_is_torchvisions),
        cmocka_unit_test(folder_splits),
        cmocka_unit_test(folder_splits_in_order),
        cmocka_unit_test(folder_splits_or_classes),
        cmocka_unit_test(folder_sizes),
        cmocka_unit_test(folder_with_many_empty_classes),
        cmocka_unit_test(folder_links_are_followed),
        cmocka_unit_test(folder_that_is_wrong),
        cmocka_unit_test(closed_to_us),
        cmocka_unit_test(same_classes),
        cmocka_unit_test(many_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
