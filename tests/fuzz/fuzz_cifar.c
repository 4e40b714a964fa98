/* fuzz_cifar.c: a record of a CIFAR file, or the file of the classes' names.
 *
 * The first byte chooses (bit 0: CIFAR-100; bit 1: names), the second is the number of classes of a record.
 */
#include "fuzz.h"

#include "codec.h"
#include "source.h"
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define SIDE 32
#define PIXELS ((size_t)3 * SIDE * SIDE)
#define CHOICE_BYTES 2

static int record(bool fine, int32_t classes, const uint8_t *data, size_t size)
{
    struct rs_decoder *decoder = NULL;
    struct rs_sample_ref ref = {
        .path = FUZZ_PATH, .length = size, .codec = fine ? RS_CODEC_CIFAR100 : RS_CODEC_CIFAR10, .label = -1};
    struct rs_buffer storage = {0};
    struct rs_pixels pixels = {0};
    struct rs_error err = {0};
    int32_t label = 0;
    size_t labels = fine ? 2 : 1;
    FUZZ_CHECK(rs_decoder_create(&decoder, SIDE * SIDE, classes, NULL) == 0);
    int code = rs_decoder_run(decoder, &ref, data, size, &storage, &pixels, &label, &err);
    rs_decoder_destroy(decoder);
    FUZZ_CHECK(storage.capacity == 0);
    FUZZ_CHECK((code == 0) == (size == labels + PIXELS && data[labels - 1] < classes));
    if (code < 0) {
        FUZZ_CHECK(label == -1);
        return FUZZ_REFUSED(code, &err, FUZZ_PATH, RS_E_CORRUPT);
    }
    FUZZ_CHECK(label == data[labels - 1]);
    FUZZ_CHECK(pixels.data == data + labels && pixels.planar);
    FUZZ_CHECK(pixels.width == SIDE && pixels.height == SIDE);
    return 0;
}

/* The next name of the text: what comes before the end of its line, where that is something. NULL at the end.
 */
static const char *next_name(const char **text, const char *end, size_t *length)
{
    while (*text < end) {
        const char *line = *text;
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        const char *stop = newline ? newline : end;
        *text = newline ? newline + 1 : end;
        *length = 0;
        while (line + *length < stop && line[*length] != '\r' && line[*length] != '\0')
            ++*length;
        if (*length > 0)
            return line;
    }
    return NULL;
}

static void check_names(const struct rs_source *source, const char *text, size_t size)
{
    const char *end = text + size, *name;
    size_t length;
    int32_t count = 0;
    while ((name = next_name(&text, end, &length))) {
        FUZZ_CHECK(count < rs_source_classes(source));
        const char *got = rs_source_class_name(source, count++);
        FUZZ_CHECK(strlen(got) == length && memcmp(got, name, length) == 0);
    }
    FUZZ_CHECK(count == rs_source_classes(source));
}

static int names(bool fine, const uint8_t *data, size_t size)
{
    static const uint8_t image[PIXELS + 2];
    struct rs_source *source = NULL;
    struct rs_error err = {0};
    fuzz_folder_write(fine ? "train.bin" : "data_batch_1.bin", image, PIXELS + (fine ? 2 : 1));
    fuzz_folder_write(fine ? "fine_label_names.txt" : "batches.meta.txt", data, size);
    fuzz_folder_remove(fine ? "data_batch_1.bin" : "train.bin"); /* the kind is known by the files */
    int code = rs_source_open(&source, fuzz_folder(), RS_SPLIT_TRAIN, &err);
    if (code < 0) {
        FUZZ_CHECK(!source);
        return FUZZ_REFUSED(code, &err, fuzz_folder(), RS_E_CORRUPT, RS_E_USAGE);
    }
    FUZZ_CHECK(rs_source_count(source) == 1);
    FUZZ_CHECK(rs_source_classes(source) >= 2 && rs_source_classes(source) <= 256);
    check_names(source, (const char *)data, size);
    rs_source_destroy(source);
    return 0;
}

int fuzz_run(const uint8_t *data, size_t size)
{
    if (size < CHOICE_BYTES)
        return RS_E_USAGE;
    bool fine = data[0] & 1;
    if (data[0] & 2)
        return names(fine, data + CHOICE_BYTES, size - CHOICE_BYTES);
    return record(fine, data[1], data + CHOICE_BYTES, size - CHOICE_BYTES);
}
