/* test_source.c: recognising data sets, their order, their splits, and each way in which a folder is wrong.
 */
#include "source.h"

#include "support.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NOBODY 65534

static struct rs_source *must_open(const char *dir, enum rs_split split)
{
    struct rs_source *source = NULL;
    struct rs_error err = {0};
    if (rs_source_open(&source, dir, split, &err) != 0)
        fail_msg("%s", err.message);
    return source;
}

/* Opening dir/sub must fail with code; the message names the path and holds part. */
static void refuse(const char *dir, const char *sub, enum rs_split split, int code, const char *part)
{
    struct rs_source *source = NULL;
    struct rs_error err = {0};
    char path[1024];
    snprintf(path, sizeof path, "%s%s", dir, sub);
    assert_int_equal(rs_source_open(&source, path, split, &err), code);
    assert_int_equal(err.code, code);
    assert_null(source);
    support_says(err.message, dir);
    support_says(err.message, part);
}

static void write_cifar10(const char *dir, const char *name, size_t count)
{
    struct blob blob = support_cifar(count, 1, 10);
    support_write(blob.data, blob.length, "%s/%s", dir, name);
    free(blob.data);
}

static void cifar10_files_in_number_order(void **state)
{
    (void)state;
    char *dir = support_folder();
    write_cifar10(dir, "data_batch_10.bin", 3);
    write_cifar10(dir, "data_batch_2.bin", 2);
    write_cifar10(dir, "data_batch_1.bin", 4);
    write_cifar10(dir, "test_batch.bin", 5);
    write_cifar10(dir, "data_batch_x.bin", 9);
    support_write("plane\ncar\r\n\n", 12, "%s/batches.meta.txt", dir);
    struct rs_source *source = must_open(dir, RS_SPLIT_TRAIN);
    assert_string_equal(rs_source_kind(source), "cifar10");
    assert_int_equal(rs_source_count(source), 9);
    assert_int_equal(rs_source_classes(source), 2);
    assert_string_equal(rs_source_class_name(source, 1), "car");
    assert_int_equal(rs_source_file_count(source), 3);
    assert_int_equal(rs_source_bytes(source), 9 * 3073);
    assert_true(rs_source_is_packed(source));
    static const struct {
        uint64_t i, offset;
        uint32_t file;
        const char *name;
    } wanted[] = {{0, 0, 0, "data_batch_1.bin"},
                  {3, 9219, 0, "data_batch_1.bin"},
                  {4, 0, 1, "data_batch_2.bin"},
                  {5, 3073, 1, "data_batch_2.bin"},
                  {8, 6146, 2, "data_batch_10.bin"}};
    for (size_t w = 0; w < sizeof wanted / sizeof wanted[0]; w++) {
        struct rs_sample_ref ref;
        rs_source_sample(source, wanted[w].i, &ref);
        assert_int_equal(ref.offset, wanted[w].offset);
        assert_int_equal(ref.file, wanted[w].file);
        assert_int_equal(ref.length, 3073);
        assert_int_equal(ref.label, -1);
        assert_int_equal(ref.codec, RS_CODEC_CIFAR10);
        assert_string_equal(strrchr(ref.path, '/') + 1, wanted[w].name);
        assert_ptr_equal(ref.path, rs_source_file_path(source, ref.file));
    }
    rs_source_destroy(source);
    source = must_open(dir, RS_SPLIT_VALID);
    assert_int_equal(rs_source_count(source), 5);
    rs_source_destroy(source);
    support_remove(dir);
}

static void cifar100_in_the_archives_folder(void **state)
{
    (void)state;
    char *dir = support_folder();
    struct blob blob = support_cifar(3, 2, 100);
    support_write(blob.data, blob.length, "%s/cifar-100-binary/train.bin", dir);
    free(blob.data);
    struct rs_source *source = must_open(dir, RS_SPLIT_TRAIN);
    assert_string_equal(rs_source_kind(source), "cifar100");
    assert_int_equal(rs_source_count(source), 3);
    assert_int_equal(rs_source_classes(source), 100);
    assert_string_equal(rs_source_class_name(source, 99), "99");
    assert_int_equal(rs_source_file_size(source, 0), 3 * 3074);
    struct rs_sample_ref ref;
    rs_source_sample(source, 2, &ref);
    assert_int_equal(ref.codec, RS_CODEC_CIFAR100);
    assert_int_equal(ref.offset, 2 * 3074);
    rs_source_destroy(source);
    source = must_open(dir, RS_SPLIT_ALL_OF_IT); /* no valid file: what there is */
    assert_int_equal(rs_source_count(source), 3);
    rs_source_destroy(source);
    refuse(dir, "", RS_SPLIT_VALID, RS_E_NO_SPLIT, "test.bin");
    support_remove(dir);
}

static void cifar_that_is_wrong(void **state)
{
    (void)state;
    char *dir = support_folder();
    struct blob blob = support_cifar(3, 1, 10);
    support_write(blob.data, blob.length - 3000, "%s/data_batch_1.bin", dir);
    refuse(dir, "", RS_SPLIT_TRAIN, RS_E_CORRUPT, "data_batch_1.bin");
    refuse(dir, "", RS_SPLIT_TRAIN, RS_E_CORRUPT, "the last 73 bytes, from offset 6146");
    support_write("", 0, "%s/data_batch_1.bin", dir);
    refuse(dir, "", RS_SPLIT_TRAIN, RS_E_CORRUPT, "empty");
    support_write(blob.data, blob.length, "%s/data_batch_1.bin", dir);
    support_write("only\n", 5, "%s/batches.meta.txt", dir);
    refuse(dir, "", RS_SPLIT_TRAIN, RS_E_USAGE, "one class only (only)");
    support_mkdir("%s/test_batch.bin", dir);
    refuse(dir, "", RS_SPLIT_VALID, RS_E_UNSUPPORTED, "not a regular file");
    free(blob.data);
    support_remove(dir);
}

static void touch(const char *dir, const char *path)
{
    support_write("x", 1, "%s/%s", dir, path);
}

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

/* Permissions don't hold for root, who therefore looks as nobody. */
static void closed_to_us(void **state)
{
    (void)state;
    char *dir = support_folder(), path[1024];
    touch(dir, "set/a/1.png");
    touch(dir, "set/b/1.png");
    write_cifar10(dir, "cifar/data_batch_1.bin", 1);
    static const char *const closed[] = {"set/b", "cifar/data_batch_1.bin", "set"};
    static const char *const asked[] = {"/set", "/cifar", "/set"};
    int was_root = geteuid() == 0;
    if (was_root && seteuid(NOBODY) != 0)
        skip();
    for (size_t c = 0; c < 3; c++) {
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
        cmocka_unit_test(cifar10_files_in_number_order),
        cmocka_unit_test(cifar100_in_the_archives_folder),
        cmocka_unit_test(cifar_that_is_wrong),
        cmocka_unit_test(folder_order_is_torchvisions),
        cmocka_unit_test(folder_splits),
        cmocka_unit_test(folder_links_are_followed),
        cmocka_unit_test(folder_that_is_wrong),
        cmocka_unit_test(closed_to_us),
        cmocka_unit_test(same_classes),
        cmocka_unit_test(many_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
