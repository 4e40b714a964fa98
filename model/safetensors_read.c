/* safetensors_read.c: a file that nobody has checked becomes a list of tensors that can be read.
 *
 * How it works: size of the file, length of the header, nesting of the JSON (before the parser recurses),
 * each entry by itself (dtype, shape, offsets), then all of them: sorted by offset they must cover the data
 * without gap or overlap; sorted by name no two may be equal. A name out of a file is printed cut and without
 * control characters.
 *
 * @thread any; one at a time for a reader.
 */
#include "safetensors.h"

#include "alloc.h"
#include "file.h"
#include <cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "tensors are read in place, as little-endian numbers");

#define LENGTH_BYTES 8
#define HEADER_MAX ((int64_t)16 << 20)
#define DEPTH_MAX 8
#define EXACT_MAX 9007199254740992.0 /* 2^53: JSON numbers are doubles */

struct dtype {
    const char *name;
    int64_t bytes;
};
static const struct dtype dtypes[] = {{"F32", 4}, {"F64", 8}, {"F16", 2},  {"BF16", 2}, {"I64", 8},
                                      {"I32", 4}, {"I16", 2}, {"I8", 1},   {"U64", 8},  {"U32", 4},
                                      {"U16", 2}, {"U8", 1},  {"BOOL", 1}, {NULL, 0}};

struct rs__shown_name rs__tensor_show_name(const char *name)
{
    struct rs__shown_name s;
    snprintf(s.text, sizeof(s.text), "%s", name);
    for (char *c = s.text; *c; c++)
        if ((unsigned char)*c < 32 || (unsigned char)*c >= 127)
            *c = '?';
    return s;
}

static int corrupt(struct rs_error *err, const char *path, const char *name, const char *what)
{
    return rs_error_set(err, RS_E_CORRUPT, "%s: tensor '%s': %s; the file is damaged, take another copy",
                        path, rs__tensor_show_name(name).text, what);
}

/* Reads size bytes at offset. */
static int read_at(int file, const char *path, void *to, int64_t size, int64_t offset, struct rs_error *err)
{
    uint8_t *at = to;
    while (size > 0) {
        ssize_t n = pread(file, at, (size_t)size, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return rs_error_set_errno(err, errno, "%s: can't read at byte %lld", path, (long long)offset);
        if (n == 0)
            return rs_error_set(err, RS_E_CORRUPT,
                                "%s: ends at byte %lld, before its data; take another copy", path,
                                (long long)offset);
        at += n;
        size -= n;
        offset += n;
    }
    return 0;
}

/* Deepest nesting of brackets outside strings; the parser recurses as deep. */
static int nesting(const char *json, int64_t size)
{
    int depth = 0, deepest = 0;
    bool in_string = false;
    for (int64_t i = 0; i < size; i++) {
        if (in_string && json[i] == '\\')
            i++;
        else if (json[i] == '"')
            in_string = !in_string;
        else if (!in_string && (json[i] == '{' || json[i] == '['))
            deepest = ++depth > deepest ? depth : deepest;
        else if (!in_string && (json[i] == '}' || json[i] == ']'))
            depth--;
    }
    return deepest;
}

static int parse_json(struct rs__tensor_reader *r, const char *json, int64_t size, struct rs_error *err)
{
    const char *end = json;
    if (nesting(json, size) > DEPTH_MAX)
        return rs_error_set(err, RS_E_CORRUPT,
                            "%s: the header is nested more than %d deep; not a safetensors file", r->path,
                            DEPTH_MAX);
    errno = 0;
    r->header = cJSON_ParseWithLengthOpts(json, (size_t)size, &end, 0);
    if (!r->header && errno == ENOMEM)
        return rs_error_set(err, RS_E_NOMEM, "%s: out of memory for a header of %lld bytes", r->path,
                            (long long)size);
    if (!r->header || !cJSON_IsObject(r->header))
        return rs_error_set(err, RS_E_CORRUPT,
                            "%s: the header is no JSON object (byte %lld); not a safetensors file", r->path,
                            (long long)LENGTH_BYTES + (end - json));
    for (; end < json + size; end++)
        if (*end != ' ')
            return rs_error_set(err, RS_E_CORRUPT, "%s: something follows the header's JSON at byte %lld",
                                r->path, (long long)LENGTH_BYTES + (end - json));
    return 0;
}

static int read_header(struct rs__tensor_reader *r, int64_t file_size, struct rs_error *err)
{
    uint64_t length = 0;
    if (file_size < LENGTH_BYTES)
        return rs_error_set(err, RS_E_CORRUPT, "%s: %lld bytes are too few for a safetensors file", r->path,
                            (long long)file_size);
    RS_TRY(read_at(r->file, r->path, &length, LENGTH_BYTES, 0, err));
    if (length > (uint64_t)(file_size - LENGTH_BYTES))
        return rs_error_set(
            err, RS_E_CORRUPT,
            "%s: the header should have %llu bytes, the file has %lld; it is cut off or not a "
            "safetensors file",
            r->path, (unsigned long long)length, (long long)file_size);
    if (length > (uint64_t)HEADER_MAX)
        return rs_error_set(err, RS_E_LIMIT, "%s: a header of %llu bytes; at most %lld are read", r->path,
                            (unsigned long long)length, (long long)HEADER_MAX);
    char *json = rs_alloc((size_t)length + 1);
    if (!json)
        return rs_error_set(err, RS_E_NOMEM, "%s: out of memory for a header of %llu bytes", r->path,
                            (unsigned long long)length);
    json[length] = 0;
    int code = read_at(r->file, r->path, json, (int64_t)length, LENGTH_BYTES, err);
    if (code == 0)
        code = parse_json(r, json, (int64_t)length, err);
    rs_free(json);
    r->data_start = LENGTH_BYTES + (int64_t)length;
    r->data_size = file_size - r->data_start;
    return code;
}

/* A whole number of 0 to 2^53, or -1. */
static int64_t whole(const cJSON *item)
{
    if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0) || item->valuedouble > EXACT_MAX)
        return -1;
    int64_t value = (int64_t)item->valuedouble;
    return (double)value == item->valuedouble ? value : -1;
}

static int parse_shape(const char *path, const cJSON *shape, struct rs__tensor_entry *e, int64_t *bytes,
                       struct rs_error *err)
{
    if (!cJSON_IsArray(shape))
        return corrupt(err, path, e->name, "it has no shape");
    const cJSON *dim;
    cJSON_ArrayForEach(dim, shape)
    {
        if (e->rank == RS__RANK_MAX)
            return corrupt(err, path, e->name, "it has more than 8 dimensions");
        const int64_t size = whole(dim);
        if (size < 0 || __builtin_mul_overflow(*bytes, size, bytes))
            return corrupt(err, path, e->name, "its shape has a size that is no count");
        e->dims[e->rank++] = size;
    }
    return 0;
}

static int parse_entry(const struct rs__tensor_reader *r, const cJSON *item, struct rs__tensor_entry *e,
                       struct rs_error *err)
{
    const cJSON *dtype = cJSON_GetObjectItemCaseSensitive(item, "dtype");
    const cJSON *offsets = cJSON_GetObjectItemCaseSensitive(item, "data_offsets");
    const struct dtype *type = dtypes;
    *e = (struct rs__tensor_entry){.name = item->string};
    if (!cJSON_IsObject(item) || !cJSON_IsString(dtype))
        return corrupt(err, r->path, e->name, "it has no dtype");
    while (type->name && strcmp(type->name, dtype->valuestring) != 0)
        type++;
    if (!type->name)
        return rs_error_set(
            err, RS_E_UNSUPPORTED, "%s: tensor '%s' has the unknown dtype '%s'; save it as F32", r->path,
            rs__tensor_show_name(e->name).text, rs__tensor_show_name(dtype->valuestring).text);
    e->dtype = type->name;

    int64_t bytes = type->bytes;
    RS_TRY(parse_shape(r->path, cJSON_GetObjectItemCaseSensitive(item, "shape"), e, &bytes, err));
    if (!cJSON_IsArray(offsets) || cJSON_GetArraySize(offsets) != 2)
        return corrupt(err, r->path, e->name, "it has no pair of data_offsets");
    e->begin = whole(cJSON_GetArrayItem(offsets, 0));
    e->end = whole(cJSON_GetArrayItem(offsets, 1));
    if (e->begin < 0 || e->end < e->begin)
        return corrupt(err, r->path, e->name, "its data_offsets are no range");
    if (e->end > r->data_size)
        return rs_error_set(
            err, RS_E_CORRUPT,
            "%s: tensor '%s' should end at byte %lld, the file ends at %lld; it is cut off, take "
            "another copy",
            r->path, rs__tensor_show_name(e->name).text, (long long)r->data_start + e->end,
            (long long)r->data_start + r->data_size);
    if (e->end - e->begin != bytes)
        return corrupt(err, r->path, e->name, "its data_offsets don't fit its shape and dtype");
    return 0;
}

static int parse_entries(struct rs__tensor_reader *r, struct rs_error *err)
{
    const cJSON *item;
    r->entries = rs_calloc((size_t)cJSON_GetArraySize(r->header) + 1, sizeof(*r->entries));
    if (!r->entries)
        return rs_error_set(err, RS_E_NOMEM, "%s: out of memory for its list of tensors", r->path);
    cJSON_ArrayForEach(item, r->header)
    {
        if (strcmp(item->string, "__metadata__") != 0)
            RS_TRY(parse_entry(r, item, &r->entries[r->count++], err));
    }
    return 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct rs__tensor_entry *)a)->name, ((const struct rs__tensor_entry *)b)->name);
}

/* Empty tensors come before what begins at the same byte. */
static int by_place(const void *a, const void *b)
{
    const struct rs__tensor_entry *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return (x->end > y->end) - (x->end < y->end);
}

/* Leaves the entries sorted by name. */
static int check_entries(struct rs__tensor_reader *r, struct rs_error *err)
{
    int64_t covered = 0;
    qsort(r->entries, (size_t)r->count, sizeof(*r->entries), by_place);
    for (int32_t i = 0; i < r->count; i++) {
        const struct rs__tensor_entry *e = &r->entries[i];
        if (e->begin != covered)
            return corrupt(err, r->path, e->name,
                           e->begin < covered ? "it overlaps another tensor's data"
                                              : "a gap lies before its data");
        covered = e->end;
    }
    if (covered != r->data_size)
        return rs_error_set(err, RS_E_CORRUPT,
                            "%s: %lld bytes at byte %lld belong to no tensor; take another copy", r->path,
                            (long long)(r->data_size - covered), (long long)(r->data_start + covered));
    qsort(r->entries, (size_t)r->count, sizeof(*r->entries), by_name);
    for (int32_t i = 1; i < r->count; i++)
        if (strcmp(r->entries[i - 1].name, r->entries[i].name) == 0)
            return corrupt(err, r->path, r->entries[i].name, "it stands in the file twice");
    return 0;
}

int rs__tensor_open(struct rs__tensor_reader *r, const char *path, struct rs_error *err)
{
    struct stat info;
    *r = (struct rs__tensor_reader){.path = path};
    r->file = rs_file_open(path, O_RDONLY | O_NONBLOCK); /* a named pipe must not hang us */
    if (r->file < 0)
        return rs_error_set_errno(err, errno, "%s: can't be opened", path);
    if (fstat(r->file, &info) < 0)
        return rs_error_set_errno(err, errno, "%s: can't be examined", path);
    if (!S_ISREG(info.st_mode))
        return rs_error_set(err, RS_E_UNSUPPORTED, "%s: not a regular file; name a .safetensors file", path);
    r->opened = info;
    RS_TRY(read_header(r, (int64_t)info.st_size, err));
    RS_TRY(parse_entries(r, err));
    return check_entries(r, err);
}

void rs__tensor_close(struct rs__tensor_reader *r)
{
    cJSON_Delete(r->header);
    rs_free(r->entries);
    if (r->file >= 0)
        close(r->file);
    *r = (struct rs__tensor_reader){.file = -1};
}

const struct rs__tensor_entry *rs__tensor_find(const struct rs__tensor_reader *r, const char *name)
{
    const struct rs__tensor_entry key = {.name = name};
    return bsearch(&key, r->entries, (size_t)r->count, sizeof(key), by_name);
}

int rs__tensor_read(const struct rs__tensor_reader *r, const struct rs__tensor_entry *entry, void *to,
                    struct rs_error *err)
{
    return read_at(r->file, r->path, to, entry->end - entry->begin, r->data_start + entry->begin, err);
}

int rs__tensor_check_unchanged(const struct rs__tensor_reader *r, struct rs_error *err)
{
    struct stat info;
    if (fstat(r->file, &info) < 0)
        return rs_error_set_errno(err, errno, "%s: can't be examined", r->path);
    if (info.st_size == r->opened.st_size && info.st_mtim.tv_sec == r->opened.st_mtim.tv_sec &&
        info.st_mtim.tv_nsec == r->opened.st_mtim.tv_nsec)
        return 0;
    return rs_error_set(err, RS_E_CORRUPT,
                        "%s: was written to while it was read (%lld bytes then, %lld now); try again when "
                        "it is whole",
                        r->path, (long long)r->opened.st_size, (long long)info.st_size);
}

const char *rs__tensor_metadata(const struct rs__tensor_reader *r, const char *key)
{
    const cJSON *metadata = cJSON_GetObjectItemCaseSensitive(r->header, "__metadata__");
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(metadata, key));
}

void rs__tensor_shape_text(char *text, size_t size, int32_t rank, const int64_t *dims)
{
    size_t used = (size_t)snprintf(text, size, "[");
    for (int32_t i = 0; i < rank && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%lld", i > 0 ? ", " : "", (long long)dims[i]);
    if (used < size)
        snprintf(text + used, size - used, "]");
}
