/* dnnl_compat.c: see dnnl_compat.h. The only file that asks for oneDNN's version. */
#include "dnnl_compat.h"
#include <stdlib.h>

/* Attributes that leave the scratchpad to the caller, so that a step allocates nothing and all primitives
 * share one. */
static dnnl_status_t attributes(dnnl_primitive_attr_t *out)
{
    dnnl_status_t status = dnnl_primitive_attr_create(out);
    if (status != dnnl_success)
        return status;
    return dnnl_primitive_attr_set_scratchpad_mode(*out, dnnl_scratchpad_mode_user);
}

#if DNNL_VERSION_MAJOR >= 3

dnnl_status_t rs__desc_create_tag(rs__desc *out, int rank, const dnnl_dim_t *dims, dnnl_data_type_t type,
                                  dnnl_format_tag_t tag)
{
    dnnl_memory_desc_t desc = NULL;
    dnnl_status_t status = dnnl_memory_desc_create_with_tag(&desc, rank, dims, type, tag);
    *out = desc;
    return status;
}

dnnl_status_t rs__desc_create_strides(rs__desc *out, int rank, const dnnl_dim_t *dims, dnnl_data_type_t type,
                                      const dnnl_dim_t *strides)
{
    dnnl_memory_desc_t desc = NULL;
    dnnl_status_t status = dnnl_memory_desc_create_with_strides(&desc, rank, dims, type, strides);
    *out = desc;
    return status;
}

dnnl_status_t rs__desc_clone(rs__desc *out, rs__desc from)
{
    dnnl_memory_desc_t desc = NULL;
    dnnl_status_t status = dnnl_memory_desc_clone(&desc, from);
    *out = desc;
    return status;
}

void rs__desc_destroy(rs__desc desc)
{
    if (desc)
        dnnl_memory_desc_destroy((dnnl_memory_desc_t)desc);
}

static dnnl_status_t conv_pd(dnnl_primitive_desc_t *out, dnnl_engine_t engine, enum rs__conv_pass pass,
                             const struct rs__conv_spec *s, const_dnnl_primitive_desc_t hint,
                             const_dnnl_primitive_attr_t attr)
{
    const dnnl_dims_t stride = {s->stride, s->stride}, padding = {s->padding, s->padding}, dilation = {0, 0};
    switch (pass) {
    case RS__CONV_DATA:
        return dnnl_convolution_backward_data_primitive_desc_create(out, engine, s->algorithm, s->src,
                                                                    s->weights, s->dst, stride, dilation,
                                                                    padding, padding, hint, attr);
    case RS__CONV_WEIGHTS:
        return dnnl_convolution_backward_weights_primitive_desc_create(
            out, engine, s->algorithm, s->src, s->weights, s->bias, s->dst, stride, dilation, padding,
            padding, hint, attr);
    default:
        return dnnl_convolution_forward_primitive_desc_create(
            out, engine, dnnl_forward_training, s->algorithm, s->src, s->weights, s->bias, s->dst, stride,
            dilation, padding, padding, attr);
    }
}

static dnnl_status_t matmul_pd(dnnl_primitive_desc_t *out, dnnl_engine_t engine, rs__desc a, rs__desc b,
                               rs__desc c, const_dnnl_primitive_attr_t attr)
{
    return dnnl_matmul_primitive_desc_create(out, engine, a, b, NULL, c, attr);
}

#else

static dnnl_status_t keep(rs__desc *out, const dnnl_memory_desc_t *value)
{
    dnnl_memory_desc_t *copy = malloc(sizeof *copy);
    if (!copy)
        return dnnl_out_of_memory;
    *copy = *value;
    *out = copy;
    return dnnl_success;
}

dnnl_status_t rs__desc_create_tag(rs__desc *out, int rank, const dnnl_dim_t *dims, dnnl_data_type_t type,
                                  dnnl_format_tag_t tag)
{
    dnnl_memory_desc_t desc;
    *out = NULL;
    dnnl_status_t status = dnnl_memory_desc_init_by_tag(&desc, rank, dims, type, tag);
    return status == dnnl_success ? keep(out, &desc) : status;
}

dnnl_status_t rs__desc_create_strides(rs__desc *out, int rank, const dnnl_dim_t *dims, dnnl_data_type_t type,
                                      const dnnl_dim_t *strides)
{
    dnnl_memory_desc_t desc;
    *out = NULL;
    dnnl_status_t status = dnnl_memory_desc_init_by_strides(&desc, rank, dims, type, strides);
    return status == dnnl_success ? keep(out, &desc) : status;
}

dnnl_status_t rs__desc_clone(rs__desc *out, rs__desc from)
{
    *out = NULL;
    return keep(out, from);
}

void rs__desc_destroy(rs__desc desc)
{
    free((void *)desc);
}

static dnnl_status_t conv_pd(dnnl_primitive_desc_t *out, dnnl_engine_t engine, enum rs__conv_pass pass,
                             const struct rs__conv_spec *s, const_dnnl_primitive_desc_t hint,
                             const_dnnl_primitive_attr_t attr)
{
    const dnnl_dims_t stride = {s->stride, s->stride}, padding = {s->padding, s->padding};
    dnnl_convolution_desc_t op;
    dnnl_status_t status;
    switch (pass) {
    case RS__CONV_DATA:
        status = dnnl_convolution_backward_data_desc_init(&op, s->algorithm, s->src, s->weights, s->dst,
                                                          stride, padding, padding);
        break;
    case RS__CONV_WEIGHTS:
        status = dnnl_convolution_backward_weights_desc_init(&op, s->algorithm, s->src, s->weights, s->bias,
                                                             s->dst, stride, padding, padding);
        break;
    default:
        status = dnnl_convolution_forward_desc_init(&op, dnnl_forward_training, s->algorithm, s->src,
                                                    s->weights, s->bias, s->dst, stride, padding, padding);
    }
    return status == dnnl_success ? dnnl_primitive_desc_create(out, &op, attr, engine, hint) : status;
}

static dnnl_status_t matmul_pd(dnnl_primitive_desc_t *out, dnnl_engine_t engine, rs__desc a, rs__desc b,
                               rs__desc c, const_dnnl_primitive_attr_t attr)
{
    dnnl_matmul_desc_t op;
    dnnl_status_t status = dnnl_matmul_desc_init(&op, a, b, NULL, c);
    return status == dnnl_success ? dnnl_primitive_desc_create(out, &op, attr, engine, NULL) : status;
}

#endif

dnnl_status_t rs__conv_pd_create(dnnl_primitive_desc_t *out, dnnl_engine_t engine, enum rs__conv_pass pass,
                                 const struct rs__conv_spec *spec, const_dnnl_primitive_desc_t hint)
{
    dnnl_primitive_attr_t attr = NULL;
    *out = NULL;
    dnnl_status_t status = attributes(&attr);
    if (status == dnnl_success)
        status = conv_pd(out, engine, pass, spec, hint, attr);
    dnnl_primitive_attr_destroy(attr);
    return status;
}

dnnl_status_t rs__matmul_pd_create(dnnl_primitive_desc_t *out, dnnl_engine_t engine, rs__desc a, rs__desc b,
                                   rs__desc c)
{
    dnnl_primitive_attr_t attr = NULL;
    *out = NULL;
    dnnl_status_t status = attributes(&attr);
    if (status == dnnl_success)
        status = matmul_pd(out, engine, a, b, c, attr);
    dnnl_primitive_attr_destroy(attr);
    return status;
}

dnnl_status_t rs__reorder_pd_create(dnnl_primitive_desc_t *out, dnnl_engine_t engine, rs__desc from,
                                    rs__desc to)
{
    dnnl_primitive_attr_t attr = NULL;
    *out = NULL;
    dnnl_status_t status = attributes(&attr);
    if (status == dnnl_success)
        status = dnnl_reorder_primitive_desc_create(out, from, engine, to, engine, attr);
    dnnl_primitive_attr_destroy(attr);
    return status;
}
