/* test_graph.c: shapes, names and places of a graph's tensors; the notebook's network; refusals. */
#include "graph.h"
#include "resnet.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void assert_shape(const struct rs_graph *g, int node, int32_t c, int32_t h, int32_t w)
{
    const struct rs_shape s = g->nodes[node].out;
    if (s.c != c || s.h != h || s.w != w)
        fail_msg("%s gives %d x %d x %d, not %d x %d x %d", g->nodes[node].name, s.c, s.h, s.w, c, h, w);
}

static struct rs_graph *resnet(int32_t size, int32_t classes)
{
    struct rs_error err;
    struct rs_graph *g;
    if (rs_resnet_build(&g, size, classes, &err) < 0)
        fail_msg("%s", err.message);
    return g;
}

/* What the notebook prints for 96 x 96. */
static void test_blocks_are_the_notebooks(void **state)
{
    (void)state;
    struct rs_block blocks[RS_RESNET_BLOCKS];
    struct rs_graph *g = resnet(96, 10);
    rs_resnet_blocks(g, blocks);
    assert_string_equal(blocks[0].name, "block1");
    assert_string_equal(blocks[4].name, "block5");
    assert_shape(g, blocks[0].last_node, 64, 45, 45);
    assert_shape(g, blocks[1].last_node, 64, 22, 22);
    assert_shape(g, blocks[2].last_node, 128, 11, 11);
    assert_shape(g, blocks[3].last_node, 256, 6, 6);
    assert_shape(g, blocks[4].last_node, 512, 1, 1);
    assert_shape(g, g->node_count - 2, 10, 1, 1);
    assert_int_equal(g->nodes[g->node_count - 1].op, RS_OP_SOFTMAX_CROSS_ENTROPY);
    assert_int_equal(g->classes, 10);
    rs_graph_destroy(g);
}

/* All parameters of module block2.1 and block3.0 in the order of their declaration, wherever they are
 * computed. */
static void test_names_are_pytorchs(void **state)
{
    (void)state;
    static const char *const names[] = {
        "block1.weight",         "block1.bias",           "block2.1.conv1.weight", "block2.1.bn1.weight",
        "block2.1.bn1.bias",     "block2.1.conv2.weight", "block2.1.bn2.weight",   "block2.1.bn2.bias",
        "block2.2.conv1.weight", "block2.2.bn1.weight",   "block2.2.bn1.bias",     "block2.2.conv2.weight",
        "block2.2.bn2.weight",   "block2.2.bn2.bias",     "block3.0.conv1.weight", "block3.0.bn1.weight",
        "block3.0.bn1.bias",     "block3.0.conv2.weight", "block3.0.bn2.weight",   "block3.0.bn2.bias",
        "block3.0.conv3.weight", "block3.0.conv3.bias",   "block3.1.conv1.weight",
    };
    struct rs_graph *g = resnet(96, 10);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        assert_string_equal(g->params[i].name, names[i]);
    assert_string_equal(g->params[g->param_count - 2].name, "classifier.weight");
    assert_string_equal(g->params[g->param_count - 1].name, "classifier.bias");
    assert_string_equal(g->norms[0].running_mean.name, "block2.1.bn1.running_mean");
    assert_string_equal(g->norms[0].running_var.name, "block2.1.bn1.running_var");
    assert_string_equal(g->norms[15].batches_tracked, "block5.1.bn2.num_batches_tracked");
    assert_int_equal(g->norm_count, 16);
    rs_graph_destroy(g);
}

struct expected_node {
    const char *name;
    enum rs_op op;
    int32_t input, other, kernel, stride, padding; /* inputs: how many nodes before this one; 0: none */
};

/* The nodes from the first one named so: their operators, names, inputs and windows. */
static void check_nodes(const struct rs_graph *g, const struct expected_node *expected, int count)
{
    int at = 0;
    while (at < g->node_count && strcmp(g->nodes[at].name, expected[0].name) != 0)
        at++;
    assert_true(at + count <= g->node_count);
    for (int i = 0; i < count; i++) {
        const struct rs_node *node = &g->nodes[at + i];
        const struct expected_node *e = &expected[i];
        assert_string_equal(node->name, e->name);
        assert_int_equal(node->op, e->op);
        assert_int_equal(node->input[0], e->input ? at + i - e->input : RS_NONE);
        assert_int_equal(node->input[1], e->other ? at + i - e->other : RS_NONE);
        assert_int_equal(node->kernel, e->kernel);
        assert_int_equal(node->stride, e->stride);
        assert_int_equal(node->padding, e->padding);
    }
}

/* What is computed from what: the stem, a block that keeps its shape, one that changes it, and the end. */
static void test_nodes_are_the_notebooks(void **state)
{
    (void)state;
    static const struct expected_node stem[] = {
        {"input", RS_OP_INPUT, 0, 0, 0, 0, 0},
        {"block1", RS_OP_CONV2D, 1, 0, 7, 2, 0},
        {"block2.0", RS_OP_MAX_POOL, 1, 0, 3, 2, 0},
    };
    static const struct expected_node plain[] = {
        {"block2.2.conv1", RS_OP_CONV2D, 1, 0, 3, 1, 1},   {"block2.2.bn1", RS_OP_BATCH_NORM, 1, 0, 0, 0, 0},
        {"block2.2.relu1", RS_OP_RELU, 1, 0, 0, 0, 0},     {"block2.2.conv2", RS_OP_CONV2D, 1, 0, 3, 1, 1},
        {"block2.2.bn2", RS_OP_BATCH_NORM, 1, 0, 0, 0, 0}, {"block2.2.relu2", RS_OP_RELU, 1, 0, 0, 0, 0},
        {"block2.2.add", RS_OP_ADD, 7, 1, 0, 0, 0},        {"block2.2.relu3", RS_OP_RELU, 1, 0, 0, 0, 0},
    };
    static const struct expected_node strided[] = {
        {"block4.0.conv1", RS_OP_CONV2D, 1, 0, 3, 2, 1},   {"block4.0.bn1", RS_OP_BATCH_NORM, 1, 0, 0, 0, 0},
        {"block4.0.relu1", RS_OP_RELU, 1, 0, 0, 0, 0},     {"block4.0.conv2", RS_OP_CONV2D, 1, 0, 3, 1, 1},
        {"block4.0.bn2", RS_OP_BATCH_NORM, 1, 0, 0, 0, 0}, {"block4.0.relu2", RS_OP_RELU, 1, 0, 0, 0, 0},
        {"block4.0.conv3", RS_OP_CONV2D, 7, 0, 1, 2, 0},   {"block4.0.add", RS_OP_ADD, 1, 2, 0, 0, 0},
        {"block4.0.relu3", RS_OP_RELU, 1, 0, 0, 0, 0},
    };
    static const struct expected_node end[] = {
        {"block5.2", RS_OP_AVG_POOL, 1, 0, 3, 3, 0},
        {"classifier", RS_OP_LINEAR, 1, 0, 0, 0, 0},
        {"loss", RS_OP_SOFTMAX_CROSS_ENTROPY, 1, 0, 0, 0, 0},
    };
    struct rs_graph *g = resnet(96, 10);
    check_nodes(g, stem, 3);
    check_nodes(g, plain, 8);
    check_nodes(g, strided, 9);
    check_nodes(g, end, 3);
    assert_int_equal(g->node_count, 3 + 5 * 8 + 3 * 9 + 3);
    rs_graph_destroy(g);
}

/* PyTorch draws a bias from the bound of its weights: 1 / sqrt(fan_in). */
static void test_biases_have_their_weights_fan_in(void **state)
{
    (void)state;
    struct rs_graph *g = resnet(96, 10);
    int biases = 0;
    for (int32_t i = 0; i < g->node_count; i++) {
        const struct rs_node *n = &g->nodes[i];
        if (n->bias == RS_NONE || n->op == RS_OP_BATCH_NORM)
            continue;
        assert_true(g->params[n->bias].fan_in > 0);
        assert_int_equal(g->params[n->bias].fan_in, g->params[n->weight].fan_in);
        biases++;
    }
    assert_int_equal(biases, 5); /* the stem's, three shortcuts', the classifier's */
    rs_graph_destroy(g);
}

static void test_tensors_lie_dense(void **state)
{
    (void)state;
    struct rs_graph *g = resnet(96, 7);
    int64_t at = 0, buffers = 0;
    for (int32_t i = 0; i < g->param_count; i++) {
        int64_t count = 1;
        for (int32_t d = 0; d < g->params[i].rank; d++)
            count *= g->params[i].dims[d];
        assert_int_equal(g->params[i].count, count);
        assert_int_equal(g->params[i].offset, at);
        at += count;
    }
    for (int32_t i = 0; i < g->norm_count; i++) {
        assert_int_equal(g->norms[i].running_mean.offset, buffers);
        assert_int_equal(g->norms[i].running_var.offset, buffers + g->norms[i].running_mean.count);
        buffers += 2 * g->norms[i].running_mean.count;
    }
    assert_int_equal(g->param_floats, at);
    assert_int_equal(g->buffer_floats, buffers);
    /* sum(p.numel() for p in model.parameters()) in PyTorch, with 7 classes */
    assert_int_equal(at, 11179143);
    assert_int_equal(g->params[0].fan_in, 3 * 7 * 7);
    assert_int_equal(g->params[g->param_count - 1].fan_in, 512);
    assert_int_equal(g->params[3].fan_in, 0);
    rs_graph_destroy(g);
}

static void test_flops(void **state)
{
    (void)state;
    struct rs_error err;
    struct rs_graph *g;
    assert_int_equal(rs_graph_create(&g, (struct rs_shape){3, 8, 10}, &err), 0);
    const int conv = rs_graph_conv2d(g, "conv", 0, 4, 3, 2, 1, 1, &err);
    const int linear = rs_graph_linear(g, "linear", conv, 6, &err);
    assert_shape(g, conv, 4, 4, 5);
    assert_int_equal(g->params[g->nodes[linear].weight].dims[1], 80);
    assert_int_equal(rs_node_flops(g, conv), 2 * (3 * 3 * 3) * (4 * 4 * 5));
    assert_int_equal(rs_node_flops(g, linear), 2 * 80 * 6);
    assert_int_equal(rs_node_flops(g, 0), 0);
    assert_int_equal(rs_graph_flops(g), 2 * (27 * 80 + 480));
    rs_graph_destroy(g);
    /* by hand: the stem 7x7 at 45 x 45, four 3x3 of 64 at 22 x 22, three groups that halve, a linear */
    int64_t sum = 2 * 64 * 3 * 49 * 45 * 45 + 4 * (2 * 64 * 64 * 9 * 22 * 22) + 2 * 512 * 10;
    const int64_t groups[3][2] = {{128, 11}, {256, 6}, {512, 3}};
    for (int i = 0; i < 3; i++) {
        const int64_t c = groups[i][0], side = groups[i][1];
        sum += 2 * side * side * (c * c / 2 * 9 + 3 * c * c * 9 + c * c / 2);
    }
    g = resnet(96, 10);
    assert_int_equal(rs_graph_flops(g), sum);
    rs_graph_destroy(g);
}

/* The window slides in floor mode; the smallest picture leaves one position after block5. */
static void test_smallest_image(void **state)
{
    (void)state;
    struct rs_error err;
    struct rs_graph *g = resnet(RS_RESNET_MIN_IMAGE, 2);
    struct rs_block blocks[RS_RESNET_BLOCKS];
    rs_resnet_blocks(g, blocks);
    assert_shape(g, blocks[4].last_node, 512, 1, 1);
    rs_graph_destroy(g);
    assert_int_equal(rs_resnet_build(&g, RS_RESNET_MIN_IMAGE - 1, 2, &err), RS_E_SHAPE);
    assert_null(g);
    assert_non_null(strstr(err.message, "75"));
    assert_int_equal(rs_resnet_build(&g, -5, 2, &err), RS_E_SHAPE);
    assert_int_equal(rs_resnet_build(&g, 96, 1, &err), RS_E_SHAPE);
    assert_int_equal(rs_resnet_build(&g, 20000, 2, &err), RS_E_LIMIT);
    assert_int_equal(rs_resnet_build(&g, INT32_MAX, 2, &err), RS_E_LIMIT);
    assert_null(g);
}

/* An input of this shape beside the graph's; the sum and the loss of it are refused. */
static void refuse_shape(struct rs_shape shape, struct rs_shape other, int is_loss)
{
    struct rs_error err;
    struct rs_graph *g;
    assert_int_equal(rs_graph_create(&g, shape, &err), 0);
    g->nodes[0].out = shape;
    const int last = rs_graph_relu(g, "relu", 0, &err);
    g->nodes[last].out = other;
    assert_int_equal(is_loss ? rs_graph_cross_entropy(g, "loss", last, &err)
                             : rs_graph_add(g, "sum", 0, last, &err),
                     RS_E_SHAPE);
    rs_graph_destroy(g);
}

/* One side that differs is enough. */
static void refuse_sums_and_losses(struct rs_graph *g)
{
    const struct rs_shape shape = {4, 6, 5};
    assert_int_equal(g->nodes[0].out.c, shape.c);
    refuse_shape(shape, (struct rs_shape){3, 6, 5}, 0);
    refuse_shape(shape, (struct rs_shape){4, 7, 5}, 0);
    refuse_shape(shape, (struct rs_shape){4, 6, 4}, 0);
    refuse_shape(shape, (struct rs_shape){4, 1, 2}, 1);
    refuse_shape(shape, (struct rs_shape){4, 2, 1}, 1);
}

static void test_refused_nodes_leave_no_trace(void **state)
{
    (void)state;
    struct rs_error err;
    struct rs_graph *g;
    assert_int_equal(rs_graph_create(&g, (struct rs_shape){4, 6, 5}, &err), 0);
    const int small = rs_graph_max_pool(g, "small", 0, 3, 2, &err);
    assert_shape(g, small, 4, 2, 2);
    const struct rs_graph before = *g;

    assert_int_equal(rs_graph_conv2d(g, "wide", 0, 8, 9, 1, 1, 1, &err), RS_E_SHAPE);
    assert_string_equal(err.message,
                        "wide: a window of 9 x 9 does not fit into its input of 6 x 5; use larger images");
    assert_int_equal(rs_graph_conv2d(g, "narrow", 0, 8, 6, 1, 0, 1, &err),
                     RS_E_SHAPE); /* 6 rows are enough, 5 columns not */
    assert_int_equal(rs_graph_avg_pool(g, "pool", small, 3, 1, &err), RS_E_SHAPE);
    assert_non_null(strstr(err.message, "pool"));
    assert_int_equal(rs_graph_add(g, "sum", 0, small, &err), RS_E_SHAPE);
    assert_non_null(strstr(err.message, "4 x 6 x 5"));
    assert_non_null(strstr(err.message, "4 x 2 x 2"));
    assert_int_equal(rs_graph_cross_entropy(g, "loss", small, &err), RS_E_SHAPE);
    refuse_sums_and_losses(g);
    assert_int_equal(rs_graph_conv2d(g, "huge", 0, INT32_MAX, 1, 1, 0, 1, &err), RS_E_LIMIT);

    assert_int_equal(g->node_count, before.node_count);
    assert_int_equal(g->param_count, before.param_count);
    assert_int_equal(g->param_floats, before.param_floats);
    rs_graph_destroy(g);
    rs_graph_destroy(NULL);
}

/* Arrays move when they grow; what was there stays. */
static void test_many_nodes(void **state)
{
    (void)state;
    struct rs_error err;
    struct rs_graph *g;
    int at = 0;
    assert_int_equal(rs_graph_create(&g, (struct rs_shape){2, 3, 3}, &err), 0);
    for (int i = 0; i < 1000; i++) {
        char name[RS_NAME_MAX];
        snprintf(name, sizeof(name), "bn%d", i);
        at = rs_graph_batch_norm(g, name, at, &err);
        assert_int_equal(at, i + 1);
    }
    assert_string_equal(g->nodes[1].name, "bn0");
    assert_string_equal(g->params[1999].name, "bn999.bias");
    assert_int_equal(g->nodes[1000].norm, 999);
    assert_int_equal(g->params[1999].offset, 1999 * 2);
    rs_graph_destroy(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocks_are_the_notebooks),
        cmocka_unit_test(test_names_are_pytorchs),
        cmocka_unit_test(test_nodes_are_the_notebooks),
        cmocka_unit_test(test_biases_have_their_weights_fan_in),
        cmocka_unit_test(test_tensors_lie_dense),
        cmocka_unit_test(test_flops),
        cmocka_unit_test(test_smallest_image),
        cmocka_unit_test(test_refused_nodes_leave_no_trace),
        cmocka_unit_test(test_many_nodes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
