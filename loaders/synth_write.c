/* synth_write.c: the generated data set as files.
 *
 * How it works: everything is written into a hidden folder inside dir and moved up when all of it is there,
 * the train split last, so that a run that was killed or met a full disk leaves nothing that looks like a
 * data set.
 */
#include "synth_pvt.h"

#include "alloc.h"
#include "png_writer.h"
#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define STAGE ".rstream-synth.partial"
#define TRAIN_FILES 5
#define SAMPLES_MIN 10

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *place)
{
    (void)info;
    (void)type;
    (void)place;
    return remove(path);
}

static void remove_tree(const char *path)
{
    nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static char *join(const char *dir, const char *name, struct rs_error *err)
{
    char *path = NULL;
    if (asprintf(&path, "%s/%s", dir, name) < 0) {
        rs_error_set(err, RS_E_NOMEM, "%s: out of memory for the path", dir);
        return NULL;
    }
    return path;
}

/* mkdir -p */
static int make_folders(const char *dir, struct rs_error *err)
{
    char *path = strdup(dir);
    if (!path)
        return rs_error_set(err, RS_E_NOMEM, "%s: out of memory for the path", dir);
    int code = 0;
    for (char *end = path + 1; code == 0; end++) {
        char kept = *end;
        if (kept != '/' && kept != '\0')
            continue;
        *end = '\0';
        if (mkdir(path, 0777) != 0 && errno != EEXIST)
            code = rs_error_set_errno(err, errno,
                                      "%s: can't make this folder; choose one that you may write to", path);
        *end = kept;
        if (kept == '\0')
            break;
    }
    free(path);
    return code;
}

static int check_empty(const char *dir, struct rs_error *err)
{
    DIR *stream = opendir(dir);
    if (!stream)
        return rs_error_set_errno(err, errno, "%s: can't open this folder; choose another", dir);
    int code = 0;
    struct dirent *entry;
    while (code == 0 && (errno = 0, entry = readdir(stream))) {
        const char *name = entry->d_name;
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcmp(name, STAGE) == 0)
            continue;
        code =
            rs_error_set(err, RS_E_USAGE,
                         "%s: holds '%s' already; a generated data set is written into a new or empty folder "
                         "only, choose another or empty it",
                         dir, name);
    }
    if (code == 0 && errno != 0)
        code = rs_error_set_errno(err, errno, "%s: can't list this folder; choose another", dir);
    closedir(stream);
    return code;
}

static int write_records(FILE *file, const struct rs_synth_options *options, int test, uint32_t first,
                         uint32_t end)
{
    uint8_t record[1 + RS__SYNTH_PIXELS];
    for (uint32_t i = first; i < end; i++) {
        record[0] = (uint8_t)rs_synth_sample(options->seed, test, i, record + 1);
        if (fwrite(record, 1, sizeof record, file) != sizeof record)
            return errno;
    }
    return 0;
}

static int write_class_names(FILE *file)
{
    for (int32_t label = 0; label < RS__SYNTH_CLASSES; label++)
        if (fprintf(file, "%s\n", rs__synth_class_name(label)) < 0)
            return errno;
    return 0;
}

/* One file of samples first..end-1; of class names where options is NULL. */
static int write_file(const char *dir, const char *name, const struct rs_synth_options *options, int test,
                      uint32_t first, uint32_t end, struct rs_error *err)
{
    char *path = join(dir, name, err);
    if (!path)
        return RS_E_NOMEM;
    int code = 0;
    FILE *file = fopen(path, "wbe");
    if (!file) {
        code = rs_error_set_errno(err, errno, "%s: can't create this file", path);
        goto fail_open;
    }
    int failed = options ? write_records(file, options, test, first, end) : write_class_names(file);
    if (fclose(file) != 0 && failed == 0)
        failed = errno;
    if (failed != 0)
        code = rs_error_set_errno(err, failed, "%s: can't write this file; is there room on the disk?", path);
fail_open:
    free(path);
    return code;
}

static int write_cifar10(const char *stage, const struct rs_synth_options *options, struct rs_error *err)
{
    RS_TRY(write_file(stage, "batches.meta.txt", NULL, 0, 0, 0, err));
    RS_TRY(write_file(stage, "test_batch.bin", options, 1, 0, options->test, err));
    for (uint32_t part = 0; part < TRAIN_FILES; part++) {
        char name[32];
        uint32_t first = (uint32_t)((uint64_t)options->train * part / TRAIN_FILES);
        uint32_t end = (uint32_t)((uint64_t)options->train * (part + 1) / TRAIN_FILES);
        snprintf(name, sizeof name, "data_batch_%" PRIu32 ".bin", part + 1);
        RS_TRY(write_file(stage, name, options, 0, first, end, err));
    }
    return 0;
}

static void interleave(const uint8_t *chw, uint8_t *rgb)
{
    for (size_t p = 0; p < RS__SYNTH_PIXELS / 3; p++)
        for (size_t c = 0; c < 3; c++)
            rgb[3 * p + c] = chw[c * (RS__SYNTH_PIXELS / 3) + p];
}

static int make_class_folders(const char *split, struct rs_error *err)
{
    for (int32_t label = 0; label < RS__SYNTH_CLASSES; label++) {
        char *path = join(split, rs__synth_class_name(label), err);
        if (!path)
            return RS_E_NOMEM;
        int code = make_folders(path, err);
        free(path);
        RS_TRY(code);
    }
    return 0;
}

static int write_png_split(const char *stage, const struct rs_synth_options *options, int test,
                           struct rs_error *err)
{
    uint8_t chw[RS__SYNTH_PIXELS], rgb[RS__SYNTH_PIXELS];
    uint32_t count = test ? options->test : options->train;
    char *split = join(stage, test ? "test" : "train", err);
    if (!split)
        return RS_E_NOMEM;
    int code = make_class_folders(split, err);
    for (uint32_t i = 0; code == 0 && i < count; i++) {
        char name[64];
        int32_t label = rs_synth_sample(options->seed, test, i, chw);
        interleave(chw, rgb);
        snprintf(name, sizeof name, "%s/%010" PRIu32 ".png", rs__synth_class_name(label), i);
        char *path = join(split, name, err);
        code = path ? rs_png_write(path, rgb, RS__SYNTH_SIDE, RS__SYNTH_SIDE, err) : RS_E_NOMEM;
        free(path);
    }
    free(split);
    return code;
}

static int write_png(const char *stage, const struct rs_synth_options *options, struct rs_error *err)
{
    RS_TRY(write_png_split(stage, options, 1, err));
    return write_png_split(stage, options, 0, err);
}

/* What a data set consists of, in the order in which it is moved up. */
static const char *const cifar10_parts[] = {
    "batches.meta.txt", "test_batch.bin",   "data_batch_1.bin", "data_batch_2.bin",
    "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin",
};
static const char *const png_parts[] = {"test", "train"};
#define PARTS_MAX (sizeof cifar10_parts / sizeof *cifar10_parts)
_Static_assert(PARTS_MAX == TRAIN_FILES + 2, "each train file, the test file and the names");

struct move {
    char *from, *to;
};

static int move_all(const struct move *moves, size_t count, struct rs_error *err)
{
    size_t done = 0;
    while (done < count && rename(moves[done].from, moves[done].to) == 0)
        done++;
    if (done == count)
        return 0;
    int code = rs_error_set_errno(err, errno, "%s: can't put the finished data there", moves[done].to);
    while (done > 0) /* the folder is to be as it was, for another try */
        remove_tree(moves[--done].to);
    return code;
}

/* All of it or nothing. Every path is there before the first move. */
static int publish(const char *stage, const char *dir, enum rs_synth_format format, struct rs_error *err)
{
    const char *const *names = format == RS_SYNTH_PNG ? png_parts : cifar10_parts;
    size_t count = format == RS_SYNTH_PNG ? sizeof png_parts / sizeof *png_parts : PARTS_MAX;
    struct move moves[PARTS_MAX] = {{NULL, NULL}};
    int code = 0;
    for (size_t i = 0; i < count && code == 0; i++) {
        moves[i].from = join(stage, names[i], err);
        moves[i].to = moves[i].from ? join(dir, names[i], err) : NULL;
        code = moves[i].to ? 0 : RS_E_NOMEM;
    }
    if (code == 0)
        code = move_all(moves, count, err);
    for (size_t i = 0; i < count; i++) {
        free(moves[i].from);
        free(moves[i].to);
    }
    return code;
}

int rs_synth_write(const char *dir, const struct rs_synth_options *options, struct rs_error *err)
{
    if (options->train < SAMPLES_MIN || options->test < SAMPLES_MIN)
        return rs_error_set(err, RS_E_USAGE,
                            "%" PRIu32 " train and %" PRIu32
                            " test samples: at least %d of each are needed, one a "
                            "class",
                            options->train, options->test, SAMPLES_MIN);
    RS_TRY(make_folders(dir, err));
    RS_TRY(check_empty(dir, err));
    char *stage = join(dir, STAGE, err);
    if (!stage)
        return RS_E_NOMEM;
    remove_tree(stage); /* of a run that was killed */
    int code = make_folders(stage, err);
    if (code == 0)
        code = options->format == RS_SYNTH_PNG ? write_png(stage, options, err)
                                               : write_cifar10(stage, options, err);
    if (code == 0)
        code = publish(stage, dir, options->format, err);
    remove_tree(stage);
    free(stage);
    return code;
}
