/* source_cases.c: see source_cases.h. */
#include "source_cases.h"

#include "support.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct rs_source *must_open(const char *dir, enum rs_split split)
{
    struct rs_source *source = NULL;
    struct rs_error err = {0};
    if (rs_source_open(&source, dir, split, &err) != 0)
        fail_msg("%s", err.message);
    return source;
}

void refuse(const char *dir, const char *sub, enum rs_split split, int code, const char *part)
{
    struct rs_source *source = NULL;
    struct rs_error err = {0};
    char path[1024];
    snprintf(path, sizeof path, "%s%s", dir, sub);
    assert_int_equal(rs_source_open(&source, path, split, &err), code);
    assert_int_equal(err.code, code);
    assert_null(source);
    support_says(err.message, dir);
    support_says(err.message, part);
}

void write_cifar10(const char *dir, const char *name, size_t count)
{
    struct blob blob = support_cifar(count, 1, 10);
    support_write(blob.data, blob.length, "%s/%s", dir, name);
    free(blob.data);
}

void touch(const char *dir, const char *path)
{
    support_write("x", 1, "%s/%s", dir, path);
}

void expect_files(const char *dir, enum rs_split split, const char *expected)
{
    char text[2048] = "";
    size_t used = 0;
    struct rs_source *source = must_open(dir, split);
    for (uint32_t f = 0; f < rs_source_file_count(source); f++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s\n",
                                 rs_source_file_path(source, f) + strlen(dir) + 1);
    assert_string_equal(text, expected);
    rs_source_destroy(source);
}
