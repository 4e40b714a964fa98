/* small_state.c: see small_state.h. */
#include "small_state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

int small_state_graph(struct rs_graph **out, struct rs_error *err)
{
    RS_TRY(rs_graph_create(out, (struct rs_shape){1, 2, 2}, err));
    int at = rs_graph_conv2d(*out, "conv", 0, 2, 1, 1, 0, 1, err);
    at = rs_graph_batch_norm(*out, "bn", at, err);
    at = rs_graph_linear(*out, "classifier", at, 3, err);
    return rs_graph_cross_entropy(*out, "loss", at, err);
}

int small_state_set_up(void **out)
{
    struct small_state *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    *out = f;
    strcpy(f->folder, "/tmp/rstream-checkpoint-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    snprintf(f->path, sizeof(f->path), "%s/w.safetensors", f->folder);
    assert_true(small_state_graph(&f->graph, &f->err) > 0);
    assert_int_equal(rs_state_create(&f->state, f->graph, &f->err), 0);
    for (int64_t i = 0; i < f->graph->param_floats; i++) {
        f->state->params[i] = (float)(i + 1) / 3;
        f->state->moment1[i] = (float)-i;
        f->state->moment2[i] = (float)(i * i);
    }
    for (int64_t i = 0; i < f->graph->buffer_floats; i++)
        f->state->buffers[i] = (float)i * 0.1f;
    f->state->batches_tracked[0] = 123456789012;
    f->state->steps = 77;
    return 0;
}

int small_state_tear_down(void **out)
{
    struct small_state *f = *out;
    char partial[128];
    snprintf(partial, sizeof(partial), "%s.partial", f->path);
    unlink(f->path);
    unlink(partial);
    assert_int_equal(rmdir(f->folder), 0); /* nothing else may lie there */
    rs_state_destroy(f->state);
    rs_graph_destroy(f->graph);
    free(f);
    return 0;
}

int small_state_same(const struct rs_state *a, const struct rs_state *b, int with_optimizer)
{
    const size_t params = (size_t)a->graph->param_floats * sizeof(float);
    const size_t buffers = (size_t)a->graph->buffer_floats * sizeof(float);
    const size_t counters = (size_t)a->graph->norm_count * sizeof(int64_t);
    if (memcmp(a->params, b->params, params) != 0 || memcmp(a->buffers, b->buffers, buffers) != 0 ||
        memcmp(a->batches_tracked, b->batches_tracked, counters) != 0)
        return 0;
    return !with_optimizer || (memcmp(a->moment1, b->moment1, params) == 0 &&
                               memcmp(a->moment2, b->moment2, params) == 0 && a->steps == b->steps);
}

char *small_state_read_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    char *data = malloc(1 << 20);
    assert_non_null(data);
    *size = fread(data, 1, 1 << 20, file);
    assert_true(*size < 1 << 20);
    fclose(file);
    return data;
}

void small_state_write_file(const char *path, const void *data, size_t size)
{
    unlink(
        path); /* some filesystems flush a file that is cut to nothing and written again, which takes long */
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}
