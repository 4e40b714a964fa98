/* The sources of a run: which split each one is, and that both tell the same classes apart. */
#include "data.h"

#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *root;

static const char *in(const char *name)
{
    static char paths[4][1024];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", root, name);
    return path;
}

/* One image a class; the names are those of folders. */
static void make_classes(const char *dir, const char *first, const char *second)
{
    support_write("x", 1, "%s/%s/%s/1.png", root, dir, first);
    support_write("x", 1, "%s/%s/%s/1.png", root, dir, second);
}

/* Opens, and expects the first file of each source; NULL: there is no validation. */
static void opens(const char *dir, const char *valid_dir, const char *train, const char *valid)
{
    struct rs_data data;
    struct rs_error err = {0};
    char valid_path[1024];
    snprintf(valid_path, sizeof valid_path, "%s", valid_dir ? in(valid_dir) : "");
    if (rs_data_open(&data, in(dir), valid_dir ? valid_path : NULL, &err) < 0)
        fail_msg("%s", err.message);
    assert_string_equal(rs_source_file_path(data.sources[RS_PHASE_TRAIN], 0), in(train));
    if (valid)
        assert_string_equal(rs_source_file_path(data.sources[RS_PHASE_VALID], 0), in(valid));
    else
        assert_null(data.sources[RS_PHASE_VALID]);
    rs_data_close(&data);
    assert_null(data.sources[0]);
    rs_data_close(&data);
}

static void refuses(const char *dir, const char *valid_dir, int code, const char *part)
{
    struct rs_data data;
    struct rs_error err = {0};
    char valid_path[1024];
    snprintf(valid_path, sizeof valid_path, "%s", valid_dir ? in(valid_dir) : "");
    assert_int_equal(rs_data_open(&data, in(dir), valid_dir ? valid_path : NULL, &err), code);
    support_says(err.message, part);
    rs_data_close(&data);
}

static void the_split_inside_data_validates(void **state)
{
    (void)state;
    make_classes("both/train", "a", "b");
    make_classes("both/test", "a", "b");
    make_classes("plain", "a", "b");
    opens("both", NULL, "both/train/a/1.png", "both/test/a/1.png");
    opens("plain", NULL, "plain/a/1.png", NULL);
}

/* --valid-data: its validation split, else its training split, else the folder itself. */
static void valid_data_is_a_folder_of_its_own(void **state)
{
    (void)state;
    make_classes("only-train/train", "a", "b");
    opens("plain", "both", "plain/a/1.png", "both/test/a/1.png");
    opens("plain", "only-train", "plain/a/1.png", "only-train/train/a/1.png");
    opens("plain", "plain", "plain/a/1.png", "plain/a/1.png");
    opens("both", "plain", "both/train/a/1.png", "plain/a/1.png"); /* comes before the split inside */
    refuses("plain", "nowhere", RS_E_NOT_FOUND, "/nowhere: no such folder");
}

static void both_have_the_same_classes(void **state)
{
    (void)state;
    make_classes("others", "a", "c");
    make_classes("differ/train", "a", "b");
    make_classes("differ/test", "a", "c");
    refuses("plain", "others", RS_E_USAGE, "class 1 is 'b' beside");
    refuses("differ", NULL, RS_E_USAGE, "class 1 is 'b' beside");
}

/* A validation split that is there and wrong is an error, not a run without validation. */
static void a_wrong_validation_split_is_an_error(void **state)
{
    (void)state;
    struct blob blob = support_cifar(2, 1, 10);
    support_write(blob.data, blob.length, "%s/cifar/data_batch_1.bin", root);
    opens("cifar", NULL, "cifar/data_batch_1.bin", NULL);
    support_write(blob.data, blob.length - 1, "%s/cifar/test_batch.bin", root);
    refuses("cifar", NULL, RS_E_CORRUPT, "test_batch.bin");
    support_write(blob.data, blob.length, "%s/cifar/test_batch.bin", root);
    opens("cifar", NULL, "cifar/data_batch_1.bin", "cifar/test_batch.bin");
    refuses("nowhere", NULL, RS_E_NOT_FOUND, "/nowhere: no such folder");
    free(blob.data);
}

static int begin(void **state)
{
    (void)state;
    root = support_folder();
    return 0;
}

static int end(void **state)
{
    (void)state;
    support_remove(root);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_split_inside_data_validates),
        cmocka_unit_test(valid_data_is_a_folder_of_its_own),
        cmocka_unit_test(both_have_the_same_classes),
        cmocka_unit_test(a_wrong_validation_split_is_an_error),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
