/* dnnl_op.c: a oneDNN primitive with its arguments: made, bound to addresses, run. */
#include "alloc.h"
#include "plan.h"

int rs__dnnl_failed(struct rs_error *err, dnnl_status_t status, const char *what, const char *phase)
{
    if (status == dnnl_out_of_memory)
        return rs_error_set(err, RS_E_NOMEM, "%s, %s: out of memory", what, phase);
    return rs_error_set(err, RS_E_BACKEND, "%s, %s: oneDNN answered status %d%s", what, phase, (int)status,
                        status == dnnl_unimplemented ? " (not implemented for this machine)" : "");
}

int rs__dnnl_create(struct rs__dnnl **out, struct rs_plan *plan, dnnl_primitive_desc_t pd, const char *what,
                    struct rs_error *err)
{
    struct rs__dnnl *d = rs_calloc(1, sizeof(*d));
    *out = NULL;
    if (!d) {
        dnnl_primitive_desc_destroy(pd);
        return rs_error_set(err, RS_E_NOMEM, "%s: out of memory for a primitive", what);
    }
    d->pd = pd;
    dnnl_status_t status = dnnl_primitive_create(&d->primitive, pd);
    if (status != dnnl_success) {
        rs__dnnl_destroy(d);
        return rs__dnnl_failed(err, status, what, "making a primitive");
    }
    size_t scratch = dnnl_memory_desc_get_size(dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0));
    if (scratch > plan->scratchpad_bytes)
        plan->scratchpad_bytes = scratch;
    *out = d;
    return 0;
}

void rs__dnnl_destroy(struct rs__dnnl *d)
{
    if (!d)
        return;
    for (int i = 0; i < d->count; i++)
        if (d->args[i].memory)
            dnnl_memory_destroy(d->args[i].memory);
    if (d->primitive)
        dnnl_primitive_destroy(d->primitive);
    dnnl_primitive_desc_destroy(d->pd);
    rs_free(d);
}

static void use(struct rs__dnnl *d, int argument, int32_t tensor, void *block)
{
    RS_ASSERT(d->count < RS__DNNL_ARGS);
    d->args[d->count].arg = argument;
    d->tensors[d->count] = tensor;
    d->blocks[d->count++] = block;
}

void rs__dnnl_use_tensor(struct rs__dnnl *d, int argument, int32_t tensor)
{
    use(d, argument, tensor, NULL);
}

void rs__dnnl_use_block(struct rs__dnnl *d, int argument, void *block)
{
    use(d, argument, RS_NONE, block);
}

int rs__dnnl_bind(struct rs__dnnl *d, struct rs_plan *plan, const struct rs__program *program,
                  const char *what, struct rs_error *err)
{
    if (dnnl_memory_desc_get_size(dnnl_primitive_desc_query_md(d->pd, dnnl_query_scratchpad_md, 0)) > 0)
        use(d, DNNL_ARG_SCRATCHPAD, RS_NONE, plan->scratchpad);
    for (int i = 0; i < d->count; i++) {
        rs__desc desc = d->args[i].arg == DNNL_ARG_SCRATCHPAD
                            ? dnnl_primitive_desc_query_md(d->pd, dnnl_query_scratchpad_md, 0)
                            : dnnl_primitive_desc_query_md(d->pd, dnnl_query_exec_arg_md, d->args[i].arg);
        void *address = d->tensors[i] == RS_NONE ? d->blocks[i] : program->at[d->tensors[i]];
        dnnl_status_t status = dnnl_memory_create(&d->args[i].memory, desc, plan->device->engine,
                                                  address ? address : DNNL_MEMORY_NONE);
        if (status != dnnl_success)
            return rs__dnnl_failed(err, status, what, "binding memory");
    }
    return 0;
}

int rs__dnnl_run(const struct rs__dnnl *d, const struct rs__call *call, const char *what)
{
    struct rs_device *device = call->plan->device;
    dnnl_status_t status = dnnl_success;
    for (int i = 0; i < d->count && status == dnnl_success; i++)
        if (d->tensors[i] != RS_NONE && call->program->tensors[d->tensors[i]].form == RS__INPUT)
            status = dnnl_memory_set_data_handle(d->args[i].memory, call->program->at[d->tensors[i]]);
    if (status == dnnl_success)
        status = dnnl_primitive_execute(d->primitive, device->stream, d->count, d->args);
    if (status == dnnl_success)
        status = dnnl_stream_wait(device->stream);
    return status == dnnl_success ? 0 : rs__dnnl_failed(call->err, status, what, "running");
}

int rs__dnnl_reorder_now(struct rs_device *device, rs__desc from_desc, const void *from, rs__desc to_desc,
                         void *to, const char *what, struct rs_error *err)
{
    dnnl_primitive_desc_t pd = NULL;
    dnnl_primitive_t primitive = NULL;
    dnnl_memory_t from_memory = NULL, to_memory = NULL, scratch = NULL;
    void *block = NULL;

    dnnl_status_t status = rs__reorder_pd_create(&pd, device->engine, from_desc, to_desc);
    if (status != dnnl_success)
        goto done;
    rs__desc scratch_desc = dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0);
    size_t bytes = dnnl_memory_desc_get_size(scratch_desc);
    block = rs_alloc(bytes ? bytes : 64);
    status = block ? dnnl_primitive_create(&primitive, pd) : dnnl_out_of_memory;
    if (status == dnnl_success)
        status = dnnl_memory_create(&from_memory, from_desc, device->engine, (void *)from);
    if (status == dnnl_success)
        status = dnnl_memory_create(&to_memory, to_desc, device->engine, to);
    if (status == dnnl_success)
        status = dnnl_memory_create(&scratch, scratch_desc, device->engine, block);
    if (status == dnnl_success) {
        const dnnl_exec_arg_t args[] = {
            {DNNL_ARG_FROM, from_memory}, {DNNL_ARG_TO, to_memory}, {DNNL_ARG_SCRATCHPAD, scratch}};
        status = dnnl_primitive_execute(primitive, device->stream, bytes ? 3 : 2, args);
    }
    if (status == dnnl_success)
        status = dnnl_stream_wait(device->stream);

done:
    if (scratch)
        dnnl_memory_destroy(scratch);
    if (to_memory)
        dnnl_memory_destroy(to_memory);
    if (from_memory)
        dnnl_memory_destroy(from_memory);
    if (primitive)
        dnnl_primitive_destroy(primitive);
    if (pd)
        dnnl_primitive_desc_destroy(pd);
    rs_free(block);
    return status == dnnl_success ? 0 : rs__dnnl_failed(err, status, what, "changing a layout");
}
