/* cudnn_graph.c: operation graphs of single convolution passes. See cudnn_graph_pvt.h. @thread as there. */
#include "cudnn_graph_pvt.h"

#include <stdio.h>
#include <string.h>

typedef cudnnBackendDescriptor_t descriptor;

/* Attributes set one after the other; the first failure stays. */
struct setter {
    const struct rs__cudnn_api *api;
    descriptor of;
    cudnnStatus_t status;
};

static void set(struct setter *s, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                int64_t count, const void *elements)
{
    if (s->status == CUDNN_STATUS_SUCCESS)
        s->status = s->api->set(s->of, name, type, count, elements);
}

static struct setter begin(const struct rs__planner *planner, cudnnBackendDescriptorType_t type,
                           descriptor *out)
{
    struct setter s = {.api = planner->api};
    *out = NULL;
    s.status = planner->api->descriptor_create(type, out);
    s.of = *out;
    return s;
}

static int finish(struct setter *s, const char *what, struct rs_error *err)
{
    if (s->status == CUDNN_STATUS_SUCCESS)
        s->status = s->api->finalize(s->of);
    return rs__cudnn_check(s->api, s->status, what, err);
}

/* Four dimensions, the second one innermost in memory. */
static int create_tensor(const struct rs__planner *planner, enum rs__math math, int64_t uid,
                         const int64_t dims[4], descriptor *out, struct rs_error *err)
{
    const cudnnDataType_t type = math == RS__MATH_BF16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
    const int64_t strides[4] = {dims[1] * dims[2] * dims[3], 1, dims[3] * dims[1], dims[1]};
    const int64_t alignment = 16;
    struct setter s = begin(planner, CUDNN_BACKEND_TENSOR_DESCRIPTOR, out);
    set(&s, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
    set(&s, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, dims);
    set(&s, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, strides);
    set(&s, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &uid);
    set(&s, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment);
    return finish(&s, "a tensor", err);
}

static int create_convolution(const struct rs__planner *planner, const struct rs__conv_shape *shape,
                              descriptor *out, struct rs_error *err)
{
    const int64_t dimensions = 2, ones[2] = {1, 1};
    const int64_t strides[2] = {shape->stride, shape->stride}, paddings[2] = {shape->padding, shape->padding};
    const cudnnDataType_t sums = CUDNN_DATA_FLOAT;
    const cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
    struct setter s = begin(planner, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, out);
    set(&s, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &dimensions);
    set(&s, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &sums);
    set(&s, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode);
    set(&s, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2, paddings);
    set(&s, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2, paddings);
    set(&s, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2, ones);
    set(&s, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2, strides);
    return finish(&s, "a convolution", err);
}

/* What each pass calls its descriptor and attributes. */
struct pass_names {
    cudnnBackendDescriptorType_t type;
    cudnnBackendAttributeName_t conv, x, w, y, alpha, beta;
};

static const struct pass_names pass_names[] = {
    [RS__CONV_FORWARD] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
                          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
                          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
                          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
                          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
                          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA},
    [RS__CONV_DATA_GRADIENT] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
                                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
                                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
                                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
                                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
                                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
                                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA},
    [RS__CONV_WEIGHT_GRADIENT] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
                                  CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
                                  CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
                                  CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
                                  CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
                                  CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
                                  CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA},
};

static int create_operation(const struct rs__planner *planner, enum rs__conv_pass pass, descriptor parts[5],
                            struct rs_error *err)
{
    const struct pass_names *names = &pass_names[pass];
    const float one = 1, zero = 0;
    struct setter s = begin(planner, names->type, &parts[4]);
    set(&s, names->conv, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &parts[3]);
    set(&s, names->x, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &parts[0]);
    set(&s, names->w, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &parts[1]);
    set(&s, names->y, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &parts[2]);
    set(&s, names->alpha, CUDNN_TYPE_FLOAT, 1, &one);
    set(&s, names->beta, CUDNN_TYPE_FLOAT, 1, &zero);
    return finish(&s, "a convolution's operation", err);
}

int rs__planner_for_properties(struct rs__planner *planner, const struct rs__cudnn_api *api, const char *json,
                               struct rs_error *err)
{
    planner->api = api;
    planner->handle = NULL;
    struct setter s = begin(planner, CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, &planner->properties);
    set(&s, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, (int64_t)strlen(json), json);
    const int code = finish(&s, "device properties", err);
    if (code < 0)
        rs__planner_close(planner);
    return code;
}

void rs__planner_close(struct rs__planner *planner)
{
    if (planner->properties)
        (void)planner->api->descriptor_destroy(planner->properties);
    planner->properties = NULL;
}

int rs__conv_graph_create(struct rs__conv_graph *graph, const struct rs__planner *planner,
                          const struct rs__conv_shape *shape, enum rs__conv_pass pass, enum rs__math math,
                          struct rs_error *err)
{
    const int64_t x[4] = {shape->n, shape->c, shape->h, shape->w};
    const int64_t w[4] = {shape->k, shape->c, shape->r, shape->s};
    const int64_t y[4] = {shape->n, shape->k, shape->p, shape->q};
    memset(graph, 0, sizeof(*graph));
    graph->math = math;
    int code = create_tensor(planner, math, RS__UID_X, x, &graph->parts[0], err);
    if (code == 0)
        code = create_tensor(planner, math, RS__UID_W, w, &graph->parts[1], err);
    if (code == 0)
        code = create_tensor(planner, math, RS__UID_Y, y, &graph->parts[2], err);
    if (code == 0)
        code = create_convolution(planner, shape, &graph->parts[3], err);
    if (code == 0)
        code = create_operation(planner, pass, graph->parts, err);
    if (code == 0) {
        struct setter s = begin(planner, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, &graph->graph);
        set(&s, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &graph->parts[4]);
        if (planner->handle)
            set(&s, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &planner->handle);
        code = finish(&s, "an operation graph", err);
    }
    if (code < 0)
        rs__conv_graph_destroy(graph, planner);
    return code;
}

void rs__conv_graph_destroy(struct rs__conv_graph *graph, const struct rs__planner *planner)
{
    if (graph->graph)
        (void)planner->api->descriptor_destroy(graph->graph);
    for (int i = 4; i >= 0; i--)
        if (graph->parts[i])
            (void)planner->api->descriptor_destroy(graph->parts[i]);
    memset(graph, 0, sizeof(*graph));
}
