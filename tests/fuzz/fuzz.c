/* fuzz.c: see fuzz.h. */
#include "fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_run(data, size);
    return 0;
}

void fuzz_failed(const char *condition, const char *file, int line)
{
    fprintf(stderr, "%s:%d: '%s' does not hold\n", file, line, condition);
    abort();
}

int fuzz_refused(int code, const struct rs_error *err, const char *path, const int *codes, size_t count)
{
    size_t c = 0;
    while (c < count && codes[c] != code)
        c++;
    if (c == count)
        fprintf(stderr, "code %d (%s): %s\n", code, rs_error_name(code), err->message);
    FUZZ_CHECK(c < count);
    FUZZ_CHECK(err->code == code);
    FUZZ_CHECK(strlen(err->message) < sizeof err->message);
    FUZZ_CHECK(strstr(err->message, path));
    FUZZ_CHECK(!strchr(err->message, '\n'));
    return code;
}

char *fuzz_string(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    FUZZ_CHECK(text);
    memcpy(text, data, size);
    text[size] = '\0';
    return text;
}

const char *fuzz_file(const uint8_t *data, size_t size)
{
    static int file = -1;
    static char path[64];
    if (file < 0) {
        file = memfd_create("fuzz", MFD_CLOEXEC);
        snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    }
    FUZZ_CHECK(file >= 0);
    FUZZ_CHECK(ftruncate(file, 0) == 0);
    FUZZ_CHECK(size == 0 || pwrite(file, data, size, 0) == (ssize_t)size);
    return path;
}

static char folder[256];

static void remove_folder(void)
{
    char path[600];
    DIR *stream = opendir(folder);
    for (struct dirent *entry; stream && (entry = readdir(stream));) {
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        unlink(path);
    }
    if (stream)
        closedir(stream);
    rmdir(folder);
}

const char *fuzz_folder(void)
{
    if (!folder[0]) {
        const char *base = getenv("TMPDIR");
        snprintf(folder, sizeof folder, "%s/rstream-fuzz-XXXXXX", base ? base : "/tmp");
        FUZZ_CHECK(mkdtemp(folder));
        FUZZ_CHECK(atexit(remove_folder) == 0);
    }
    return folder;
}

void fuzz_folder_write(const char *name, const void *data, size_t size)
{
    char path[600];
    snprintf(path, sizeof path, "%s/%s", fuzz_folder(), name);
    unlink(
        path); /* some filesystems flush a file that is cut to nothing and written again, which takes long */
    FILE *file = fopen(path, "wb");
    FUZZ_CHECK(file);
    FUZZ_CHECK(size == 0 || fwrite(data, 1, size, file) == size);
    FUZZ_CHECK(fclose(file) == 0);
}

void fuzz_folder_remove(const char *name)
{
    char path[600];
    snprintf(path, sizeof path, "%s/%s", fuzz_folder(), name);
    unlink(path);
}
