/* codec_png.c: PNG files through libpng, to RGB as Pillow's convert("RGB") gives it.
 *
 * How it works: libpng widens greys and palettes, rounds 16 bits to 8 (v * 255 / 65535), and drops alpha.
 * Ancillary chunks are checked by their CRC and otherwise skipped, unread and never inflated: gamma, colour
 * profiles and texts don't change the pixels here, and their parsers are the usual place of bombs. What has
 * to be right is an error: each CRC, the image data, the end chunk.
 *
 * libpng reports by longjmp. All that must survive the jump lies in struct reading, which is no local of the
 * function that calls setjmp, so nothing is clobbered.
 */
#include "codec_pvt.h"

#include <png.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#define SIGNATURE_LENGTH 8
/* Bytes of the file beyond a row that libpng may take: its buffer, and what odd encoders leave at the end. */
#define SURPLUS_MAX 65536
#define SAMPLE_BYTES_MAX 8 /* RGBA of 16 bits */
/* A chunk that libpng must hold whole is PLTE or tRNS, 768 bytes at most. */
#define CHUNK_BYTES_MAX 65536

struct reading {
    const struct rs__job *job;
    struct rs_error *err;
    png_structp png;
    png_infop info;
    size_t offset;    /* of the next byte that libpng will take */
    size_t allowance; /* bytes that libpng may still take */
    int code;
    char warning[80]; /* the last one: libpng often says there what its error leaves open */
};

static void __attribute__((noreturn)) on_error(png_structp png, png_const_charp message)
{
    struct reading *reading = png_get_error_ptr(png);
    if (reading->code == 0) /* else the failure has named itself */
        reading->code =
            rs_error_set(reading->err, RS_E_CORRUPT,
                         "%s: corrupt PNG near offset %zu of %zu: %s%s%s; copy it again or remove it",
                         reading->job->ref->path, reading->offset, reading->job->length, message,
                         reading->warning[0] ? ": " : "", reading->warning);
    png_longjmp(png, 1);
}

/* Never printed: what only warrants a warning Pillow accepts in silence. */
static void on_warning(png_structp png, png_const_charp message)
{
    struct reading *reading = png_get_error_ptr(png);
    snprintf(reading->warning, sizeof reading->warning, "%s", message);
}

static void on_read(png_structp png, png_bytep out, size_t size)
{
    struct reading *reading = png_get_io_ptr(png);
    if (size > reading->job->length - reading->offset) {
        reading->code = rs_error_set(
            reading->err, RS_E_CORRUPT,
            "%s: truncated PNG: the file ends at offset %zu where %zu more bytes are "
            "needed; copy it again or remove it",
            reading->job->ref->path, reading->job->length, size - (reading->job->length - reading->offset));
        png_error(png, "truncated");
    }
    if (size > reading->allowance)
        png_error(png, "far more image data than the image holds");
    reading->allowance -= size;
    memcpy(out, reading->job->bytes + reading->offset, size);
    reading->offset += size;
}

static void set_limits(png_structp png)
{
    static const png_byte transparency[5] = "tRNS";
    png_set_user_limits(png, PNG_UINT_31_MAX, PNG_UINT_31_MAX); /* ours are in pixels, see rs__job_reserve */
    png_set_chunk_malloc_max(png, CHUNK_BYTES_MAX);
    png_set_chunk_cache_max(png, 1);
    png_set_crc_action(png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, transparency, 1);
}

/* An index beyond a short palette is a grey of that value, as in Pillow; libpng alone would say black. */
static void extend_palette(png_structp png, png_infop info)
{
    png_color full[PNG_MAX_PALETTE_LENGTH];
    png_colorp given = NULL;
    int count = 0, wanted = 1 << png_get_bit_depth(png, info);
    png_get_PLTE(png, info, &given, &count);
    for (int i = 0; i < wanted; i++)
        full[i] = i < count ? given[i] : (png_color){(png_byte)i, (png_byte)i, (png_byte)i};
    png_set_PLTE(png, info, full, wanted);
}

static void set_transforms(png_structp png, png_infop info)
{
    int type = png_get_color_type(png, info);
    if (type == PNG_COLOR_TYPE_PALETTE) {
        extend_palette(png, info);
        png_set_palette_to_rgb(png);
    }
    if (type == PNG_COLOR_TYPE_GRAY)
        png_set_expand_gray_1_2_4_to_8(png);
    if (png_get_bit_depth(png, info) == 16)
        png_set_scale_16(png);
    if (type & PNG_COLOR_MASK_ALPHA)
        png_set_strip_alpha(png);
    if (!(type & PNG_COLOR_MASK_COLOR))
        png_set_gray_to_rgb(png);
}

/* The part that libpng may leave by longjmp. */
static void read_image(struct reading *reading)
{
    png_structp png = reading->png;
    png_infop info = reading->info;
    set_limits(png);
    png_read_info(png, info);
    uint32_t width = png_get_image_width(png, info), height = png_get_image_height(png, info);
    reading->code = rs__job_reserve(reading->job, width, height, reading->err);
    if (reading->code < 0)
        png_error(png, "limit");
    set_transforms(png, info);
    int passes = png_set_interlace_handling(png);
    png_read_update_info(png, info);
    size_t stride = (size_t)width * 3;
    RS_ASSERT(png_get_rowbytes(png, info) == stride);
    for (int pass = 0; pass < passes; pass++)
        for (uint32_t y = 0; y < height; y++) {
            /* With the last row libpng inflates whatever follows: a bomb, unless it is kept short. Which call
             * reads the last row depends on the interlacing, so each gets what a row may take. */
            reading->allowance = SURPLUS_MAX + (size_t)width * SAMPLE_BYTES_MAX;
            png_read_row(png, reading->job->storage->data + y * stride, NULL);
        }
    reading->allowance = SIZE_MAX;
    png_read_end(png, NULL);
}

static int attempt(struct reading *reading)
{
    if (setjmp(png_jmpbuf(reading->png)) == 0)
        read_image(reading);
    return reading->code;
}

static int run_png(void *context, const struct rs__job *job, struct rs_error *err)
{
    (void)context;
    struct reading reading = {.job = job, .err = err, .allowance = SIZE_MAX};
    reading.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &reading, on_error, on_warning);
    if (!reading.png)
        return rs_error_set(err, RS_E_NOMEM, "%s: out of memory for libpng", job->ref->path);
    reading.info = png_create_info_struct(reading.png);
    if (!reading.info) {
        png_destroy_read_struct(&reading.png, NULL, NULL);
        return rs_error_set(err, RS_E_NOMEM, "%s: out of memory for libpng", job->ref->path);
    }
    png_set_read_fn(reading.png, &reading, on_read);
    int code = attempt(&reading);
    png_destroy_read_struct(&reading.png, &reading.info, NULL);
    return code;
}

static int recognise_png(const uint8_t *bytes, size_t length)
{
    return length >= SIGNATURE_LENGTH && png_sig_cmp(bytes, 0, SIGNATURE_LENGTH) == 0;
}

const struct rs__codec rs__codec_png = {.name = "png", .run = run_png, .recognise = recognise_png};
