/* resnet.h: the default network: a ResNet of residual blocks for 3 x S x S images (96 by default).
 *
 * How it works: a 7x7/2 stem with bias and nothing after it, max pool 3/2, eight residual blocks (64, 128,
 * 256, 512 channels, two each), average pool 3, linear. A block: conv3x3, bn, relu, conv3x3, bn, relu, add,
 * relu; where the shape changes the shortcut is a 1x1 convolution with bias and without batch norm.
 *
 * Owner: the caller owns the graph. @thread any.
 */
#ifndef RS_RESNET_H
#define RS_RESNET_H

#include "graph.h"

/* Smaller images leave the average pool less than its 3 x 3 window: 75 gives 35, 17, 9, 5, 3 after the
 * blocks. */
#define RS_RESNET_MIN_IMAGE 75

/* image_size in pixels (RS_RESNET_MIN_IMAGE or more), classes 2 or more; else RS_E_SHAPE. Sizes whose
 * activations pass 2^31 elements are RS_E_LIMIT. */
int rs_resnet_build(struct rs_graph **out, int32_t image_size, int32_t classes, struct rs_error *err);

struct rs_block { /* of the network, for a summary */
    const char *name;
    int32_t last_node; /* index of the node that ends it */
};
#define RS_RESNET_BLOCKS 5
void rs_resnet_blocks(const struct rs_graph *graph, struct rs_block blocks[RS_RESNET_BLOCKS]);

#endif
