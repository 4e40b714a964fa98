/* source.h: a data set as an index: how many samples, where each one lies, what the classes are called.
 *
 * How it works: rs_source_open recognises the kind of data in a folder (one vtable a kind, a line in
 * source.c's table) and builds the index of one split; it reads names, sizes and headers, no pixels. Reading
 * is the read stage's work, decoding a codec's. Kinds: "cifar10", "cifar100" (binary files), "folder"
 * (torchvision's ImageFolder layout). Splits: train/ and the first of val/, valid/, validation/, test/
 * that is there (a held-out test set is not for choosing the best epoch); for CIFAR the files' names, in the
 * folder or in its cifar-10-batches-bin or cifar-100-binary.
 *
 * Owner: the caller; const once open. @thread any once open.
 */
#ifndef RS_SOURCE_H
#define RS_SOURCE_H

#include "errors.h"
#include <stdbool.h>
#include <stdint.h>

enum rs_split {
    /* train/, data_batch_*.bin, train.bin; a folder of classes without splits is train */
    RS_SPLIT_TRAIN,
    /* val/, valid/, validation/, test/; test_batch.bin, test.bin; RS_E_NO_SPLIT where there is none */
    RS_SPLIT_VALID,
    /* for --valid-data: the folder itself holds the classes or, with splits, as RS_SPLIT_VALID; train if that
       is all */
    RS_SPLIT_ALL_OF_IT,
};

enum rs_codec_id { RS_CODEC_CIFAR10, RS_CODEC_CIFAR100, RS_CODEC_PNG, RS_CODEC_JPEG };

struct rs_sample_ref {
    const char *path; /* lives as long as the source */
    uint32_t file;    /* index of the file, 0..file_count-1 */
    uint64_t offset, length;
    enum rs_codec_id codec;
    int32_t label; /* or -1: the codec finds it in the bytes */
};

struct rs_source_pixels { /* what decoding gives: 3 channels, 8 bits */
    uint32_t width, height;
    bool planar; /* as struct rs_pixels */
};

struct rs_source;

/* Errors name path and remedy: no such folder, no images in it, one class only, a file's size that is no
 * multiple of its record, no read permission. */
int rs_source_open(struct rs_source **out, const char *dir, enum rs_split split, struct rs_error *err);
void rs_source_destroy(struct rs_source *source);
const char *rs_source_kind(const struct rs_source *source);
uint64_t rs_source_count(const struct rs_source *source);
int32_t rs_source_classes(const struct rs_source *source);
const char *rs_source_class_name(const struct rs_source *source, int32_t label);
void rs_source_sample(const struct rs_source *source, uint64_t i, struct rs_sample_ref *out);
uint32_t rs_source_file_count(const struct rs_source *source);
const char *rs_source_file_path(const struct rs_source *source, uint32_t file);
uint64_t rs_source_file_size(const struct rs_source *source, uint32_t file);
/* Sum of the files' sizes in bytes. */
uint64_t rs_source_bytes(const struct rs_source *source);
/* 0 when labels of a and b mean the same classes (train and valid split); else RS_E_USAGE, naming the first
 * class that differs. Classes that are only numbered (CIFAR files without their names' file) are compared by
 * their count. */
int rs_source_same_classes(const struct rs_source *a, const struct rs_source *b, struct rs_error *err);
/* True, and their form in *out, when all images of the source have one size, as the index alone tells. */
bool rs_source_uniform(const struct rs_source *source, struct rs_source_pixels *out);
/* True when many samples share a file, so that whole files are worth reading in large pieces. */
int rs_source_is_packed(const struct rs_source *source);

#endif
