/* resize.c: the resizer: two passes over temporary rows, and the weights of the last sizes.
 *
 * How it works: the first pass brings the source into three planes of temporary rows as wide as the result,
 * horizontally resized or, where the width stays, copied. The second makes the result's rows out of them. An
 * interleaved source is taken apart row by row into a small buffer that stays in the first cache. Planar rows
 * are read where they lie, but for the last few: kernels read whole vectors, and those would end outside the
 * source, so they are copied to the same buffer first.
 *
 * Owner: the resizer, one worker's. @thread worker.
 */
#include "image.h"
#include "paths.h"
#include <string.h>

/* Sizes whose weights are kept. A run needs two at once, and the second must not push out the first. */
#define CACHE_SIZE 8

struct cached {
    uint64_t used; /* the resizer's clock when last asked for; 0: empty */
    struct rs__weights weights;
};

struct rs_resizer {
    const struct rs__path *path;
    uint64_t clock;
    struct cached cache[CACHE_SIZE];
    struct rs_buffer rows;  /* 3 planes of temporary rows */
    struct rs_buffer apart; /* 3 input rows with room behind */
};

/* What a run passes on: the source's planes as wide as the result. */
struct rows {
    uint8_t *data;
    size_t stride, plane_stride;
};

int rs_resizer_create(struct rs_resizer **out, struct rs_error *err)
{
    struct rs_resizer *resizer = rs_calloc(1, sizeof *resizer);
    if (resizer == NULL)
        return rs_error_set(err, RS_E_NOMEM, "resize: no memory for a resizer");
    uint32_t i = 0;
    while (!rs__path_at(i)->supported())
        i++;
    resizer->path = rs__path_at(i);
    *out = resizer;
    return 0;
}

void rs_resizer_destroy(struct rs_resizer *resizer)
{
    if (resizer == NULL)
        return;
    for (size_t i = 0; i < CACHE_SIZE; i++)
        rs_buffer_free(&resizer->cache[i].weights.memory);
    rs_buffer_free(&resizer->rows);
    rs_buffer_free(&resizer->apart);
    rs_free(resizer);
}

const char *rs_resizer_path(const struct rs_resizer *resizer)
{
    return resizer->path->name;
}

const char *rs_resizer_path_at(uint32_t i)
{
    const struct rs__path *path = rs__path_at(i);
    return path == NULL ? NULL : path->name;
}

int rs_resizer_use(struct rs_resizer *resizer, const char *name, struct rs_error *err)
{
    const struct rs__path *path;
    for (uint32_t i = 0; (path = rs__path_at(i)) != NULL; i++) {
        if (strcmp(path->name, name) != 0)
            continue;
        if (!path->supported())
            return rs_error_set(err, RS_E_UNSUPPORTED, "resize: this machine can't run the code path '%s'",
                                name);
        for (size_t c = 0; c < CACHE_SIZE; c++)
            resizer->cache[c].used = 0; /* their weights may be laid out for another path */
        resizer->path = path;
        return 0;
    }
    return rs_error_set(err, RS_E_UNSUPPORTED, "resize: there is no code path '%s'", name);
}

/* The weights from in to out, out of the cache or made in the place that was asked for longest ago. */
static int find_weights(struct rs_resizer *resizer, uint32_t in, uint32_t out,
                        const struct rs__weights **weights, struct rs_error *err)
{
    struct cached *oldest = &resizer->cache[0];
    for (size_t i = 0; i < CACHE_SIZE; i++) {
        struct cached *c = &resizer->cache[i];
        if (c->used != 0 && c->weights.in == in && c->weights.out == out) {
            c->used = ++resizer->clock;
            *weights = &c->weights;
            return 0;
        }
        oldest = c->used < oldest->used ? c : oldest;
    }
    oldest->used = 0; /* a failure leaves the place empty */
    RS_TRY(rs__weights_build(&oldest->weights, in, out, resizer->path, err));
    oldest->used = ++resizer->clock;
    *weights = &oldest->weights;
    return 0;
}

/* Grown memory is zeroed once: kernels read, with weight 0, bytes that nobody wrote. */
static int reserve(struct rs_buffer *buffer, size_t size, struct rs_error *err)
{
    size_t before = buffer->capacity;
    RS_TRY(rs_buffer_reserve(buffer, size, err));
    if (buffer->capacity != before)
        memset(buffer->data, 0, buffer->capacity);
    return 0;
}

static size_t blocks(size_t width)
{
    return (width + RS__BLOCK - 1) / RS__BLOCK * RS__BLOCK;
}

/* Interleaved rows: apart, then through the horizontal pass or, where weights is NULL, straight into the
 * rows. */
static void pass_interleaved(struct rs_resizer *resizer, const struct rs_resize_source *src,
                             const struct rs__weights *weights, size_t apart_stride, const struct rows *rows)
{
    const struct rs__path *path = resizer->path;
    for (size_t y = 0; y < src->height; y++) {
        const uint8_t *from = src->data + y * src->width * 3;
        uint8_t *to = rows->data + y * rows->stride;
        if (weights == NULL) {
            path->deinterleave(from, src->width, to, rows->plane_stride);
            continue;
        }
        path->deinterleave(from, src->width, resizer->apart.data, apart_stride);
        path->horizontal(weights, resizer->apart.data, apart_stride, 3, to, rows->plane_stride);
    }
}

/* Planar rows. The planes lie one behind the other, in the source and in the rows, so they are one tall
 * plane. */
static void pass_planar(struct rs_resizer *resizer, const struct rs_resize_source *src,
                        const struct rs__weights *weights, const struct rows *rows)
{
    size_t count = (size_t)src->height * 3, width = src->width, direct = 0;
    if (weights == NULL) {
        for (size_t y = 0; y < count; y++)
            memcpy(rows->data + y * rows->stride, src->data + y * width, width);
        return;
    }
    if (count * width >= weights->reach)
        direct = (count * width - weights->reach) / width + 1;
    direct = direct < count ? direct : count;
    resizer->path->horizontal(weights, src->data, width, direct, rows->data, rows->stride);
    for (size_t y = direct; y < count; y++) {
        memcpy(resizer->apart.data, src->data + y * width, width);
        resizer->path->horizontal(weights, resizer->apart.data, width, 1, rows->data + y * rows->stride,
                                  rows->stride);
    }
}

/* The result's planes from the rows; weights is NULL where the height stays. */
static void pass_vertical(const struct rs_resizer *resizer, const struct rs__weights *weights,
                          const struct rows *rows, uint32_t width, uint32_t height, uint8_t *dst)
{
    for (size_t c = 0; c < 3; c++) {
        const uint8_t *from = rows->data + c * rows->plane_stride;
        uint8_t *to = dst + c * height * width;
        if (weights != NULL) {
            resizer->path->vertical(weights, from, rows->stride, width, to);
            continue;
        }
        for (size_t y = 0; y < height; y++)
            memcpy(to + y * width, from + y * rows->stride, width);
    }
}

static int check_side(uint32_t width, uint32_t height, const char *what, struct rs_error *err)
{
    if (width >= 1 && height >= 1 && width <= RS_RESIZE_SIDE_MAX && height <= RS_RESIZE_SIDE_MAX)
        return 0;
    return rs_error_set(err, RS_E_LIMIT, "resize: %s of %u x %u pixels: each side must be 1 to %u", what,
                        width, height, RS_RESIZE_SIDE_MAX);
}

int rs_resizer_run(struct rs_resizer *resizer, const struct rs_resize_source *src, uint32_t out_width,
                   uint32_t out_height, uint8_t *dst, struct rs_error *err)
{
    const struct rs__weights *across = NULL, *down = NULL;
    RS_TRY(check_side(src->width, src->height, "a source", err));
    RS_TRY(check_side(out_width, out_height, "a result", err));
    if (src->width != out_width)
        RS_TRY(find_weights(resizer, src->width, out_width, &across, err));
    if (src->height != out_height)
        RS_TRY(find_weights(resizer, src->height, out_height, &down, err));

    struct rows rows = {.stride = blocks(out_width)};
    rows.plane_stride = rows.stride * src->height;
    size_t apart_stride = blocks(src->width);
    if (across != NULL)
        apart_stride += blocks(across->reach > src->width ? across->reach - src->width : 0);
    RS_TRY(reserve(&resizer->rows, 3 * rows.plane_stride, err));
    RS_TRY(reserve(&resizer->apart, 3 * apart_stride, err));
    rows.data = resizer->rows.data;

    if (src->planar)
        pass_planar(resizer, src, across, &rows);
    else
        pass_interleaved(resizer, src, across, apart_stride, &rows);
    pass_vertical(resizer, down, &rows, out_width, out_height, dst);
    return 0;
}
