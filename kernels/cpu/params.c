/* params.c: where parameters lie inside a plan, and the way in and out.
 *
 * How it works: a parameter has the same place and layout in four arenas: values, gradients, both moments. A
 * convolution's weights lie in the layout its weight gradient comes out in, channels padded with zeros;
 * vectors are padded to 16; a linear's weights are plain. The optimizer is elementwise and keeps zeros zero,
 * so layouts don't matter to it. */
#include "alloc.h"
#include "plan.h"
#include <string.h>

int rs__params_layout(struct rs_plan *plan, struct rs_error *err)
{
    size_t offset = 0;
    for (int32_t i = 0; i < plan->graph->param_count; i++) {
        struct rs__param *param = &plan->params[i];
        size_t floats = param->desc ? dnnl_memory_desc_get_size(param->desc) / sizeof(float)
                                    : (size_t)plan->graph->params[i].count;
        param->offset = offset;
        param->floats = (floats + 15) / 16 * 16;
        offset += param->floats;
    }
    plan->param_floats = offset;
    plan->values = rs_calloc(offset + 16, sizeof(float));
    plan->gradients = rs_calloc(offset + 16, sizeof(float));
    plan->moment1 = rs_calloc(offset + 16, sizeof(float));
    plan->moment2 = rs_calloc(offset + 16, sizeof(float));
    plan->buffers = rs_calloc((size_t)plan->graph->buffer_floats + 1, sizeof(float));
    plan->batches_tracked = rs_calloc((size_t)plan->graph->norm_count + 1, sizeof(int64_t));
    if (!plan->values || !plan->gradients || !plan->moment1 || !plan->moment2 || !plan->buffers ||
        !plan->batches_tracked)
        return rs_error_set(err, RS_E_NOMEM, "out of memory for %zu parameters and their optimizer state",
                            offset);
    return 0;
}

/* One parameter between the graph's arena and the plan's. */
static int move(struct rs_plan *plan, int32_t i, float *plain, float *inside, int out, struct rs_error *err)
{
    const struct rs_tensor_info *info = &plan->graph->params[i];
    const struct rs__param *param = &plan->params[i];
    plain += info->offset;
    inside += param->offset;
    if (!param->desc) {
        memcpy(out ? plain : inside, out ? inside : plain, (size_t)info->count * sizeof(float));
        return 0;
    }
    const dnnl_dims_t dims = {info->dims[0], info->dims[1], info->dims[2], info->dims[3]};
    rs__desc oihw;
    dnnl_status_t status = rs__desc_create_tag(&oihw, 4, dims, dnnl_f32, dnnl_oihw);
    if (status != dnnl_success)
        return rs__dnnl_failed(err, status, info->name, "changing a layout");
    int code = out ? rs__dnnl_reorder_now(plan->device, param->desc, inside, oihw, plain, info->name, err)
                   : rs__dnnl_reorder_now(plan->device, oihw, plain, param->desc, inside, info->name, err);
    rs__desc_destroy(oihw);
    return code;
}

static int move_all(struct rs_plan *plan, float *plain, float *inside, int out, struct rs_error *err)
{
    for (int32_t i = 0; i < plan->graph->param_count; i++)
        RS_TRY(move(plan, i, plain, inside, out, err));
    return 0;
}

int rs__params_load(struct rs_plan *plan, const struct rs_state *state, struct rs_error *err)
{
    const struct rs_graph *graph = plan->graph;
    RS_TRY(move_all(plan, state->params, plan->values, 0, err));
    RS_TRY(move_all(plan, state->moment1, plan->moment1, 0, err));
    RS_TRY(move_all(plan, state->moment2, plan->moment2, 0, err));
    memcpy(plan->buffers, state->buffers, (size_t)graph->buffer_floats * sizeof(float));
    memcpy(plan->batches_tracked, state->batches_tracked, (size_t)graph->norm_count * sizeof(int64_t));
    plan->steps = state->steps;
    return rs__conv_copy_all(plan, err);
}

int rs__params_store(struct rs_plan *plan, struct rs_state *state, struct rs_error *err)
{
    const struct rs_graph *graph = plan->graph;
    RS_TRY(move_all(plan, state->params, plan->values, 1, err));
    RS_TRY(move_all(plan, state->moment1, plan->moment1, 1, err));
    RS_TRY(move_all(plan, state->moment2, plan->moment2, 1, err));
    memcpy(state->buffers, plan->buffers, (size_t)graph->buffer_floats * sizeof(float));
    memcpy(state->batches_tracked, plan->batches_tracked, (size_t)graph->norm_count * sizeof(int64_t));
    state->steps = plan->steps;
    return 0;
}

int rs__params_store_gradients(struct rs_plan *plan, float *gradients, struct rs_error *err)
{
    return move_all(plan, gradients, plan->gradients, 1, err);
}
