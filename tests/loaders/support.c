/* support.c: see support.h. */
#include "support.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <jpeglib.h>
#include <png.h>

#define PATH_ROOM 1024

static void *must(void *block)
{
    if (!block) {
        perror("setting up failed");
        abort();
    }
    return block;
}

char *support_folder(void)
{
    const char *base = getenv("TMPDIR");
    char *folder = NULL;
    if (asprintf(&folder, "%s/rstream-test-XXXXXX", base ? base : "/tmp") < 0)
        abort();
    must(mkdtemp(folder));
    chmod(folder, 0755); /* some tests look at it as another user */
    return folder;
}

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *place)
{
    (void)info;
    (void)type;
    (void)place;
    return remove(path);
}

void support_remove(char *folder)
{
    nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    free(folder);
}

static void make_parents(char *path)
{
    for (char *slash = path + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        mkdir(path, 0755);
        *slash = '/';
    }
}

void support_write(const void *bytes, size_t length, const char *format, ...)
{
    char path[PATH_ROOM];
    va_list args;
    va_start(args, format);
    vsnprintf(path, sizeof path, format, args);
    va_end(args);
    make_parents(path);
    FILE *file = must(fopen(path, "wb"));
    assert_int_equal(fwrite(bytes, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
}

void support_mkdir(const char *format, ...)
{
    char path[PATH_ROOM];
    va_list args;
    va_start(args, format);
    vsnprintf(path, sizeof path, format, args);
    va_end(args);
    make_parents(path);
    assert_int_equal(mkdir(path, 0755), 0);
}

struct blob support_read(const char *format, ...)
{
    char path[PATH_ROOM];
    va_list args;
    va_start(args, format);
    vsnprintf(path, sizeof path, format, args);
    va_end(args);
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    struct blob blob = {must(malloc((size_t)info.st_size + 1)), (size_t)info.st_size};
    FILE *file = must(fopen(path, "rb"));
    assert_int_equal(fread(blob.data, 1, blob.length, file), blob.length);
    fclose(file);
    return blob;
}

struct blob support_cifar(size_t count, size_t label_bytes, unsigned classes)
{
    size_t record = label_bytes + 3072;
    struct blob blob = {must(malloc(count * record)), count * record};
    for (size_t i = 0; i < count; i++) {
        uint8_t *at = blob.data + i * record;
        memset(at, (int)(i & 255), record);
        at[label_bytes - 1] = (uint8_t)(i % classes);
    }
    return blob;
}

/* Some picture: gradients and a hash, so that no row is like another. */
static uint8_t value(uint32_t x, uint32_t y, uint32_t channel)
{
    return (uint8_t)(x * 5 + y * 3 + channel * 70 + ((x * 2654435761u ^ y * 40503u) >> 27));
}

static void append(png_structp png, png_bytep bytes, size_t size)
{
    struct blob *blob = png_get_io_ptr(png);
    blob->data = must(realloc(blob->data, blob->length + size));
    memcpy(blob->data + blob->length, bytes, size);
    blob->length += size;
}

static void set_palette(png_structp png, png_infop info)
{
    png_color palette[16];
    for (unsigned i = 0; i < 16; i++)
        palette[i] = (png_color){value(i, 1, 0), value(i, 2, 1), value(i, 3, 2)};
    png_set_PLTE(png, info, palette, 16);
}

struct blob support_make_png(enum support_png kind, uint32_t width, uint32_t height)
{
    static const struct {
        int depth, type, interlace, bytes;
    } forms[] = {
        [SUPPORT_PNG_RGB] = {8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE, 3},
        [SUPPORT_PNG_PALETTE_INTERLACED] = {4, PNG_COLOR_TYPE_PALETTE, PNG_INTERLACE_ADAM7, 1},
        [SUPPORT_PNG_GREY_ALPHA_16] = {16, PNG_COLOR_TYPE_GRAY_ALPHA, PNG_INTERLACE_NONE, 4},
    };
    struct blob blob = {0};
    png_structp png = must(png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL));
    png_infop info = must(png_create_info_struct(png));
    size_t stride = (size_t)width * (size_t)forms[kind].bytes;
    uint8_t *row = must(malloc(stride));
    png_set_write_fn(png, &blob, append, NULL);
    png_set_IHDR(png, info, width, height, forms[kind].depth, forms[kind].type, forms[kind].interlace,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    if (forms[kind].type == PNG_COLOR_TYPE_PALETTE)
        set_palette(png, info);
    png_write_info(png, info);
    int passes = png_set_interlace_handling(png);
    for (int pass = 0; pass < passes; pass++)
        for (uint32_t y = 0; y < height; y++) {
            for (uint32_t b = 0; b < stride; b++)
                row[b] = value(b, y, 0);
            png_write_row(png, row);
        }
    png_write_end(png, info);
    png_destroy_write_struct(&png, &info);
    free(row);
    return blob;
}

static void set_form(struct jpeg_compress_struct *object, enum support_jpeg kind)
{
    object->input_components = kind == SUPPORT_JPEG_GREY ? 1 : kind == SUPPORT_JPEG_CMYK ? 4 : 3;
    object->in_color_space = kind == SUPPORT_JPEG_GREY   ? JCS_GRAYSCALE
                             : kind == SUPPORT_JPEG_CMYK ? JCS_CMYK
                                                         : JCS_RGB;
    jpeg_set_defaults(object);
    jpeg_set_quality(object, 80, TRUE);
    if (kind == SUPPORT_JPEG_PROGRESSIVE)
        jpeg_simple_progression(object);
    if (kind == SUPPORT_JPEG_OPTIMIZED)
        object->optimize_coding = TRUE;
    if (kind == SUPPORT_JPEG_RESTARTS)
        object->restart_interval = 2;
}

struct blob support_make_jpeg(enum support_jpeg kind, unsigned width, unsigned height)
{
    struct jpeg_compress_struct object;
    struct jpeg_error_mgr errors;
    unsigned char *bytes = NULL;
    unsigned long length = 0;
    object.err = jpeg_std_error(&errors);
    jpeg_create_compress(&object);
    jpeg_mem_dest(&object, &bytes, &length);
    object.image_width = width;
    object.image_height = height;
    set_form(&object, kind);
    unsigned channels = (unsigned)object.input_components;
    uint8_t *row = must(malloc((size_t)width * channels));
    jpeg_start_compress(&object, TRUE);
    while (object.next_scanline < height) {
        for (unsigned b = 0; b < width * channels; b++)
            row[b] = value(b / channels, object.next_scanline, b % channels);
        jpeg_write_scanlines(&object, &row, 1);
    }
    jpeg_finish_compress(&object);
    jpeg_destroy_compress(&object);
    free(row);
    return (struct blob){must(realloc(bytes, length)), length};
}

struct blob support_without(struct blob jpeg, uint8_t marker)
{
    struct blob out = {must(malloc(jpeg.length)), 2};
    size_t at = 2;
    memcpy(out.data, jpeg.data, 2);
    while (at + 4 <= jpeg.length && jpeg.data[at + 1] != 0xDA) {
        size_t segment = 2 + (size_t)(jpeg.data[at + 2] << 8 | jpeg.data[at + 3]);
        if (jpeg.data[at + 1] != marker) {
            memcpy(out.data + out.length, jpeg.data + at, segment);
            out.length += segment;
        }
        at += segment;
    }
    memcpy(out.data + out.length, jpeg.data + at, jpeg.length - at);
    out.length += jpeg.length - at;
    return out;
}

void support_says(const char *message, const char *part)
{
    if (!strstr(message, part))
        fail_msg("'%s' is wanted in the message '%s'", part, message);
}
