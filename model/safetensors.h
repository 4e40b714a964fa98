/* safetensors.h: named arrays in a file, read and written; private to model/.
 *
 * How it works: the file is 8 bytes of header length (little endian), a JSON object that gives each tensor's
 * dtype, shape and data_offsets [begin, end) counted from the end of the header, then the data. An open
 * checks everything that the header says against the file's real size, and that the tensors cover the data
 * once, before anything is read; a write goes beside the file and is renamed over it.
 *
 * Owner: a reader is the caller's, who closes it, also after a failed open. @thread any; one at a time for a
 * reader.
 */
#ifndef RS_SAFETENSORS_H
#define RS_SAFETENSORS_H

#include "checkpoint.h"
#include "errors.h"
#include <stdint.h>
#include <sys/stat.h>

#define RS__RANK_MAX 8

struct rs__tensor_entry {
    const char *name;  /* of the header's JSON */
    const char *dtype; /* "F32", one of the table's */
    int32_t rank;
    int64_t dims[RS__RANK_MAX];
    int64_t begin, end; /* bytes, from the start of the data */
};

struct cJSON;

struct rs__tensor_reader {
    const char *path; /* the caller's string */
    int file;
    struct cJSON *header;
    struct rs__tensor_entry *entries; /* sorted by name */
    int32_t count;
    int64_t data_start, data_size;
    struct stat opened; /* the file then */
};

/* Errors: RS_E_NOT_FOUND, RS_E_PERMISSION, RS_E_IO; RS_E_CORRUPT with path and offset or tensor;
 * RS_E_UNSUPPORTED (not a regular file, an unknown dtype); RS_E_LIMIT (a header over 16 MiB). */
int rs__tensor_open(struct rs__tensor_reader *reader, const char *path, struct rs_error *err);
void rs__tensor_close(struct rs__tensor_reader *reader);
/* By name, or NULL. */
const struct rs__tensor_entry *rs__tensor_find(const struct rs__tensor_reader *reader, const char *name);
/* The entry's bytes, end - begin of them, into to. Errors: RS_E_IO, RS_E_CORRUPT when the file has shrunk. */
int rs__tensor_read(const struct rs__tensor_reader *reader, const struct rs__tensor_entry *entry, void *to,
                    struct rs_error *err);
/* After what was read: RS_E_CORRUPT with both sizes when the file was written to since it was opened. */
int rs__tensor_check_unchanged(const struct rs__tensor_reader *reader, struct rs_error *err);
/* A string of "__metadata__", or NULL; lives as long as the reader. */
const char *rs__tensor_metadata(const struct rs__tensor_reader *reader, const char *key);
struct rs__shown_name { /* a name out of a file for a message: cut, without control characters */
    char text[72];
};
struct rs__shown_name rs__tensor_show_name(const char *name);
/* "[64, 3, 7, 7]" into text. */
void rs__tensor_shape_text(char *text, size_t size, int32_t rank, const int64_t *dims);

struct rs__tensor_out {
    const char *name;
    const char *dtype;
    int32_t rank;
    const int64_t *dims;
    const void *data;
    size_t bytes; /* of all elements */
};
/* Writes all tensors in their order (widest dtype first keeps them aligned). The data is written where it
 * lies. Errors: RS_E_NO_SPACE, RS_E_PERMISSION, RS_E_NOT_FOUND (no such folder), RS_E_IO; path is as before
 * then, and no partial file stays. */
int rs__tensor_write(const char *path, const struct rs__tensor_out *tensors, int32_t count,
                     const struct rs_metadata *metadata, int metadata_count, struct rs_error *err);

#endif
