/* small_network.c: see small_network.h. */
#include "small_network.h"

#define CHANNELS 16

/* Each node's number, or the first error. */
static int append_nodes(struct rs_graph *g, int32_t classes, struct rs_error *err)
{
    int stem = rs_graph_conv2d(g, "block1", 0, CHANNELS, 3, 2, 1, 1, err);
    RS_TRY(stem);
    int at = rs_graph_max_pool(g, "block2", stem, 2, 2, err);
    RS_TRY(at);
    int branch = rs_graph_conv2d(g, "block3.conv1", at, CHANNELS, 3, 1, 1, 0, err);
    RS_TRY(branch);
    branch = rs_graph_batch_norm(g, "block3.bn1", branch, err);
    RS_TRY(branch);
    branch = rs_graph_relu(g, "block3.relu1", branch, err);
    RS_TRY(branch);
    at = rs_graph_add(g, "block3.add", at, branch, err);
    RS_TRY(at);
    at = rs_graph_relu(g, "block4", at, err);
    RS_TRY(at);
    at = rs_graph_avg_pool(g, "block5", at, 2, 2, err);
    RS_TRY(at);
    at = rs_graph_linear(g, "classifier", at, classes, err);
    RS_TRY(at);
    return rs_graph_cross_entropy(g, "loss", at, err);
}

int small_network_build(struct rs_graph **out, int32_t size, int32_t classes, struct rs_error *err)
{
    struct rs_graph *g;
    *out = NULL;
    RS_TRY(rs_graph_create(&g, (struct rs_shape){3, size, size}, err));
    int code = append_nodes(g, classes, err);
    if (code < 0) {
        rs_graph_destroy(g);
        return code;
    }
    *out = g;
    return 0;
}
