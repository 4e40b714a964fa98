/* safetensors_write.c: all tensors to a file beside the old one, which it then replaces.
 *
 * How it works: header through cJSON, data straight from where it lies. The order on the disk: data and
 * header synced, then the name changed, then the folder synced; a crash leaves the old file or the new one.
 * On an error the partial file is removed.
 *
 * @thread any.
 */
#include "safetensors.h"

#include "alloc.h"
#include <cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PARTIAL ".partial"

static int no_memory(struct rs_error *err, const char *path)
{
    return rs_error_set(err, RS_E_NOMEM, "%s: out of memory for its header", path);
}

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

static int write_all(int file, const void *data, size_t size)
{
    const uint8_t *at = data;
    while (size > 0) {
        ssize_t n = write(file, at, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        at += n;
        size -= (size_t)n;
    }
    return 0;
}

/* Header and tensors into a new file, on the disk when it returns. 0 or a negative errno. */
static int write_partial(const char *partial, const uint8_t *header, size_t header_size,
                         const struct rs__tensor_out *tensors, int32_t count)
{
    int file = open(partial, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (file < 0)
        return -errno;
    int code = write_all(file, header, header_size);
    for (int32_t i = 0; code == 0 && i < count; i++)
        code = write_all(file, tensors[i].data, tensors[i].bytes);
    if (code == 0 && fsync(file) < 0)
        code = -errno;
    if (close(file) < 0 && code == 0)
        code = -errno;
    return code;
}

/* Makes the new name last. Filesystems that can't sync a folder say EINVAL; there it is theirs to keep. 0 or
 * a negative errno. */
static int sync_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
    if (!folder)
        return -ENOMEM;
    int file = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int code = file < 0 ? -errno : 0;
    if (code == 0 && fsync(file) < 0 && errno != EINVAL)
        code = -errno;
    if (file >= 0)
        close(file);
    free(folder);
    return code;
}

static int replace(const char *path, const char *partial, const uint8_t *header, size_t header_size,
                   const struct rs__tensor_out *tensors, int32_t count, struct rs_error *err)
{
    int code = write_partial(partial, header, header_size, tensors, count);
    if (code == 0 && rename(partial, path) < 0)
        code = -errno;
    if (code < 0) {
        const char *remedy = code == -ENOSPC || code == -EDQUOT ? "free some space" : "choose another folder";
        unlink(partial); /* what is there of it, if anything */
        return rs_error_set_errno(err, -code, "%s: can't be written; %s, the file is as it was", path,
                                  remedy);
    }
    code = sync_folder(path);
    if (code < 0)
        return rs_error_set_errno(err, -code, "%s: is written, but its folder can't be synced", path);
    return 0;
}

int rs__tensor_write(const char *path, const struct rs__tensor_out *tensors, int32_t count,
                     const struct rs_metadata *metadata, int metadata_count, struct rs_error *err)
{
    size_t header_size = 0;
    uint8_t *header = make_header(tensors, count, metadata, metadata_count, &header_size);
    const size_t partial_size = strlen(path) + sizeof(PARTIAL);
    char *partial = rs_alloc(partial_size);
    int code = RS_E_NOMEM;
    if (header && partial) {
        snprintf(partial, partial_size, "%s%s", path, PARTIAL);
        code = replace(path, partial, header, header_size, tensors, count, err);
    } else {
        no_memory(err, path);
    }
    rs_free(partial);
    rs_free(header);
    return code;
}
