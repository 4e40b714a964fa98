/* source_build.c: what kinds build an index with: strings in blocks, arrays that double, folders' entries. */
#include "source_pvt.h"

#include "alloc.h"
#include <errno.h>
#include <string.h>

#define BLOCK_SIZE ((size_t)1 << 18)

struct rs__block {
    struct rs__block *next;
    size_t used, size;
    char data[];
};

int rs__grow(void **array, size_t *capacity, size_t need, size_t item_size, struct rs_error *err)
{
    if (need <= *capacity)
        return 0;
    size_t wanted = *capacity ? *capacity * 2 : 64;
    if (wanted < need)
        wanted = need;
    void *grown = wanted > SIZE_MAX / item_size ? NULL : rs_alloc(wanted * item_size);
    if (!grown)
        return rs_error_set(err, RS_E_NOMEM, "out of memory for an index of %zu entries", wanted);
    if (*array)
        memcpy(grown, *array, *capacity * item_size);
    rs_free(*array);
    *array = grown;
    *capacity = wanted;
    return 0;
}

static char *string_room(struct rs_source *source, size_t size, struct rs_error *err)
{
    struct rs__block *block = source->strings;
    if (!block || block->size - block->used < size) {
        size_t room = size > BLOCK_SIZE ? size : BLOCK_SIZE;
        block = rs_alloc(sizeof *block + room);
        if (!block) {
            rs_error_set(err, RS_E_NOMEM, "out of memory for the names of the data set's files");
            return NULL;
        }
        block->next = source->strings;
        block->used = 0;
        block->size = room;
        source->strings = block;
    }
    char *place = block->data + block->used;
    block->used += size;
    return place;
}

const char *rs__source_join(struct rs_source *source, const char *a, const char *b, struct rs_error *err)
{
    size_t left = strlen(a), right = b ? strlen(b) : 0;
    size_t slash = b && left && a[left - 1] != '/';
    char *joined = string_room(source, left + slash + right + 1, err);
    if (!joined)
        return NULL;
    memcpy(joined, a, left);
    if (slash)
        joined[left] = '/';
    if (b)
        memcpy(joined + left + slash, b, right);
    joined[left + slash + right] = '\0';
    return joined;
}

int rs__source_add_file(struct rs_source *source, const char *path, uint64_t size, int32_t label,
                        enum rs_codec_id codec, struct rs_error *err)
{
    const char *slash = strrchr(path, '/');
    size_t directory = slash ? (size_t)(slash - path) : 0;
    if (source->file_count == UINT32_MAX)
        return rs_error_set(err, RS_E_LIMIT, "more than %u files: split the data set", UINT32_MAX);
    if (directory > UINT16_MAX)
        return rs_error_set(err, RS_E_LIMIT, "a path of %zu bytes is too long: move the data up", directory);
    RS_TRY(rs__grow((void **)&source->files, &source->file_capacity, (size_t)source->file_count + 1,
                    sizeof *source->files, err));
    source->files[source->file_count++] = (struct rs__file){.path = path,
                                                            .size = size,
                                                            .label = label,
                                                            .directory = (uint16_t)directory,
                                                            .codec = (uint16_t)codec};
    source->bytes += size;
    return 0;
}

int rs__source_add_class(struct rs_source *source, const char *name, struct rs_error *err)
{
    if (source->class_count == RS_CLASSES_MAX)
        return rs_error_set(err, RS_E_LIMIT, "more than %d classes", RS_CLASSES_MAX);
    const char *copy = rs__source_join(source, name, NULL, err);
    if (!copy)
        return RS_E_NOMEM;
    RS_TRY(rs__grow((void **)&source->classes, &source->class_capacity, (size_t)source->class_count + 1,
                    sizeof *source->classes, err));
    source->classes[source->class_count++] = copy;
    return 0;
}

void rs__source_free_strings(struct rs_source *source)
{
    while (source->strings) {
        struct rs__block *block = source->strings;
        source->strings = block->next;
        rs_free(block);
    }
}

int rs__folder_open(DIR **out, const char *path, struct rs_error *err)
{
    *out = opendir(path);
    if (*out)
        return 0;
    int errnum = errno;
    int code = rs_error_set_errno(err, errnum,
                                  "%s: can't list this folder; check its permissions (chmod u+rx)", path);
    errno = errnum;
    return code;
}

int rs__folder_next(DIR *stream, const char *path, struct dirent **out, struct rs_error *err)
{
    do {
        errno = 0;
        *out = readdir(stream);
        if (!*out && errno != 0)
            return rs_error_set_errno(err, errno, "%s: can't list this folder to its end", path);
    } while (*out && (strcmp((*out)->d_name, ".") == 0 || strcmp((*out)->d_name, "..") == 0));
    return *out != NULL;
}
