/* test_ref_ops.c: each operator's backward against finite differences of its forward, in double.
 *
 * How it works: an operator's outputs, weighted with random numbers, are one value; its derivative by each
 * input and parameter is measured with a central difference and held against what backward says. Gradients
 * are added to, so each array starts at 1 and must come out as 1 + gradient. Shapes are small and odd,
 * windows are cut off at borders. Forward itself is held against PyTorch by golden_ref.
 */
#include "alloc.h"
#include "ops.h"
#include "random.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define STEP 1e-5
#define TOLERANCE 2e-8

static void assert_near(double value, double expected, double away)
{
    if (!(fabs(value - expected) <= away))
        fail_msg("%.17g, expected %.17g", value, expected);
}

static rs__real *random_values(uint32_t stream, int64_t n)
{
    struct rs_random random;
    rs__real *values = rs_calloc((size_t)n + 1, sizeof(*values));
    assert_non_null(values);
    rs_random_init(&random, 7, stream, 0);
    for (int64_t i = 0; i < n; i++)
        values[i] = 2 * (rs__real)rs_random_float(&random) - 1;
    return values;
}

static rs__real *ones(int64_t n)
{
    rs__real *values = rs_calloc((size_t)n + 1, sizeof(*values));
    assert_non_null(values);
    for (int64_t i = 0; i < n; i++)
        values[i] = 1;
    return values;
}

/* x: what is varied; sums: 1 + the derivative of value(arg) by each of its n elements. */
static void check_gradient(const char *what, double (*value)(void *arg), void *arg, rs__real *x,
                           const rs__real *sums, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        const rs__real kept = x[i];
        x[i] = kept + STEP;
        const double above = value(arg);
        x[i] = kept - STEP;
        const double below = value(arg);
        x[i] = kept;
        const double measured = (above - below) / (2 * STEP), said = sums[i] - 1;
        if (!(fabs(measured - said) <= TOLERANCE * (1 + fabs(measured))))
            fail_msg("%s: element %lld: finite difference %.12g, backward %.12g", what, (long long)i,
                     measured, said);
    }
}

/* A random weight for each of n outputs, as the gradient that comes from above. */
static double weighted(const rs__real *weights, const rs__real *y, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += weights[i] * y[i];
    return sum;
}

/* ---- convolution ---- */

struct conv_case {
    struct rs__ref_window s;
    rs__real *x, *w, *bias, *y, *dy, *scratch;
};

static int64_t in_count(const struct rs__ref_window *s)
{
    return (int64_t)s->batch * s->in_c * s->in_h * s->in_w;
}

static int64_t out_count(const struct rs__ref_window *s)
{
    return (int64_t)s->batch * s->out_c * s->out_h * s->out_w;
}

static double conv_value(void *arg)
{
    struct conv_case *c = arg;
    RS__REF(conv_forward)(&c->s, c->x, c->w, c->bias, c->y, c->scratch);
    return weighted(c->dy, c->y, out_count(&c->s));
}

static struct rs__ref_window window(int32_t batch, int32_t in_c, int32_t h, int32_t w, int32_t out_c,
                                    int32_t kernel, int32_t stride, int32_t padding)
{
    return (struct rs__ref_window){batch,
                                   in_c,
                                   h,
                                   w,
                                   out_c,
                                   (h + 2 * padding - kernel) / stride + 1,
                                   (w + 2 * padding - kernel) / stride + 1,
                                   kernel,
                                   stride,
                                   padding};
}

static void check_conv(struct rs__ref_window s, int with_bias)
{
    const int64_t weights = (int64_t)s.out_c * s.in_c * s.kernel * s.kernel;
    struct conv_case c = {s,
                          random_values(1, in_count(&s)),
                          random_values(2, weights),
                          with_bias ? random_values(3, s.out_c) : NULL,
                          ones(out_count(&s)),
                          random_values(4, out_count(&s)),
                          ones(RS__REF(conv_scratch)(&s))};
    rs__real *dx = ones(in_count(&s)), *dw = ones(weights), *db = with_bias ? ones(s.out_c) : NULL;
    rs__real *dw_alone = ones(weights);

    RS__REF(conv_backward)(&s, c.x, c.w, c.dy, dx, dw, db, c.scratch);
    check_gradient("conv x", conv_value, &c, c.x, dx, in_count(&s));
    check_gradient("conv weight", conv_value, &c, c.w, dw, weights);
    if (with_bias)
        check_gradient("conv bias", conv_value, &c, c.bias, db, s.out_c);
    /* without dx and db the weights' gradient is the same bits */
    RS__REF(conv_backward)(&s, c.x, c.w, c.dy, NULL, dw_alone, NULL, c.scratch);
    assert_memory_equal(dw, dw_alone, (size_t)weights * sizeof(*dw));

    rs__real *all[] = {c.x, c.w, c.bias, c.y, c.dy, c.scratch, dx, dw, db, dw_alone};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        rs_free(all[i]);
}

static void test_conv(void **state)
{
    (void)state;
    check_conv(window(2, 3, 5, 7, 4, 3, 1, 1), 0);
    check_conv(window(2, 3, 6, 5, 2, 3, 2, 1), 1);
    check_conv(window(3, 2, 5, 4, 5, 1, 1, 0), 1);
    check_conv(window(2, 5, 5, 6, 3, 1, 2, 0), 1);  /* the shortcut: cut off at the border */
    check_conv(window(2, 3, 10, 9, 2, 7, 2, 0), 1); /* the stem */
    check_conv(window(1, 1, 3, 3, 1, 3, 1, 0), 0);  /* one position */
    check_conv(window(1, 2, 2, 2, 2, 3, 2, 2), 1);  /* more padding than picture */
    check_conv(window(1, 1, 8, 3, 2, 2, 3, 1), 0);
}

/* ---- batch norm ---- */

struct norm_case {
    struct rs__ref_planes s;
    rs__real *x, *w, *bias, *y, *dy, *mean, *inv_std, *running_mean, *running_var;
};

static double norm_value(void *arg)
{
    struct norm_case *c = arg;
    RS__REF(norm_statistics)(&c->s, c->x, c->mean, c->inv_std, c->running_mean, c->running_var);
    RS__REF(norm_forward)(&c->s, c->x, c->mean, c->inv_std, c->w, c->bias, c->y);
    return weighted(c->dy, c->y, c->s.size * c->s.batch * c->s.channels);
}

static void check_norm(int32_t batch, int32_t channels, int64_t size)
{
    const int64_t n = size * batch * channels;
    struct norm_case c = {{batch, channels, size},
                          random_values(1, n),
                          random_values(2, channels),
                          random_values(3, channels),
                          ones(n),
                          random_values(4, n),
                          ones(channels),
                          ones(channels),
                          ones(channels),
                          ones(channels)};
    rs__real *dx = ones(n), *dw = ones(channels), *db = ones(channels);

    norm_value(&c);
    RS__REF(norm_backward)(&c.s, c.x, c.mean, c.inv_std, c.w, c.dy, dx, dw, db);
    check_gradient("norm x", norm_value, &c, c.x, dx, n);
    check_gradient("norm weight", norm_value, &c, c.w, dw, channels);
    check_gradient("norm bias", norm_value, &c, c.bias, db, channels);

    rs__real *all[] = {c.x,           c.w, c.bias, c.y, c.dy, c.mean, c.inv_std, c.running_mean,
                       c.running_var, dx,  dw,     db};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        rs_free(all[i]);
}

static void test_norm(void **state)
{
    (void)state;
    check_norm(2, 3, 5);
    check_norm(3, 2, 71); /* longer than a strip of 64 */
    check_norm(5, 4, 1);
    check_norm(1, 2, 6);
}

/* Two samples of two values in one channel: 1, 3, 5, 11: mean 5, squares 16 + 4 + 0 + 36 = 56. */
static void test_norm_running(void **state)
{
    (void)state;
    const struct rs__ref_planes s = {2, 1, 2};
    const rs__real x[4] = {1, 3, 5, 11}, w = 2, bias = -1;
    rs__real mean, inv_std, running_mean = 10, running_var = 4, y[4];
    RS__REF(norm_statistics)(&s, x, &mean, &inv_std, &running_mean, &running_var);
    assert_near(mean, 5, 1e-12);
    assert_near(inv_std, 1 / sqrt(56.0 / 4 + 1e-5), 1e-12);
    assert_near(running_mean, 0.9 * 10 + 0.1 * 5, 1e-12);
    assert_near(running_var, 0.9 * 4 + 0.1 * 56 / 3, 1e-12);

    RS__REF(norm_running)(1, &running_mean, &running_var, &mean, &inv_std);
    RS__REF(norm_forward)(&s, x, &mean, &inv_std, &w, &bias, y);
    for (int i = 0; i < 4; i++)
        assert_near(y[i], (x[i] - running_mean) / sqrt(running_var + 1e-5) * 2 - 1, 1e-12);
}

/* ---- relu, add ---- */

struct pair_case {
    int64_t n;
    rs__real *x, *y, *dy;
};

static double relu_value(void *arg)
{
    struct pair_case *c = arg;
    RS__REF(relu_forward)(c->n, c->x, c->y);
    return weighted(c->dy, c->y, c->n);
}

static double add_value(void *arg)
{
    struct pair_case *c = arg;
    RS__REF(add_forward)(c->n, c->x, c->x, c->y);
    return weighted(c->dy, c->y, c->n);
}

static void test_relu_and_add(void **state)
{
    (void)state;
    struct pair_case c = {101, random_values(1, 101), ones(101), random_values(2, 101)};
    rs__real *dx = ones(c.n), *twice = ones(c.n);
    relu_value(&c);
    RS__REF(relu_backward)(c.n, c.y, c.dy, dx);
    check_gradient("relu", relu_value, &c, c.x, dx, c.n);
    RS__REF(add_backward)(c.n, c.dy, twice);
    RS__REF(add_backward)(c.n, c.dy, twice); /* both addends are the same value */
    check_gradient("x + x", add_value, &c, c.x, twice, c.n);

    const rs__real edge[4] = {0, -0.0, (rs__real)NAN, -1}, above[4] = {5, 5, 5, 5};
    rs__real y[4], d[4] = {0};
    RS__REF(relu_forward)(4, edge, y);
    RS__REF(relu_backward)(4, y, above, d);
    assert_true(y[0] == 0 && y[1] == 0 && isnan(y[2]) && y[3] == 0);
    assert_true(d[0] == 0 && d[1] == 0 && d[2] == 5 && d[3] == 0);
    rs_free(c.x), rs_free(c.y), rs_free(c.dy), rs_free(dx), rs_free(twice);
}

/* ---- pools ---- */

struct pool_case {
    struct rs__ref_window s;
    rs__real *x, *y, *dy;
};

static double max_value(void *arg)
{
    struct pool_case *c = arg;
    RS__REF(max_pool_forward)(&c->s, c->x, c->y);
    return weighted(c->dy, c->y, out_count(&c->s));
}

static double avg_value(void *arg)
{
    struct pool_case *c = arg;
    RS__REF(avg_pool_forward)(&c->s, c->x, c->y);
    return weighted(c->dy, c->y, out_count(&c->s));
}

static void check_pools(struct rs__ref_window s)
{
    struct pool_case c = {s, random_values(1, in_count(&s)), ones(out_count(&s)),
                          random_values(2, out_count(&s))};
    rs__real *max_dx = ones(in_count(&s)), *avg_dx = ones(in_count(&s));
    RS__REF(max_pool_backward)(&s, c.x, c.dy, max_dx);
    RS__REF(avg_pool_backward)(&s, c.dy, avg_dx);
    check_gradient("max pool", max_value, &c, c.x, max_dx, in_count(&s));
    check_gradient("average pool", avg_value, &c, c.x, avg_dx, in_count(&s));
    rs_free(c.x), rs_free(c.y), rs_free(c.dy), rs_free(max_dx), rs_free(avg_dx);
}

static void test_pools(void **state)
{
    (void)state;
    check_pools(window(2, 3, 7, 9, 3, 3, 2, 0));  /* windows overlap */
    check_pools(window(2, 2, 8, 10, 2, 3, 2, 0)); /* and leave a border */
    check_pools(window(1, 4, 5, 4, 4, 3, 3, 0));
    check_pools(window(1, 2, 6, 6, 2, 1, 4, 0)); /* gaps between them */
    check_pools(window(3, 1, 2, 5, 1, 2, 1, 0));
}

/* Of equal values the first has the gradient; a NaN is the largest, the last one of several. */
static void test_max_pool_ties(void **state)
{
    (void)state;
    const struct rs__ref_window s = window(1, 1, 2, 2, 1, 2, 1, 0);
    const rs__real equal[4] = {1, 3, 3, 3}, holes[4] = {9, (rs__real)NAN, 10, 1}, dy = 1;
    rs__real dx[4] = {0}, y;
    RS__REF(max_pool_backward)(&s, equal, &dy, dx);
    assert_true(dx[0] == 0 && dx[1] == 1 && dx[2] == 0 && dx[3] == 0);
    memset(dx, 0, sizeof(dx));
    RS__REF(max_pool_forward)(&s, holes, &y);
    RS__REF(max_pool_backward)(&s, holes, &dy, dx);
    assert_true(isnan(y));
    assert_true(dx[0] == 0 && dx[1] == 1 && dx[2] == 0 && dx[3] == 0);
}

/* ---- linear, loss ---- */

struct head_case {
    int32_t batch;
    int64_t in, out;
    const int32_t *labels;
    rs__real *x, *w, *bias, *y, *dy;
};

static double linear_value(void *arg)
{
    struct head_case *c = arg;
    RS__REF(linear_forward)(c->batch, c->in, c->out, c->x, c->w, c->bias, c->y);
    return weighted(c->dy, c->y, c->batch * c->out);
}

static double mean_loss(void *arg)
{
    struct head_case *c = arg;
    uint32_t hits;
    return RS__REF(loss_forward)(c->batch, (int32_t)c->out, c->x, c->labels, c->y, &hits) / c->batch;
}

static void test_linear(void **state)
{
    (void)state;
    struct head_case c = {3,
                          21,
                          5,
                          NULL,
                          random_values(1, 63),
                          random_values(2, 105),
                          random_values(3, 5),
                          ones(15),
                          random_values(4, 15)};
    rs__real *dx = ones(63), *dw = ones(105), *db = ones(5);
    RS__REF(linear_backward)(c.batch, c.in, c.out, c.x, c.w, c.dy, dx, dw, db);
    check_gradient("linear x", linear_value, &c, c.x, dx, 63);
    check_gradient("linear weight", linear_value, &c, c.w, dw, 105);
    check_gradient("linear bias", linear_value, &c, c.bias, db, 5);
    RS__REF(linear_backward)(c.batch, c.in, c.out, c.x, c.w, c.dy, NULL, dw, db);
    rs__real *all[] = {c.x, c.w, c.bias, c.y, c.dy, dx, dw, db};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        rs_free(all[i]);
}

static void test_loss(void **state)
{
    (void)state;
    const int32_t labels[4] = {0, 6, 3, 3};
    struct head_case c = {4, 0, 7, labels, random_values(1, 28), NULL, NULL, ones(28), NULL};
    rs__real *dx = ones(28);
    mean_loss(&c);
    RS__REF(loss_backward)(4, 7, c.y, labels, dx);
    check_gradient("loss", mean_loss, &c, c.x, dx, 28);
    rs_free(c.x), rs_free(c.y), rs_free(dx);
}

/* Logits that overflow exp by themselves; ties count for the first class only. */
static void test_loss_edges(void **state)
{
    (void)state;
    const rs__real logits[6] = {1000, 1000, -1000, 2, 2, 2};
    const int32_t first[2] = {0, 0}, second[2] = {1, 1};
    rs__real p[6];
    uint32_t hits;
    assert_near(RS__REF(loss_forward)(2, 3, logits, first, p, &hits), log(2) + log(3), 1e-12);
    assert_int_equal(hits, 2);
    assert_near(RS__REF(loss_forward)(2, 3, logits, second, p, &hits), log(2) + log(3), 1e-12);
    assert_int_equal(hits, 0);
    assert_near(p[0], 0.5, 1e-12);
    assert_near(p[2], 0, 1e-12);
    assert_near(p[5], 1.0 / 3, 1e-12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conv),         cmocka_unit_test(test_norm),
        cmocka_unit_test(test_norm_running), cmocka_unit_test(test_relu_and_add),
        cmocka_unit_test(test_pools),        cmocka_unit_test(test_max_pool_ties),
        cmocka_unit_test(test_linear),       cmocka_unit_test(test_loss),
        cmocka_unit_test(test_loss_edges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
