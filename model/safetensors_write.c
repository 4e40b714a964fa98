/* safetensors_write.c: all tensors to a file beside the old one, which it then replaces.
 *
 * How it works: header through cJSON, data straight from where it lies, both by file.h.
 *
 * @thread any.
 */
#include "safetensors.h"

#include "alloc.h"
#include "file.h"
#include <cJSON.h>
#include <string.h>

/* Adds the item to the parent, or frees it. */
static int attach(cJSON *parent, const char *name, cJSON *item)
{
    if (item && cJSON_AddItemToObject(parent, name, item))
        return 0;
    cJSON_Delete(item);
    return RS_E_NOMEM;
}

static cJSON *numbers(const int64_t *values, int32_t count)
{
    cJSON *array = cJSON_CreateArray();
    for (int32_t i = 0; array && i < count; i++) {
        cJSON *number = cJSON_CreateNumber((double)values[i]);
        if (!number || !cJSON_AddItemToArray(array, number)) {
            cJSON_Delete(number);
            cJSON_Delete(array);
            return NULL;
        }
    }
    return array;
}

static int add_tensor(cJSON *root, const struct rs__tensor_out *t, int64_t begin)
{
    const int64_t offsets[2] = {begin, begin + (int64_t)t->bytes};
    cJSON *entry = cJSON_CreateObject();
    if (attach(root, t->name, entry) < 0 || attach(entry, "dtype", cJSON_CreateString(t->dtype)) < 0 ||
        attach(entry, "shape", numbers(t->dims, t->rank)) < 0)
        return RS_E_NOMEM;
    return attach(entry, "data_offsets", numbers(offsets, 2));
}

static int fill_header(cJSON *root, const struct rs__tensor_out *tensors, int32_t count,
                       const struct rs_metadata *metadata, int metadata_count)
{
    int64_t begin = 0;
    if (metadata_count > 0) {
        cJSON *strings = cJSON_CreateObject();
        RS_TRY(attach(root, "__metadata__", strings));
        for (int i = 0; i < metadata_count; i++)
            RS_TRY(attach(strings, metadata[i].key, cJSON_CreateString(metadata[i].value)));
    }
    for (int32_t i = 0; i < count; i++) {
        RS_TRY(add_tensor(root, &tensors[i], begin));
        begin += (int64_t)tensors[i].bytes;
    }
    return 0;
}

/* Length and JSON, padded with spaces so that the data begins at a multiple of 8. Freed by the caller with
 * rs_free. */
static uint8_t *make_header(const struct rs__tensor_out *tensors, int32_t count,
                            const struct rs_metadata *metadata, int metadata_count, size_t *size)
{
    cJSON *root = cJSON_CreateObject();
    char *json = NULL;
    uint8_t *header = NULL;
    if (root && fill_header(root, tensors, count, metadata, metadata_count) == 0)
        json = cJSON_PrintUnformatted(root);
    if (json) {
        const size_t text = strlen(json);
        const uint64_t length = (text + 7) / 8 * 8;
        header = rs_alloc(sizeof(length) + length);
        if (header) {
            memset(header, ' ', sizeof(length) + length);
            memcpy(header, &length, sizeof(length));
            /* NOLINTNEXTLINE(bugprone-not-null-terminated-result): its end is known by its length */
            memcpy(header + sizeof(length), json, text);
            *size = sizeof(length) + length;
        }
    }
    cJSON_free(json);
    cJSON_Delete(root);
    return header;
}

/* Header and tensors. */
static int replace(const char *path, const uint8_t *header, size_t header_size,
                   const struct rs__tensor_out *tensors, int32_t count, struct rs_error *err)
{
    struct rs_replacement file;
    RS_TRY(rs_file_replace_begin(&file, path, err));
    RS_TRY(rs_file_replace_write(&file, header, header_size, err));
    for (int32_t i = 0; i < count; i++)
        RS_TRY(rs_file_replace_write(&file, tensors[i].data, tensors[i].bytes, err));
    return rs_file_replace_commit(&file, err);
}

int rs__tensor_write(const char *path, const struct rs__tensor_out *tensors, int32_t count,
                     const struct rs_metadata *metadata, int metadata_count, struct rs_error *err)
{
    size_t header_size = 0;
    uint8_t *header = make_header(tensors, count, metadata, metadata_count, &header_size);
    if (!header)
        return rs_error_set(err, RS_E_NOMEM, "%s: out of memory for its header", path);
    int code = replace(path, header, header_size, tensors, count, err);
    rs_free(header);
    return code;
}
