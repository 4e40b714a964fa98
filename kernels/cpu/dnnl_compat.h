/* dnnl_compat.h: the few calls whose form differs between oneDNN 2.6 and 3.x, in one form.
 *
 * How it works: a descriptor is a pointer in both versions (2.x: to a struct, 3.x: an opaque handle), here
 * rs__desc. Queries give borrowed ones, rs__desc_create_* give owned ones. Everything that has the same form
 * in both versions (memory, execute, destroy, queries) is called directly, by name, never by a literal value.
 * Functions return oneDNN's status; the caller turns it into RS_E_BACKEND with the node's name.
 *
 * Owner: the caller owns what a create function gives. @thread any.
 */
#ifndef RS_DNNL_COMPAT_H
#define RS_DNNL_COMPAT_H

#include <oneapi/dnnl/dnnl.h>

#if DNNL_VERSION_MAJOR >= 3
typedef const_dnnl_memory_desc_t rs__desc;
#else
typedef const dnnl_memory_desc_t *rs__desc;
#endif

/* Dense, in the tag's order; dnnl_format_tag_any lets a primitive choose. */
dnnl_status_t rs__desc_create_tag(rs__desc *out, int rank, const dnnl_dim_t *dims, dnnl_data_type_t type,
                                  dnnl_format_tag_t tag);
/* Plain, with strides in elements. */
dnnl_status_t rs__desc_create_strides(rs__desc *out, int rank, const dnnl_dim_t *dims, dnnl_data_type_t type,
                                      const dnnl_dim_t *strides);
dnnl_status_t rs__desc_clone(rs__desc *out, rs__desc from);
void rs__desc_destroy(rs__desc desc); /* NULL is fine */

enum rs__conv_pass { RS__CONV_FORWARD, RS__CONV_DATA, RS__CONV_WEIGHTS };

/* A 2-d convolution; bias is NULL where there is none. In the pass DATA src is its gradient, and so on. */
struct rs__conv_spec {
    rs__desc src, weights, bias, dst;
    dnnl_dim_t stride, padding;
    dnnl_alg_kind_t algorithm;
};
/* The forward pass is always training's: inference's wants its own Winograd weights.
 * hint: the forward's descriptor, for the backward passes. The scratchpad is the caller's. */
dnnl_status_t rs__conv_pd_create(dnnl_primitive_desc_t *out, dnnl_engine_t engine, enum rs__conv_pass pass,
                                 const struct rs__conv_spec *spec, const_dnnl_primitive_desc_t hint);
/* c = a x b; the scratchpad is the caller's. */
dnnl_status_t rs__matmul_pd_create(dnnl_primitive_desc_t *out, dnnl_engine_t engine, rs__desc a, rs__desc b,
                                   rs__desc c);
/* to = from in another layout or type; the scratchpad is the caller's. */
dnnl_status_t rs__reorder_pd_create(dnnl_primitive_desc_t *out, dnnl_engine_t engine, rs__desc from,
                                    rs__desc to);

#endif
