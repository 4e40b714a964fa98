/* test_outputs.c: what commands write: NumPy headers, contact sheets, columns, names of classes. */
#include "support.h"

#include "checkpoint.h"
#include "npy.h"
#include "scratch.h"
#include "sheet.h"
#include "text.h"
#include "weights_info.h"

#include <string.h>

static void test_npy_header(void **unused)
{
    (void)unused;
    char header[RS_NPY_HEADER_MAX + 1] = {0};
    size_t length = rs__npy_header((uint64_t[4]){70, 3, 96, 96}, header);
    assert_int_equal(length % 64, 0);
    assert_memory_equal(header, "\x93NUMPY\x01\x00", 8);
    assert_int_equal((unsigned char)header[8] | (unsigned char)header[9] << 8, length - 10);
    assert_int_equal(header[length - 1], '\n');
    const char dict[] = "{'descr': '<f4', 'fortran_order': False, 'shape': (70, 3, 96, 96), }";
    assert_memory_equal(header + 10, dict, strlen(dict));
    assert_int_equal(strspn(header + 10 + strlen(dict), " "), length - 11 - strlen(dict));
    /* the longest numbers fit */
    length = rs__npy_header((uint64_t[4]){UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX}, header);
    assert_true(length <= RS_NPY_HEADER_MAX && header[length - 1] == '\n');
}

static void test_sheet(void **unused)
{
    (void)unused;
    struct rs_sheet sheet;
    assert_int_equal(rs__sheet_create(&sheet, 5, 2, NULL), 0);
    assert_int_equal(sheet.columns, 3);
    assert_int_equal(sheet.rows, 2);
    assert_int_equal(sheet.width, 3 * 2 + 2 * 2);
    assert_int_equal(sheet.height, 2 * 2 + 2);
    /* planes: red -1 (black), green 0, blue 1 and beyond */
    const float tile[12] = {-1, -1, -1, -1.5F, 0, 0, 0, 0, 1, 1, 1, 1.5F};
    rs__sheet_put(&sheet, 4, tile);
    const uint8_t *at = sheet.rgb + (size_t)(4 * 10 + 4) * 3; /* second row, second column */
    assert_int_equal(at[0], 0);
    assert_int_equal(at[1], 128);
    assert_int_equal(at[2], 255);
    const uint8_t *last = sheet.rgb + (size_t)(5 * 10 + 5) * 3;
    assert_int_equal(last[0], 0);
    assert_int_equal(last[2], 255);
    assert_int_equal(sheet.rgb[0], 255);           /* a tile not put */
    assert_int_equal(at[-3], 255);                 /* gutter on the left */
    assert_int_equal(*(at - (size_t)10 * 3), 255); /* gutter above */
    assert_int_equal(at[6], 255);                  /* gutter on the right */
    rs__sheet_free(&sheet);
    assert_null(sheet.rgb);
    assert_int_equal(rs__sheet_create(&sheet, 1, 3, NULL), 0);
    assert_int_equal(sheet.width, 3);
    rs__sheet_free(&sheet);
    static const uint32_t shapes[][3] = {/* images, columns, rows */ {1, 1, 1},
                                         {2, 2, 1},
                                         {3, 2, 2},
                                         {4, 2, 2},
                                         {9, 3, 3},
                                         {10, 4, 3},
                                         {4096, 64, 64}};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        assert_int_equal(rs__sheet_create(&sheet, shapes[i][0], 1, NULL), 0);
        assert_int_equal(sheet.columns, shapes[i][1]);
        assert_int_equal(sheet.rows, shapes[i][2]);
        rs__sheet_free(&sheet);
    }
}

/* Every byte of every pixel value comes back: the inverse of (x / 255 - 0.5) / 0.5. */
static void test_sheet_undoes_normalization(void **unused)
{
    (void)unused;
    struct rs_sheet sheet;
    assert_int_equal(rs__sheet_create(&sheet, 1, 16, NULL), 0);
    float tile[3 * 256];
    for (int i = 0; i < 3 * 256; i++)
        tile[i] = ((float)(i % 256) / 255.0F - 0.5F) / 0.5F;
    rs__sheet_put(&sheet, 0, tile);
    for (size_t i = 0; i < 3 * (size_t)256; i++)
        assert_int_equal(sheet.rgb[i], i / 3);
    /* between two bytes the nearer one; out of range the last one */
    static const float between[][2] = {{-1, 0},      {0.49F, 0},    {0.51F, 1},    {99.4F, 99},
                                       {99.6F, 100}, {254.4F, 254}, {254.6F, 255}, {300, 255}};
    for (size_t i = 0; i < sizeof between / sizeof between[0]; i++) {
        tile[0] = (between[i][0] / 255.0F - 0.5F) / 0.5F;
        rs__sheet_put(&sheet, 0, tile);
        assert_int_equal(sheet.rgb[0], between[i][1]);
    }
    rs__sheet_free(&sheet);
}

static void test_text(void **unused)
{
    (void)unused;
    char out[80];
    assert_int_equal(rs__text_width("Bär"), 3);
    assert_string_equal(rs__text_fit("cat", 5, 0, out, sizeof out), "cat  ");
    assert_string_equal(rs__text_fit("cat", 5, 1, out, sizeof out), "  cat");
    assert_string_equal(rs__text_fit("automobile", 6, 0, out, sizeof out), "autom…");
    assert_string_equal(rs__text_fit("Bärenfell", 4, 1, out, sizeof out), "Bär…");
    assert_string_equal(rs__text_fit("a\nb", 3, 0, out, sizeof out), "a?b");
    assert_string_equal(rs__text_fit("", 2, 0, out, sizeof out), "  ");
}

static void test_names(void **unused)
{
    (void)unused;
    char **names = NULL;
    struct rs_error err = {0};
    assert_int_equal(rs__names_split("cat\ndog", 2, "w", &names, &err), 0);
    assert_string_equal(names[0], "cat");
    assert_string_equal(names[1], "dog");
    rs__names_free(names, 2);
    assert_int_equal(rs__names_split("cat\ndog\n", 2, "w", &names, &err), 0);
    assert_string_equal(names[0], "cat");
    assert_string_equal(names[1], "dog");
    rs__names_free(names, 2);
    assert_int_equal(rs__names_split("\ndog with blanks\n", 2, "w", &names, &err), 0);
    assert_string_equal(names[0], "");
    assert_string_equal(names[1], "dog with blanks");
    rs__names_free(names, 2);
    assert_int_equal(rs__names_split("cat", 2, "w.safetensors", &names, &err), RS_E_CORRUPT);
    assert_string_equal(err.message, "w.safetensors: names 1 classes for a network of 2");
    assert_null(names);
    assert_int_equal(rs__names_split("a\nb\nc", 2, "w", &names, &err), RS_E_CORRUPT);
    assert_string_equal(err.message, "w: names 3 classes for a network of 2");
    assert_null(names);
}

/* A weights file of a network for three classes, with this metadata; NULL: without. */
static void save_small(const char *path, const char *image_size, const char *classes)
{
    struct rs_error err = {0};
    struct rs_graph *graph = NULL;
    struct rs_state *state = NULL;
    struct rs_metadata metadata[2];
    int count = 0;
    if (image_size)
        metadata[count++] = (struct rs_metadata){"image_size", image_size};
    if (classes)
        metadata[count++] = (struct rs_metadata){"classes", classes};
    assert_int_equal(rs_graph_create(&graph, (struct rs_shape){2, 1, 1}, &err), 0);
    assert_int_equal(rs_graph_linear(graph, "classifier", 0, 3, &err), 1);
    assert_int_equal(rs_graph_cross_entropy(graph, "loss", 1, &err), 2);
    assert_int_equal(rs_state_create(&state, graph, &err), 0);
    if (rs_checkpoint_save(path, state, 0, metadata, count, &err) < 0)
        fail_msg("%s", err.message);
    rs_state_destroy(state);
    rs_graph_destroy(graph);
}

static void test_weights_info(void **unused)
{
    (void)unused;
    static const struct {
        const char *image_size, *classes, *problem; /* NULL: none */
        uint32_t size;
    } cases[] = {{NULL, NULL, NULL, 0},
                 {"1", NULL, NULL, 1},
                 {"96", "a\nb\nc", NULL, 96},
                 {"1024", "a\nb\nc\n", NULL, 1024},
                 {"1025", NULL, "metadata \"image_size\" is '1025', not a number of pixels", 0},
                 {"0", NULL, "is '0', not a number", 0},
                 {"", NULL, "is '', not a number", 0},
                 {"96x", NULL, "is '96x', not a number", 0},
                 {"x", NULL, "is 'x', not a number", 0},
                 {"-96", NULL, "is '-96', not a number", 0},
                 {"9.5", NULL, "is '9.5', not a number", 0},
                 {"18446744073709551617", NULL, "is '18446744073709551617', not a number", 0},
                 {"96", "a\nb", "names 2 classes for a network of 3", 0},
                 {"96", "a\nb\nc\nd", "names 4 classes for a network of 3", 0},
                 {"96", "", "names 0 classes for a network of 3", 0}};
    struct rs_scratch scratch;
    assert_int_equal(rs__scratch_create(&scratch, NULL), 0);
    const char *path = in(scratch.path, "w.safetensors");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct rs_weights_info info;
        struct rs_error err = {0};
        save_small(path, cases[i].image_size, cases[i].classes);
        const int code = rs__weights_info_read(path, &info, &err);
        if (code != (cases[i].problem ? RS_E_CORRUPT : 0))
            fail_msg("case %zu: %s", i, err.message);
        if (cases[i].problem) {
            assert_non_null(strstr(err.message, path));
            assert_non_null(strstr(err.message, cases[i].problem));
            assert_null(info.names);
        } else {
            assert_int_equal(info.classes, 3);
            assert_int_equal(info.image_size, cases[i].size);
            assert_int_equal(info.names != NULL, cases[i].classes != NULL);
        }
        for (int c = 0; !cases[i].problem && info.names && c < 3; c++) {
            assert_int_equal(info.names[c][0], 'a' + c);
            assert_int_equal(strlen(info.names[c]), 1);
        }
        rs__weights_info_free(&info);
    }
    rs__scratch_remove(&scratch);
}

/* What doesn't fit the caller's array is cut, never written behind it. */
static void test_text_in_small_arrays(void **unused)
{
    (void)unused;
    char out[32];
    assert_string_equal(rs__text_fit("a\177b\001c", 6, 0, out, sizeof out), "a?b?c ");
    assert_string_equal(rs__text_fit("abc", 3, 0, out, sizeof out), "abc");
    assert_string_equal(rs__text_fit("abcd", 3, 0, out, sizeof out), "ab\u2026");
    assert_string_equal(rs__text_fit("", 0, 1, out, sizeof out), "");
    for (size_t size = 8; size < sizeof out; size++) {
        memset(out, '#', sizeof out);
        rs__text_fit("a name that is longer than its place", 30, 1, out, size);
        assert_true(strlen(out) < size);
        memset(out, '#', sizeof out);
        rs__text_fit("short", 30, 1, out, size);
        assert_true(strlen(out) < size);
        for (size_t i = size; i < sizeof out; i++)
            assert_int_equal(out[i], '#');
    }
}

static void test_median(void **unused)
{
    (void)unused;
    double odd[] = {3, 1, 2}, even[] = {4, 1, 3, 2}, one[] = {7};
    assert_true(rs__median(odd, 3) == 2);
    assert_true(rs__median(even, 4) == 2.5);
    assert_true(rs__median(one, 1) == 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_npy_header),
        cmocka_unit_test(test_sheet),
        cmocka_unit_test(test_sheet_undoes_normalization),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_weights_info),
        cmocka_unit_test(test_text_in_small_arrays),
        cmocka_unit_test(test_median),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
