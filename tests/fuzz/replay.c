/* replay.c: runs a fuzz target once for each file of a folder.
 *
 * usage: replay FOLDER
 *
 * A name says what the reader must do with the file: good-… is accepted, bad-… is refused; either is right
 * for the others. The whole folder is run twice, so that what an input leaves behind in the process meets
 * every other one.
 */
#include "fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define ROUNDS 2

static uint8_t *read_file(const char *path, size_t *size)
{
    struct stat info;
    FUZZ_CHECK(stat(path, &info) == 0 && S_ISREG(info.st_mode));
    *size = (size_t)info.st_size;
    uint8_t *data = malloc(*size ? *size : 1); /* exactly as long, so that ASan sees a read beyond */
    FILE *file = fopen(path, "rb");
    FUZZ_CHECK(data && file);
    FUZZ_CHECK(fread(data, 1, *size, file) == *size);
    fclose(file);
    return data;
}

/* 1 where the reader did what the name doesn't say. */
static int replay(const char *folder, const char *name)
{
    char path[4096];
    size_t size;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    uint8_t *data = read_file(path, &size);
    fprintf(stderr, "%s\n", path); /* the last line names the input that ended the process */
    int code = fuzz_run(data, size);
    free(data);
    int wrong = (strncmp(name, "good-", 5) == 0 && code != 0) || (strncmp(name, "bad-", 4) == 0 && code == 0);
    if (wrong)
        fprintf(stderr, "%s: the reader said %s\n", path, rs_error_name(code));
    return wrong;
}

static int is_seed(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

int main(int argc, char **argv)
{
    struct dirent **names = NULL;
    int wrong = 0;
    int count = argc == 2 ? scandir(argv[1], &names, is_seed, alphasort) : -1;
    if (count <= 0) {
        fprintf(stderr, "usage: %s FOLDER, which holds at least one file\n", argv[0]);
        return 2;
    }
    for (int round = 0; round < ROUNDS; round++)
        for (int i = 0; i < count; i++)
            wrong += replay(argv[1], names[i]->d_name);
    for (int i = 0; i < count; i++)
        free(names[i]);
    free(names);
    printf("%d inputs, %d wrong\n", count, wrong);
    return wrong != 0;
}
