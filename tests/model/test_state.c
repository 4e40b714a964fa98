/* test_state.c: initial values are PyTorch's distributions, from the seed alone. */
#include "resnet.h"
#include "state.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

struct fixture {
    struct rs_graph *graph;
    struct rs_state *state;
};

static int set_up(void **out)
{
    static struct fixture f;
    struct rs_error err;
    assert_int_equal(rs_resnet_build(&f.graph, 96, 10, &err), 0);
    assert_int_equal(rs_state_create(&f.state, f.graph, &err), 0);
    *out = &f;
    return 0;
}

static int tear_down(void **out)
{
    struct fixture *f = *out;
    rs_state_destroy(f->state);
    rs_state_destroy(NULL);
    rs_graph_destroy(f->graph);
    return 0;
}

static void test_starts_zeroed_with_variance_one(void **out)
{
    const struct fixture *f = *out;
    for (int64_t i = 0; i < f->graph->param_floats; i++)
        assert_true(f->state->params[i] == 0 && f->state->moment1[i] == 0 && f->state->moment2[i] == 0);
    for (int32_t n = 0; n < f->graph->norm_count; n++)
        for (int64_t i = 0; i < f->graph->norms[n].running_mean.count; i++) {
            assert_true(f->state->buffers[f->graph->norms[n].running_mean.offset + i] == 0);
            assert_true(f->state->buffers[f->graph->norms[n].running_var.offset + i] == 1);
        }
    assert_int_equal(f->state->steps, 0);
}

/* Uniform in [-b, b): within the bounds, close to both, and evenly in 16 bins (chi-square, 15 degrees of
 * freedom, 45 is 1 in 10^4.6). */
static void check_uniform(const char *name, const float *values, int64_t count, double bound)
{
    enum { BINS = 16 };
    int64_t bins[BINS] = {0};
    double sum = 0, chi = 0;
    for (int64_t i = 0; i < count; i++) {
        const double unit = ((double)values[i] / bound + 1) / 2;
        if (!(unit >= -1e-7 && unit <= 1 + 1e-7))
            fail_msg("%s: %g is outside of +-%g", name, (double)values[i], bound);
        bins[unit < 1 ? (int)(fmax(unit, 0) * BINS) : BINS - 1]++;
        sum += (double)values[i];
    }
    if (fabs(sum / (double)count) > 4.5 * bound / sqrt(3.0 * (double)count))
        fail_msg("%s: mean %g of %lld values", name, sum / (double)count, (long long)count);
    for (int b = 0; count >= (int64_t)10 * BINS && b < BINS; b++) {
        const double expected = (double)count / BINS;
        chi += ((double)bins[b] - expected) * ((double)bins[b] - expected) / expected;
    }
    if (chi > 45)
        fail_msg("%s: chi-square %g of 16 bins", name, chi);
}

static void test_initial_distributions(void **out)
{
    const struct fixture *f = *out;
    rs_state_init(f->state, 42);
    for (int32_t i = 0; i < f->graph->param_count; i++) {
        const struct rs_tensor_info *t = &f->graph->params[i];
        const float *values = f->state->params + t->offset;
        const int is_weight = strstr(t->name, ".weight") != NULL;
        if (t->fan_in > 0)
            check_uniform(t->name, values, t->count, 1 / sqrt((double)t->fan_in));
        for (int64_t j = 0; t->fan_in == 0 && j < t->count; j++)
            assert_true(values[j] == (is_weight ? 1.0f : 0.0f));
    }
}

/* Tensors of the same shape and bound have values of their own. */
static void test_tensors_differ(void **out)
{
    const struct fixture *f = *out;
    const struct rs_tensor_info *a = &f->graph->params[2], *b = &f->graph->params[5];
    assert_string_equal(a->name, "block2.1.conv1.weight");
    assert_string_equal(b->name, "block2.1.conv2.weight");
    rs_state_init(f->state, 0);
    int same = 0;
    for (int64_t i = 0; i < a->count; i++)
        same += f->state->params[a->offset + i] == f->state->params[b->offset + i];
    assert_true(same < 10);
}

/* FNV-1a, 64 bits. */
static uint64_t hash(const void *bytes, size_t size)
{
    const uint8_t *at = bytes;
    uint64_t value = UINT64_C(0xCBF29CE484222325);
    for (size_t i = 0; i < size; i++)
        value = (value ^ at[i]) * UINT64_C(0x100000001B3);
    return value;
}

/* The bits of a seed are the same on every machine, and in every version: a run that names its seed can be
 * repeated. */
static void test_known_bits(void **out)
{
    const struct fixture *f = *out;
    static const char *const names[] = {"block1.weight", "block1.bias", "block3.0.conv3.bias",
                                        "classifier.weight"};
    static const uint64_t hashes[] = {UINT64_C(0x7A5930A11AABCF25), UINT64_C(0x76A01213A6647228),
                                      UINT64_C(0x8C930C1AE516AAE9), UINT64_C(0x57DEB47D4A940885)};
    rs_state_init(f->state, 42);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        for (int32_t p = 0; p < f->graph->param_count; p++)
            if (strcmp(f->graph->params[p].name, names[i]) == 0)
                assert_int_equal(hash(f->state->params + f->graph->params[p].offset,
                                      (size_t)f->graph->params[p].count * sizeof(float)),
                                 hashes[i]);
}

static void test_seed_decides(void **out)
{
    const struct fixture *f = *out;
    struct rs_error err;
    struct rs_state *other;
    const size_t bytes = (size_t)f->graph->param_floats * sizeof(float);
    assert_int_equal(rs_state_create(&other, f->graph, &err), 0);
    rs_state_init(f->state, 0x123456789abcdef0);
    rs_state_init(other, 5);
    rs_state_init(other, 0x123456789abcdef0);
    assert_memory_equal(f->state->params, other->params, bytes);
    rs_state_init(other, 0x023456789abcdef0); /* a high bit counts */
    assert_memory_not_equal(f->state->params, other->params, 1000 * sizeof(float));
    rs_state_destroy(other);
}

static void test_copy(void **out)
{
    const struct fixture *f = *out;
    struct rs_error err;
    struct rs_state *copy;
    const size_t bytes = (size_t)f->graph->param_floats * sizeof(float);
    rs_state_init(f->state, 1);
    f->state->moment1[0] = 2;
    f->state->moment2[f->graph->param_floats - 1] = 3;
    f->state->buffers[0] = 3.5F;
    f->state->buffers[f->graph->buffer_floats - 1] = 4;
    f->state->batches_tracked[0] = 9;
    f->state->batches_tracked[15] = 5;
    f->state->steps = 6;
    assert_int_equal(rs_state_create(&copy, f->graph, &err), 0);
    rs_state_copy(copy, f->state);
    assert_memory_equal(copy->params, f->state->params, bytes);
    assert_memory_equal(copy->moment1, f->state->moment1, bytes);
    assert_memory_equal(copy->moment2, f->state->moment2, bytes);
    assert_memory_equal(copy->buffers, f->state->buffers, (size_t)f->graph->buffer_floats * sizeof(float));
    assert_memory_equal(copy->batches_tracked, f->state->batches_tracked, 16 * sizeof(int64_t));
    assert_int_equal(copy->steps, 6);
    rs_state_destroy(copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_starts_zeroed_with_variance_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_initial_distributions, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_tensors_differ, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_known_bits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_seed_decides, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_copy, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
