/* source_cifar.c: CIFAR-10 and CIFAR-100 in their binary layout: files of fixed records, no header.
 *
 * A CIFAR-10 record is a label byte and 3,072 bytes of pixels in planes; CIFAR-100 puts a coarse label before
 * the fine one. Sizes are checked here, labels by the codec, for only it sees the bytes.
 */
#include "source_pvt.h"

#include "file.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct layout {
    const char *title;
    const char *folder;     /* what the official archive unpacks to */
    const char *names_file; /* a class name a line */
    const char *train_prefix, *valid_file;
    enum rs_codec_id codec;
    uint32_t record;
    int32_t classes;
    int numbered_batches; /* train_prefix is followed by a number */
};

static const struct layout cifar10 = {
    .title = "CIFAR-10",
    .folder = "cifar-10-batches-bin",
    .names_file = "batches.meta.txt",
    .train_prefix = "data_batch_",
    .valid_file = "test_batch.bin",
    .codec = RS_CODEC_CIFAR10,
    .record = 3073,
    .classes = 10,
    .numbered_batches = 1,
};

static const struct layout cifar100 = {
    .title = "CIFAR-100",
    .folder = "cifar-100-binary",
    .names_file = "fine_label_names.txt",
    .train_prefix = "train",
    .valid_file = "test.bin",
    .codec = RS_CODEC_CIFAR100,
    .record = 3074,
    .classes = 100,
};

/* The number of a train file (0 where files have none), or -1 when name is no train file. */
static int64_t train_number(const struct layout *layout, const char *name)
{
    size_t prefix = strlen(layout->train_prefix);
    if (strncmp(name, layout->train_prefix, prefix) != 0)
        return -1;
    const char *digits = name + prefix;
    size_t length = layout->numbered_batches ? strspn(digits, "0123456789") : 0;
    if (length > 9 || (layout->numbered_batches && length == 0) || strcmp(digits + length, ".bin") != 0)
        return -1;
    return strtoll(digits, NULL, 10);
}

static int is_split_file(const struct layout *layout, const char *name, int valid)
{
    return valid ? strcmp(name, layout->valid_file) == 0 : train_number(layout, name) >= 0;
}

/* 1 if dir contains a file of the layout, 0 if it doesn't or there is no such folder; RS_E_ if the folder
 * can't be listed, because there may be data in it. */
static int holds(const struct layout *layout, const char *dir, struct rs_error *err)
{
    DIR *stream = NULL;
    int code = rs__folder_open(&stream, dir, err);
    if (code < 0)
        return errno == ENOENT || errno == ENOTDIR ? 0 : code;
    int found = 0, more = 1;
    struct dirent *entry = NULL;
    while (!found && (more = rs__folder_next(stream, dir, &entry, err)) > 0)
        found = is_split_file(layout, entry->d_name, 0) || is_split_file(layout, entry->d_name, 1);
    closedir(stream);
    return more < 0 ? more : found;
}

static int recognise(const struct layout *layout, const char *dir, struct rs_error *err)
{
    int found = holds(layout, dir, err);
    if (found != 0)
        return found;
    char *inner = NULL;
    if (asprintf(&inner, "%s/%s", dir, layout->folder) < 0)
        return rs_error_set(err, RS_E_NOMEM, "out of memory for the path of %s", dir);
    found = holds(layout, inner, err);
    free(inner);
    return found;
}

static int check_size(const struct layout *layout, const char *path, const struct stat *info,
                      struct rs_error *err)
{
    uint64_t size = (uint64_t)info->st_size, rest = size % layout->record;
    if (!S_ISREG(info->st_mode))
        return rs_error_set(err, RS_E_UNSUPPORTED, "%s: not a regular file; a %s file is needed", path,
                            layout->title);
    if (size == 0)
        return rs_error_set(err, RS_E_CORRUPT, "%s: the file is empty; copy or download it again", path);
    if (rest != 0)
        return rs_error_set(err, RS_E_CORRUPT,
                            "%s: its size of %" PRIu64 " bytes is no multiple of a %s record (%" PRIu32
                            " bytes): the last %" PRIu64 " bytes, from offset %" PRIu64
                            ", are an incomplete record; copy or download the file again",
                            path, size, layout->title, layout->record, rest, size - rest);
    return 0;
}

static int add_batch(struct rs_source *source, const struct layout *layout, const char *dir, const char *name,
                     struct rs_error *err)
{
    const char *path = rs__source_join(source, dir, name, err);
    if (!path)
        return RS_E_NOMEM;
    /* Opened, not only looked at: a file that can't be read is said before the run starts. Non-blocking, for
     * a pipe of that name must not hold us. */
    int fd = rs_file_open(path, O_RDONLY | O_NONBLOCK);
    if (fd < 0)
        return rs_error_set_errno(err, errno, "%s: can't read this file; check its permissions", path);
    struct stat info;
    int failed = fstat(fd, &info) != 0 ? errno : 0;
    close(fd);
    if (failed)
        return rs_error_set_errno(err, failed, "%s: can't read this file", path);
    RS_TRY(check_size(layout, path, &info, err));
    return rs__source_add_file(source, path, (uint64_t)info.st_size, -1, layout->codec, err);
}

static int by_number(const void *left, const void *right)
{
    const struct rs__file *a = left, *b = right;
    const char *digits_a = a->path + a->directory + strlen("/data_batch_");
    const char *digits_b = b->path + b->directory + strlen("/data_batch_");
    long long x = strtoll(digits_a, NULL, 10), y = strtoll(digits_b, NULL, 10);
    return x != y ? (x > y) - (x < y) : strcmp(a->path, b->path);
}

static int add_batches(struct rs_source *source, const struct layout *layout, const char *dir, int valid,
                       struct rs_error *err)
{
    DIR *stream = NULL;
    RS_TRY(rs__folder_open(&stream, dir, err));
    struct dirent *entry = NULL;
    int code = 0, more = 1;
    while (code == 0 && (more = rs__folder_next(stream, dir, &entry, err)) > 0)
        if (is_split_file(layout, entry->d_name, valid))
            code = add_batch(source, layout, dir, entry->d_name, err);
    closedir(stream);
    RS_TRY(code);
    RS_TRY(more);
    if (source->file_count > 1)
        qsort(source->files, source->file_count, sizeof *source->files, by_number);
    return 0;
}

static int number_classes(struct rs_source *source, int32_t classes, struct rs_error *err)
{
    source->numbered = 1;
    for (int32_t c = 0; c < classes; c++) {
        char name[16];
        snprintf(name, sizeof name, "%" PRId32, c);
        RS_TRY(rs__source_add_class(source, name, err));
    }
    return 0;
}

static int add_class_lines(struct rs_source *source, FILE *file, const char *path, struct rs_error *err)
{
    char *line = NULL;
    size_t room = 0;
    int code = 0;
    while (code == 0 && getline(&line, &room, file) >= 0) {
        line[strcspn(line, "\r\n")] = '\0';
        if (line[0] != '\0') /* the official file ends with an empty line */
            code = rs__source_add_class(source, line, err);
    }
    if (code == 0 && !feof(file)) /* a read that failed, or no memory for a line */
        code = rs_error_set_errno(err, errno, "%s: can't read the classes' names", path);
    free(line);
    return code;
}

static int add_classes(struct rs_source *source, const struct layout *layout, const char *dir,
                       struct rs_error *err)
{
    const char *path = rs__source_join(source, dir, layout->names_file, err);
    if (!path)
        return RS_E_NOMEM;
    FILE *file = fopen(path, "re");
    if (!file && errno == ENOENT)
        return number_classes(source, layout->classes, err);
    if (!file)
        return rs_error_set_errno(err, errno, "%s: can't read the classes' names", path);
    int code = add_class_lines(source, file, path, err);
    fclose(file);
    RS_TRY(code);
    if (source->class_count > 256)
        return rs_error_set(err, RS_E_CORRUPT,
                            "%s: %" PRId32 " class names, but a label is one byte; "
                            "one name a line is wanted, remove the file to do without names",
                            path, source->class_count);
    return 0;
}

static int open_layout(struct rs_source *source, const struct layout *layout, const char *dir,
                       enum rs_split split, struct rs_error *err)
{
    int here = holds(layout, dir, err);
    RS_TRY(here);
    const char *place = rs__source_join(source, dir, here ? NULL : layout->folder, err);
    if (!place)
        return RS_E_NOMEM;
    source->record = layout->record;
    RS_TRY(add_batches(source, layout, place, split != RS_SPLIT_TRAIN, err));
    if (source->file_count == 0 && split == RS_SPLIT_ALL_OF_IT)
        RS_TRY(add_batches(source, layout, place, 0, err));
    if (source->file_count == 0 && split == RS_SPLIT_TRAIN)
        return rs_error_set(err, RS_E_NOT_FOUND, "%s: no %s*.bin to train on; copy the missing files there",
                            place, layout->train_prefix);
    if (source->file_count == 0)
        return rs_error_set(err, RS_E_NO_SPLIT,
                            "%s: no %s to validate on; copy it there or name a folder with --valid-data",
                            place, layout->valid_file);
    source->count = source->bytes / layout->record;
    return add_classes(source, layout, place, err);
}

static void sample(const struct rs_source *source, uint64_t i, struct rs_sample_ref *out)
{
    uint32_t file = 0;
    uint64_t offset = i * source->record;
    /* A handful of files, so a walk; every size is a multiple of the record. */
    while (offset >= source->files[file].size)
        offset -= source->files[file++].size;
    *out = (struct rs_sample_ref){
        .path = source->files[file].path,
        .file = file,
        .offset = offset,
        .length = source->record,
        .codec = (enum rs_codec_id)source->files[file].codec,
        .label = -1,
    };
}

static int recognise_cifar10(const char *dir, struct rs_error *err)
{
    return recognise(&cifar10, dir, err);
}

static int open_cifar10(struct rs_source *source, const char *dir, enum rs_split split, struct rs_error *err)
{
    return open_layout(source, &cifar10, dir, split, err);
}

static int recognise_cifar100(const char *dir, struct rs_error *err)
{
    return recognise(&cifar100, dir, err);
}

static int open_cifar100(struct rs_source *source, const char *dir, enum rs_split split, struct rs_error *err)
{
    return open_layout(source, &cifar100, dir, split, err);
}

const struct rs__source_kind rs__source_cifar10 = {
    .name = "cifar10",
    .looks_for = "CIFAR-10 (data_batch_1.bin, test_batch.bin)",
    .packed = 1,
    .pixels = {.width = 32, .height = 32, .planar = true},
    .recognise = recognise_cifar10,
    .open = open_cifar10,
    .sample = sample,
};

const struct rs__source_kind rs__source_cifar100 = {
    .name = "cifar100",
    .looks_for = "CIFAR-100 (train.bin, test.bin)",
    .packed = 1,
    .pixels = {.width = 32, .height = 32, .planar = true},
    .recognise = recognise_cifar100,
    .open = open_cifar100,
    .sample = sample,
};
