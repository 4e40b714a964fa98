/* checkpoint.c: which tensors a state has, and what a file must have to become one.
 *
 * How it works: one list of the state's tensors (name, dtype, shape, place in memory) serves saving and
 * loading. A load first checks the whole file against the list, then reads each tensor to its place; so a
 * file that doesn't fit changes nothing.
 *
 * @thread any; one call at a time for a state.
 */
#include "checkpoint.h"

#include "alloc.h"
#include "safetensors.h"
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOMENT_NAME_MAX (RS_NAME_MAX + 24)

struct item { /* a tensor of a state */
    char name[MOMENT_NAME_MAX];
    const char *dtype;
    int32_t rank;
    int64_t dims[4];
    void *data;
    size_t bytes;
    bool optimizer; /* not part of PyTorch's state_dict */
};

struct list {
    struct item *items;
    int32_t count;
};

static struct item *append(struct list *list, const char *prefix, const char *name, const char *dtype,
                           void *data)
{
    struct item *item = &list->items[list->count++];
    snprintf(item->name, sizeof(item->name), "%s%s", prefix, name);
    item->dtype = dtype;
    item->data = data;
    item->optimizer = prefix[0] != 0;
    return item;
}

static void append_counter(struct list *list, const char *prefix, const char *name, int64_t *value)
{
    append(list, prefix, name, "I64", value)->bytes = sizeof(*value);
}

static void append_floats(struct list *list, const char *prefix, const struct rs_tensor_info *t, float *arena)
{
    struct item *item = append(list, prefix, t->name, "F32", arena + t->offset);
    item->rank = t->rank;
    memcpy(item->dims, t->dims, sizeof(item->dims));
    item->bytes = (size_t)t->count * sizeof(float);
}

/* All tensors of the state, the optimizer's too; the 8-byte ones first, so that all lie aligned in a file. */
static int list_create(struct list *list, struct rs_state *state, struct rs_error *err)
{
    const struct rs_graph *g = state->graph;
    *list = (struct list){0};
    list->items = rs_calloc(3 * ((size_t)g->param_count + (size_t)g->norm_count) + 1, sizeof(*list->items));
    if (!list->items)
        return rs_error_set(err, RS_E_NOMEM, "out of memory for a list of %d tensors", g->param_count);
    append_counter(list, "optimizer.", "steps", &state->steps);
    for (int32_t i = 0; i < g->norm_count; i++)
        append_counter(list, "", g->norms[i].batches_tracked, &state->batches_tracked[i]);
    for (int32_t i = 0; i < g->param_count; i++)
        append_floats(list, "", &g->params[i], state->params);
    for (int32_t i = 0; i < g->norm_count; i++) {
        append_floats(list, "", &g->norms[i].running_mean, state->buffers);
        append_floats(list, "", &g->norms[i].running_var, state->buffers);
    }
    for (int32_t i = 0; i < g->param_count; i++)
        append_floats(list, "optimizer.moment1.", &g->params[i], state->moment1);
    for (int32_t i = 0; i < g->param_count; i++)
        append_floats(list, "optimizer.moment2.", &g->params[i], state->moment2);
    return 0;
}

int rs_checkpoint_save(const char *path, const struct rs_state *state, int with_optimizer,
                       const struct rs_metadata *metadata, int metadata_count, struct rs_error *err)
{
    struct list list;
    int32_t count = 0;
    RS_TRY(list_create(&list, (struct rs_state *)state, err)); /* the list is only read from here on */
    struct rs__tensor_out *out = rs_calloc((size_t)list.count, sizeof(*out));
    for (int32_t i = 0; out && i < list.count; i++) {
        const struct item *item = &list.items[i];
        if (!item->optimizer || with_optimizer)
            out[count++] = (struct rs__tensor_out){.name = item->name,
                                                   .dtype = item->dtype,
                                                   .rank = item->rank,
                                                   .dims = item->dims,
                                                   .data = item->data,
                                                   .bytes = item->bytes};
    }
    int code = out ? rs__tensor_write(path, out, count, metadata, metadata_count, err)
                   : rs_error_set(err, RS_E_NOMEM, "%s: out of memory for its header", path);
    rs_free(out);
    rs_free(list.items);
    return code;
}

static int check_item(const struct rs__tensor_reader *file, const struct item *item, struct rs_error *err)
{
    const struct rs__tensor_entry *entry = rs__tensor_find(file, item->name);
    if (!entry)
        return rs_error_set(err, RS_E_NOT_FOUND, "%s: has no tensor '%s'%s", file->path, item->name,
                            item->optimizer ? "; it holds weights alone, name it with --init instead"
                                            : "; it belongs to another network");
    if (entry->rank != item->rank ||
        memcmp(entry->dims, item->dims, (size_t)item->rank * sizeof(int64_t)) != 0) {
        char has[128], wants[128];
        rs__tensor_shape_text(has, sizeof(has), entry->rank, entry->dims);
        rs__tensor_shape_text(wants, sizeof(wants), item->rank, item->dims);
        return rs_error_set(
            err, RS_E_SHAPE,
            "%s: tensor '%s' has the shape %s, the network needs %s; take weights of the same network "
            "and number of classes",
            file->path, item->name, has, wants);
    }
    if (strcmp(entry->dtype, item->dtype) != 0)
        return rs_error_set(
            err, RS_E_UNSUPPORTED, "%s: tensor '%s' is %s, only %s can be read; convert it with %s",
            file->path, item->name, entry->dtype, item->dtype,
            strcmp(item->dtype, "F32") == 0 ? ".float() before it is saved" : ".long() before it is saved");
    return 0;
}

/* Nothing may be in the file that the state has no place for. */
static int check_unknown(const struct rs__tensor_reader *file, const struct list *list, struct rs_error *err)
{
    for (int32_t i = 0; i < file->count; i++) {
        bool known = false;
        for (int32_t j = 0; j < list->count && !known; j++)
            known = strcmp(file->entries[i].name, list->items[j].name) == 0;
        if (!known)
            return rs_error_set(err, RS_E_SHAPE,
                                "%s: the network has no tensor '%s'; the file belongs to another network",
                                file->path, rs__tensor_show_name(file->entries[i].name).text);
    }
    return 0;
}

static int read_items(const struct rs__tensor_reader *file, const struct list *list, bool with_optimizer,
                      struct rs_error *err)
{
    for (int32_t i = 0; i < list->count; i++) {
        const struct item *item = &list->items[i];
        if (item->optimizer && !with_optimizer)
            continue;
        RS_TRY(rs__tensor_read(file, rs__tensor_find(file, item->name), item->data, err));
        if (strcmp(item->dtype, "I64") == 0 && *(const int64_t *)item->data < 0)
            return rs_error_set(err, RS_E_CORRUPT, "%s: tensor '%s' counts %lld; take another copy",
                                file->path, item->name, (long long)*(const int64_t *)item->data);
    }
    return 0;
}

static int load_items(const struct rs__tensor_reader *file, const struct list *list, bool with_optimizer,
                      struct rs_error *err)
{
    for (int32_t i = 0; i < list->count; i++)
        if (!list->items[i].optimizer || with_optimizer)
            RS_TRY(check_item(file, &list->items[i], err));
    RS_TRY(check_unknown(file, list, err));
    RS_TRY(read_items(file, list, with_optimizer, err));
    return rs__tensor_check_unchanged(file, err);
}

int rs_checkpoint_load(const char *path, struct rs_state *state, int with_optimizer, struct rs_error *err)
{
    struct rs__tensor_reader file;
    struct list list = {0};
    int code = rs__tensor_open(&file, path, err);
    if (code == 0)
        code = list_create(&list, state, err);
    if (code == 0)
        code = load_items(&file, &list, with_optimizer != 0, err);
    rs_free(list.items);
    rs__tensor_close(&file);
    return code;
}

int rs_checkpoint_metadata(const char *path, const char *key, char **value, struct rs_error *err)
{
    struct rs__tensor_reader file;
    *value = NULL;
    int code = rs__tensor_open(&file, path, err);
    if (code == 0) {
        const char *found = rs__tensor_metadata(&file, key);
        *value = found ? strdup(found) : NULL;
        if (found && !*value)
            code = rs_error_set(err, RS_E_NOMEM, "%s: out of memory for its metadata", path);
    }
    rs__tensor_close(&file);
    return code;
}

/* classifier.weight, or the matrix that lies last in the file. */
static const struct rs__tensor_entry *find_classifier(const struct rs__tensor_reader *file)
{
    const struct rs__tensor_entry *last = rs__tensor_find(file, "classifier.weight");
    if (last && last->rank == 2)
        return last;
    last = NULL;
    for (int32_t i = 0; i < file->count; i++)
        if (file->entries[i].rank == 2 && (!last || file->entries[i].begin > last->begin))
            last = &file->entries[i];
    return last;
}

int rs_checkpoint_classes(const char *path, int32_t *classes, struct rs_error *err)
{
    struct rs__tensor_reader file;
    *classes = 0;
    int code = rs__tensor_open(&file, path, err);
    if (code == 0) {
        const struct rs__tensor_entry *entry = find_classifier(&file);
        if (!entry)
            code = rs_error_set(err, RS_E_NOT_FOUND,
                                "%s: has no matrix 'classifier.weight'; not a network's weights", path);
        else if (entry->dims[0] < 1 || entry->dims[0] > INT32_MAX)
            code = rs_error_set(err, RS_E_SHAPE, "%s: tensor '%s' can't have %lld classes", path, entry->name,
                                (long long)entry->dims[0]);
        else
            *classes = (int32_t)entry->dims[0];
    }
    rs__tensor_close(&file);
    return code;
}
