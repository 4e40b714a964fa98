/* decode_tool.c: decodes image files for the oracle: "ok WIDTH HEIGHT CODEC\n" and RGB bytes, or "error NAME
 * message\n", a file each.
 *
 * usage: decode_tool [--repeat N] FILE...
 * With --repeat every file is decoded N times and only the rate is printed, to stderr. One decoder serves all
 * files, as a worker's does.
 */
#include "codec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAX_PIXELS (UINT64_C(1) << 26)

static int read_file(const char *path, struct rs_buffer *out, size_t *length, struct rs_error *err)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return rs_error_set(err, RS_E_IO, "%s: can't open this file", path);
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    rewind(file);
    int code = size < 0 ? RS_E_IO : rs_buffer_reserve(out, (size_t)size + 1, err);
    if (code == 0) {
        *length = fread(out->data, 1, (size_t)size, file);
        if (*length != (size_t)size)
            code = rs_error_set(err, RS_E_IO, "%s: can't read this file", path);
    }
    fclose(file);
    return code;
}

static int decode(struct rs_decoder *decoder, const char *path, const struct rs_buffer *bytes, size_t length,
                  struct rs_buffer *storage, struct rs_pixels *pixels, struct rs_error *err)
{
    struct rs_sample_ref ref = {.path = path, .length = length, .label = 0};
    int32_t label;
    RS_TRY(rs_codec_recognise(bytes->data, length, path, &ref.codec, err));
    return rs_decoder_run(decoder, &ref, bytes->data, length, storage, pixels, &label, err);
}

/* Never inlined away: the time of the decode calls alone, files are read outside. */
static double decode_seconds(struct rs_decoder *decoder, const char *path, const struct rs_buffer *bytes,
                             size_t length, struct rs_buffer *storage, int repeat)
{
    struct timespec start, end;
    struct rs_pixels pixels;
    struct rs_error err;
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (int r = 0; r < repeat; r++)
        if (decode(decoder, path, bytes, length, storage, &pixels, &err) < 0)
            fprintf(stderr, "%s\n", err.message);
    clock_gettime(CLOCK_MONOTONIC, &end);
    return (double)(end.tv_sec - start.tv_sec) + 1e-9 * (double)(end.tv_nsec - start.tv_nsec);
}

static void print_pixels(const struct rs_pixels *pixels)
{
    printf("ok %u %u\n", pixels->width, pixels->height);
    fwrite(pixels->data, 3, (size_t)pixels->width * pixels->height, stdout);
}

int main(int argc, char **argv)
{
    struct rs_decoder *decoder = NULL;
    struct rs_error err = {0};
    struct rs_buffer bytes = {0}, storage = {0};
    int first = argc > 2 && strcmp(argv[1], "--repeat") == 0 ? 3 : 1;
    int repeat = first == 3 ? atoi(argv[2]) : 0;
    double seconds = 0;
    if (rs_decoder_create(&decoder, MAX_PIXELS, 10, &err) < 0) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    for (int f = first; f < argc; f++) {
        size_t length = 0;
        struct rs_pixels pixels = {0};
        int code = read_file(argv[f], &bytes, &length, &err);
        if (code == 0 && repeat)
            seconds += decode_seconds(decoder, argv[f], &bytes, length, &storage, repeat);
        else if (code == 0)
            code = decode(decoder, argv[f], &bytes, length, &storage, &pixels, &err);
        if (code < 0)
            printf("error %s %s\n", rs_error_name(code), err.message);
        else if (!repeat)
            print_pixels(&pixels);
    }
    if (repeat)
        fprintf(stderr, "%.0f images/s\n", (double)(argc - first) * repeat / seconds);
    rs_decoder_destroy(decoder);
    rs_buffer_free(&storage);
    rs_buffer_free(&bytes);
    return 0;
}
