/* test_cpu_ops.c: every operator and every fusion of the CPU backend, forward and backward, beside the
 * reference.
 *
 * How it works: small graphs with odd shapes, each run in fp32, bf16 and wide bf16: a training step on two
 * batch sizes, evaluation on two. A convolution in front makes the data gradients visible in its own weights.
 */
#include "cpu_compare.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct build { /* a graph under construction; any refusal fails the test */
    struct rs_graph *g;
    int names;
};

static const char *name(struct build *b, const char *kind)
{
    static char text[RS_NAME_MAX];
    snprintf(text, sizeof text, "%s%d", kind, b->names++);
    return text;
}

static struct build start(int32_t c, int32_t h, int32_t w)
{
    struct build b = {0};
    assert_int_equal(rs_graph_create(&b.g, (struct rs_shape){c, h, w}, NULL), 0);
    return b;
}

static int ok(int node)
{
    assert_true(node >= 0);
    return node;
}

static int conv(struct build *b, int x, int32_t out, int32_t kernel, int32_t stride, int32_t padding,
                int bias)
{
    return ok(rs_graph_conv2d(b->g, name(b, "conv"), x, out, kernel, stride, padding, bias, NULL));
}

static int bn(struct build *b, int x)
{
    return ok(rs_graph_batch_norm(b->g, name(b, "bn"), x, NULL));
}

static int relu(struct build *b, int x)
{
    return ok(rs_graph_relu(b->g, name(b, "relu"), x, NULL));
}

static int add(struct build *b, int x, int y)
{
    return ok(rs_graph_add(b->g, name(b, "add"), x, y, NULL));
}

static int max_pool(struct build *b, int x, int32_t kernel, int32_t stride)
{
    return ok(rs_graph_max_pool(b->g, name(b, "max"), x, kernel, stride, NULL));
}

static int avg_pool(struct build *b, int x, int32_t kernel, int32_t stride)
{
    return ok(rs_graph_avg_pool(b->g, name(b, "avg"), x, kernel, stride, NULL));
}

static int linear(struct build *b, int x, int32_t features)
{
    return ok(rs_graph_linear(b->g, name(b, "linear"), x, features, NULL));
}

static struct rs_graph *finish(struct build *b, int x)
{
    ok(rs_graph_cross_entropy(b->g, "loss", linear(b, x, 7), NULL));
    return b->g;
}

/* ---- the graphs ---- */

static struct rs_graph *conv_odd(void)
{
    struct build b = start(3, 11, 9);
    int x = conv(&b, 0, 5, 3, 1, 1, 0);
    x = conv(&b, x, 20, 3, 2, 1, 1);
    x = conv(&b, x, 33, 1, 2, 0, 1);
    return finish(&b, x);
}

static struct rs_graph *conv_stem(void)
{
    struct build b = start(3, 23, 21);
    int x = conv(&b, 0, 16, 7, 2, 0, 1);
    x = conv(&b, x, 32, 3, 1, 1, 0);
    x = conv(&b, x, 32, 3, 1, 1, 0);
    return finish(&b, conv(&b, x, 24, 5, 1, 2, 1));
}

static struct rs_graph *conv_wide(void) /* weight gradients by matrix products in bf16 */
{
    struct build b = start(5, 5, 7);
    int x = bn(&b, conv(&b, 0, 128, 3, 1, 1, 0));
    x = bn(&b, conv(&b, x, 256, 3, 2, 1, 0));
    return finish(&b, bn(&b, conv(&b, x, 512, 3, 2, 1, 0)));
}

static struct rs_graph *norm_alone(void)
{
    struct build b = start(5, 6, 5);
    int x = bn(&b, 0);
    x = bn(&b, conv(&b, x, 19, 3, 1, 1, 1));
    return finish(&b, x);
}

static struct rs_graph *norm_relu(void)
{
    struct build b = start(4, 7, 6);
    int x = relu(&b, bn(&b, conv(&b, 0, 18, 3, 1, 1, 0)));
    return finish(&b, relu(&b, bn(&b, conv(&b, x, 17, 3, 1, 1, 0))));
}

/* A residual block as the network's: inner is the ReLU before the sum, outer the one after it. */
static int block(struct build *b, int x, int shortcut, int inner, int outer)
{
    int32_t channels = b->g->nodes[shortcut].out.c;
    int y = relu(b, bn(b, conv(b, x, channels, 3, 1, 1, 0)));
    y = bn(b, conv(b, y, channels, 3, 1, 1, 0));
    y = inner ? relu(b, y) : y;
    y = add(b, shortcut, y);
    return outer ? relu(b, y) : y;
}

static struct rs_graph *block_of(int inner, int outer, int shortcut_conv)
{
    struct build b = start(3, 10, 11);
    int x = max_pool(&b, conv(&b, 0, 19, 3, 1, 0, 1), 3, 2); /* its output may be negative */
    x = block(&b, x, shortcut_conv ? conv(&b, x, 21, 1, 1, 0, 1) : x, inner, outer);
    x = block(&b, x, x, inner, outer); /* identity: after two ReLUs the last one does nothing */
    return finish(&b, avg_pool(&b, x, 2, 2));
}

static struct rs_graph *block_both(void)
{
    return block_of(1, 1, 0);
}

static struct rs_graph *block_projected(void)
{
    return block_of(1, 1, 1);
}

static struct rs_graph *block_outer(void)
{
    return block_of(0, 1, 1);
}

static struct rs_graph *block_inner(void)
{
    return block_of(1, 0, 0);
}

static struct rs_graph *block_bare(void)
{
    return block_of(0, 0, 0);
}

static struct rs_graph *two_norms(void) /* both addends are batch norms */
{
    struct build b = start(3, 6, 7);
    int x = conv(&b, 0, 17, 3, 1, 1, 0);
    int a = relu(&b, bn(&b, conv(&b, x, 9, 3, 2, 1, 0)));
    int c = bn(&b, conv(&b, x, 9, 1, 2, 0, 0));
    return finish(&b, relu(&b, add(&b, a, c)));
}

static struct rs_graph *
plain_adds(void) /* sums and ReLUs that nothing absorbs; five uses of one tensor; x + x */
{
    struct build b = start(3, 6, 7);
    int x = relu(&b, conv(&b, 0, 17, 3, 1, 1, 1));
    int y = add(&b, conv(&b, x, 17, 3, 1, 1, 0), x);
    y = relu(&b, add(&b, y, conv(&b, x, 17, 1, 1, 0, 1)));
    y = add(&b, y, max_pool(&b, x, 1, 1));
    y = add(&b, y, avg_pool(&b, x, 1, 1));
    return finish(&b, add(&b, y, y));
}

static struct rs_graph *pools(void)
{
    struct build b = start(3, 13, 12);
    int x = max_pool(&b, conv(&b, 0, 20, 3, 1, 0, 1), 3, 2);
    x = avg_pool(&b, x, 2, 1);
    return finish(&b, max_pool(&b, x, 2, 2));
}

static struct rs_graph *input_pooled(void)
{
    struct build b = start(6, 9, 8);
    int x = avg_pool(&b, max_pool(&b, relu(&b, 0), 2, 1), 3, 2);
    return finish(&b, conv(&b, x, 8, 1, 1, 0, 1));
}

static struct rs_graph *perceptron(void) /* plain and blocked tensors by turns */
{
    struct build b = start(3, 4, 5);
    int x = relu(&b, linear(&b, 0, 23));
    x = linear(&b, x, 12);
    int y = linear(&b, x, 12);
    return finish(&b, relu(&b, bn(&b, add(&b, x, y))));
}

/* In bf16 a gradient may lie as far from the reference as that moves when its weights are rounded to bf16,
 * times this. Seen: 0.03 to 1.2 on all cases but one. */
#define BF16_FACTOR 2
#define BF16_DRAWS 6

struct test_case {
    const char *name;
    struct rs_graph *(*build)(void);
    double bf16_factor;
};

static const struct test_case cases[] = {
    {"conv_odd", conv_odd, BF16_FACTOR},
    {"conv_stem", conv_stem, BF16_FACTOR},
    {"conv_wide", conv_wide, BF16_FACTOR},
    {"norm_alone", norm_alone, BF16_FACTOR},
    {"norm_relu", norm_relu, BF16_FACTOR},
    {"block_both", block_both, BF16_FACTOR},
    {"block_projected", block_projected, BF16_FACTOR},
    {"block_outer", block_outer, BF16_FACTOR},
    {"block_inner", block_inner, BF16_FACTOR},
    {"block_bare", block_bare, BF16_FACTOR},
    {"two_norms", two_norms, BF16_FACTOR},
    {"plain_adds", plain_adds, BF16_FACTOR},
    {"pools", pools, BF16_FACTOR},
    {"input_pooled", input_pooled, BF16_FACTOR},
    /* a batch norm over 3 samples magnifies the rounding of its input, which rounded weights don't show: 5.3
     */
    {"perceptron", perceptron, 8},
};

/* ---- the comparison ---- */

struct limits {
    double loss, gradient, state, probability;
};

static void compare(const struct test_case *c, enum rs_precision precision, enum rs_cpu_bf16 how,
                    struct limits limit)
{
    const struct rs_plan_options options = {.precision = precision,
                                            .optimizer = RS_OPTIMIZER_SGD,
                                            .momentum = 0.9f,
                                            .weight_decay = 0.01f,
                                            .train_batches = {6, 3},
                                            .eval_batches = {5, 1}};
    const uint32_t train[] = {6, 3, 6}, eval[] = {5, 1};
    struct pair p;
    bool close = true;
    double gradient = 0.0, state = 0.0, probability = 0.0, loss = 0.0;
    pair_open(&p, c->build(), &options, how);
    for (uint32_t i = 0; i < 3; i++) {
        if (precision == RS_PRECISION_BF16) {
            pair_reset(&p); /* its paths part soon: each step from the same weights */
            limit.gradient = c->bf16_factor * pair_bf16_sensitivity(&p, train[i], i, BF16_DRAWS);
        }
        pair_train(&p, train[i], i, 0.01f);
        loss = fmax(loss, fabs(p.cpu.result.loss_sum - p.ref.result.loss_sum) / fabs(p.ref.result.loss_sum));
        double error = pair_gradient_error(&p, limit.gradient);
        close = close && error <= limit.gradient; /* false for a NaN */
        gradient = fmax(gradient, error);
        state = fmax(state, pair_state_error(&p, limit.state));
        assert_true(isfinite(p.cpu.result.loss_sum));
    }
    for (uint32_t i = 0; i < 2; i++) {
        pair_eval(&p, eval[i], 10 + i);
        probability = fmax(probability, pair_probability_error(&p, eval[i]));
        loss = fmax(loss, fabs(p.cpu.result.loss_sum - p.ref.result.loss_sum) / fabs(p.ref.result.loss_sum));
    }
    print_message("%-16s loss %.1e gradient %.1e state %.1e probability %.1e\n", c->name, loss, gradient,
                  state, probability);
    pair_close(&p);
    assert_true(close && loss <= limit.loss && state <= limit.state && probability <= limit.probability);
}

#define CASES (sizeof cases / sizeof *cases)

static void test_fp32(void **state)
{
    (void)state;
    for (size_t i = 0; i < CASES; i++)
        compare(&cases[i], RS_PRECISION_FP32, RS_CPU_BF16_AUTO, (struct limits){1e-5, 2e-4, 1e-5, 1e-5});
}

static void run_bf16(enum rs_cpu_bf16 how)
{
    if (!cpu_has_bf16()) {
        print_message("no AVX512_BF16 here: bf16 is not tested\n");
        skip();
    }
    for (size_t i = 0; i < CASES; i++)
        compare(&cases[i], RS_PRECISION_BF16, how,
                (struct limits){.loss = 1e-2, .state = 2e-2, .probability = 1e-2});
}

static void test_bf16(void **state)
{
    (void)state;
    run_bf16(RS_CPU_BF16_NATIVE);
}

static void test_bf16_wide(void **state)
{
    (void)state;
    run_bf16(RS_CPU_BF16_WIDE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fp32),
        cmocka_unit_test(test_bf16),
        cmocka_unit_test(test_bf16_wide),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
