/* Failures at every place of the input half: the run ends, the first error names file and stage, nothing
 * hangs. */
#include "data.h"
#include "feed.h"
#include "scene.h"

#include "cmocka_all.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static struct scene cifar, png;

struct consumer {
    uint32_t batches, fail_at, interrupt_at;
};

static int take(void *arg, const struct rs_feed_batch *b, struct rs_error *err)
{
    (void)b;
    struct consumer *c = arg;
    c->batches++;
    if (c->batches == c->interrupt_at)
        kill(getpid(), SIGINT);
    if (c->batches == c->fail_at)
        return rs_error_set(err, RS_E_BACKEND, "made to fail at batch %u", c->batches);
    return 0;
}

static void overwrite(const char *path, long offset, const void *bytes, size_t size)
{
    int fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, size, offset), size);
    close(fd);
}

static void path_in(char *path, const struct scene *s, const char *name)
{
    snprintf(path, 400, "%s/%s", s->data, name);
}

static void a_failing_consumer_ends_the_run(void **state)
{
    (void)state;
    for (uint32_t at = 1; at <= 6; at++)
        for (uint32_t prefetch = 1; prefetch <= 8; prefetch *= 8) {
            struct consumer c = {.fail_at = at};
            struct rs_error err = {0};
            struct rs_training_options o = scene_options(&cifar);
            o.prefetch = prefetch;
            o.fuse = at % 2 ? RS_FUSE_NONE : RS_FUSE_AUTO;
            assert_int_equal(rs_feed_run(&o, take, &c, &err), RS_E_BACKEND);
            assert_non_null(strstr(err.message, "feed: made to fail at batch"));
            assert_int_equal(c.batches, at);
        }
}

static void an_interrupt_ends_the_run(void **state)
{
    (void)state;
    struct consumer c = {.interrupt_at = 2};
    struct rs_error err = {0};
    struct rs_training_options o = scene_options(&cifar);
    o.epochs = 100000; /* would take minutes */
    assert_int_equal(rs_feed_run(&o, take, &c, &err), RS_E_CANCELLED);
    assert_true(c.batches >= 2);
}

static void a_label_out_of_range_names_file_and_record(void **state)
{
    (void)state;
    struct scene s;
    char path[400];
    struct consumer c = {0};
    struct rs_error err = {0};
    scene_begin(&s, RS_SYNTH_CIFAR10, 90, 20);
    path_in(path, &s, "data_batch_2.bin");
    overwrite(path, 3073 * 5, "\x0a", 1);
    for (int fuse = 0; fuse < 2; fuse++) {
        struct rs_training_options o = scene_options(&s);
        o.fuse = fuse ? RS_FUSE_NONE : RS_FUSE_AUTO;
        assert_int_equal(rs_feed_run(&o, take, &c, &err), RS_E_CORRUPT);
        assert_non_null(strstr(err.message, "decode: "));
        assert_non_null(strstr(err.message, "data_batch_2.bin"));
        assert_non_null(strstr(err.message, "15365")); /* the offset */
    }
    scene_end(&s);
}

/* Index order puts class 0 first; its third file is broken in different ways. */
static void broken_image(void (*break_it)(const char *path), int code, const char *in_message)
{
    struct scene s;
    char path[400], found[400];
    struct consumer c = {0};
    struct rs_error err = {0};
    scene_begin(&s, RS_SYNTH_PNG, 90, 20);
    path_in(path, &s, "train");
    char command[512];
    snprintf(command, sizeof command, "find '%s' -name '*.png' | sort | sed -n 3p", path);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    assert_non_null(fgets(found, sizeof found, pipe));
    pclose(pipe);
    found[strcspn(found, "\n")] = '\0';
    break_it(found);
    struct rs_training_options o = scene_options(&s);
    assert_int_equal(rs_feed_run(&o, take, &c, &err), code);
    assert_non_null(strstr(err.message, found));
    assert_non_null(strstr(err.message, in_message));
    scene_end(&s);
}

static void truncate_it(const char *path)
{
    assert_int_equal(truncate(path, 200), 0);
}

static void garble_it(const char *path)
{
    overwrite(path, 0, "GIF89a--", 8);
}

static void broken_images_are_named(void **state)
{
    (void)state;
    broken_image(truncate_it, RS_E_CORRUPT, "decode: ");
    broken_image(garble_it, RS_E_CORRUPT, "decode: ");
}

/* The first batch takes the files of the last class away, which were there when the run began. */
static int remove_the_last_class(void *arg, const struct rs_feed_batch *b, struct rs_error *err)
{
    (void)err;
    const struct scene *s = arg;
    char command[512];
    if (b->samples[0] != 0)
        return 0;
    snprintf(command, sizeof command,
             "rm -r \"$(find '%s/train' -mindepth 1 -maxdepth 1 | sort | tail -n 1)\"", s->data);
    assert_int_equal(system(command), 0);
    return 0;
}

static void a_vanished_file_is_named(void **state)
{
    (void)state;
    struct scene s;
    struct rs_error err = {0};
    scene_begin(&s, RS_SYNTH_PNG, 90, 20);
    struct rs_training_options o = scene_options(&s);
    o.shuffle = false;
    o.prefetch = 1;
    assert_int_equal(rs_feed_run(&o, remove_the_last_class, &s, &err), RS_E_NOT_FOUND);
    assert_non_null(strstr(err.message, "read: "));
    assert_non_null(strstr(err.message, s.data));
    scene_end(&s);
}

/* Eight batches of 90 files may be read at once; no more than 64 files are open. */
static void few_descriptors_are_enough(void **state)
{
    (void)state;
    struct consumer c = {0};
    struct rs_error err = {0};
    struct rs_training_options o = scene_options(&png);
    struct rlimit before, limit;
    o.batch_size = 90;
    o.prefetch = 8;
    o.epochs = 8;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    limit = (struct rlimit){.rlim_cur = 100, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    int code = rs_feed_run(&o, take, &c, &err);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    if (code < 0)
        fail_msg("%s", err.message);
    assert_int_equal(c.batches, 8);
}

static int cancel(void *arg, const struct rs_feed_batch *b, struct rs_error *err)
{
    (void)arg;
    (void)b;
    (void)err;
    return RS_E_CANCELLED; /* and no sentence */
}

static void a_consumer_may_cancel(void **state)
{
    (void)state;
    struct rs_error err = {0};
    struct rs_training_options o = scene_options(&cifar);
    assert_int_equal(rs_feed_run(&o, cancel, NULL, &err), RS_E_CANCELLED);
    assert_non_null(strstr(err.message, "feed: "));
}

static void too_many_pixels_are_refused(void **state)
{
    (void)state;
    struct consumer c = {0};
    struct rs_error err = {0};
    struct rs_training_options o = scene_options(&png);
    o.max_pixels = 1000;
    assert_int_equal(rs_feed_run(&o, take, &c, &err), RS_E_LIMIT);
    assert_non_null(strstr(err.message, "--max-pixels"));
    assert_non_null(strstr(err.message, ".png"));
}

static void a_batch_of_too_many_chunks_is_refused(void **state)
{
    (void)state;
    struct consumer c = {0};
    struct rs_error err = {0};
    struct rs_training_options o = scene_options(&cifar);
    o.batch_size = 8 * 4096 + 1;
    assert_int_equal(rs_feed_run(&o, take, &c, &err), RS_E_LIMIT);
    assert_non_null(strstr(err.message, "--batch-size"));
}

/* A validation set that can't be indexed ends the run; only where there is none is the run without one. */
static void a_broken_validation_set_is_an_error(void **state)
{
    (void)state;
    struct scene s;
    struct rs_data data;
    struct rs_error err = {0};
    char path[400];
    scene_begin(&s, RS_SYNTH_PNG, 90, 20);
    path_in(path, &s, "test/hue-000/gone.png");
    assert_int_equal(symlink("nowhere", path), 0);
    assert_int_equal(rs_data_open(&data, s.data, NULL, &err), RS_E_NOT_FOUND);
    assert_non_null(strstr(err.message, path));
    rs_data_close(&data);
    scene_end(&s);
}

static void no_validation_set_is_none(void **state)
{
    (void)state;
    struct scene s;
    struct rs_data data;
    struct rs_error err = {0};
    char path[400], command[512];
    scene_begin(&s, RS_SYNTH_PNG, 90, 20);
    path_in(path, &s, "test");
    snprintf(command, sizeof command, "rm -r '%s'", path);
    assert_int_equal(system(command), 0);
    assert_int_equal(rs_data_open(&data, s.data, NULL, &err), 0);
    assert_null(data.sources[RS_PHASE_VALID]);
    rs_data_close(&data);
    scene_end(&s);
}

static void a_missing_folder_is_named(void **state)
{
    (void)state;
    struct consumer c = {0};
    struct rs_error err = {0};
    struct rs_training_options o = scene_options(&cifar);
    o.data = "/nonexistent/folder";
    assert_int_equal(rs_feed_run(&o, take, &c, &err), RS_E_NOT_FOUND);
    assert_non_null(strstr(err.message, "/nonexistent/folder"));
}

static int begin(void **state)
{
    (void)state;
    scene_begin(&cifar, RS_SYNTH_CIFAR10, 90, 20);
    scene_begin(&png, RS_SYNTH_PNG, 90, 20);
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
        cmocka_unit_test(a_failing_consumer_ends_the_run),
        cmocka_unit_test(an_interrupt_ends_the_run),
        cmocka_unit_test(a_label_out_of_range_names_file_and_record),
        cmocka_unit_test(broken_images_are_named),
        cmocka_unit_test(a_vanished_file_is_named),
        cmocka_unit_test(few_descriptors_are_enough),
        cmocka_unit_test(a_consumer_may_cancel),
        cmocka_unit_test(too_many_pixels_are_refused),
        cmocka_unit_test(a_batch_of_too_many_chunks_is_refused),
        cmocka_unit_test(a_missing_folder_is_named),
        cmocka_unit_test(a_broken_validation_set_is_an_error),
        cmocka_unit_test(no_validation_set_is_none),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
