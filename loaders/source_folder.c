/* source_folder.c: an image folder in torchvision's ImageFolder layout: a directory a class, files at any
 * depth.
 *
 * Order is torchvision's, so that sample i is the same picture there: classes by name, in a class the
 * directories by their path as a string (os.walk, sorted), in a directory the files by name; all by bytes.
 * Hidden directories are classes and hidden files samples, as there; links are followed. Directories wait in
 * a list instead of the call stack, so depth costs no stack and no file descriptors; one that is its own
 * ancestor (a link back) is passed over.
 */
#include "source_pvt.h"

#include "alloc.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#define NO_PARENT SIZE_MAX

struct directory {
    const char *path;
    size_t parent; /* index in the list, or NO_PARENT */
    dev_t device;
    ino_t inode;
};

struct walk {
    struct rs_source *source;
    struct directory *directories;
    size_t count, capacity;
};

static const struct {
    const char *suffix;
    enum rs_codec_id codec;
} extensions[] = {{".png", RS_CODEC_PNG}, {".jpg", RS_CODEC_JPEG}, {".jpeg", RS_CODEC_JPEG}};

/* Where several are there, val comes before test: a held-out test set is not for choosing the best epoch. */
static const char *const valid_names[] = {"val", "valid", "validation", "test"};
#define VALID_NAMES (sizeof valid_names / sizeof valid_names[0])

static int image_codec(const char *name, enum rs_codec_id *codec)
{
    size_t length = strlen(name);
    for (size_t e = 0; e < sizeof extensions / sizeof extensions[0]; e++) {
        size_t suffix = strlen(extensions[e].suffix);
        if (length >= suffix && strcasecmp(name + length - suffix, extensions[e].suffix) == 0) {
            *codec = extensions[e].codec;
            return 1;
        }
    }
    return 0;
}

/* 1 or 0, or RS_E_. A link counts as its target; a link without a target is not a directory. */
static int is_directory(DIR *stream, const char *dir, const struct dirent *entry, struct rs_error *err)
{
    if (entry->d_type != DT_UNKNOWN && entry->d_type != DT_LNK)
        return entry->d_type == DT_DIR;
    struct stat info;
    if (fstatat(dirfd(stream), entry->d_name, &info, 0) == 0)
        return S_ISDIR(info.st_mode);
    if (errno == ENOENT || errno == ENOTDIR || errno == ELOOP)
        return 0;
    return rs_error_set_errno(err, errno, "%s/%s: can't tell whether this is a folder", dir, entry->d_name);
}

static int by_name(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

static int is_valid_name(const char *name)
{
    for (size_t v = 0; v < VALID_NAMES; v++)
        if (strcmp(name, valid_names[v]) == 0)
            return 1;
    return 0;
}

/* What the directories in the data folder look like. */
struct survey {
    uint32_t directories, valid_directories;
    int has_train;
};

static int survey_folder(const char *dir, struct survey *out, struct rs_error *err)
{
    *out = (struct survey){0};
    DIR *stream = NULL;
    RS_TRY(rs__folder_open(&stream, dir, err));
    struct dirent *entry = NULL;
    int more;
    while ((more = rs__folder_next(stream, dir, &entry, err)) > 0) {
        int directory = is_directory(stream, dir, entry, err);
        if (directory < 0) {
            more = directory;
            break;
        }
        if (!directory)
            continue;
        out->directories++;
        out->has_train |= strcmp(entry->d_name, "train") == 0;
        out->valid_directories += (uint32_t)is_valid_name(entry->d_name);
    }
    closedir(stream);
    return more;
}

/* train/ beside test/ is a pair of splits, and so is a folder with nothing but such names; train/ among other
 * directories is a class of vehicles. */
static int has_splits(const struct survey *survey)
{
    uint32_t named = survey->valid_directories + (uint32_t)survey->has_train;
    return named > 0 &&
           ((survey->has_train && survey->valid_directories > 0) || named == survey->directories);
}

/* The first of the names that is a directory in dir, or NULL in *name. One that can't be looked at is not
 * passed over: that would be another split. */
static int find_valid(const char **name, const char *dir, struct rs_error *err)
{
    *name = NULL;
    for (size_t v = 0; v < VALID_NAMES && !*name; v++) {
        char *path = NULL;
        struct stat info;
        if (asprintf(&path, "%s/%s", dir, valid_names[v]) < 0)
            return rs_error_set(err, RS_E_NOMEM, "out of memory for the path of %s", dir);
        int code = 0;
        if (stat(path, &info) == 0)
            *name = S_ISDIR(info.st_mode) ? valid_names[v] : NULL;
        else if (errno != ENOENT && errno != ENOTDIR)
            code = rs_error_set_errno(err, errno, "%s: can't look at this folder", path);
        free(path);
        RS_TRY(code);
    }
    return 0;
}

/* The folder whose directories are the classes of split; a string of the source's own. */
static int find_split(struct rs_source *source, const char *dir, enum rs_split split, const char **out,
                      struct rs_error *err)
{
    struct survey survey;
    RS_TRY(survey_folder(dir, &survey, err));
    const char *name = NULL;
    int splits = has_splits(&survey);
    if (splits && split != RS_SPLIT_TRAIN)
        RS_TRY(find_valid(&name, dir, err));
    if (splits && survey.has_train && (split == RS_SPLIT_TRAIN || (split == RS_SPLIT_ALL_OF_IT && !name)))
        name = "train";
    if (splits && !name && split == RS_SPLIT_TRAIN)
        return rs_error_set(err, RS_E_NOT_FOUND, "%s: no train/ in it; name the folder that holds train/",
                            dir);
    if (!name && split == RS_SPLIT_VALID)
        return rs_error_set(
            err, RS_E_NO_SPLIT,
            "%s: no test/, val/, valid/ or validation/ in it to validate on; add one or name a "
            "folder with --valid-data",
            dir);
    *out = rs__source_join(source, dir, name, err);
    return *out ? 0 : RS_E_NOMEM;
}

/* Appends a directory to be walked, unless it is its own ancestor. */
static int add_directory(struct walk *walk, const char *path, size_t parent, struct rs_error *err)
{
    struct stat info;
    if (stat(path, &info) != 0)
        return rs_error_set_errno(err, errno, "%s: can't look at this folder", path);
    for (size_t d = parent; d != NO_PARENT; d = walk->directories[d].parent)
        if (walk->directories[d].device == info.st_dev && walk->directories[d].inode == info.st_ino)
            return 0;
    RS_TRY(rs__grow((void **)&walk->directories, &walk->capacity, walk->count + 1, sizeof *walk->directories,
                    err));
    walk->directories[walk->count++] =
        (struct directory){.path = path, .parent = parent, .device = info.st_dev, .inode = info.st_ino};
    return 0;
}

static int add_image(struct walk *walk, DIR *stream, const char *directory, const char *name, int32_t label,
                     struct rs_error *err)
{
    enum rs_codec_id codec;
    if (!image_codec(name, &codec))
        return 0;
    struct stat info;
    if (fstatat(dirfd(stream), name, &info, 0) != 0)
        return rs_error_set_errno(
            err, errno, "%s/%s: can't look at this file; remove it if it is a broken link", directory, name);
    if (!S_ISREG(info.st_mode))
        return rs_error_set(err, RS_E_UNSUPPORTED, "%s/%s: not a regular file; remove or rename it",
                            directory, name);
    const char *path = rs__source_join(walk->source, directory, name, err);
    if (!path)
        return RS_E_NOMEM;
    return rs__source_add_file(walk->source, path, (uint64_t)info.st_size, label, codec, err);
}

/* A directory in the one of that index. */
static int add_entry(struct walk *walk, size_t index, const char *name, struct rs_error *err)
{
    const char *path = rs__source_join(walk->source, walk->directories[index].path, name, err);
    return path ? add_directory(walk, path, index, err) : RS_E_NOMEM;
}

static int walk_directory(struct walk *walk, size_t index, int32_t label, struct rs_error *err)
{
    const char *directory = walk->directories[index].path;
    DIR *stream = NULL;
    RS_TRY(rs__folder_open(&stream, directory, err));
    struct dirent *entry = NULL;
    int code = 0, more = 1;
    while (code == 0 && (more = rs__folder_next(stream, directory, &entry, err)) > 0) {
        code = is_directory(stream, directory, entry, err);
        if (code == 0)
            code = add_image(walk, stream, directory, entry->d_name, label, err);
        else if (code > 0)
            code = add_entry(walk, index, entry->d_name, err);
    }
    closedir(stream);
    return code < 0 ? code : more;
}

/* By the directory's path as a string, then by name: "a-b" comes before "a/b", as in sorted(os.walk()). */
static int by_directory(const void *left, const void *right)
{
    const struct rs__file *a = left, *b = right;
    size_t shared = a->directory < b->directory ? a->directory : b->directory;
    int order = memcmp(a->path, b->path, shared);
    if (order != 0)
        return order;
    if (a->directory != b->directory)
        return a->directory < b->directory ? -1 : 1;
    return strcmp(a->path + a->directory, b->path + b->directory);
}

static int walk_class(struct walk *walk, const char *path, int32_t label, struct rs_error *err)
{
    struct rs_source *source = walk->source;
    uint32_t first = source->file_count;
    walk->count = 0;
    RS_TRY(add_directory(walk, path, NO_PARENT, err));
    for (size_t d = 0; d < walk->count; d++)
        RS_TRY(walk_directory(walk, d, label, err));
    if (source->file_count > first)
        qsort(source->files + first, source->file_count - first, sizeof *source->files, by_directory);
    return 0;
}

static int list_classes(struct rs_source *source, const char *dir, struct rs_error *err)
{
    DIR *stream = NULL;
    RS_TRY(rs__folder_open(&stream, dir, err));
    struct dirent *entry = NULL;
    int code = 0, more = 1;
    while (code == 0 && (more = rs__folder_next(stream, dir, &entry, err)) > 0) {
        code = is_directory(stream, dir, entry, err);
        if (code > 0)
            code = rs__source_add_class(source, entry->d_name, err);
    }
    closedir(stream);
    RS_TRY(code);
    RS_TRY(more);
    if (source->class_count > 1)
        qsort((void *)source->classes, (size_t)source->class_count, sizeof *source->classes, by_name);
    return 0;
}

/* Names the classes without a file, as torchvision does; as many as the sentence holds. */
static int check_empty_classes(const struct rs_source *source, const char *dir, const uint32_t *files,
                               struct rs_error *err)
{
    char names[200] = "";
    size_t used = 0;
    int32_t empty = 0;
    for (int32_t c = 0; c < source->class_count; c++) {
        if (files[c] > 0)
            continue;
        empty++;
        size_t length = strlen(source->classes[c]) + (used ? 2 : 0);
        if (used + length + 4 < sizeof names)
            used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "",
                                     source->classes[c]);
    }
    if (empty == 0)
        return 0;
    if (empty == source->class_count)
        return rs_error_set(
            err, RS_E_NOT_FOUND,
            "%s: no images in it; a directory a class with .png, .jpg or .jpeg files is wanted", dir);
    return rs_error_set(err, RS_E_NOT_FOUND,
                        "%s: found no valid file for the classes %s (%" PRId32
                        " without .png, .jpg or .jpeg); add images or remove the directories",
                        dir, names, empty);
}

static int walk_classes(struct walk *walk, const char *dir, struct rs_error *err)
{
    struct rs_source *source = walk->source;
    uint32_t *files = rs_calloc((size_t)source->class_count + 1, sizeof *files);
    if (!files)
        return rs_error_set(err, RS_E_NOMEM, "out of memory for the classes of %s", dir);
    int code = 0;
    for (int32_t c = 0; code == 0 && c < source->class_count; c++) {
        uint32_t before = source->file_count;
        const char *path = rs__source_join(source, dir, source->classes[c], err);
        code = path ? walk_class(walk, path, c, err) : RS_E_NOMEM;
        files[c] = source->file_count - before;
    }
    if (code == 0)
        code = check_empty_classes(source, dir, files, err);
    rs_free(files);
    return code;
}

static int open_folder(struct rs_source *source, const char *dir, enum rs_split split, struct rs_error *err)
{
    const char *place = dir;
    RS_TRY(find_split(source, dir, split, &place, err));
    RS_TRY(list_classes(source, place, err));
    struct walk walk = {.source = source};
    int code = walk_classes(&walk, place, err);
    rs_free(walk.directories);
    source->count = source->file_count;
    return code;
}

static int recognise_folder(const char *dir, struct rs_error *err)
{
    struct survey survey;
    RS_TRY(survey_folder(dir, &survey, err));
    return survey.directories > 0;
}

static void folder_sample(const struct rs_source *source, uint64_t i, struct rs_sample_ref *out)
{
    const struct rs__file *file = &source->files[i];
    *out = (struct rs_sample_ref){
        .path = file->path,
        .file = (uint32_t)i,
        .offset = 0,
        .length = file->size,
        .codec = (enum rs_codec_id)file->codec,
        .label = file->label,
    };
}

const struct rs__source_kind rs__source_folder = {
    .name = "folder",
    .looks_for =
        "an image folder (a directory a class with .png, .jpg or .jpeg files, or train/ and test/ or "
        "val/ of such)",
    .packed = 0,
    .recognise = recognise_folder,
    .open = open_folder,
    .sample = folder_sample,
};
