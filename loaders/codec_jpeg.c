/* codec_jpeg.c: JPEG files through libjpeg-turbo, bit for bit as Pillow decodes them.
 *
 * How it works: one decompress object a decoder, kept from image to image.
 * Defaults are Pillow's: the slow integer DCT, fancy upsampling. Grey and YCbCr come out as RGB; CMYK and
 * YCCK come out as libjpeg's CMYK, are inverted (Adobe's convention, assumed always) and turned to RGB by
 * Pillow's formula. The source manager is the whole file in memory; running out of it is an error, never a
 * made-up end marker.
 *
 * Tables: libjpeg keeps quantization and Huffman tables from one image to the next (abbreviated streams). A
 * file without tables would then decode by those of whatever file came before, so the object forgets them
 * after each image; the blocks go to a spare list that its allocator asks first, else the permanent pool
 * would grow with every file.
 *
 * libjpeg reports by longjmp. All that must survive the jump lies in struct jpeg.
 */
#include "codec_pvt.h"

#include <setjmp.h>
#include <stdio.h>
#include <jpeglib.h>
#include <jerror.h>

#define SCANS_MAX 500   /* a progressive bomb has thousands; encoders write about ten */
#define ROWS_AT_ONCE 16 /* offered to a call of jpeg_read_scanlines, which fills what it likes */
#define SPARES (NUM_QUANT_TBLS + 2 * NUM_HUFF_TBLS)

struct spare {
    void *block;
    size_t size;
};

typedef void *(*alloc_small_fn)(j_common_ptr, int, size_t);

struct jpeg {
    struct jpeg_decompress_struct object;
    struct jpeg_error_mgr errors;
    struct jpeg_source_mgr source;
    struct jpeg_progress_mgr progress;
    jmp_buf escape;
    alloc_small_fn alloc_small; /* libjpeg's own */
    struct spare spares[SPARES];
    size_t spare_count;
    /* of the image at work */
    const struct rs__job *job;
    struct rs_error *err;
    int code;
};

static struct jpeg *of(j_common_ptr object)
{
    return object->client_data;
}

static size_t position(const struct jpeg *jpeg)
{
    return jpeg->job->length - jpeg->source.bytes_in_buffer;
}

static void __attribute__((noreturn)) fail(struct jpeg *jpeg, int code, const char *kind, const char *detail)
{
    if (jpeg->job)
        jpeg->code = rs_error_set(jpeg->err, code,
                                  "%s: %s JPEG near offset %zu of %zu: %s; copy it again or remove it",
                                  jpeg->job->ref->path, kind, position(jpeg), jpeg->job->length, detail);
    else
        jpeg->code = rs_error_set(jpeg->err, code, "can't set up libjpeg: %s", detail);
    longjmp(jpeg->escape, 1);
}

/* libjpeg's sentence for what went wrong. */
static void __attribute__((noreturn)) on_error(j_common_ptr object)
{
    char message[JMSG_LENGTH_MAX];
    object->err->format_message(object, message);
    int nomem = object->err->msg_code == JERR_OUT_OF_MEMORY;
    fail(of(object), nomem ? RS_E_NOMEM : RS_E_CORRUPT, "corrupt", message);
}

/* Level -1 is a warning: data that Pillow decodes in silence, but for an end that came too early, which would
 * leave grey blocks. */
static void on_message(j_common_ptr object, int level)
{
    int code = object->err->msg_code;
    if (level < 0 && (code == JWRN_HIT_MARKER || code == JWRN_JPEG_EOF))
        fail(of(object), RS_E_CORRUPT, "truncated", "the image data end before the image is complete");
}

static void on_output(j_common_ptr object)
{
    (void)object;
}

static void on_start(j_decompress_ptr object)
{
    (void)object;
}

static boolean on_empty(j_decompress_ptr object)
{
    fail(of((j_common_ptr)object), RS_E_CORRUPT, "truncated", "the file ends before the image is complete");
}

static void on_skip(j_decompress_ptr object, long bytes)
{
    struct jpeg_source_mgr *source = object->src;
    if (bytes <= 0)
        return;
    if ((size_t)bytes > source->bytes_in_buffer)
        fail(of((j_common_ptr)object), RS_E_CORRUPT, "truncated", "a segment is longer than the file");
    source->next_input_byte += bytes;
    source->bytes_in_buffer -= (size_t)bytes;
}

static void on_progress(j_common_ptr object)
{
    struct jpeg *jpeg = of(object);
    if (jpeg->object.input_scan_number > SCANS_MAX)
        fail(jpeg, RS_E_LIMIT, "suspicious", "it has more than 500 scans");
}

/* Permanent memory of a forgotten table's size is that table's. */
static void *on_alloc_small(j_common_ptr object, int pool, size_t size)
{
    struct jpeg *jpeg = of(object);
    for (size_t s = 0; pool == JPOOL_PERMANENT && s < jpeg->spare_count; s++)
        if (jpeg->spares[s].size == size) {
            void *block = jpeg->spares[s].block;
            jpeg->spares[s] = jpeg->spares[--jpeg->spare_count];
            return block;
        }
    return jpeg->alloc_small(object, pool, size);
}

static void keep_spare(struct jpeg *jpeg, void *block, size_t size)
{
    if (!block)
        return;
    RS_ASSERT(jpeg->spare_count < SPARES);
    jpeg->spares[jpeg->spare_count++] = (struct spare){block, size};
}

static void forget_tables(struct jpeg *jpeg)
{
    struct jpeg_decompress_struct *object = &jpeg->object;
    for (int t = 0; t < NUM_QUANT_TBLS; t++) {
        keep_spare(jpeg, object->quant_tbl_ptrs[t], sizeof(JQUANT_TBL));
        object->quant_tbl_ptrs[t] = NULL;
    }
    for (int t = 0; t < NUM_HUFF_TBLS; t++) {
        keep_spare(jpeg, object->dc_huff_tbl_ptrs[t], sizeof(JHUFF_TBL));
        keep_spare(jpeg, object->ac_huff_tbl_ptrs[t], sizeof(JHUFF_TBL));
        object->dc_huff_tbl_ptrs[t] = NULL;
        object->ac_huff_tbl_ptrs[t] = NULL;
    }
}

/* Pillow's MULDIV255: a * b / 255, rounded. */
static unsigned multiply_255(unsigned a, unsigned b)
{
    unsigned product = a * b + 128;
    return ((product >> 8) + product) >> 8;
}

/* Rows of inverted CMYK to RGB, as Pillow's "CMYK;I" and convert("RGB"): with c' = 255 - c the result is
 * k - c' * k / 255. */
static void cmyk_to_rgb(const uint8_t *cmyk, uint8_t *rgb, size_t pixels)
{
    for (size_t p = 0; p < pixels; p++) {
        unsigned k = cmyk[4 * p + 3];
        for (size_t c = 0; c < 3; c++)
            rgb[3 * p + c] = (uint8_t)(k - multiply_255(255u - cmyk[4 * p + c], k));
    }
}

static void read_rgb(struct jpeg *jpeg)
{
    struct jpeg_decompress_struct *object = &jpeg->object;
    size_t stride = (size_t)object->output_width * 3;
    while (object->output_scanline < object->output_height) {
        JSAMPROW rows[ROWS_AT_ONCE];
        JDIMENSION left = object->output_height - object->output_scanline;
        JDIMENSION wanted = left < ROWS_AT_ONCE ? left : ROWS_AT_ONCE;
        for (JDIMENSION r = 0; r < wanted; r++)
            rows[r] = jpeg->job->storage->data + (object->output_scanline + r) * stride;
        jpeg_read_scanlines(object, rows, wanted);
    }
}

static void read_cmyk(struct jpeg *jpeg)
{
    struct jpeg_decompress_struct *object = &jpeg->object;
    size_t width = object->output_width;
    JSAMPARRAY row = object->mem->alloc_sarray((j_common_ptr)object, JPOOL_IMAGE, (JDIMENSION)(width * 4), 1);
    while (object->output_scanline < object->output_height) {
        uint8_t *rgb = jpeg->job->storage->data + object->output_scanline * width * 3;
        jpeg_read_scanlines(object, row, 1);
        cmyk_to_rgb(row[0], rgb, width);
    }
}

/* The part that libjpeg may leave by longjmp. */
static void read_image(struct jpeg *jpeg)
{
    struct jpeg_decompress_struct *object = &jpeg->object;
    jpeg_read_header(object, TRUE);
    jpeg->code = rs__job_reserve(jpeg->job, object->image_width, object->image_height, jpeg->err);
    if (jpeg->code < 0)
        longjmp(jpeg->escape, 1);
    int components = object->num_components;
    if (components != 1 && components != 3 && components != 4)
        fail(jpeg, RS_E_UNSUPPORTED, "unsupported", "it has neither 1, 3 nor 4 colour components");
    object->out_color_space = components == 4 ? JCS_CMYK : JCS_RGB;
    jpeg_start_decompress(object);
    if (components == 4)
        read_cmyk(jpeg);
    else
        read_rgb(jpeg);
    jpeg_finish_decompress(object);
}

static int run_jpeg(void *context, const struct rs__job *job, struct rs_error *err)
{
    struct jpeg *jpeg = context;
    jpeg->job = job;
    jpeg->err = err;
    jpeg->code = 0;
    jpeg->source.next_input_byte = job->bytes;
    jpeg->source.bytes_in_buffer = job->length;
    if (setjmp(jpeg->escape) == 0)
        read_image(jpeg);
    else
        jpeg_abort_decompress(&jpeg->object);
    forget_tables(jpeg);
    jpeg->job = NULL;
    return jpeg->code;
}

static void destroy_jpeg(void *context)
{
    struct jpeg *jpeg = context;
    jpeg_destroy_decompress(&jpeg->object);
    rs_free(jpeg);
}

static int create_jpeg(void **context, struct rs_error *err)
{
    struct jpeg *jpeg = rs_calloc(1, sizeof *jpeg);
    if (!jpeg)
        return rs_error_set(err, RS_E_NOMEM, "out of memory for a JPEG decoder");
    jpeg->err = err;
    jpeg->object.err = jpeg_std_error(&jpeg->errors);
    jpeg->errors.error_exit = on_error;
    jpeg->errors.emit_message = on_message;
    jpeg->errors.output_message = on_output;
    jpeg->object.client_data = jpeg;
    if (setjmp(jpeg->escape) != 0) {
        int code = jpeg->code;
        destroy_jpeg(jpeg);
        return code;
    }
    jpeg_create_decompress(&jpeg->object);
    jpeg->alloc_small = jpeg->object.mem->alloc_small;
    jpeg->object.mem->alloc_small = on_alloc_small;
    jpeg->source = (struct jpeg_source_mgr){
        .init_source = on_start,
        .fill_input_buffer = on_empty,
        .skip_input_data = on_skip,
        .resync_to_restart = jpeg_resync_to_restart,
        .term_source = on_start,
    };
    jpeg->object.src = &jpeg->source;
    jpeg->progress.progress_monitor = on_progress;
    jpeg->object.progress = &jpeg->progress;
    *context = jpeg;
    return 0;
}

static int recognise_jpeg(const uint8_t *bytes, size_t length)
{
    return length >= 3 && bytes[0] == 0xFF && bytes[1] == 0xD8 && bytes[2] == 0xFF;
}

const struct rs__codec rs__codec_jpeg = {
    .name = "jpeg",
    .create = create_jpeg,
    .destroy = destroy_jpeg,
    .run = run_jpeg,
    .recognise = recognise_jpeg,
};
