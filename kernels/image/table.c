/* table.c: the resizer's weights as plain tables, for devices. The arithmetic is weights.c's. @thread any. */
#include "image.h"
#include "paths.h"

struct owned { /* begins with what is handed out */
    struct rs_resize_table table;
    struct rs__weights weights;
};

int rs_resize_table_create(struct rs_resize_table **table, uint32_t in, uint32_t out, struct rs_error *err)
{
    if (in == 0 || out == 0 || in > RS_RESIZE_SIDE_MAX || out > RS_RESIZE_SIDE_MAX)
        return rs_error_set(err, RS_E_LIMIT, "resize: from %u to %u pixels; a side has 1 to %u", in, out,
                            RS_RESIZE_SIDE_MAX);
    struct owned *owned = rs_calloc(1, sizeof *owned);
    if (!owned)
        return rs_error_set(err, RS_E_NOMEM, "resize: no memory for a table of weights");
    struct rs__weights *w = &owned->weights;
    int code = rs__weights_build(w, in, out, &rs__path_scalar, err);
    if (code < 0) {
        rs_free(owned);
        return code;
    }
    owned->table = (struct rs_resize_table){
        .taps = w->quads * RS__QUAD, .outputs = out, .first = w->first, .count = w->count, .fixed = w->fixed};
    *table = &owned->table;
    return 0;
}

void rs_resize_table_destroy(struct rs_resize_table *table)
{
    struct owned *owned = (struct owned *)(void *)table;
    if (!owned)
        return;
    rs_buffer_free(&owned->weights.memory);
    rs_free(owned);
}
