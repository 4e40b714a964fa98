/* test_ring.c: each kind alone: full, empty, wrapping of cells and of the 32-bit counters, order by number.
 */
#include "ring.h"
#include "support.h"

static struct rs_ring *make(enum rs_ring_kind kind, uint32_t capacity, uint64_t first)
{
    struct rs_ring *ring = NULL;
    assert_int_equal(rs_ring_create(&ring, kind, capacity, first, NULL), 0);
    return ring;
}

static void test_capacity(void **state)
{
    (void)state;
    static const uint32_t wanted[] = {0, 1, 2, 3, 4, 5, 1000, 1024, 1025};
    static const uint32_t given[] = {2, 2, 2, 4, 4, 8, 1024, 1024, 2048};
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        struct rs_ring *ring = make(RS_RING_MPMC, wanted[i], 0);
        assert_int_equal(rs_ring_capacity(ring), given[i]);
        rs_ring_destroy(ring);
    }
    struct rs_ring *ring;
    struct rs_error err = {0};
    assert_int_equal(rs_ring_create(&ring, RS_RING_SPSC, (1u << 24) + 1, 0, &err), RS_E_LIMIT);
    assert_non_null(strstr(err.message, "16777217"));
    rs_ring_destroy(NULL);
}

/* Fills and empties in steps of every size, across the borders of cells and counters. */
static void fill_and_empty(enum rs_ring_kind kind, uint32_t capacity, uint64_t first)
{
    struct rs_ring *ring = make(kind, capacity, first);
    uint32_t cells = rs_ring_capacity(ring), in = 0, out = 0, value = 0;
    for (uint32_t step = 1; step <= cells; step++) {
        for (int lap = 0; lap < 3; lap++) {
            for (uint32_t i = 0; i < step; i++)
                assert_int_equal(rs_ring_push(ring, in++ * 2654435761u), 0);
            assert_int_equal(rs_ring_length(ring), step);
            if (step == cells)
                assert_int_equal(rs_ring_push(ring, 1), RS_AGAIN);
            for (uint32_t i = 0; i < step; i++) {
                assert_int_equal(rs_ring_pop(ring, &value), 0);
                assert_int_equal(value, out++ * 2654435761u);
            }
            assert_int_equal(rs_ring_pop(ring, &value), RS_AGAIN);
            assert_int_equal(rs_ring_length(ring), 0);
        }
    }
    rs_ring_destroy(ring);
}

static void test_fill_and_empty(void **state)
{
    (void)state;
    static const uint64_t starts[] = {0, 1, 0x7fffffffu - 20, 0xffffffffu, 0xffffffffu - 1, 0xffffffffu - 37};
    for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++) {
        for (uint32_t capacity = 2; capacity <= 16; capacity *= 2) {
            fill_and_empty(RS_RING_SPSC, capacity, starts[i]);
            fill_and_empty(RS_RING_MPMC, capacity, starts[i]);
        }
    }
}

static void test_ordered_by_number(void **state)
{
    (void)state;
    static const uint64_t starts[] = {
        0, 5, UINT32_MAX - 9, UINT64_C(1) << 32, (UINT64_C(7) << 32) - 3, UINT64_C(0x123456789ffffff0)};
    for (size_t k = 0; k < sizeof starts / sizeof starts[0]; k++) {
        uint64_t first = starts[k];
        struct rs_ring *ring = make(RS_RING_ORDERED, 8, first);
        uint32_t value = 0;
        for (uint64_t lap = 0; lap < 10; lap++, first += 8) {
            /* backwards, so that nothing is to be had until the last */
            for (uint64_t i = 8; i-- > 0;) {
                assert_int_equal(rs_ring_pop(ring, &value), RS_AGAIN);
                assert_int_equal(rs_ring_publish(ring, first + i, (uint32_t)(first + i) ^ 0xabcd), 0);
            }
            assert_int_equal(rs_ring_length(ring), 8);
            assert_int_equal(rs_ring_publish(ring, first + 8, 0), RS_AGAIN);
            for (uint64_t i = 0; i < 8; i++) {
                assert_int_equal(rs_ring_pop(ring, &value), 0);
                assert_int_equal(value, (uint32_t)(first + i) ^ 0xabcd);
            }
            assert_int_equal(rs_ring_pop(ring, &value), RS_AGAIN);
            assert_int_equal(rs_ring_length(ring), 0);
        }
        rs_ring_destroy(ring);
    }
}

/* A gap holds back what is behind it, not what is before it. */
static void test_ordered_gap(void **state)
{
    (void)state;
    struct rs_ring *ring = make(RS_RING_ORDERED, 4, 100);
    uint32_t value = 0;
    assert_int_equal(rs_ring_publish(ring, 100, 0), 0);
    assert_int_equal(rs_ring_publish(ring, 102, 2), 0);
    assert_int_equal(rs_ring_pop(ring, &value), 0);
    assert_int_equal(value, 0);
    assert_int_equal(rs_ring_pop(ring, &value), RS_AGAIN);
    assert_int_equal(rs_ring_publish(ring, 104, 4), 0); /* the cell of 100, free again */
    assert_int_equal(rs_ring_publish(ring, 105, 5), RS_AGAIN);
    assert_int_equal(rs_ring_publish(ring, 101, 1), 0);
    for (uint32_t wanted = 1; wanted <= 2; wanted++) {
        assert_int_equal(rs_ring_pop(ring, &value), 0);
        assert_int_equal(value, wanted);
    }
    assert_int_equal(rs_ring_pop(ring, &value), RS_AGAIN);
    rs_ring_destroy(ring);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_capacity),
        cmocka_unit_test(test_fill_and_empty),
        cmocka_unit_test(test_ordered_by_number),
        cmocka_unit_test(test_ordered_gap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
