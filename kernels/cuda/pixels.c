/* pixels.c: a plan's input where it comes as uint8 pixels: tables of weights and the two kernels that resize,
 * normalize and lay out. See plan.h and body_input.h. @thread the plan's.
 */
#include "plan.h"

#include "image.h"

static size_t padded(size_t bytes)
{
    return (bytes + 255) / 256 * 256;
}

static size_t table_bytes(const struct rs_resize_table *t)
{
    return padded(t->outputs * sizeof(uint32_t)) * 2 +
           padded((size_t)t->outputs * t->taps * sizeof(uint32_t));
}

/* Copies words to *at, which moves on behind them. */
static int put(struct rs_plan *plan, char **at, const uint32_t *words, size_t count, const uint32_t **where,
               struct rs_error *err)
{
    const size_t bytes = count * sizeof(uint32_t);
    *where = (const uint32_t *)(void *)*at;
    RS_TRY(rs__gpu_copy(plan->gpu, RS__QUEUE_COMPUTE, *at, words, bytes, RS__TO_DEVICE, err));
    *at += padded(bytes);
    return 0;
}

static int put_table(struct rs_plan *plan, char **at, const struct rs_resize_table *t,
                     struct rs__resize_weights *weights, struct rs_error *err)
{
    weights->taps = t->taps;
    RS_TRY(put(plan, at, t->first, t->outputs, &weights->first, err));
    RS_TRY(put(plan, at, t->count, t->outputs, &weights->count, err));
    return put(plan, at, t->fixed, (size_t)t->outputs * t->taps, &weights->fixed, err);
}

static int upload(struct rs_plan *plan, const struct rs_resize_table *across,
                  const struct rs_resize_table *down, struct rs_error *err)
{
    const struct rs_pixel_format *format = &plan->options.pixels;
    const struct rs__input_shape *in = &plan->program.input;
    struct rs__pixels *p = &plan->pixels;
    const bool as_they_are = format->planar && format->width == in->w;
    const size_t rows = as_they_are ? 0 : (size_t)plan->program.batch * in->c * format->height * in->w;
    RS_TRY(rs__gpu_alloc(plan->gpu, table_bytes(across) + table_bytes(down) + padded(rows), &p->block, err));
    char *at = p->block;
    RS_TRY(put_table(plan, &at, across, &p->across, err));
    RS_TRY(put_table(plan, &at, down, &p->down, err));
    p->rows = as_they_are ? NULL : (uint8_t *)at;
    return rs__gpu_sync(plan->gpu, RS__QUEUE_COMPUTE, err); /* the tables are freed next */
}

int rs__pixels_create(struct rs_plan *plan, struct rs_error *err)
{
    const struct rs_pixel_format *format = &plan->options.pixels;
    const struct rs__input_shape *in = &plan->program.input;
    struct rs_resize_table *across = NULL, *down = NULL;
    if (in->c != RS__COLORS)
        return rs_error_set(err, RS_E_SHAPE, "pixels have %u channels, and the network takes %u", RS__COLORS,
                            in->c);
    if ((uint64_t)plan->program.batch * in->c * format->height * in->w > INT32_MAX)
        return rs_error_set(err, RS_E_LIMIT,
                            "batches of %u images of %u x %u are too large for the device to resize; use "
                            "--preprocess host or a smaller batch size",
                            plan->program.batch, format->width, format->height);
    int code = rs_resize_table_create(&across, format->width, in->w, err);
    if (code == 0)
        code = rs_resize_table_create(&down, format->height, in->h, err);
    if (code == 0)
        code = upload(plan, across, down, err);
    rs_resize_table_destroy(down);
    rs_resize_table_destroy(across);
    return code;
}

void rs__pixels_destroy(struct rs_plan *plan)
{
    rs__gpu_free(plan->gpu, plan->pixels.block);
}

int rs__pixels_run(struct rs_plan *plan, const uint8_t *src, uint32_t count, struct rs_error *err)
{
    const struct rs_pixel_format *format = &plan->options.pixels;
    const struct rs__program *program = &plan->program;
    const struct rs__pixels *p = &plan->pixels;
    struct rs__resize_columns columns = {.bf16 = program->bf16,
                                         .shape = program->input,
                                         .in_h = format->height,
                                         .src = p->rows ? p->rows : src,
                                         .dst = program->values[0].data,
                                         .weights = p->down};
    columns.shape.n = count;
    if (p->rows) {
        const struct rs__resize_rows rows =
            rs__make_resize_rows((struct rs__resize_rows){.bf16 = program->bf16,
                                                          .n = count,
                                                          .in_h = format->height,
                                                          .in_w = format->width,
                                                          .out_w = program->input.w,
                                                          .planar = format->planar,
                                                          .src = src,
                                                          .dst = p->rows,
                                                          .weights = p->across});
        RS_TRY(rs__launch_resize_rows(plan->gpu, &rows, err));
    }
    return rs__launch_resize_columns(plan->gpu, &columns, err);
}
