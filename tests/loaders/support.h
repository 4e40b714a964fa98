/* support.h: what the loaders' tests share: a scratch folder, small files, image files made by libpng and
 * libjpeg.
 *
 * Owner: blocks returned here are malloc'd for the caller, exactly as long as their contents, so that the
 * address sanitizer sees a read beyond. A failure to set up ends the test program.
 */
#ifndef RS_TEST_LOADERS_SUPPORT_H
#define RS_TEST_LOADERS_SUPPORT_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

struct blob {
    uint8_t *data;
    size_t length;
};

/* A new empty folder under TMPDIR or /tmp; removed with all in it by support_remove. */
char *support_folder(void);
void support_remove(char *folder);
/* Writes bytes as the file of that path (printf-like), making the folders it needs. */
void support_write(const void *bytes, size_t length, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void support_mkdir(const char *format, ...) __attribute__((format(printf, 1, 2)));
struct blob support_read(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* count records with label bytes i % classes (before it, for CIFAR-100, a coarse byte) and pixels of value i.
 */
struct blob support_cifar(size_t count, size_t label_bytes, unsigned classes);

enum support_png { SUPPORT_PNG_RGB, SUPPORT_PNG_PALETTE_INTERLACED, SUPPORT_PNG_GREY_ALPHA_16 };
struct blob support_make_png(enum support_png kind, uint32_t width, uint32_t height);

enum support_jpeg {
    SUPPORT_JPEG_BASELINE,
    SUPPORT_JPEG_PROGRESSIVE,
    SUPPORT_JPEG_GREY,
    SUPPORT_JPEG_CMYK,
    SUPPORT_JPEG_OPTIMIZED, /* own Huffman tables */
    SUPPORT_JPEG_RESTARTS,
};
struct blob support_make_jpeg(enum support_jpeg kind, unsigned width, unsigned height);
/* The same without segments of that marker (0xC4: Huffman tables, 0xDB: quantization tables). */
struct blob support_without(struct blob jpeg, uint8_t marker);

/* Fails unless message holds part. */
void support_says(const char *message, const char *part);

#endif
