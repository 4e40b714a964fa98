/* fuzz.h: what the fuzz targets share.
 *
 * How it works: a target is one file with a fuzz_run, which hands bytes to a reader of the product and checks
 * what must be true of any bytes. fuzz.c calls it from libFuzzer's entry point (preset fuzz; tests/fuzz/run);
 * replay.c calls it for each committed seed, under every preset and without libFuzzer. A property that
 * doesn't hold ends the process, which both report.
 *
 * @thread main.
 */
#ifndef RS_TEST_FUZZ_H
#define RS_TEST_FUZZ_H

#include "errors.h"
#include <stddef.h>
#include <stdint.h>

/* A path that doesn't exist, for readers that only put it into their messages. */
#define FUZZ_PATH "dir/input"

/* The target's own: 0 where the bytes are accepted, else the reader's RS_E_ code. */
int fuzz_run(const uint8_t *data, size_t size);

/* Checks a refusal: code is one of the count codes, err holds it, and the message is one line that names
 * path. Returns code. */
int fuzz_refused(int code, const struct rs_error *err, const char *path, const int *codes, size_t count);
#define FUZZ_REFUSED(code, err, path, ...)                                                                   \
    fuzz_refused(code, err, path, (const int[]){__VA_ARGS__},                                                \
                 sizeof((const int[]){__VA_ARGS__}) / sizeof(int))

#define FUZZ_CHECK(condition)                                                                                \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            fuzz_failed(#condition, __FILE__, __LINE__);                                                     \
    } while (0)
void fuzz_failed(const char *condition, const char *file, int line) __attribute__((noreturn));

/* The bytes as a string in a block of exactly its size, freed with free. */
char *fuzz_string(const uint8_t *data, size_t size);
/* Path of a regular file in memory that holds the bytes; each call replaces what the one before wrote. */
const char *fuzz_file(const uint8_t *data, size_t size);
/* A folder of this process, made by the first call; it goes with its files when the process exits. */
const char *fuzz_folder(void);
void fuzz_folder_write(const char *name, const void *data, size_t size);
void fuzz_folder_remove(const char *name); /* if it is there */

#endif
