/* test_random.c: Philox against the known answers of its authors, streams, and the permutation. */
#include "random.h"
#include "support.h"

/* From kat_vectors of the authors' Random123 library: zeros, ones, digits of pi. */
static void test_known_answers(void **state)
{
    (void)state;
    static const struct {
        uint32_t counter[4], key[2], out[4];
    } cases[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint32_t out[4];
        rs_philox4x32(cases[i].counter, cases[i].key, out);
        assert_memory_equal(out, cases[i].out, sizeof out);
    }
}

static void test_stream_is_its_key(void **state)
{
    (void)state;
    struct rs_random a, b;
    rs_random_init(&a, 1, 2, UINT64_C(3) << 32 | 4);
    rs_random_init(&b, 1, 2, UINT64_C(3) << 32 | 4);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(rs_random_u32(&a), rs_random_u32(&b));
    /* every part of the key counts */
    static const struct {
        uint64_t seed;
        uint32_t stream;
        uint64_t index;
    } others[] = {
        {1, 2, 4}, {UINT64_C(1) << 32 | 1, 2, UINT64_C(3) << 32 | 4}, {1, 3, UINT64_C(3) << 32 | 4}};
    for (size_t k = 0; k < sizeof others / sizeof others[0]; k++) {
        int same = 0;
        rs_random_init(&a, others[k].seed, others[k].stream, others[k].index);
        rs_random_init(&b, 1, 2, UINT64_C(3) << 32 | 4);
        for (int i = 0; i < 100; i++)
            same += rs_random_u32(&a) == rs_random_u32(&b);
        assert_int_equal(same, 0);
    }
}

static void test_float_is_uniform(void **state)
{
    (void)state;
    enum { DRAWS = 100000, BINS = 10 };
    struct rs_random random;
    int bins[BINS] = {0};
    rs_random_init(&random, 7, 0, 0);
    for (int i = 0; i < DRAWS; i++) {
        float x = rs_random_float(&random);
        assert_true(x >= 0.0f && x < 1.0f);
        bins[(int)(x * BINS)]++;
    }
    for (int i = 0; i < BINS; i++) /* 5 standard deviations of 95 */
        assert_in_range(bins[i], DRAWS / BINS - 475, DRAWS / BINS + 475);
}

static void test_permutation_is_a_bijection(void **state)
{
    (void)state;
    static const uint64_t large[] = {255, 256, 257, 1000, 4095, 4096, 4097, 50000, 65536, 65537};
    for (uint64_t k = 1; k < 130 + sizeof large / sizeof large[0]; k++) {
        uint64_t n = k < 130 ? k : large[k - 130];
        uint8_t *seen = calloc(n, 1);
        for (uint64_t i = 0; i < n; i++) {
            uint64_t p = rs_permute(3, 5, n, i);
            assert_true(p < n);
            assert_int_equal(seen[p]++, 0);
        }
        free(seen);
    }
}

static uint64_t common_places(uint64_t seed_a, uint32_t epoch_a, uint64_t seed_b, uint32_t epoch_b,
                              uint64_t n)
{
    uint64_t same = 0;
    for (uint64_t i = 0; i < n; i++)
        same += rs_permute(seed_a, epoch_a, n, i) == rs_permute(seed_b, epoch_b, n, i);
    return same;
}

static void test_permutations_differ(void **state)
{
    (void)state;
    /* two random permutations have one place in common on average, Poisson distributed */
    assert_true(common_places(1, 0, 1, 1, 10000) < 12);
    assert_true(common_places(1, 0, 2, 0, 10000) < 12);
    assert_true(common_places(1, 0, UINT64_C(1) << 40 | 1, 0, 10000) < 12);
    assert_int_equal(common_places(1, 4, 1, 4, 10000), 10000);
    uint64_t fixed = 0;
    for (uint64_t i = 0; i < 10000; i++)
        fixed += rs_permute(1, 0, 10000, i) == i;
    assert_true(fixed < 12);
}

/* Every order of three comes up about as often: chi-square with 5 degrees of freedom below its 99.9% point.
 */
static void test_small_permutations_are_fair(void **state)
{
    (void)state;
    enum { EPOCHS = 60000 };
    double counts[27] = {0}, chi = 0;
    int orders = 0;
    for (uint32_t e = 0; e < EPOCHS; e++)
        counts[rs_permute(9, e, 3, 0) * 9 + rs_permute(9, e, 3, 1) * 3 + rs_permute(9, e, 3, 2)]++;
    for (int i = 0; i < 27; i++) {
        if (counts[i] == 0)
            continue;
        orders++;
        chi += (counts[i] - EPOCHS / 6.0) * (counts[i] - EPOCHS / 6.0) / (EPOCHS / 6.0);
    }
    assert_int_equal(orders, 6);
    assert_true(chi < 20.5);
}

static void test_huge_set(void **state)
{
    (void)state;
    uint64_t n = (UINT64_C(1) << 62) + 12345;
    uint64_t a = rs_permute(1, 0, n, 0), b = rs_permute(1, 0, n, 1);
    assert_true(a < n && b < n && a != b);
}

/* A resumed run has to find the same order: these values are part of what a seed means. */
static void test_permutations_are_pinned(void **state)
{
    (void)state;
    static const struct {
        uint64_t seed;
        uint32_t epoch;
        uint64_t n, first[6];
    } cases[] = {
        {0, 0, 1, {0, 0, 0, 0, 0, 0}},
        {0, 0, 2, {1, 0, 1, 0, 1, 0}},
        {1, 0, 10, {6, 3, 0, 7, 5, 2}},
        {3, 5, 50000, {14239, 1972, 22206, 47113, 7266, 33863}},
        {UINT64_C(0x123456789abcdef0), 7, 1000, {225, 476, 645, 473, 861, 345}},
        {0, UINT32_MAX, 65536, {59826, 20687, 56678, 37742, 14554, 56319}},
        {42,
         1,
         UINT64_C(1) << 40,
         {486006753690, 834308616377, 17058995984, 808239294762, 465268118117, 468398925561}},
    };
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++)
        for (uint64_t i = 0; i < 6; i++)
            assert_int_equal(rs_permute(cases[k].seed, cases[k].epoch, cases[k].n, i % cases[k].n),
                             cases[k].first[i]);
}

static void test_streams_are_pinned(void **state)
{
    (void)state;
    static const uint32_t wanted[] = {0xfef52e78, 0xaaabe8b9, 0x2a59fa26, 0x7bedd7ae, 0x553611a5,
                                      0xa55ad0a7, 0xda6bd0e7, 0x130f0cc0, 0x0d8b1697};
    struct rs_random random;
    rs_random_init(&random, UINT64_C(0x1122334455667788), 9, UINT64_C(0x99aabbccddeeff00));
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
        assert_int_equal(rs_random_u32(&random), wanted[i]);
    rs_random_init(&random, 2, 0, 0);
    assert_true(rs_random_float(&random) == 0x1.b3a878p-2f);
    assert_true(rs_random_float(&random) == 0x1.fd36fcp-2f); /* the 24th bit is set */
}

/* Powers of two and their neighbors, with keys that differ in one place. */
static void test_bijection_around_powers_of_two(void **state)
{
    (void)state;
    static const struct {
        uint64_t seed;
        uint32_t epoch;
    } keys[] = {{0, 0}, {0, 1}, {1, 0}, {UINT64_C(1) << 32, 0}, {UINT64_MAX, UINT32_MAX}};
    for (uint64_t power = 2; power <= 1 << 14; power *= 2) {
        for (uint64_t n = power - 1; n <= power + 1; n++) {
            for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++) {
                uint8_t *seen = calloc(n, 1);
                uint64_t bad = 0;
                for (uint64_t i = 0; i < n; i++) {
                    uint64_t p = rs_permute(keys[k].seed, keys[k].epoch, n, i);
                    bad += p >= n || seen[p]++;
                }
                free(seen);
                assert_int_equal(bad, 0);
            }
        }
    }
}

static void permute_outside(void)
{
    rs_permute(1, 1, 10, 10);
}

static void test_outside_is_a_mistake(void **state)
{
    (void)state;
    static const char *const words[] = {"i < n", NULL};
    assert_true(aborts_saying(permute_outside, words));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_answers),
        cmocka_unit_test(test_stream_is_its_key),
        cmocka_unit_test(test_float_is_uniform),
        cmocka_unit_test(test_permutation_is_a_bijection),
        cmocka_unit_test(test_permutations_differ),
        cmocka_unit_test(test_small_permutations_are_fair),
        cmocka_unit_test(test_huge_set),
        cmocka_unit_test(test_permutations_are_pinned),
        cmocka_unit_test(test_streams_are_pinned),
        cmocka_unit_test(test_bijection_around_powers_of_two),
        cmocka_unit_test(test_outside_is_a_mistake),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
