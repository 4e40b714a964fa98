/* small_network.h: a network of some thousand parameters with every operator and the fusions of a residual
 * block, so that a run takes milliseconds. @thread any. */
#ifndef RS_TEST_SMALL_NETWORK_H
#define RS_TEST_SMALL_NETWORK_H

#include "graph.h"

/* For images of 3 x size x size, at least 8. */
int small_network_build(struct rs_graph **out, int32_t size, int32_t classes, struct rs_error *err);

#endif
