/* png_writer.c: RGB rows to a PNG file, written beside and renamed, so that a reader never sees half a file.
 */
#include "png_writer.h"

#include <errno.h>
#include <inttypes.h>
#include <png.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* All that must survive libpng's longjmp. */
struct writing {
    const char *path;
    struct rs_error *err;
    FILE *file;
    png_structp png;
    png_infop info;
    int code;
};

static void __attribute__((noreturn)) on_error(png_structp png, png_const_charp message)
{
    struct writing *writing = png_get_error_ptr(png);
    if (writing->code == 0) /* else the failure has named itself */
        writing->code =
            rs_error_set(writing->err, RS_E_IO, "%s: can't write this PNG: %s", writing->path, message);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp message)
{
    (void)png;
    (void)message;
}

static void on_write(png_structp png, png_bytep bytes, size_t size)
{
    struct writing *writing = png_get_io_ptr(png);
    if (fwrite(bytes, 1, size, writing->file) == size)
        return;
    writing->code = rs_error_set_errno(writing->err, errno, "%s: can't write this file", writing->path);
    png_error(png, "write");
}

static void on_flush(png_structp png)
{
    (void)png;
}

/* The part that libpng may leave by longjmp. */
static void write_image(struct writing *writing, const uint8_t *rgb, uint32_t width, uint32_t height)
{
    png_structp png = writing->png;
    png_set_user_limits(png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
    png_set_IHDR(png, writing->info, width, height, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, writing->info);
    for (uint32_t y = 0; y < height; y++)
        png_write_row(png, rgb + (size_t)y * width * 3);
    png_write_end(png, writing->info);
}

static int write_stream(struct writing *writing, const uint8_t *rgb, uint32_t width, uint32_t height)
{
    writing->png = png_create_write_struct(PNG_LIBPNG_VER_STRING, writing, on_error, on_warning);
    writing->info = writing->png ? png_create_info_struct(writing->png) : NULL;
    if (!writing->info) {
        png_destroy_write_struct(&writing->png, NULL);
        return rs_error_set(writing->err, RS_E_NOMEM, "%s: out of memory for libpng", writing->path);
    }
    png_set_write_fn(writing->png, writing, on_write, on_flush);
    if (setjmp(png_jmpbuf(writing->png)) == 0)
        write_image(writing, rgb, width, height);
    png_destroy_write_struct(&writing->png, &writing->info);
    return writing->code;
}

/* Writes to beside; the file is closed on return. */
static int write_beside(const char *path, const char *beside, const uint8_t *rgb, uint32_t width,
                        uint32_t height, struct rs_error *err)
{
    struct writing writing = {.path = path, .err = err, .file = fopen(beside, "wbe")};
    if (!writing.file)
        return rs_error_set_errno(err, errno,
                                  "%s: can't create this file; check the folder and its permissions", path);
    int code = write_stream(&writing, rgb, width, height);
    if (fclose(writing.file) != 0 && code == 0)
        code = rs_error_set_errno(err, errno, "%s: can't write this file", path);
    return code;
}

int rs_png_write(const char *path, const uint8_t *rgb, uint32_t width, uint32_t height, struct rs_error *err)
{
    char *beside = NULL;
    if (asprintf(&beside, "%s.%ld.partial", path, (long)getpid()) < 0)
        return rs_error_set(err, RS_E_NOMEM, "%s: out of memory for the path", path);
    int code = write_beside(path, beside, rgb, width, height, err);
    if (code == 0 && rename(beside, path) != 0)
        code = rs_error_set_errno(err, errno, "%s: can't put the finished file there", path);
    if (code < 0)
        unlink(beside);
    free(beside);
    return code;
}
