/* test_source_limits.c: data sets at and beyond what an index holds: a million classes, a missing file,
 * folders that lead nowhere, and the colors that the JPEG codec has no word for.
 */
#include "codec.h"
#include "source.h"

#include "support.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <jpeglib.h>

#define CLASSES_MAX 1000000 /* rs_source's */

/* A CIFAR-10 folder whose names file has that many names; opened. */
static int open_named(const char *folder, unsigned names, struct rs_source **source, struct rs_error *err)
{
    struct blob image = support_cifar(1, 1, 10);
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    for (unsigned i = 0; i < names; i++)
        fprintf(stream, "%u\n", i);
    fclose(stream);
    support_write(image.data, image.length, "%s/data_batch_1.bin", folder);
    support_write(text, size, "%s/batches.meta.txt", folder);
    free(text);
    free(image.data);
    return rs_source_open(source, folder, RS_SPLIT_TRAIN, err);
}

/* A file of the wrong kind in the place of the names must not fill the memory. */
static void a_million_names(void **state)
{
    (void)state;
    char *folder = support_folder();
    struct rs_source *source = NULL;
    struct rs_error err;
    assert_int_equal(open_named(folder, CLASSES_MAX + 1, &source, &err), RS_E_LIMIT);
    support_says(err.message, "more than 1000000 classes");
    support_remove(folder);
}

static void only_the_validation_file(void **state)
{
    (void)state;
    char *folder = support_folder();
    struct rs_source *source = NULL;
    struct rs_error err;
    struct blob image = support_cifar(1, 1, 10);
    support_write(image.data, image.length, "%s/test_batch.bin", folder);
    assert_int_equal(rs_source_open(&source, folder, RS_SPLIT_TRAIN, &err), RS_E_NOT_FOUND);
    support_says(err.message, "no data_batch_*.bin to train on");
    support_says(err.message, folder);
    free(image.data);
    support_remove(folder);
}

static void a_link_to_itself(void **state)
{
    (void)state;
    char *folder = support_folder(), path[1024];
    struct rs_source *source = NULL;
    struct rs_error err;
    snprintf(path, sizeof path, "%s/loop", folder);
    assert_int_equal(symlink("loop", path), 0);
    assert_int_equal(rs_source_open(&source, path, RS_SPLIT_TRAIN, &err), RS_E_IO);
    support_says(err.message, path);
    support_says(err.message, "can't open this folder");
    support_remove(folder);
}

/* libjpeg writes any number of components, and so may other encoders. */
static struct blob jpeg_of_two_components(void)
{
    struct jpeg_compress_struct object;
    struct jpeg_error_mgr errors;
    unsigned char *bytes = NULL, row[8 * 2] = {0}, *rows = row;
    unsigned long length = 0;
    object.err = jpeg_std_error(&errors);
    jpeg_create_compress(&object);
    jpeg_mem_dest(&object, &bytes, &length);
    object.image_width = object.image_height = 8;
    object.input_components = 2;
    object.in_color_space = JCS_UNKNOWN;
    jpeg_set_defaults(&object);
    jpeg_start_compress(&object, TRUE);
    for (int y = 0; y < 8; y++)
        jpeg_write_scanlines(&object, &rows, 1);
    jpeg_finish_compress(&object);
    jpeg_destroy_compress(&object);
    return (struct blob){bytes, length};
}

static void a_jpeg_of_two_components(void **state)
{
    (void)state;
    struct rs_decoder *decoder = NULL;
    struct rs_buffer storage = {0};
    struct blob jpeg = jpeg_of_two_components();
    struct rs_sample_ref ref = {.path = "a.jpg", .length = jpeg.length, .codec = RS_CODEC_JPEG};
    struct rs_pixels pixels;
    struct rs_error err = {0};
    int32_t label;
    assert_int_equal(rs_decoder_create(&decoder, 1000, 2, NULL), 0);
    int code = rs_decoder_run(decoder, &ref, jpeg.data, jpeg.length, &storage, &pixels, &label, &err);
    assert_int_equal(code, RS_E_UNSUPPORTED);
    support_says(err.message, "a.jpg");
    support_says(err.message, "neither 1, 3 nor 4");
    free(jpeg.data);
    rs_buffer_free(&storage);
    rs_decoder_destroy(decoder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_million_names),
        cmocka_unit_test(only_the_validation_file),
        cmocka_unit_test(a_link_to_itself),
        cmocka_unit_test(a_jpeg_of_two_components),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
