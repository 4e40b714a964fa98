/* weights_info.c: see weights_info.h. rstream writes metadata "classes" (names, a line each) and
 * "image_size". */
#include "weights_info.h"
#include "checkpoint.h"

#include <stdlib.h>
#include <string.h>

#define IMAGE_SIZE_MAX 1024ul /* --image-size's */

void rs__names_free(char **names, int32_t count)
{
    for (int32_t i = 0; names && i < count; i++)
        free(names[i]);
    free(names);
}

int rs__names_split(const char *text, int32_t count, const char *path, char ***names, struct rs_error *err)
{
    *names = calloc((size_t)count, sizeof **names);
    if (!*names)
        return rs_error_set(err, RS_E_NOMEM, "out of memory for the names of the classes");
    int32_t found = 0;
    int code = RS_OK;
    while (code == RS_OK && *text) {
        size_t length = strcspn(text, "\n");
        if (found < count && !((*names)[found] = strndup(text, length)))
            code = rs_error_set(err, RS_E_NOMEM, "out of memory for the names of the classes");
        found++;
        text += length + (text[length] == '\n');
    }
    if (code == RS_OK && found != count)
        code =
            rs_error_set(err, RS_E_CORRUPT, "%s: names %d classes for a network of %d", path, found, count);
    if (code != RS_OK) {
        rs__names_free(*names, count);
        *names = NULL;
    }
    return code;
}

static int parse_size(const char *text, const char *path, uint32_t *size, struct rs_error *err)
{
    char *end = NULL;
    unsigned long value = strtoul(text, &end, 10);
    if (end == text || *end || value == 0 || value > IMAGE_SIZE_MAX)
        return rs_error_set(err, RS_E_CORRUPT,
                            "%s: metadata \"image_size\" is '%.40s', not a number of pixels", path, text);
    *size = (uint32_t)value;
    return RS_OK;
}

int rs__weights_info_read(const char *path, struct rs_weights_info *out, struct rs_error *err)
{
    memset(out, 0, sizeof *out);
    char *names = NULL, *size = NULL;
    int code = rs_checkpoint_classes(path, &out->classes, err);
    if (code == RS_OK)
        code = rs_checkpoint_metadata(path, "image_size", &size, err);
    if (code == RS_OK && size)
        code = parse_size(size, path, &out->image_size, err);
    if (code == RS_OK)
        code = rs_checkpoint_metadata(path, "classes", &names, err);
    if (code == RS_OK && names)
        code = rs__names_split(names, out->classes, path, &out->names, err);
    free(names);
    free(size);
    return code;
}

void rs__weights_info_free(struct rs_weights_info *info)
{
    rs__names_free(info->names, info->classes);
    info->names = NULL;
}
