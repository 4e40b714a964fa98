/* test_slot.c: the pool of slots, tickets, and in debug builds the owners. */
#include "slot.h"
#include "support.h"

static void count_up(void *arg)
{
    ++*(int *)arg;
}

static void test_take_and_give_back(void **state)
{
    (void)state;
    struct rs_run *run;
    struct rs_pool *pool;
    struct rs_slot *slots[5], *none;
    int heard = 0;
    assert_int_equal(rs_run_create(&run, NULL), 0);
    assert_int_equal(rs_pool_create(&pool, run, 5, NULL), 0);
    rs_pool_listen(pool, count_up, &heard);
    assert_int_equal(rs_pool_count(pool), 5);
    for (int round = 0; round < 3; round++) {
        uint32_t seen = 0;
        for (int i = 0; i < 5; i++) {
            assert_int_equal(rs_pool_free_count(pool), 5 - i);
            assert_int_equal(rs_pool_try_take(pool, &slots[i]), 0);
            rs_slot_hand_over(slots[i], NULL, "read");
            assert_ptr_equal(rs_pool_slot(pool, slots[i]->index), slots[i]);
            seen |= 1u << slots[i]->index;
        }
        assert_int_equal(seen, 31);
        assert_int_equal(rs_pool_try_take(pool, &none), RS_AGAIN);
        for (int i = 4; i >= 0; i--)
            rs_pool_give_back(pool, slots[i]);
    }
    assert_int_equal(heard, 15);
    rs_pool_destroy(pool);
    rs_pool_destroy(NULL);
    rs_run_destroy(run);
}

static void test_limits(void **state)
{
    (void)state;
    struct rs_run *run;
    struct rs_pool *pool;
    struct rs_error err = {0};
    assert_int_equal(rs_run_create(&run, NULL), 0);
    assert_int_equal(rs_pool_create(&pool, run, 0, &err), RS_E_USAGE);
    assert_int_equal(rs_pool_create(&pool, run, RS_SLOTS_MAX + 1, &err), RS_E_USAGE);
    assert_non_null(strstr(err.message, "65"));
    assert_int_equal(rs_pool_create(&pool, run, RS_SLOTS_MAX, &err), 0);
    rs_pool_destroy(pool);
    rs_run_destroy(run);
}

static void test_tickets(void **state)
{
    (void)state;
    for (uint32_t s = 0; s < RS_SLOTS_MAX; s++) {
        for (uint32_t c = 0; c < RS_CHUNKS_MAX; c += 195) {
            struct rs_slot slot = {.index = s};
            uint32_t ticket = rs_ticket(&slot, c);
            assert_int_equal(rs_ticket_slot(ticket), s);
            assert_int_equal(rs_ticket_chunk(ticket), c);
            assert_int_not_equal(ticket, RS_TOKEN_END);
        }
    }
}

/* What the pool of two slots is used for in the children below. */
static struct rs_slot *taken_slot(struct rs_pool **pool)
{
    struct rs_run *run;
    struct rs_slot *slot = NULL;
    if (rs_run_create(&run, NULL) == 0 && rs_pool_create(pool, run, 2, NULL) == 0)
        rs_pool_try_take(*pool, &slot);
    return slot;
}

static void hand_over_out_of_turn(void)
{
    struct rs_pool *pool = NULL;
    struct rs_slot *slot = taken_slot(&pool);
    if (!slot)
        return;
    rs_slot_hand_over(slot, NULL, "read");
    rs_slot_hand_over(slot, "decode", "resize");
}

static void give_back_twice(void)
{
    struct rs_pool *pool = NULL;
    struct rs_slot *slot = taken_slot(&pool);
    if (!slot)
        return;
    rs_slot_hand_over(slot, NULL, "read");
    rs_pool_give_back(pool, slot);
    rs_pool_give_back(pool, slot);
}

static void hand_over_a_free_slot(void)
{
    struct rs_pool *pool = NULL;
    struct rs_slot *slot = taken_slot(&pool);
    if (!slot)
        return;
    rs_slot_hand_over(slot, NULL, "read");
    rs_pool_give_back(pool, slot);
    rs_slot_hand_over(slot, "read", "resize");
}

/* Nobody gave it back, and it is on the free list: the next taker finds its owner. */
static void take_what_is_owned(void)
{
    struct rs_pool *pool = NULL;
    struct rs_slot *slot = taken_slot(&pool);
    if (!slot)
        return;
    struct rs_slot *other = rs_pool_slot(pool, 1 - slot->index);
    rs_slot_hand_over(other, NULL, "thief");
    rs_pool_try_take(pool, &slot);
}

static void give_back_untaken(void)
{
    struct rs_pool *pool = NULL;
    struct rs_slot *slot = taken_slot(&pool);
    if (slot)
        rs_pool_give_back(pool, slot); /* without having named itself */
}

static void ask_for_a_third_slot(void)
{
    struct rs_pool *pool = NULL;
    if (taken_slot(&pool))
        rs_pool_slot(pool, 2);
}

static void test_index_is_checked(void **state)
{
    (void)state;
    static const char *const words[] = {"index < pool->count", NULL};
    assert_true(aborts_saying(ask_for_a_third_slot, words));
}

static void hand_over_in_turn(void)
{
    struct rs_pool *pool = NULL;
    struct rs_slot *slot = taken_slot(&pool);
    if (!slot)
        abort();
    rs_slot_hand_over(slot, NULL, "read");
    rs_slot_hand_over(slot, "read", RS_SLOT_WORKERS);
    rs_slot_hand_over(slot, RS_SLOT_WORKERS, RS_SLOT_READY);
    rs_pool_give_back(pool, slot);
    if (rs_pool_try_take(pool, &slot) != 0)
        abort();
    rs_slot_hand_over(slot, NULL, "read");
}

static void test_owners(void **state)
{
    (void)state;
    static const char *const wrong_turn[] = {"'decode'", "'resize'", "'read' holds", NULL};
    static const char *const twice[] = {"'the free list' holds", NULL};
    static const char *const free_slot[] = {"'resize'", "'the free list' holds", NULL};
    static const char *const owned[] = {"'the taker'", "'thief' holds", NULL};
    static const char *const anything[] = {NULL};
    assert_false(aborts_saying(hand_over_in_turn, anything));
#ifdef RS_DEBUG
    assert_true(aborts_saying(hand_over_a_free_slot, free_slot));
    assert_true(aborts_saying(take_what_is_owned, owned));
    assert_true(aborts_saying(give_back_untaken, twice));
    assert_true(aborts_saying(hand_over_out_of_turn, wrong_turn));
    assert_true(aborts_saying(give_back_twice, twice));
#else /* release builds don't look, and don't pay */
    assert_false(aborts_saying(hand_over_out_of_turn, wrong_turn));
    (void)give_back_twice;
    (void)hand_over_a_free_slot;
    (void)take_what_is_owned;
    (void)give_back_untaken;
    (void)free_slot;
    (void)owned;
    (void)twice;
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_take_and_give_back),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_tickets),
        cmocka_unit_test(test_index_is_checked),
        cmocka_unit_test(test_owners),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
