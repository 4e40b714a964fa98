/* test_cuda_kernels.c: bodies of kernels alone, where whole plans (test_cuda_step) don't reach: resize
 * against the project's resizer, which is Pillow's; the optimizer against ref; statistics of values far from
 * 0; NaN; labels out of range; layouts there and back.
 */
#include "alloc.h"
#include "host_kernels.h"
#include "image.h"
#include "ops.h"
#include "paths.h"
#include "random.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void *new_block(size_t bytes)
{
    void *block = rs_calloc(1, bytes);
    assert_non_null(block);
    return block;
}

static float *new_floats(size_t count, float low, float high, uint64_t seed)
{
    float *values = new_block(count * sizeof(float));
    struct rs_random random;
    rs_random_init(&random, seed, 0, 0);
    for (size_t i = 0; i < count; i++)
        values[i] = low + (high - low) * rs_random_float(&random);
    return values;
}

static struct rs__resize_weights plain_weights(const struct rs__weights *w)
{
    return (struct rs__resize_weights){w->first, w->count, w->fixed, w->quads * RS__QUAD};
}

struct picture_case {
    uint32_t n, in_w, in_h, out_w, out_h;
    int planar, folded;
    uint32_t beside;
};

/* What the value should be: the resizer's planes, normalized, in its layout. */
static void check_pictures(const struct picture_case *p, const uint8_t *pictures, const void *value, int bf16,
                           const struct rs__input_shape *s)
{
    struct rs_resizer *resizer;
    struct rs_error err = {0};
    const size_t in = (size_t)p->in_w * p->in_h * 3, out = (size_t)p->out_w * p->out_h * 3;
    uint8_t *planes = new_block(out);
    float *wanted = new_block(out * sizeof(float));
    uint16_t *halves = new_block(out * sizeof(uint16_t));
    size_t compared = 0;
    assert_int_equal(rs_resizer_create(&resizer, &err), 0);
    for (uint32_t n = 0; n < p->n; n++) {
        const struct rs_resize_source source = {pictures + n * in, p->in_w, p->in_h, p->planar};
        assert_int_equal(rs_resizer_run(resizer, &source, p->out_w, p->out_h, planes, &err), 0);
        rs_normalize_f32(planes, wanted, out);
        rs_normalize_bf16(planes, halves, out);
        for (uint32_t y = 0; y < s->out_h; y++)
            for (uint32_t x = 0; x < s->out_w; x++)
                for (uint32_t k = 0; k < s->cp; k++) {
                    const uint32_t channels = s->cp / s->beside, block = k % channels / 3,
                                   c = k % channels % 3;
                    const uint32_t step = p->folded ? 2 : 1, py = y * step + block / 2;
                    const uint32_t px = (x + k / channels) * step + block % 2;
                    const int inside = block < step * step && py < p->out_h && px < p->out_w;
                    const size_t at = (((size_t)n * s->out_h + y) * s->out_w + x) * s->cp + k;
                    const size_t from = ((size_t)c * p->out_h + py) * p->out_w + px;
                    const float plain = inside ? bf16 ? rs__from_bf16(halves[from]) : wanted[from] : 0;
                    const float got = rs__element(value, bf16, at);
                    if (rs__to_bits(got) != rs__to_bits(plain))
                        fail_msg("%ux%u to %ux%u: sample %u (%u, %u) channel %u is %g, not %g", p->in_w,
                                 p->in_h, p->out_w, p->out_h, n, y, x, k, (double)got, (double)plain);
                    compared += inside && (k < channels || x == s->out_w - 1); /* each of them once */
                }
    }
    assert_int_equal(compared, out * p->n);
    rs_resizer_destroy(resizer);
    rs_free(planes);
    rs_free(wanted);
    rs_free(halves);
}

static void resize_case(const struct picture_case *p, int bf16)
{
    struct rs_error err = {0};
    struct rs__weights across, down;
    struct rs_random random;
    memset(&across, 0, sizeof(across));
    memset(&down, 0, sizeof(down));
    assert_int_equal(rs__weights_build(&across, p->in_w, p->out_w, &rs__path_scalar, &err), 0);
    assert_int_equal(rs__weights_build(&down, p->in_h, p->out_h, &rs__path_scalar, &err), 0);
    const size_t bytes = (size_t)p->n * 3 * p->in_w * p->in_h;
    uint8_t *pictures = new_block(bytes), *rows = new_block((size_t)p->n * 3 * p->in_h * p->out_w);
    rs_random_init(&random, p->in_w * 977 + p->out_h, 0, 0);
    for (size_t i = 0; i < bytes; i++)
        pictures[i] = (uint8_t)(rs_random_float(&random) * 256);
    struct rs__input_shape s = {
        .n = p->n, .c = 3, .h = p->out_h, .w = p->out_w, .folded = (uint32_t)p->folded};
    s = rs__make_input_shape(s, p->beside);
    void *value = new_block((size_t)s.n * s.out_h * s.out_w * s.cp * 4);
    const struct rs__resize_rows first =
        rs__make_resize_rows((struct rs__resize_rows){.bf16 = bf16,
                                                      .n = p->n,
                                                      .in_h = p->in_h,
                                                      .in_w = p->in_w,
                                                      .out_w = p->out_w,
                                                      .planar = p->planar,
                                                      .src = pictures,
                                                      .dst = rows,
                                                      .weights = plain_weights(&across)});
    const struct rs__resize_columns second = {bf16, s, p->in_h, rows, value, plain_weights(&down)};
    rs_host_resize_rows(&first);
    rs_host_resize_columns(&second);
    check_pictures(p, pictures, value, bf16, &s);
    rs_buffer_free(&across.memory);
    rs_buffer_free(&down.memory);
    rs_free(pictures);
    rs_free(rows);
    rs_free(value);
}

static void test_resize(void **state)
{
    static const struct picture_case cases[] = {
        {3, 32, 32, 96, 96, 1, 1, 4}, {2, 32, 32, 96, 96, 0, 0, 1},  {1, 1, 1, 5, 7, 0, 1, 2},
        {2, 33, 17, 29, 31, 1, 0, 1}, {1, 201, 97, 13, 11, 0, 1, 7}, {1, 96, 96, 96, 96, 1, 1, 4},
        {2, 7, 250, 75, 75, 0, 1, 3}, {1, 500, 3, 75, 76, 1, 0, 1},  {2, 16, 4, 1031, 6, 1, 1, 4},
        {1, 8, 4, 700, 5, 0, 0, 1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        for (int bf16 = 0; bf16 < 2; bf16++)
            resize_case(&cases[i], bf16);
}

#define WEIGHTS 1048u /* a multiple of 8 that fills no whole block */

/* Three steps of one optimizer; gradients in bf16 are the same numbers to both. */
static void optimizer_case(int adam, int bf16, double decay, double momentum)
{
    float *p[2], *m[2], *v[2];
    uint16_t *halves = new_block((size_t)WEIGHTS * 2), *shadow = new_block((size_t)WEIGHTS * 2);
    struct rs__hyper hyper;
    for (int i = 0; i < 2; i++) {
        p[i] = new_floats(WEIGHTS, -1, 1, 1);
        m[i] = new_block(WEIGHTS * sizeof(float));
        v[i] = new_block(WEIGHTS * sizeof(float));
    }
    for (int64_t step = 1; step <= 3; step++) {
        float *g = new_floats(WEIGHTS, -0.1f, 0.1f, (uint64_t)step);
        for (size_t i = 0; i < WEIGHTS && bf16; i++) {
            halves[i] = (uint16_t)rs__to_bf16(g[i]);
            g[i] = rs__from_bf16(halves[i]);
        }
        const float size = (float)(0.01 / (1 - pow((double)0.9f, (double)step)));
        const float root2 = (float)sqrt(1 - pow((double)0.999f, (double)step));
        const struct rs__set_hyper set = {bf16,
                                          {0.9f, (float)(1 - (double)0.9f), 0.999f,
                                           (float)(1 - (double)0.999f), 1e-8f, size, root2, 0.01f,
                                           (float)momentum, (float)decay},
                                          &hyper};
        const struct rs__update update = {bf16, WEIGHTS / 8, adam, &hyper, bf16 ? (const void *)halves : g,
                                          p[0], m[0],        v[0], shadow};
        const struct rs__ref_adam a = {0.01,          (double)0.9f,         (double)0.999f,
                                       (double)1e-8f, (double)(float)decay, step};
        const struct rs__ref_sgd s = {0.01, (double)(float)momentum, (double)(float)decay};
        rs_host_set_hyper(&set);
        rs_host_update(&update);
        if (adam)
            rs__ref_f32_adam(&a, WEIGHTS, g, p[1], m[1], v[1]);
        else
            rs__ref_f32_sgd(&s, WEIGHTS, g, p[1], m[1]);
        rs_free(g);
    }
    assert_memory_equal(p[0], p[1], WEIGHTS * sizeof(float));
    assert_memory_equal(m[0], m[1], WEIGHTS * sizeof(float));
    assert_memory_equal(v[0], v[1], WEIGHTS * sizeof(float));
    for (size_t i = 0; i < WEIGHTS; i++)
        assert_int_equal(shadow[i], rs__to_bf16(p[0][i]));
    for (int i = 0; i < 2; i++) {
        rs_free(p[i]);
        rs_free(m[i]);
        rs_free(v[i]);
    }
    rs_free(halves);
    rs_free(shadow);
}

static void test_optimizers(void **state)
{
    (void)state;
    for (int bf16 = 0; bf16 < 2; bf16++) {
        optimizer_case(1, bf16, 0, 0);
        optimizer_case(1, bf16, 0.01, 0);
        optimizer_case(0, bf16, 0, 0);
        optimizer_case(0, bf16, 0.01, 0.9);
    }
}

/* Mean 1000, deviation 1: what sums of squares around 0 would lose. More rows than one chunk, channels that
 * fill no lane block. */
static void test_far_statistics(void **state)
{
    const size_t rows = 5003, cp = 280;
    const struct rs__tile tile = rs__norm_tile((uint32_t)rows, (uint32_t)cp);
    float *x = new_floats(rows * cp, 1000 - 1.7320508f, 1000 + 1.7320508f, 3);
    float *partial = new_block((size_t)2 * tile.chunks * cp * sizeof(float));
    float *out = new_block(4 * cp * sizeof(float));
    const struct rs__norm_sums sums = {0, (uint32_t)rows, (uint32_t)cp, x, partial};
    const struct rs__norm_finish finish = {0,   (uint32_t)rows, (uint32_t)cp, x,           partial,
                                           out, out + cp,       out + 2 * cp, out + 3 * cp};
    (void)state;
    assert_true(tile.chunks > 1 && tile.lane_blocks > 1);
    rs_host_norm_sums(&sums);
    rs_host_norm_finish(&finish);
    for (size_t c = 0; c < cp; c++) {
        double mean = 0, spread = 0;
        for (size_t r = 0; r < rows; r++)
            mean += (double)x[r * cp + c] / (double)rows;
        for (size_t r = 0; r < rows; r++)
            spread += ((double)x[r * cp + c] - mean) * ((double)x[r * cp + c] - mean);
        assert_true(fabs((double)out[c] - mean) < 1e-4);
        assert_true(fabs((double)out[cp + c] - 1 / sqrt(spread / (double)rows + 1e-5)) < 1e-5);
        assert_true(fabs((double)out[2 * cp + c] - 0.1 * mean) < 1e-4);
        assert_true(fabs((double)out[3 * cp + c] - 0.1 * spread / ((double)rows - 1)) < 1e-5);
    }
    rs_free(x);
    rs_free(partial);
    rs_free(out);
}

/* A NaN wins the pool, gets the gradient, and goes through relu, as in PyTorch. */
static void test_nan(void **state)
{
    _Alignas(16) float x[4 * 8], y[8], dy[8], dx[4 * 8];
    _Alignas(16) uint8_t index[8];
    const struct rs__window window = rs__make_window(
        (struct rs__window){.n = 1, .h = 2, .w = 2, .cp = 8, .p = 1, .q = 1, .kernel = 2, .stride = 2});
    (void)state;
    for (int i = 0; i < 32; i++)
        x[i] = (float)(i % 7);
    for (int i = 0; i < 8; i++)
        dy[i] = 1;
    x[2 * 8 + 3] = NAN;
    const struct rs__pool_max pool = {0, window, x, NULL, y, index};
    const struct rs__pool_max_back back = {0, window, dy, NULL, index, dx};
    rs_host_pool_max(&pool);
    rs_host_pool_max_back(&back);
    assert_true(isnan(y[3]));
    assert_int_equal(index[3], 2);
    assert_float_equal(dx[2 * 8 + 3], 1, 0);
    float total = 0;
    for (int i = 0; i < 32; i++)
        total += dx[i];
    assert_float_equal(total, 8, 0);
    const struct rs__apply relu = {.rows = 4, .cp = 8, .x = x, .y = dx, .relu_sum = 1};
    rs_host_apply(&relu);
    assert_true(isnan(dx[2 * 8 + 3]));
    assert_true(isnan(rs__from_bf16((uint16_t)rs__to_bf16(NAN))));
    assert_true(isnan(rs__from_bf16(
        (uint16_t)rs__to_bf16(rs__from_bits(0x7f800001u))))); /* rounding must not make it infinite */
}

static void test_labels(void **state)
{
    const float logits[9] = {1, 2, 3, 1, 2, 3, 3, 3, 1};
    const int32_t bad[3] = {2, 3, -1}, good[3] = {2, 0, 0};
    float probabilities[9], gradients[9], losses[3];
    uint32_t hits[3];
    struct rs__result result;
    struct rs__loss loss = {0, 3, 3, logits, bad, probabilities, gradients, losses, hits};
    const struct rs__loss_sum sum = {0, 3, losses, hits, &result};
    (void)state;
    rs_host_loss(&loss);
    assert_true(!isnan(losses[0]));
    assert_true(isnan(losses[1]) && isnan(losses[2]));
    loss.labels = good;
    rs_host_loss(&loss);
    rs_host_loss_sum(&sum);
    assert_int_equal(result.correct, 2); /* the first of equal logits counts */
    assert_true(fabs(result.loss_sum - ((double)losses[0] + (double)losses[1] + (double)losses[2])) < 1e-12);
}

/* Every element of PyTorch's tensor has a place of its own within the stored one. */
static void test_layouts(void **state)
{
    static const struct rs__weight_layout layouts[] = {
        {.k = 64, .r = 7, .s = 7, .c = 3, .kp = 64, .rp = 4, .sp = 4, .cp = 16, .folded = 1},
        {.k = 5, .r = 3, .s = 3, .c = 3, .kp = 8, .rp = 3, .sp = 3, .cp = 8},
        {.k = 10, .r = 1, .s = 1, .c = 512, .kp = 10, .rp = 1, .sp = 1, .cp = 512},
        {.k = 1, .r = 1, .s = 1, .c = 13, .kp = 1, .rp = 1, .sp = 1, .cp = 16},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(layouts) / sizeof(layouts[0]); i++) {
        const struct rs__weight_layout *l = &layouts[i];
        uint8_t *seen = new_block((size_t)rs__weight_elements(l));
        for (uint32_t k = 0; k < l->k; k++)
            for (uint32_t c = 0; c < l->c; c++)
                for (uint32_t r = 0; r < l->r; r++)
                    for (uint32_t s = 0; s < l->s; s++) {
                        const int64_t at = rs__weight_index(l, k, c, r, s);
                        assert_true(at >= 0 && at < rs__weight_elements(l));
                        assert_int_equal(seen[at]++, 0);
                    }
        rs_free(seen);
    }
}

/* Against the processor's own, around every multiple where rounding could go wrong. */
static void test_divisors(void **state)
{
    static const uint32_t divisors[] = {1,  2,   3,     5,     7,     8,       22,       45,         64,
                                        96, 641, 65535, 65536, 65537, 8388607, 1u << 30, 0x7fffffffu};
    (void)state;
    for (size_t i = 0; i < sizeof(divisors) / sizeof(divisors[0]); i++) {
        const uint32_t by = divisors[i], most = 0x7fffffffu;
        const struct rs__divisor d = rs__make_divisor(by);
        for (uint32_t k = 0; k < 4000; k++) {
            const uint64_t multiple =
                (uint64_t)by * (k < 2000 ? k : most / by - (k - 2000) % (most / by + 1));
            for (uint32_t off = 0; off < 3; off++) {
                uint32_t number = (uint32_t)(multiple + off - 1);
                if (multiple + off < 1 || multiple + off - 1 > most)
                    continue;
                const uint32_t quotient = number / by, rest = number % by;
                assert_int_equal(rs__divide(&number, &d), rest);
                assert_int_equal(number, quotient);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resize),         cmocka_unit_test(test_optimizers),
        cmocka_unit_test(test_far_statistics), cmocka_unit_test(test_nan),
        cmocka_unit_test(test_labels),         cmocka_unit_test(test_layouts),
        cmocka_unit_test(test_divisors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
