/* fault_cancel.c: the whole input half, stopped at drawn points: while a packed file is loaded, with reads in
 * flight, in the middle of a batch, at its end.
 *
 * The linker hands over the calls by which the stages talk to each other (--wrap). Each is a point; at the
 * drawn one the run is cancelled, or fails, or the process gets a signal, on whatever thread is there. What
 * was consumed up to then has to be the same bits as in a run that nobody stops, and nothing may be left
 * behind.
 */
#include "alloc.h"
#include "feed.h"
#include "loop.h"
#include "random.h"
#include "scene.h"
#include "slot.h"

#include "cmocka_all.h"

#include <dirent.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define POINTS_ALL 800u
#define POINTS_SANITIZED 200u
#define SAMPLES 90u
#define BATCHES_MAX 32u

enum kind { CANCELS, FAILS, SIGNALS, KINDS };

static struct scene cifar, png;

/* Set before a run's threads start. */
static struct rs_run *run;
static enum kind kind;
static uint64_t stop_at; /* 0: never */
/* Shared, pairs with itself. */
static atomic_uint_fast64_t points;

int __real_rs_run_create(struct rs_run **out, struct rs_error *err);
int __wrap_rs_run_create(struct rs_run **out, struct rs_error *err);
void __real_rs_loop_read(struct rs_loop *loop, struct rs_file_read *read);
void __wrap_rs_loop_read(struct rs_loop *loop, struct rs_file_read *read);
void __real_rs_channel_push(struct rs_channel *channel, uint32_t value);
void __wrap_rs_channel_push(struct rs_channel *channel, uint32_t value);
void __real_rs_channel_publish(struct rs_channel *channel, uint64_t seq, uint32_t value);
void __wrap_rs_channel_publish(struct rs_channel *channel, uint64_t seq, uint32_t value);
void __real_rs_slot_hand_over(struct rs_slot *slot, const char *from, const char *to);
void __wrap_rs_slot_hand_over(struct rs_slot *slot, const char *from, const char *to);

static void point(void)
{
    struct rs_error cause;
    if (atomic_fetch_add(&points, 1) + 1 != stop_at)
        return;
    rs_error_set(&cause, RS_E_BACKEND, "stopped here");
    if (kind == CANCELS)
        rs_run_cancel(run);
    else if (kind == FAILS)
        rs_run_fail(run, "somewhere", &cause);
    else
        kill(getpid(), SIGINT);
}

int __wrap_rs_run_create(struct rs_run **out, struct rs_error *err)
{
    int code = __real_rs_run_create(out, err);
    run = *out;
    return code;
}

void __wrap_rs_loop_read(struct rs_loop *loop, struct rs_file_read *read)
{
    point();
    __real_rs_loop_read(loop, read);
}

void __wrap_rs_channel_push(struct rs_channel *channel, uint32_t value)
{
    point();
    __real_rs_channel_push(channel, value);
}

void __wrap_rs_channel_publish(struct rs_channel *channel, uint64_t seq, uint32_t value)
{
    point();
    __real_rs_channel_publish(channel, seq, value);
    point();
}

void __wrap_rs_slot_hand_over(struct rs_slot *slot, const char *from, const char *to)
{
    point();
    __real_rs_slot_hand_over(slot, from, to);
}

struct consumed {
    uint32_t batches, late;
    uint64_t hashes[BATCHES_MAX];
};

static int take(void *arg, const struct rs_feed_batch *b, struct rs_error *err)
{
    struct consumed *c = arg;
    uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a, of words */
    const uint32_t *words = (const uint32_t *)b->tensor;
    (void)err;
    for (size_t i = 0; i < (size_t)b->count * 3 * 32 * 32; i++)
        hash = (hash ^ words[i]) * 0x100000001b3u;
    for (uint32_t i = 0; i < b->count; i++)
        hash = (hash ^ (uint64_t)b->labels[i] ^ b->samples[i] << 32) * 0x100000001b3u;
    c->late += rs_run_stopped(run);
    c->hashes[c->batches++ % BATCHES_MAX] = hash;
    return 0;
}

static struct rs_training_options options(const struct scene *s)
{
    struct rs_training_options o = scene_options(s);
    o.image_size = 32;
    o.epochs = 2;
    return o;
}

static uint32_t open_files(void)
{
    uint32_t count = 0;
    DIR *folder = opendir("/proc/self/fd");
    assert_non_null(folder);
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

/* One run; the code of rs_feed_run. */
static int feed(const struct rs_training_options *o, uint64_t at, struct consumed *c, struct rs_error *err)
{
    uint64_t bytes = rs_alloc_bytes();
    uint32_t files = open_files();
    *c = (struct consumed){0};
    *err = (struct rs_error){0};
    stop_at = at;
    atomic_store(&points, 0);
    int code = rs_feed_run(o, take, c, err);
    assert_int_equal(rs_alloc_bytes(), bytes);
    assert_int_equal(open_files(), files);
    return code;
}

static void check_stopped(int code, bool whole, const struct rs_error *err)
{
    if (kind == FAILS && code < 0) {
        assert_int_equal(code, RS_E_BACKEND);
        assert_string_equal(err->message, "somewhere: stopped here");
    } else if (kind == SIGNALS && code < 0) { /* not where it came after the loop's end */
        assert_int_equal(code, RS_E_CANCELLED);
        assert_string_equal(err->message, "feed: interrupted");
    } else {
        assert_int_equal(code, 0);
        assert_true(whole || kind == CANCELS);
    }
}

static void stop_at_drawn_points(const struct scene *s, uint32_t stream)
{
    struct rs_training_options o = options(s);
    struct consumed wanted, c;
    struct rs_error err;
    uint32_t stopped = 0, at_once = 0, count = POINTS_ALL / 2;
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
    const char *sweep = getenv("RS_SWEEP");
    count = sweep && strcmp(sweep, "full") == 0 ? count : POINTS_SANITIZED / 2;
#endif
    assert_int_equal(feed(&o, 0, &wanted, &err), 0);
    assert_int_equal(wanted.batches, 2 * 6);
    uint64_t points_of_all = atomic_load(&points);
    for (uint32_t i = 0; i < count; i++) {
        struct rs_random random;
        rs_random_init(&random, 400, stream, i);
        kind = (enum kind)(i % KINDS);
        o.prefetch = 1 + rs_random_u32(&random) % 4;
        o.workers = 1 + rs_random_u32(&random) % 3;
        o.fuse = rs_random_u32(&random) % 2 ? RS_FUSE_NONE : RS_FUSE_AUTO;
        /* each third of them in the first calls, where files are loaded and nothing has come out */
        uint64_t span = i % 9 < 3 ? points_of_all / 8 : points_of_all;
        int code = feed(&o, 1 + rs_random_u32(&random) % span, &c, &err);
        check_stopped(code, c.batches == wanted.batches, &err);
        assert_true(c.batches <= wanted.batches);
        assert_true(c.late <= 1);
        assert_memory_equal(c.hashes, wanted.hashes, c.batches * sizeof c.hashes[0]);
        stopped += c.batches < wanted.batches;
        at_once += c.batches == 0;
    }
    print_message("%u runs, %u stopped before the end, %u of these before the first batch; %llu points\n",
                  count, stopped, at_once, (unsigned long long)points_of_all);
    assert_true(stopped > count / 2 && at_once > count / 20 && at_once < stopped);
}

static void test_packed_files(void **state)
{
    (void)state;
    stop_at_drawn_points(&cifar, 0);
}

static void test_image_folder(void **state)
{
    (void)state;
    stop_at_drawn_points(&png, 1);
}

static int begin(void **state)
{
    (void)state;
    scene_begin(&cifar, RS_SYNTH_CIFAR10, SAMPLES, 20);
    scene_begin(&png, RS_SYNTH_PNG, SAMPLES, 20);
    /* libuv keeps some files open from its first loop on */
    struct rs_training_options o = options(&cifar);
    struct consumed c = {0};
    return rs_feed_run(&o, take, &c, NULL);
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
        cmocka_unit_test(test_packed_files),
        cmocka_unit_test(test_image_folder),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
