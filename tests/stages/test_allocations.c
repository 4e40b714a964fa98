/* After warm-up the input half allocates nothing: neither through our allocator nor through malloc. */
#include "alloc.h"
#include "feed.h"
#include "scene.h"

#include "cmocka_all.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define COUNTS_MALLOC 0
#else
#define COUNTS_MALLOC 1
/* Counts every malloc of the process; glibc's own is behind it. */
void *__libc_malloc(size_t size);
void *malloc(size_t size);
static atomic_ulong mallocs;
void *malloc(size_t size)
{
    atomic_fetch_add_explicit(&mallocs, 1, memory_order_relaxed);
    return __libc_malloc(size);
}
#endif

/* An arena of malloc may still fill up; a leak of one decoded image a batch would be thousands. */
#define GROWTH_PAGES 256

struct watch {
    uint32_t batches, warm_up;
    uint64_t ours;
    unsigned long all;
    long resident, resident_last; /* pages */
};

static unsigned long malloc_count(void)
{
#if COUNTS_MALLOC
    return atomic_load_explicit(&mallocs, memory_order_relaxed);
#else
    return 0;
#endif
}

#if COUNTS_MALLOC
static long resident_pages(void)
{
    char text[128] = "";
    long size = 0, resident = 0;
    int fd = open("/proc/self/statm", O_RDONLY);
    assert_true(read(fd, text, sizeof text - 1) > 0);
    close(fd);
    assert_int_equal(sscanf(text, "%ld %ld", &size, &resident), 2);
    return resident;
}
#endif

static int watch(void *arg, const struct rs_feed_batch *b, struct rs_error *err)
{
    (void)b;
    (void)err;
    struct watch *w = arg;
    w->batches++;
    if (w->batches == w->warm_up) {
        w->ours = rs_alloc_count();
        w->all = malloc_count();
    } else if (w->batches > w->warm_up) {
        if (rs_alloc_count() != w->ours || malloc_count() != w->all)
            return rs_error_set(err, RS_E_LIMIT, "batch %u: %lu allocations of ours, %lu mallocs", w->batches,
                                (unsigned long)(rs_alloc_count() - w->ours), malloc_count() - w->all);
    }
    return 0;
}

static void check(const struct scene *scene, enum rs_fuse fuse)
{
    struct rs_error err = {0};
    struct rs_training_options o = scene_options(scene);
    o.epochs = 40;
    o.fuse = fuse;
    struct watch w = {.warm_up = 18}; /* three epochs of six batches: each sample was read and kept */
    if (rs_feed_run(&o, watch, &w, &err) < 0)
        fail_msg("%s", err.message);
    assert_int_equal(w.batches, 40 * 6);
#if COUNTS_MALLOC
    assert_true(w.all > 0);
#endif
    assert_true(w.ours > 0);
}

static void kept_cifar_files(void **state)
{
    (void)state;
    struct scene s;
    scene_begin(&s, RS_SYNTH_CIFAR10, 90, 20);
    check(&s, RS_FUSE_AUTO);
    check(&s, RS_FUSE_NONE);
    scene_end(&s);
}

#if COUNTS_MALLOC
static int memory_stays(void *arg, const struct rs_feed_batch *b, struct rs_error *err)
{
    (void)b;
    (void)err;
    struct watch *w = arg;
    if (++w->batches == w->warm_up)
        w->resident = resident_pages();
    w->resident_last = resident_pages();
    return 0;
}

/* libpng allocates and frees inside each decode; the process must not grow by it. */
static void a_png_folder_doesn_t_grow(void **state)
{
    (void)state;
    struct scene s;
    struct rs_error err = {0};
    scene_begin(&s, RS_SYNTH_PNG, 90, 20);
    struct rs_training_options o = scene_options(&s);
    o.epochs = 60;
    struct watch w = {.warm_up = 60};
    if (rs_feed_run(&o, memory_stays, &w, &err) < 0)
        fail_msg("%s", err.message);
    assert_int_equal(w.batches, 360);
    assert_true(w.resident_last <= w.resident + GROWTH_PAGES);
    scene_end(&s);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kept_cifar_files),
#if COUNTS_MALLOC /* a sanitizer keeps freed memory for a while */
        cmocka_unit_test(a_png_folder_doesn_t_grow),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
