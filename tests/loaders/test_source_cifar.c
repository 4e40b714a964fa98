/* test_source_cifar.c: CIFAR's binary files: which files belong to a split, their order, their records, their
 * classes, and each way in which they are wrong. */
#include "source.h"

#include "source_cases.h"
#include "support.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* Nine digits are a number; equal numbers go by name. */
static void cifar10_numbers(void **state)
{
    (void)state;
    char *dir = support_folder();
    static const char *const names[] = {
        "data_batch_7.bin",          "data_batch_07.bin",  "data_batch_999999999.bin",
        "data_batch_1000000000.bin", "data_batch_007.bin", "data_batch_.bin",
        "data_batch_3.bin.bak",      "data_batch_-1.bin",  "data_batch_00000000001.bin",
        "my_data_batch_1.bin",       "data_batch_0.bin"};
    for (size_t n = 0; n < sizeof names / sizeof names[0]; n++)
        write_cifar10(dir, names[n], 1);
    expect_files(dir, RS_SPLIT_TRAIN,
                 "data_batch_0.bin\ndata_batch_007.bin\ndata_batch_07.bin\ndata_batch_7.bin\ndata_batch_"
                 "999999999.bin\n");
    write_cifar10(dir, "test_batch.bin", 1);
    write_cifar10(dir, "test_batch_2.bin", 1);
    expect_files(dir, RS_SPLIT_VALID, "test_batch.bin\n");
    expect_files(dir, RS_SPLIT_ALL_OF_IT, "test_batch.bin\n");
    support_remove(dir);
}

/* CIFAR-100's fine labels are its classes; the coarse names are in a file next to them. */
static void cifar100_names(void **state)
{
    (void)state;
    char *dir = support_folder();
    struct blob blob = support_cifar(3, 2, 100);
    support_write(blob.data, blob.length, "%s/train.bin", dir);
    support_write(blob.data, blob.length, "%s/test.bin", dir);
    support_write(blob.data, blob.length, "%s/train_2.bin", dir); /* of no layout */
    support_write("apple\nbear\n", 11, "%s/fine_label_names.txt", dir);
    support_write("fruit\n", 6, "%s/coarse_label_names.txt", dir);
    expect_files(dir, RS_SPLIT_TRAIN, "train.bin\n");
    expect_files(dir, RS_SPLIT_VALID, "test.bin\n");
    struct rs_source *source = must_open(dir, RS_SPLIT_TRAIN);
    assert_int_equal(rs_source_classes(source), 2);
    assert_string_equal(rs_source_class_name(source, 0), "apple");
    assert_string_equal(rs_source_class_name(source, 1), "bear");
    struct rs_source_pixels pixels;
    assert_true(rs_source_uniform(source, &pixels));
    assert_int_equal(pixels.width, 32);
    assert_int_equal(pixels.height, 32);
    assert_true(pixels.planar);
    rs_source_destroy(source);
    free(blob.data);
    support_remove(dir);
}

/* A label is a byte: 256 names at most. */
static void as_many_names_as_labels(void **state)
{
    (void)state;
    char *dir = support_folder(), names[2048];
    write_cifar10(dir, "data_batch_1.bin", 1);
    for (int count = 256; count <= 257; count++) {
        size_t used = 0;
        for (int i = 0; i < count; i++)
            used += (size_t)snprintf(names + used, sizeof names - used, "c%d\n", i);
        support_write(names, used, "%s/batches.meta.txt", dir);
        if (count > 256) {
            refuse(dir, "", RS_SPLIT_TRAIN, RS_E_CORRUPT, "257 class names, but a label is one byte");
            continue;
        }
        struct rs_source *source = must_open(dir, RS_SPLIT_TRAIN);
        assert_int_equal(rs_source_classes(source), 256);
        assert_string_equal(rs_source_class_name(source, 255), "c255");
        rs_source_destroy(source);
    }
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cifar10_files_in_number_order),
        cmocka_unit_test(cifar100_in_the_archives_folder),
        cmocka_unit_test(cifar10_numbers),
        cmocka_unit_test(cifar100_names),
        cmocka_unit_test(as_many_names_as_labels),
        cmocka_unit_test(cifar_that_is_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
