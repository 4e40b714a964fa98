/* test_cpu_kernels.c: the tables of kernels give the same bits, and the elements round as they should.
 *
 * How it works: one plane of 16 channels for AVX-512 is two planes of 8 for the other tables; the results,
 * put side by side, must be equal bit by bit. Tables that this machine can't run are left out, with a
 * message. */
#include "kernels.h"
#include "random.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define SIDE 9
#define PIXELS (SIDE * SIDE)
#define CHANNELS 16
#define CELLS (PIXELS * CHANNELS)
#define ALIGNED __attribute__((aligned(64)))

static int can_run(enum rs__isa isa)
{
    __builtin_cpu_init();
    if (isa == RS__ISA_AVX512)
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    return isa != RS__ISA_AVX2 || __builtin_cpu_supports("avx2");
}

static void fill(float *values, size_t count, uint32_t stream)
{
    struct rs_random random;
    rs_random_init(&random, 5, stream, 0);
    for (size_t i = 0; i < count; i++)
        values[i] = 4.0f * rs_random_float(&random) - 2.0f;
}

static uint16_t bf16_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return (uint16_t)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

/* Between [pixel][channel] floats and the planes of a table: blocks of `lanes` channels, in the element's
 * type. */
static void to_planes(const struct rs__kernels *k, enum rs__element e, const float *values, void *planes,
                      size_t pixels)
{
    for (size_t p = 0; p < pixels; p++)
        for (size_t c = 0; c < CHANNELS; c++) {
            size_t at = (c / k->lanes * pixels + p) * k->lanes + c % k->lanes;
            if (e == RS__BF16)
                ((uint16_t *)planes)[at] = bf16_of(values[p * CHANNELS + c]);
            else
                ((float *)planes)[at] = values[p * CHANNELS + c];
        }
}

static void from_planes(const struct rs__kernels *k, enum rs__element e, const void *planes, float *values,
                        size_t pixels)
{
    for (size_t p = 0; p < pixels; p++)
        for (size_t c = 0; c < CHANNELS; c++) {
            size_t at = (c / k->lanes * pixels + p) * k->lanes + c % k->lanes;
            uint32_t bits;
            if (e == RS__BF16)
                bits = (uint32_t)((const uint16_t *)planes)[at] << 16;
            else
                memcpy(&bits, (const float *)planes + at, sizeof bits);
            memcpy(&values[p * CHANNELS + c], &bits, sizeof bits);
        }
}

struct results { /* what one table makes of the same numbers; zeroed, so that padding compares equal */
    float moments[2][CHANNELS], sums[2][CHANNELS];
    float normalized[CELLS], dr[CELLS], dx[CELLS], added[CELLS], masked[CELLS];
    float max[CELLS], max_grad[CELLS], avg[CELLS], avg_grad[CELLS];
    float adam[3][CHANNELS * 4], sgd[2][CHANNELS * 4];
};

/* rows of whole cache lines, which the kernels demand */
static _Alignas(64) float inputs[4][(CELLS + 15) / 16 * 16];
static float vectors[5][CHANNELS];

struct work { /* planes of one table */
    float x[CELLS] ALIGNED, r[CELLS] ALIGNED, dy[CELLS] ALIGNED, z[CELLS] ALIGNED, out[CELLS] ALIGNED,
        out2[CELLS] ALIGNED, scratch[CELLS] ALIGNED, small[CELLS] ALIGNED;
    uint16_t index[CELLS] ALIGNED;
    float sums[2 * CHANNELS] ALIGNED, vectors[5][CHANNELS] ALIGNED;
};

static void *at(void *base, const struct rs__kernels *k, enum rs__element e, size_t block, size_t pixels)
{
    return (char *)base + block * pixels * k->lanes * (e == RS__BF16 ? 2 : 4);
}

static void run_norms(const struct rs__kernels *k, enum rs__element e, struct work *w, struct results *out)
{
    const struct rs__element_kernels *f = &k->of[e];
    for (size_t b = 0; b < CHANNELS / k->lanes; b++) {
        const size_t c = b * k->lanes;
        f->moments(at(w->x, k, e, b, PIXELS), PIXELS, w->sums, w->sums + k->lanes);
        memcpy(out->moments[0] + c, w->sums, k->lanes * sizeof(float));
        memcpy(out->moments[1] + c, w->sums + k->lanes, k->lanes * sizeof(float));
        const struct rs__normalize n = {at(w->x, k, e, b, PIXELS),
                                        at(w->r, k, e, b, PIXELS),
                                        at(w->out, k, e, b, PIXELS),
                                        w->vectors[0] + c,
                                        w->vectors[1] + c,
                                        1,
                                        1};
        f->normalize(&n, PIXELS);
    }
    from_planes(k, e, w->out, out->normalized, PIXELS);
    for (size_t b = 0; b < CHANNELS / k->lanes; b++) {
        const size_t c = b * k->lanes;
        const struct rs__norm_grad g = {at(w->x, k, e, b, PIXELS),
                                        {at(w->dy, k, e, b, PIXELS), at(w->r, k, e, b, PIXELS)},
                                        at(w->z, k, e, b, PIXELS),
                                        at(w->out2, k, e, b, PIXELS),
                                        at(w->out, k, e, b, PIXELS),
                                        w->vectors[0] + c,
                                        w->vectors[1] + c,
                                        w->vectors[2] + c,
                                        w->vectors[3] + c,
                                        w->vectors[4] + c,
                                        1};
        f->norm_grad_sums(&g, PIXELS, w->sums);
        memcpy(out->sums[0] + c, w->sums, k->lanes * sizeof(float));
        memcpy(out->sums[1] + c, w->sums + k->lanes, k->lanes * sizeof(float));
        f->norm_grad(&g, PIXELS);
    }
    from_planes(k, e, w->out2, out->dr, PIXELS);
    from_planes(k, e, w->out, out->dx, PIXELS);
}

static void run_pools(const struct rs__kernels *k, enum rs__element e, struct work *w, struct results *out)
{
    const struct rs__element_kernels *f = &k->of[e];
    const struct rs__pool pool = {SIDE, SIDE, 4, 4, 3, 2};
    for (size_t b = 0; b < CHANNELS / k->lanes; b++) {
        const void *dy[2] = {at(w->dy, k, e, b, 16), at(w->r, k, e, b, 16)};
        f->max_pool(&pool, at(w->x, k, e, b, PIXELS), at(w->small, k, e, b, 16), w->index);
        f->max_pool_grad(&pool, dy, w->index, at(w->out, k, e, b, PIXELS), w->scratch);
    }
    from_planes(k, e, w->small, out->max, 16);
    from_planes(k, e, w->out, out->max_grad, PIXELS);
    for (size_t b = 0; b < CHANNELS / k->lanes; b++) {
        const void *dy[2] = {at(w->dy, k, e, b, 16), NULL};
        f->avg_pool(&pool, at(w->x, k, e, b, PIXELS), at(w->small, k, e, b, 16));
        f->avg_pool_grad(&pool, dy, at(w->out, k, e, b, PIXELS), w->scratch);
    }
    from_planes(k, e, w->small, out->avg, 16);
    from_planes(k, e, w->out, out->avg_grad, PIXELS);
}

static void run_pointwise(const struct rs__kernels *k, enum rs__element e, struct work *w,
                          struct results *out)
{
    const struct rs__adam a = {0.9f, 0.999f, 1e-8f, 0.01f, 0.1f, 0.001f, 0.01f, 3.0f};
    k->of[e].add(w->x, w->r, w->out, PIXELS * CHANNELS / k->lanes, 1);
    from_planes(k, e, w->out, out->added, PIXELS);
    k->of[e].mask(w->x, w->r, w->z, w->out, PIXELS * CHANNELS / k->lanes);
    from_planes(k, e, w->out, out->masked, PIXELS);
    for (int i = 0; i < 3; i++)
        memcpy(w->out + i * 64, inputs[i], sizeof out->adam[i]);
    for (int i = 0; i < 64; i++)
        w->out[128 + i] = fabsf(w->out[128 + i]);
    k->adam(&a, w->out, inputs[3], w->out + 64, w->out + 128, 64);
    memcpy(out->adam, w->out, sizeof out->adam);
    k->sgd(0.1f, 0.9f, 0.01f, w->out, inputs[3], w->out + 64, 64);
    memcpy(out->sgd, w->out, sizeof out->sgd);
}

static void run_all(const struct rs__kernels *k, enum rs__element e, struct results *out)
{
    static struct work w;
    memset(out, 0, sizeof *out);
    memset(&w, 0, sizeof w);
    to_planes(k, e, inputs[0], w.x, PIXELS);
    to_planes(k, e, inputs[1], w.r, PIXELS);
    to_planes(k, e, inputs[2], w.dy, PIXELS);
    to_planes(k, e, inputs[3], w.z, PIXELS);
    memcpy(w.vectors, vectors, sizeof vectors);
    run_norms(k, e, &w, out);
    run_pointwise(k, e, &w, out);
    to_planes(k, e, inputs[1], w.r, 16);
    to_planes(k, e, inputs[2], w.dy, 16);
    run_pools(k, e, &w, out);
}

static void test_tables_agree(void **state)
{
    (void)state;
    static struct results generic, other;
    for (uint32_t i = 0; i < 4; i++)
        fill(inputs[i], CELLS, i);
    for (uint32_t i = 0; i < 5; i++)
        fill(vectors[i], CHANNELS, 10 + i);
    for (enum rs__element e = RS__F32; e < RS__ELEMENTS; e++) {
        run_all(rs__kernels_of(RS__ISA_GENERIC), e, &generic);
        for (enum rs__isa isa = RS__ISA_AVX2; isa <= RS__ISA_AVX512; isa++) {
            if (!can_run(isa)) {
                print_message("%s: this machine can't run it\n", rs__kernels_of(isa)->name);
                continue;
            }
            run_all(rs__kernels_of(isa), e, &other);
            assert_memory_equal(&generic, &other, sizeof generic);
        }
    }
}

/* bf16 stored in 16 bits and bf16 values held in 32 give the same numbers. */
static void test_wide_is_bf16(void **state)
{
    (void)state;
    static struct results narrow, wide;
    for (uint32_t i = 0; i < 4; i++)
        fill(inputs[i], CELLS, 20 + i);
    for (uint32_t i = 0; i < 5; i++)
        fill(vectors[i], CHANNELS, 30 + i);
    run_all(rs__kernels_of(RS__ISA_GENERIC), RS__BF16, &narrow);
    run_all(rs__kernels_of(RS__ISA_GENERIC), RS__WIDE, &wide);
    assert_memory_equal(&narrow, &wide, sizeof narrow);
}

/* Ties go to the even neighbour; NaN and infinity stay; ReLU lets NaN through. */
static void test_rounding(void **state)
{
    (void)state;
    const float from[8] = {1.00390625f, 1.01171875f, -1.00390625f, 3.4e38f, INFINITY, NAN, 0.0f, 1.0f};
    const float want[8] = {1.0f, 1.015625f, -1.0f, INFINITY, INFINITY, 0, 0.0f, 1.0f};
    float to[8];
    for (enum rs__isa isa = RS__ISA_GENERIC; isa <= RS__ISA_AVX512; isa++) {
        const struct rs__kernels *k = rs__kernels_of(isa);
        float plane[RS__LANES_MAX] ALIGNED = {NAN, -1.0f, 2.0f}, out[RS__LANES_MAX] ALIGNED;
        if (!can_run(isa))
            continue;
        k->round(from, to, 8);
        for (int i = 0; i < 8; i++)
            assert_true(i == 5 ? isnan(to[i]) : to[i] == want[i]);
        k->of[RS__F32].add(plane, NULL, out, 1, 1);
        assert_true(isnan(out[0]) && out[1] == 0.0f && out[2] == 2.0f);
    }
}

/* The tiles of weight copies: every value is where the layout says. */
static void test_packing(void **state)
{
    (void)state;
    static float from[16 * 24], f32[2][256];
    static uint16_t halves[2][256];
    fill(from, 16 * 24, 3);
    for (enum rs__isa isa = RS__ISA_GENERIC; isa <= RS__ISA_AVX512; isa++) {
        const struct rs__kernels *k = rs__kernels_of(isa);
        if (!can_run(isa))
            continue;
        k->pack_f32(from, 24, f32[0], f32[1], 0);
        k->pack_bf16(from, 24, halves[0], halves[1]);
        for (int i = 0; i < 16; i++)
            for (int o = 0; o < 16; o++) {
                float value = from[i * 24 + o];
                assert_true(f32[0][i * 16 + o] == value && f32[1][o * 16 + i] == value);
                assert_int_equal(halves[0][i / 2 * 32 + o * 2 + i % 2], bf16_of(value));
                assert_int_equal(halves[1][o / 2 * 32 + i * 2 + o % 2], bf16_of(value));
            }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tables_agree),
        cmocka_unit_test(test_wide_is_bf16),
        cmocka_unit_test(test_rounding),
        cmocka_unit_test(test_packing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
