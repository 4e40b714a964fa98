/* test_resize.c: the resizer without an oracle: paths among each other, cache, allocation, errors. */
#include "alloc.h"
#include "guarded.h"
#include "image.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct size {
    uint32_t width, height;
};

static void fill(uint8_t *to, size_t count, uint32_t seed)
{
    for (size_t i = 0; i < count; i++) {
        seed = seed * 1664525 + 1013904223;
        to[i] = (uint8_t)(seed >> 24);
    }
}

/* Resizes made-up pixels, with source and result ending at the end of memory. */
static struct guarded resized(struct rs_resizer *resizer, struct size from, struct size to, int planar)
{
    size_t count = (size_t)from.width * from.height * 3;
    struct guarded pixels = guarded_alloc(count);
    struct guarded dst = guarded_alloc((size_t)to.width * to.height * 3);
    fill(pixels.data, count, from.width * 31 + to.width);
    struct rs_resize_source src = {pixels.data, from.width, from.height, planar};
    assert_int_equal(rs_resizer_run(resizer, &src, to.width, to.height, dst.data, NULL), 0);
    guarded_free(&pixels);
    return dst;
}

static void compare(struct rs_resizer *one, struct rs_resizer *two, struct size from, struct size to)
{
    for (int planar = 0; planar < 2; planar++) {
        struct guarded a = resized(one, from, to, planar), b = resized(two, from, to, planar);
        assert_memory_equal(a.data, b.data, (size_t)to.width * to.height * 3);
        guarded_free(&a);
        guarded_free(&b);
    }
}

/* All widths to all widths around the borders of groups and vectors: a path has to equal plain C. */
static void paths_agree(void **state)
{
    (void)state;
    static const uint32_t sides[] = {1, 2, 3, 5, 15, 16, 17, 31, 33, 63, 64, 65, 96, 127, 129, 200, 321};
    const size_t count = sizeof sides / sizeof *sides;
    for (uint32_t i = 0; rs_resizer_path_at(i) != NULL; i++) {
        struct rs_resizer *scalar, *other;
        assert_int_equal(rs_resizer_create(&scalar, NULL), 0);
        assert_int_equal(rs_resizer_create(&other, NULL), 0);
        assert_int_equal(rs_resizer_use(scalar, "scalar", NULL), 0);
        if (rs_resizer_use(other, rs_resizer_path_at(i), NULL) == 0) {
            assert_string_equal(rs_resizer_path(other), rs_resizer_path_at(i));
            for (size_t a = 0; a < count; a++)
                for (size_t b = 0; b < count; b++)
                    compare(scalar, other, (struct size){sides[a], sides[b]},
                            (struct size){sides[b], sides[(a + 5) % count]});
        }
        rs_resizer_destroy(scalar);
        rs_resizer_destroy(other);
    }
}

/* A constant picture stays constant, in every size: weights that lose a unit would show. */
static void constant_stays(void **state)
{
    (void)state;
    struct rs_resizer *resizer;
    assert_int_equal(rs_resizer_create(&resizer, NULL), 0);
    for (uint32_t side = 1; side < 300; side += 7) {
        struct guarded pixels = guarded_alloc((size_t)side * 50 * 3);
        uint8_t dst[3 * 40 * 60];
        memset(pixels.data, 255, (size_t)side * 50 * 3);
        struct rs_resize_source src = {pixels.data, side, 50, 0};
        assert_int_equal(rs_resizer_run(resizer, &src, 40, 60, dst, NULL), 0);
        for (size_t i = 0; i < sizeof dst; i++)
            assert_int_equal(dst[i], 255);
        guarded_free(&pixels);
    }
    rs_resizer_destroy(resizer);
}

/* More sizes than the cache has places, twice over, in an order that pushes each out before it comes again.
 */
static void cache_survives_many_sizes(void **state)
{
    (void)state;
    struct rs_resizer *kept, *fresh;
    assert_int_equal(rs_resizer_create(&kept, NULL), 0);
    for (int round = 0; round < 2; round++) {
        for (uint32_t side = 20; side < 40; side++) {
            struct size from = {side, 60 - side}, to = {24, 30};
            assert_int_equal(rs_resizer_create(&fresh, NULL), 0);
            compare(kept, fresh, from, to);
            rs_resizer_destroy(fresh);
        }
    }
    rs_resizer_destroy(kept);
}

static void same_size_allocates_nothing(void **state)
{
    (void)state;
    struct rs_resizer *resizer;
    static uint8_t pixels[3 * 50 * 40], dst[3 * 96 * 96];
    struct rs_resize_source first = {pixels, 32, 32, 1}, second = {pixels, 50, 40, 0};
    assert_int_equal(rs_resizer_create(&resizer, NULL), 0);
    assert_int_equal(rs_resizer_run(resizer, &first, 96, 96, dst, NULL), 0);
    assert_int_equal(rs_resizer_run(resizer, &second, 96, 96, dst, NULL), 0);
    uint64_t before = rs_alloc_count();
    for (int i = 0; i < 20; i++) {
        assert_int_equal(rs_resizer_run(resizer, &first, 96, 96, dst, NULL), 0);
        assert_int_equal(rs_resizer_run(resizer, &second, 96, 96, dst, NULL), 0);
    }
    assert_int_equal(rs_alloc_count(), before);
    rs_resizer_destroy(resizer);
}

static void refuses_impossible_sides(void **state)
{
    (void)state;
    static const uint32_t sides[][4] = {{0, 5, 5, 5},     {5, 0, 5, 5},     {5, 5, 0, 5},
                                        {5, 5, 5, 0},     {65536, 1, 5, 5}, {1, 65536, 5, 5},
                                        {1, 1, 65536, 1}, {1, 1, 1, 65536}};
    struct rs_resizer *resizer;
    uint8_t pixels[75] = {0}, dst[75] = {7};
    assert_int_equal(rs_resizer_create(&resizer, NULL), 0);
    for (size_t i = 0; i < sizeof sides / sizeof *sides; i++) {
        struct rs_error err = {0};
        struct rs_resize_source src = {pixels, sides[i][0], sides[i][1], 0};
        assert_int_equal(rs_resizer_run(resizer, &src, sides[i][2], sides[i][3], dst, &err), RS_E_LIMIT);
        assert_int_equal(err.code, RS_E_LIMIT);
        assert_non_null(strstr(err.message, "1 to 65535"));
        assert_int_equal(dst[0], 7);
    }
    struct rs_resize_source good = {pixels, 5, 5, 0};
    assert_int_equal(rs_resizer_run(resizer, &good, 5, 5, dst, NULL), 0);
    rs_resizer_destroy(resizer);
}

/* The weights as a device gets them, applied as it would. */
static void table_is_the_resizer(void **state)
{
    (void)state;
    static const uint32_t widths[][2] = {{32, 96}, {96, 96}, {300, 75}, {97, 96}, {1, 3}, {500, 1}};
    uint8_t pixels[3 * 500], dst[3 * 96];
    struct rs_resizer *resizer;
    struct rs_error err = {0};
    assert_int_equal(rs_resizer_create(&resizer, &err), 0);
    for (size_t i = 0; i < sizeof pixels; i++)
        pixels[i] = (uint8_t)(i * i * 31 >> 3);
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        uint32_t in = widths[i][0], out = widths[i][1];
        struct rs_resize_source source = {pixels, in, 1, 1};
        struct rs_resize_table *t;
        assert_int_equal(rs_resizer_run(resizer, &source, out, 1, dst, &err), 0);
        assert_int_equal(rs_resize_table_create(&t, in, out, &err), 0);
        assert_int_equal(t->outputs, out);
        for (uint32_t x = 0; x < out; x++) {
            uint32_t sum = 1u << 21;
            for (uint32_t k = 0; k < t->count[x]; k++)
                sum += t->fixed[x * t->taps + k] * pixels[t->first[x] + k];
            assert_true(t->first[x] + t->count[x] <= in);
            assert_int_equal(dst[x], sum >> 22 > 255 ? 255 : sum >> 22);
        }
        rs_resize_table_destroy(t);
    }
    struct rs_resize_table *none = NULL;
    assert_int_equal(rs_resize_table_create(&none, 0, 5, &err), RS_E_LIMIT);
    assert_int_equal(rs_resize_table_create(&none, 5, 65536, &err), RS_E_LIMIT);
    assert_null(none);
    rs_resize_table_destroy(none);
    rs_resizer_destroy(resizer);
}

static void refuses_unknown_path(void **state)
{
    (void)state;
    struct rs_error err = {0};
    struct rs_resizer *resizer;
    assert_int_equal(rs_resizer_create(&resizer, NULL), 0);
    const char *before = rs_resizer_path(resizer);
    assert_int_equal(rs_resizer_use(resizer, "neon", &err), RS_E_UNSUPPORTED);
    assert_non_null(strstr(err.message, "neon"));
    assert_string_equal(rs_resizer_path(resizer), before);
    rs_resizer_destroy(resizer);
    rs_resizer_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_agree),
        cmocka_unit_test(constant_stays),
        cmocka_unit_test(cache_survives_many_sizes),
        cmocka_unit_test(same_size_allocates_nothing),
        cmocka_unit_test(refuses_impossible_sides),
        cmocka_unit_test(table_is_the_resizer),
        cmocka_unit_test(refuses_unknown_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
