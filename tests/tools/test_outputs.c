/* test_outputs.c: what commands write: NumPy headers, contact sheets, columns, names of classes. */
#include "support.h"

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
    for (int i = 0; i < 256; i++)
        assert_int_equal(sheet.rgb[(size_t)3 * (size_t)i], i);
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
    rs__names_free(names, 2);
    assert_int_equal(rs__names_split("cat", 2, "w.safetensors", &names, &err), RS_E_CORRUPT);
    assert_non_null(strstr(err.message, "w.safetensors"));
    assert_null(names);
    assert_int_equal(rs__names_split("a\nb\nc", 2, "w", &names, &err), RS_E_CORRUPT);
    assert_non_null(strstr(err.message, "3 classes"));
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
        cmocka_unit_test(test_median),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
