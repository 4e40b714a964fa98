/* test_alloc.c: alignment, overflow, the counters, and buffers. */
#include "alloc.h"
#include "support.h"

static void test_aligned_and_counted(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 63, 64, 65, 4096, 1000003};
    uint64_t count = rs_alloc_count(), bytes = rs_alloc_bytes();
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        uint8_t *block = rs_alloc(sizes[i]);
        assert_non_null(block);
        assert_int_equal((uintptr_t)block % 64, 0);
        memset(block, 1, sizes[i]);
        assert_true(rs_alloc_bytes() >= bytes + sizes[i]);
        rs_free(block);
    }
    assert_int_equal(rs_alloc_count() - count, sizeof sizes / sizeof sizes[0]);
    assert_int_equal(rs_alloc_bytes(), bytes);
    rs_free(NULL);
    assert_int_equal(rs_alloc_bytes(), bytes);
}

static void test_calloc_zeroes(void **state)
{
    (void)state;
    for (int round = 0; round < 3; round++) { /* what the C library gives again has been written to */
        uint8_t *block = rs_calloc(7, 100);
        assert_non_null(block);
        assert_int_equal((uintptr_t)block % 64, 0);
        for (int i = 0; i < 700; i++)
            assert_int_equal(block[i], 0);
        memset(block, 0xff, 700);
        rs_free(block);
    }
    void *nothing = rs_calloc(0, 100); /* a block all the same */
    assert_non_null(nothing);
    rs_free(nothing);
}

static void test_overflow_is_no_memory(void **state)
{
    (void)state;
    uint64_t count = rs_alloc_count(), bytes = rs_alloc_bytes();
    assert_null(rs_calloc(SIZE_MAX / 2, 3));
    assert_null(rs_calloc(SIZE_MAX / 2 + 1, 2)); /* the product's low half is 0 */
    assert_null(rs_calloc(2, SIZE_MAX / 2 + 17));
    assert_null(rs_alloc(SIZE_MAX));
    assert_null(rs_alloc(SIZE_MAX - 63));
    assert_int_equal(rs_alloc_count(), count);
    assert_int_equal(rs_alloc_bytes(), bytes);
}

/* Each block is counted from its making to its end. */
static void test_bytes_of_many_blocks(void **state)
{
    (void)state;
    enum { BLOCKS = 50 };
    void *blocks[BLOCKS];
    uint64_t count = rs_alloc_count(), bytes = rs_alloc_bytes(), before = bytes, sum = 0;
    for (size_t i = 0; i < BLOCKS; i++) {
        size_t size = i * 129 + 1;
        blocks[i] = i % 2 ? rs_alloc(size) : rs_calloc(size, 1);
        assert_non_null(blocks[i]);
        sum += size;
        assert_int_equal(rs_alloc_count() - count, i + 1);
        assert_true(rs_alloc_bytes() - before >= size && rs_alloc_bytes() - before < size + 256);
        before = rs_alloc_bytes();
    }
    assert_true(rs_alloc_bytes() - bytes >= sum);
    for (size_t i = 0; i < BLOCKS; i += 2)
        rs_free(blocks[i]);
    assert_true(rs_alloc_bytes() < before && rs_alloc_bytes() > bytes);
    for (size_t i = 1; i < BLOCKS; i += 2)
        rs_free(blocks[i]);
    assert_int_equal(rs_alloc_bytes(), bytes);
    assert_int_equal(rs_alloc_count() - count, BLOCKS); /* made, ever */
}

static void test_buffer_grows_only(void **state)
{
    (void)state;
    struct rs_buffer buffer = {0};
    struct rs_error err;
    assert_int_equal(rs_buffer_reserve(&buffer, 100, &err), 0);
    uint8_t *data = buffer.data;
    uint64_t count = rs_alloc_count();
    assert_int_equal(rs_buffer_reserve(&buffer, 50, &err), 0);
    assert_int_equal(rs_buffer_reserve(&buffer, 100, &err), 0);
    assert_ptr_equal(buffer.data, data);
    assert_int_equal(rs_alloc_count(), count);
    assert_int_equal(rs_buffer_reserve(&buffer, 101, &err), 0);
    assert_int_equal(rs_alloc_count(), count + 1);
    assert_true(buffer.capacity >= 101);
    assert_int_equal(rs_buffer_reserve(&buffer, SIZE_MAX, &err), RS_E_NOMEM);
    assert_null(buffer.data);
    assert_int_equal(buffer.capacity, 0);
    rs_buffer_free(&buffer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_aligned_and_counted),   cmocka_unit_test(test_calloc_zeroes),
        cmocka_unit_test(test_overflow_is_no_memory), cmocka_unit_test(test_bytes_of_many_blocks),
        cmocka_unit_test(test_buffer_grows_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
