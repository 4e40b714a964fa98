/* graph.h: a network as data: nodes, shapes, parameters and buffers with PyTorch's names.
 *
 * How it works: a builder appends nodes in execution order; each append infers the output's shape and
 * registers the node's parameters and buffers. Values live elsewhere (state.h): a graph only says where in an
 * arena of floats each one lies. Backends compile a graph; nothing here computes.
 * Operators are PyTorch's: conv2d with zero padding and dilation 1, batch norm with eps 1e-5 and momentum 0.1
 * (unbiased variance in the running estimate), pooling in floor mode without padding, linear over the
 * flattened C*H*W input, cross-entropy of softmax as the mean over the batch.
 *
 * Owner: the creator; const once built. @thread any once built.
 */
#ifndef RS_GRAPH_H
#define RS_GRAPH_H

#include "errors.h"
#include <stdint.h>

#define RS_NAME_MAX 64
#define RS_NONE (-1)

enum rs_op {
    RS_OP_INPUT,
    RS_OP_CONV2D,
    RS_OP_BATCH_NORM,
    RS_OP_RELU,
    RS_OP_ADD,
    RS_OP_MAX_POOL,
    RS_OP_AVG_POOL,
    RS_OP_LINEAR,
    RS_OP_SOFTMAX_CROSS_ENTROPY, /* last node; its input is the logits */
};

struct rs_shape { /* of one sample; a linear's output is {features, 1, 1} */
    int32_t c, h, w;
};

struct rs_node {
    enum rs_op op;
    char
        name[RS_NAME_MAX]; /* of the module, "block2.1.conv1"; unnamed operators get "block2.1.relu1" alike */
    int32_t input[2];      /* node indices; RS_NONE where there is none */
    struct rs_shape out;
    int32_t kernel, stride, padding; /* conv2d, pools */
    int32_t weight, bias;            /* indices of params, or RS_NONE */
    int32_t norm;                    /* batch norm: index of norms, else RS_NONE */
};

struct rs_tensor_info {
    char name[RS_NAME_MAX]; /* "block2.1.conv1.weight" */
    int32_t rank;
    int64_t dims[4]; /* conv2d OIHW, linear OI, others one */
    int64_t count;
    int64_t offset; /* in floats, into its arena */
    int64_t fan_in; /* parameters: of their conv2d or linear, 0 for batch norm */
};

struct rs_norm_info {                                /* a batch norm's buffers: two tensors and a counter */
    struct rs_tensor_info running_mean, running_var; /* offsets into the buffer arena */
    char batches_tracked[RS_NAME_MAX];               /* "….num_batches_tracked" */
};

struct rs_graph {
    struct rs_node *nodes;
    int32_t node_count;
    struct rs_tensor_info *params; /* in state_dict order */
    int32_t param_count;
    struct rs_norm_info *norms;
    int32_t norm_count;
    int64_t param_floats, buffer_floats; /* sizes of the arenas */
    int32_t classes;
};

int rs_graph_create(struct rs_graph **out, struct rs_shape input, struct rs_error *err);
void rs_graph_destroy(struct rs_graph *graph);

/* Each appends one node and gives its index (>= 0) or an error: RS_E_SHAPE with the node's name when an
 * output would be empty or shapes differ, RS_E_LIMIT when it would pass 2^31 - 1 elements a sample,
 * RS_E_NOMEM. After an error the graph is as it was. */
int rs_graph_conv2d(struct rs_graph *g, const char *name, int input, int32_t out_channels, int32_t kernel,
                    int32_t stride, int32_t padding, int with_bias, struct rs_error *err);
int rs_graph_batch_norm(struct rs_graph *g, const char *name, int input, struct rs_error *err);
int rs_graph_relu(struct rs_graph *g, const char *name, int input, struct rs_error *err);
int rs_graph_add(struct rs_graph *g, const char *name, int a, int b, struct rs_error *err);
int rs_graph_max_pool(struct rs_graph *g, const char *name, int input, int32_t kernel, int32_t stride,
                      struct rs_error *err);
int rs_graph_avg_pool(struct rs_graph *g, const char *name, int input, int32_t kernel, int32_t stride,
                      struct rs_error *err);
int rs_graph_linear(struct rs_graph *g, const char *name, int input, int32_t features, struct rs_error *err);
int rs_graph_cross_entropy(struct rs_graph *g, const char *name, int logits, struct rs_error *err);

/* Multiplications and additions of a forward pass of one sample, 2 each a multiply-add: convolutions (a tap
 * on the padding counts like any other) and linears. */
int64_t rs_graph_flops(const struct rs_graph *graph);
int64_t rs_node_flops(const struct rs_graph *graph, int32_t node);

#endif
