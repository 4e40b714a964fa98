/* source_pvt.h: what the kinds of data sources share: the index's memory, the builder's verbs, the vtable of
 * a kind.
 *
 * How it works: every kind fills the same struct rs_source through rs__source_add_file and _add_class, then
 * answers "where is sample i" from it. Strings lie in blocks that never move, so a path handed out lives as
 * long as the source; a file costs its path and 24 bytes, so that a million files stay below 100 MB.
 *
 * Owner: rs_source_open's caller owns the source; a kind owns nothing. @thread one until open, then any.
 */
#ifndef RS_SOURCE_PVT_H
#define RS_SOURCE_PVT_H

#include "source.h"

#include <dirent.h>

#define RS_CLASSES_MAX 1000000 /* more directories than this are no classes but a mistake */

struct rs__file {
    const char *path;
    uint64_t size;
    int32_t label;      /* or -1: found in the bytes */
    uint16_t directory; /* length of the path before the last '/' */
    uint16_t codec;     /* enum rs_codec_id */
};

struct rs__block;

struct rs_source {
    const struct rs__source_kind *kind;
    struct rs__file *files;
    uint32_t file_count;
    size_t file_capacity;
    const char **classes;
    int32_t class_count;
    size_t class_capacity;
    int numbered;    /* true when no file names the classes and they are called by their numbers */
    uint64_t count;  /* samples */
    uint64_t bytes;  /* of all files */
    uint64_t record; /* bytes of a sample in a packed file; 0 where a file is a sample */
    struct rs__block *strings;
};

struct rs__source_kind {
    const char *name;
    const char *looks_for;          /* a clause for the message when nothing is recognised */
    int packed;                     /* many samples a file */
    struct rs_source_pixels pixels; /* of every image; width 0: each has its own size */
    /* 1 when dir holds this kind of data, 0 when not, or RS_E_. */
    int (*recognise)(const char *dir, struct rs_error *err);
    /* Fills source for one split; on failure the caller destroys it. */
    int (*open)(struct rs_source *source, const char *dir, enum rs_split split, struct rs_error *err);
    /* i is below source->count. */
    void (*sample)(const struct rs_source *source, uint64_t i, struct rs_sample_ref *out);
};

extern const struct rs__source_kind rs__source_cifar10;
extern const struct rs__source_kind rs__source_cifar100;
extern const struct rs__source_kind rs__source_folder;

/* "a/b" as a string of the source's own; NULL and RS_E_NOMEM in err when memory is out. b may be NULL: a
 * alone. */
const char *rs__source_join(struct rs_source *source, const char *a, const char *b, struct rs_error *err);
/* path must be the source's own string. */
int rs__source_add_file(struct rs_source *source, const char *path, uint64_t size, int32_t label,
                        enum rs_codec_id codec, struct rs_error *err);
/* Copies name. */
int rs__source_add_class(struct rs_source *source, const char *name, struct rs_error *err);
/* Makes room for need items in an array that was given by this function or is NULL. */
int rs__grow(void **array, size_t *capacity, size_t need, size_t item_size, struct rs_error *err);
/* Opens a folder that path names. errno is opendir's after a failure. */
int rs__folder_open(DIR **out, const char *path, struct rs_error *err);
/* 1 and the next entry but "." and "..", or 0 at the end, or RS_E_: a listing that breaks off is no short
 * folder. */
int rs__folder_next(DIR *stream, const char *path, struct dirent **out, struct rs_error *err);
void rs__source_free_strings(struct rs_source *source);

#endif
