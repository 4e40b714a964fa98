/* resnet.c: the default network, node by node.
 *
 * How it works: a block's nodes are appended so that parameters come in the order in which the notebook's
 * modules are declared (conv1, bn1, conv2, bn2, conv3), which is PyTorch's state_dict order; the shortcut
 * conv3 depends on the block's input alone, so it may run after conv2. The first failing append stops the
 * rest: its code is kept in the cursor and handed on.
 */
#include "resnet.h"

#include <stdio.h>
#include <string.h>

struct cursor {
    struct rs_graph *graph;
    struct rs_error *err;
    int at; /* the last node, or the first error */
    char name[RS_NAME_MAX];
};

static const char *member(struct cursor *c, const char *block, const char *name)
{
    snprintf(c->name, sizeof(c->name), "%s.%s", block, name);
    return c->name;
}

static void conv(struct cursor *c, const char *block, const char *name, int32_t channels, int32_t kernel,
                 int32_t stride)
{
    /* 3x3 pads by 1 and has no bias, for batch norm follows; the 1x1 shortcut has one */
    if (c->at >= 0)
        c->at = rs_graph_conv2d(c->graph, member(c, block, name), c->at, channels, kernel, stride, kernel / 2,
                                kernel == 1, c->err);
}

static void norm(struct cursor *c, const char *block, const char *name)
{
    if (c->at >= 0)
        c->at = rs_graph_batch_norm(c->graph, member(c, block, name), c->at, c->err);
}

static void relu(struct cursor *c, const char *block, const char *name)
{
    if (c->at >= 0)
        c->at = rs_graph_relu(c->graph, member(c, block, name), c->at, c->err);
}

/* The notebook's residual_block; stride 2 where the shape changes. */
static void residual(struct cursor *c, const char *block, int32_t channels, int32_t stride)
{
    const int input = c->at;
    conv(c, block, "conv1", channels, 3, stride);
    norm(c, block, "bn1");
    relu(c, block, "relu1");
    conv(c, block, "conv2", channels, 3, 1);
    norm(c, block, "bn2");
    relu(c, block, "relu2");
    if (c->at < 0)
        return;

    const int branch = c->at;
    int shortcut = input;
    if (stride != 1) {
        c->at = input;
        conv(c, block, "conv3", channels, 1, stride);
        shortcut = c->at;
    }
    if (c->at >= 0)
        c->at = rs_graph_add(c->graph, member(c, block, "add"), shortcut, branch, c->err);
    relu(c, block, "relu3");
}

int rs_resnet_build(struct rs_graph **out, int32_t image_size, int32_t classes, struct rs_error *err)
{
    *out = NULL;
    if (image_size < RS_RESNET_MIN_IMAGE)
        return rs_error_set(
            err, RS_E_SHAPE,
            "the network needs images of at least %d x %d, not %d x %d, to leave an output; use a "
            "larger image size",
            RS_RESNET_MIN_IMAGE, RS_RESNET_MIN_IMAGE, image_size, image_size);
    if (classes < 2)
        return rs_error_set(err, RS_E_SHAPE, "the network needs 2 classes or more, not %d", classes);

    struct cursor c = {.err = err};
    RS_TRY(rs_graph_create(&c.graph, (struct rs_shape){3, image_size, image_size}, err));
    c.at = rs_graph_conv2d(c.graph, "block1", c.at, 64, 7, 2, 0, 1, err);
    if (c.at >= 0)
        c.at = rs_graph_max_pool(c.graph, "block2.0", c.at, 3, 2, err);
    residual(&c, "block2.1", 64, 1);
    residual(&c, "block2.2", 64, 1);
    residual(&c, "block3.0", 128, 2);
    residual(&c, "block3.1", 128, 1);
    residual(&c, "block4.0", 256, 2);
    residual(&c, "block4.1", 256, 1);
    residual(&c, "block5.0", 512, 2);
    residual(&c, "block5.1", 512, 1);
    if (c.at >= 0)
        c.at = rs_graph_avg_pool(c.graph, "block5.2", c.at, 3, 3, err);
    if (c.at >= 0)
        c.at = rs_graph_linear(c.graph, "classifier", c.at, classes, err);
    if (c.at >= 0)
        c.at = rs_graph_cross_entropy(c.graph, "loss", c.at, err);
    if (c.at < 0) {
        rs_graph_destroy(c.graph);
        return c.at;
    }
    *out = c.graph;
    return 0;
}

void rs_resnet_blocks(const struct rs_graph *graph, struct rs_block blocks[RS_RESNET_BLOCKS])
{
    static const char *const names[RS_RESNET_BLOCKS] = {"block1", "block2", "block3", "block4", "block5"};
    for (int b = 0; b < RS_RESNET_BLOCKS; b++) {
        blocks[b] = (struct rs_block){names[b], RS_NONE};
        for (int32_t i = 0; i < graph->node_count; i++)
            if (strncmp(graph->nodes[i].name, names[b], strlen(names[b])) == 0)
                blocks[b].last_node = i;
    }
}
