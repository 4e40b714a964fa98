/* source.c: opens a data set: the table of kinds, and what all kinds answer alike. */
#include "source_pvt.h"

#include "alloc.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Asked in this order; the image folder is last, for any folder with sub-folders looks like one. */
static const struct rs__source_kind *const kinds[] = {
    &rs__source_cifar10,
    &rs__source_cifar100,
    &rs__source_folder,
};
#define KIND_COUNT (sizeof kinds / sizeof kinds[0])

static int check_folder(const char *dir, struct rs_error *err)
{
    DIR *stream = opendir(dir);
    if (stream) {
        closedir(stream);
        return 0;
    }
    switch (errno) {
    case ENOENT:
        return rs_error_set(err, RS_E_NOT_FOUND, "%s: no such folder; check the path of the data", dir);
    case ENOTDIR:
        return rs_error_set(err, RS_E_USAGE, "%s: not a folder; name the folder that holds the data set",
                            dir);
    case EACCES:
        return rs_error_set(err, RS_E_PERMISSION, "%s: no permission to read this folder; chmod u+rx it",
                            dir);
    default:
        return rs_error_set_errno(err, errno, "%s: can't open this folder", dir);
    }
}

static int nothing_recognised(const char *dir, struct rs_error *err)
{
    char wanted[320];
    size_t used = 0;
    for (size_t k = 0; k < KIND_COUNT; k++) {
        int written =
            snprintf(wanted + used, sizeof wanted - used, "%s%s", k ? "; " : "", kinds[k]->looks_for);
        used += (size_t)written;
        RS_ASSERT(used < sizeof wanted);
    }
    return rs_error_set(err, RS_E_NOT_FOUND, "%s: no images found; looked for %s", dir, wanted);
}

/* 1 and the first kind that dir holds, or 0, or RS_E_. */
static int recognise(const struct rs__source_kind **out, const char *dir, struct rs_error *err)
{
    for (size_t k = 0; k < KIND_COUNT; k++) {
        int found = kinds[k]->recognise(dir, err);
        *out = kinds[k];
        if (found != 0)
            return found;
    }
    return 0;
}

int rs_source_open(struct rs_source **out, const char *dir, enum rs_split split, struct rs_error *err)
{
    const struct rs__source_kind *kind = kinds[0];
    RS_TRY(check_folder(dir, err));
    int found = recognise(&kind, dir, err);
    RS_TRY(found);
    if (!found)
        return nothing_recognised(dir, err);
    struct rs_source *source = rs_calloc(1, sizeof *source);
    if (!source)
        return rs_error_set(err, RS_E_NOMEM, "out of memory for the index of %s", dir);
    source->kind = kind;
    int code = kind->open(source, dir, split, err);
    if (code < 0)
        goto fail_open;
    if (source->class_count < 2) {
        code = rs_error_set(err, RS_E_USAGE,
                            "%s: one class only (%s); a classifier needs two or more, "
                            "each in a directory of its own",
                            dir, source->class_count ? source->classes[0] : "none");
        goto fail_open;
    }
    *out = source;
    return 0;

fail_open:
    rs_source_destroy(source);
    return code;
}

void rs_source_destroy(struct rs_source *source)
{
    if (!source)
        return;
    rs__source_free_strings(source);
    rs_free((void *)source->classes);
    rs_free(source->files);
    rs_free(source);
}

const char *rs_source_kind(const struct rs_source *source)
{
    return source->kind->name;
}

uint64_t rs_source_count(const struct rs_source *source)
{
    return source->count;
}

int32_t rs_source_classes(const struct rs_source *source)
{
    return source->class_count;
}

const char *rs_source_class_name(const struct rs_source *source, int32_t label)
{
    RS_ASSERT(label >= 0 && label < source->class_count);
    return source->classes[label];
}

void rs_source_sample(const struct rs_source *source, uint64_t i, struct rs_sample_ref *out)
{
    RS_ASSERT(i < source->count);
    source->kind->sample(source, i, out);
}

uint32_t rs_source_file_count(const struct rs_source *source)
{
    return source->file_count;
}

const char *rs_source_file_path(const struct rs_source *source, uint32_t file)
{
    RS_ASSERT(file < source->file_count);
    return source->files[file].path;
}

uint64_t rs_source_file_size(const struct rs_source *source, uint32_t file)
{
    RS_ASSERT(file < source->file_count);
    return source->files[file].size;
}

uint64_t rs_source_bytes(const struct rs_source *source)
{
    return source->bytes;
}

bool rs_source_uniform(const struct rs_source *source, struct rs_source_pixels *out)
{
    *out = source->kind->pixels;
    return out->width > 0;
}

int rs_source_is_packed(const struct rs_source *source)
{
    return source->kind->packed;
}

/* Path of the first file: what a person recognises a source by. */
static const char *example(const struct rs_source *source)
{
    return source->file_count ? source->files[0].path : "(no file)";
}

int rs_source_same_classes(const struct rs_source *a, const struct rs_source *b, struct rs_error *err)
{
    int32_t shared = a->class_count < b->class_count ? a->class_count : b->class_count;
    if (!a->numbered && !b->numbered) {
        for (int32_t c = 0; c < shared; c++)
            if (strcmp(a->classes[c], b->classes[c]) != 0)
                return rs_error_set(err, RS_E_USAGE,
                                    "the classes differ: class %d is '%s' beside %s but '%s' beside %s; "
                                    "both splits need the same class names",
                                    (int)c, a->classes[c], example(a), b->classes[c], example(b));
    }
    if (a->class_count == b->class_count)
        return 0;
    const struct rs_source *more = a->class_count > b->class_count ? a : b;
    const struct rs_source *less = more == a ? b : a;
    return rs_error_set(err, RS_E_USAGE,
                        "the classes differ: '%s' exists beside %s but not beside %s (%d and %d classes); "
                        "both splits need the same class names",
                        more->classes[shared], example(more), example(less), (int)more->class_count,
                        (int)less->class_count);
}
