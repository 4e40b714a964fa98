/* test_read_times.c: what the read stage counts as work, as waiting for bytes and as waiting for a slot.
 *
 * The clock is the test's: it stands still but for what the test adds, to each start of a read, to each read,
 * and while the consumer holds every slot. So the sums are known exactly, and time that is lost or counted
 * twice shows. The linker hands over the calls (--wrap).
 */
#include "clock.h"
#include "input.h"
#include "scene.h"

#include "../pipeline/support.h"

#include <pthread.h>
#include <stdatomic.h>

#define START_NS UINT64_C(7)
#define READ_NS UINT64_C(1000)
#define HOLD_NS UINT64_C(1000000)

/* More than the loop has open at a time, so that a batch's reads don't all end at once. */
#define BATCH 80u
#define SAMPLES (6 * BATCH)

static struct scene cifar, png;

struct line {
    struct rs_run *run;
    struct rs_loop *loop;
    struct rs_source *source;
    struct rs_schedule schedule;
    struct rs_input *input;
    struct rs_consumer *consumer;
    /* the consumer's */
    struct rs_slot *held[RS_SLOTS_MAX];
    uint32_t slots, held_count;
    uint64_t received, rounds;
};

/* Shared; each pairs with itself, the clock's add also with its load. */
static atomic_uint_fast64_t clock_ns, taken, looked_in_vain_at, reads;
static atomic_uint_fast64_t reads_ended;
static atomic_bool hold_reads;
/* the loop's thread's own */
static bool looked_in_vain;
static void (*read_done)(struct rs_file_read *read, int code, const struct rs_error *error);

uint64_t __wrap_rs_now_ns(void);
int __real_rs_pool_try_take(struct rs_pool *pool, struct rs_slot **slot);
int __wrap_rs_pool_try_take(struct rs_pool *pool, struct rs_slot **slot);
void __real_rs_loop_read(struct rs_loop *loop, struct rs_file_read *read);
void __wrap_rs_loop_read(struct rs_loop *loop, struct rs_file_read *read);

/* The first call after a look in vain, on the loop's thread, is the one that ends the read stage's turn. */
uint64_t __wrap_rs_now_ns(void)
{
    uint64_t now = atomic_load(&clock_ns);
    if (gettid() == getpid() && looked_in_vain) {
        looked_in_vain = false;
        atomic_store(&looked_in_vain_at, atomic_load(&taken));
    }
    return now;
}

int __wrap_rs_pool_try_take(struct rs_pool *pool, struct rs_slot **slot)
{
    int code = __real_rs_pool_try_take(pool, slot);
    if (code == 0)
        atomic_fetch_add(&taken, 1);
    looked_in_vain = code == RS_AGAIN;
    return code;
}

static void timed_done(struct rs_file_read *read, int code, const struct rs_error *error)
{
    atomic_fetch_add(&clock_ns, READ_NS);
    atomic_fetch_add(&reads_ended, 1);
    read_done(read, code, error);
    while (atomic_load(&hold_reads))
        sched_yield();
}

/* Not the reads that load a packed file before the first batch. */
void __wrap_rs_loop_read(struct rs_loop *loop, struct rs_file_read *read)
{
    if (atomic_load(&taken)) {
        atomic_fetch_add(&clock_ns, START_NS);
        atomic_fetch_add(&reads, 1);
        read_done = read->done;
        read->done = timed_done;
    }
    __real_rs_loop_read(loop, read);
}

/* Once the stage has looked in vain for a slot after so many that it took, and its turn has ended. */
static void wait_for_look(uint64_t after)
{
    while (atomic_load(&looked_in_vain_at) < after)
        sched_yield();
}

/* Each is taken before the next one comes. The second comes when one of the first one's reads has ended, and
 * others have not. */
static void give_back_one_by_one(struct line *l)
{
    uint64_t left = l->schedule.end - l->received, started = atomic_load(&reads), ended = started;
    atomic_store(&hold_reads, l->held_count > 1 && left > 1);
    for (uint64_t given = 1; l->held_count; given++) {
        rs_pool_give_back(rs_input_slots(l->input), l->held[--l->held_count]);
        if (given == 2)
            atomic_store(&hold_reads, false);
        if (given < left)
            wait_for_look(l->received + given);
        while (atomic_load(&hold_reads) && atomic_load(&reads) > started &&
               atomic_load(&reads_ended) == ended)
            sched_yield();
    }
}

/* Keeps slots until it has all of them, so that the read stage has none; then time passes. */
static int hold_all(void *self, struct rs_slot *slot, uint64_t waited_ns, struct rs_error *err)
{
    struct line *l = self;
    (void)waited_ns;
    (void)err;
    l->received++;
    rs_slot_hand_over(slot, RS_SLOT_READY, "hold");
    l->held[l->held_count++] = slot;
    if (l->received < l->schedule.end && l->held_count < l->slots)
        return 0;
    if (l->received < l->schedule.end) {
        wait_for_look(l->received);
        atomic_fetch_add(&clock_ns, HOLD_NS);
        l->rounds++;
    }
    give_back_one_by_one(l);
    return 0;
}

static int build(struct line *l, const struct scene *s, uint32_t epochs, struct rs_error *err)
{
    RS_TRY(rs_source_open(&l->source, s->data, RS_SPLIT_TRAIN, err));
    l->schedule = (struct rs_schedule){.train_count = rs_source_count(l->source),
                                       .batch_size = BATCH,
                                       .eval_batch_size = BATCH,
                                       .epochs = epochs,
                                       .shuffle = true};
    rs_schedule_init(&l->schedule);
    RS_TRY(rs_run_create(&l->run, err));
    RS_TRY(rs_loop_create(&l->loop, l->run, err));
    struct rs_input_options input = {
        .run = l->run,
        .loop = l->loop,
        .schedule = &l->schedule,
        .sources = {l->source, NULL},
        .slots = l->slots,
        .placement = rs_planner_place(RS_FUSE_AUTO, RS_IMAGE_STAGES, 2, 2, BATCH, false),
        .image_size = 32,
        .max_pixels = 1 << 20,
    };
    RS_TRY(rs_input_create(&l->input, &input, err));
    struct rs_consumer_options consumer = {.run = l->run,
                                           .loop = l->loop,
                                           .ready = rs_input_ready(l->input),
                                           .slots = rs_input_slots(l->input),
                                           .name = "hold",
                                           .batch = hold_all,
                                           .self = l};
    RS_TRY(rs_consumer_create(&l->consumer, &consumer, err));
    return rs_input_work(l->input, l->consumer, err);
}

/* Runs so many epochs; gives the read stage's figures. */
static struct rs_stage_figures run(struct line *l, const struct scene *s, uint32_t epochs)
{
    struct rs_named_figures figures[RS_INPUT_STAGES_MAX] = {0};
    struct rs_error err = {0};
    atomic_store(&clock_ns, 1000);
    atomic_store(&taken, 0);
    atomic_store(&looked_in_vain_at, 0);
    atomic_store(&reads, 0);
    atomic_store(&reads_ended, 0);
    if (build(l, s, epochs, &err) < 0)
        fail_msg("%s", err.message);
    rs_input_figures(l->input, figures);
    assert_int_equal(l->received, l->schedule.end);
    rs_consumer_destroy(l->consumer);
    rs_loop_destroy(l->loop);
    rs_input_destroy(l->input);
    rs_run_destroy(l->run);
    rs_source_destroy(l->source);
    assert_string_equal(figures[0].name, "read");
    assert_int_equal(figures[0].figures.batches, l->schedule.end);
    assert_int_equal(figures[0].figures.samples, epochs * l->schedule.train_count);
    assert_int_equal(figures[0].figures.threads, 1);
    return figures[0].figures;
}

/* Bytes from memory: the stage waits for slots and for nothing else. */
static void test_from_memory(void **state)
{
    (void)state;
    for (uint32_t slots = 1; slots <= 4; slots++) {
        struct line l = {.slots = slots};
        struct rs_stage_figures f = run(&l, &cifar, 2);
        assert_int_equal(atomic_load(&reads), 0);
        assert_true(l.rounds >= 2);
        assert_int_equal(f.wait_slot_ns, l.rounds * HOLD_NS);
        assert_int_equal(f.wait_input_ns, 0);
        assert_int_equal(f.busy_ns, 0);
    }
}

/* The first epoch's bytes come from the disk: slots that were all being read are waited for once they have
 * been read. */
static void test_from_disk(void **state)
{
    (void)state;
    for (uint32_t slots = 1; slots <= 4; slots++) {
        struct line l = {.slots = slots};
        struct rs_stage_figures f = run(&l, &png, 2);
        uint64_t count =
            atomic_load(&reads); /* the next epoch's first batches may read what is still loading */
        assert_true(count == l.schedule.train_count || (count > l.schedule.train_count && slots > 1));
        assert_true(l.rounds >= 2);
        assert_int_equal(f.wait_slot_ns, l.rounds * HOLD_NS);
        /* a start is work and no waiting, though reads are in flight */
        assert_int_equal(f.busy_ns, count * START_NS);
        assert_int_equal(f.wait_input_ns, count * READ_NS);
    }
}

static int begin(void **state)
{
    (void)state;
    if (!to_one_core())
        return 1;
    scene_begin(&cifar, RS_SYNTH_CIFAR10, SAMPLES, 20);
    scene_begin(&png, RS_SYNTH_PNG, SAMPLES, 20);
    return 0;
}

static int end(void **state)
{
    (void)state;
    scene_end(&cifar);
    scene_end(&png);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_from_memory),
        cmocka_unit_test(test_from_disk),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
