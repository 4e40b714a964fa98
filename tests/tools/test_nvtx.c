/* test_nvtx.c: what a profiler that listens to NVTX, as nsys does, hears of a run of rstream train. The tool
 * is tests/pipeline/nvtx_injection.c; its file's format stands there. */
#include "support.h"

#include "scratch.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SKIPPED 77
#define EXIT_NO_DEVICE 3

/* 24 images in batches of 8, then 10 in batches of 5, twice over */
enum {
    EPOCHS = 2,
    TRAIN_STEPS = 3,
    VALID_STEPS = 2,
    ALL_TRAIN_STEPS = EPOCHS * TRAIN_STEPS,
    BATCHES = EPOCHS * (TRAIN_STEPS + VALID_STEPS),
    IMAGES = EPOCHS * (24 + 10),
};

#define NAMES_MAX 64
#define THREADS_MAX 16

static struct rs_scratch scratch;
static struct outcome o;
static bool no_device;

struct name {
    unsigned long long id;
    char text[64];
    int pushes;                /* of ranges with this name */
    int of_batch[BATCHES];     /* and of each batch */
    unsigned long long thread; /* that pushed the last one */
};

struct thread {
    unsigned long long tid;
    char name[32];
    int depth, deepest;
};

static struct heard {
    int domains, destroyed;
    unsigned long long domain;
    struct name names[NAMES_MAX];
    int name_count;
    struct thread threads[THREADS_MAX];
    int thread_count;
    char phases[8][32];
    unsigned long long phase_ids[8];
    int phase_count, phases_ended;
} heard;

static unsigned long long number(const char *word)
{
    char *end;
    if (!word) {
        fail_msg("a line is too short");
        return 0;
    }
    errno = 0;
    unsigned long long value = strtoull(word, &end, 10);
    if (errno || end == word || *end)
        fail_msg("not a number: '%s'", word);
    return value;
}

static void check_domain(const char *word)
{
    assert_int_equal(number(word), heard.domain);
}

static struct thread *thread_of(const char *tid)
{
    unsigned long long id = number(tid);
    for (int i = 0; i < heard.thread_count; i++)
        if (heard.threads[i].tid == id)
            return &heard.threads[i];
    fail_msg("a range of thread %llu, which has no name", id);
    return NULL;
}

static struct name *find_name(const char *text)
{
    for (int i = 0; i < heard.name_count; i++)
        if (strcmp(heard.names[i].text, text) == 0)
            return &heard.names[i];
    fail_msg("'%s' isn't registered", text);
    return NULL;
}

static void hear_push(char *const words[])
{
    struct thread *thread = thread_of(words[1]);
    unsigned long long string = number(words[3]), payload = number(words[4]); /* "-" is no number */
    check_domain(words[2]);
    if (++thread->depth > thread->deepest)
        thread->deepest = thread->depth;
    for (int i = 0; i < heard.name_count; i++) {
        struct name *name = &heard.names[i];
        if (name->id != string)
            continue;
        name->pushes++;
        name->thread = thread->tid;
        if (payload < BATCHES)
            name->of_batch[payload]++;
        return;
    }
    fail_msg("a range whose name isn't registered");
}

static void hear_name(char *const words[])
{
    check_domain(words[2]);
    assert_true(heard.name_count < NAMES_MAX);
    struct name *name = &heard.names[heard.name_count++];
    name->id = number(words[1]);
    snprintf(name->text, sizeof name->text, "%s", words[3]);
}

static void hear_thread(char *const words[])
{
    assert_true(heard.thread_count < THREADS_MAX);
    struct thread *thread = &heard.threads[heard.thread_count++];
    thread->tid = number(words[1]);
    snprintf(thread->name, sizeof thread->name, "%s", words[2]);
}

/* A phase ends before the next one begins, whatever thread ends it. */
static void hear_start(char *const words[])
{
    check_domain(words[2]);
    assert_int_equal(heard.phases_ended, heard.phase_count);
    assert_true(heard.phase_count < 8);
    heard.phase_ids[heard.phase_count] = number(words[1]);
    snprintf(heard.phases[heard.phase_count++], 32, "%s", words[3]);
}

static void hear_line(char *line)
{
    char *words[6] = {0};
    int count = 0;
    for (char *word; count < 5 && (word = strsep(&line, "\t\n"));)
        words[count++] = word;
    const char *what = words[0];
    assert_int_equal(heard.destroyed, 0); /* nothing comes after the domain's end */
    if (strcmp(what, "domain") == 0) {
        heard.domains++;
        heard.domain = number(words[1]);
        assert_string_equal(words[2], "rstream");
    } else if (strcmp(what, "string") == 0) {
        hear_name(words);
    } else if (strcmp(what, "thread") == 0) {
        hear_thread(words);
    } else if (strcmp(what, "push") == 0) {
        hear_push(words);
    } else if (strcmp(what, "pop") == 0) {
        struct thread *thread = thread_of(words[1]);
        check_domain(words[2]);
        if (--thread->depth < 0)
            fail_msg("%s pops more than it pushes", thread->name);
    } else if (strcmp(what, "start") == 0) {
        hear_start(words);
    } else if (strcmp(what, "end") == 0) {
        assert_true(heard.phases_ended < heard.phase_count);
        assert_int_equal(number(words[1]), heard.phase_ids[heard.phases_ended]);
        heard.phases_ended++;
    } else if (strcmp(what, "destroy") == 0) {
        check_domain(words[1]);
        heard.destroyed++;
    } else {
        fail_msg("unknown line: %s", what);
    }
}

/* Trains with the tool attached, and fills heard. */
static void listen(const char *fuse, int prefetch)
{
    char line[256], log[300];
    memset(&heard, 0, sizeof heard);
    snprintf(log, sizeof log, "%s", in(scratch.path, "nvtx.log"));
    setenv("NVTX_INJECTION64_PATH", NVTX_INJECTION, 1);
    setenv("RS_NVTX_LOG", log, 1);
    run_rstream(&o, scratch.path,
                "train --device cpu --data %s --out %s --batch-size 8 --eval-batch-size 5 --image-size 75"
                " --epochs 2 --prefetch %d --quiet --fuse %s",
                in(scratch.path, "set"), in(scratch.path, fuse), prefetch, fuse);
    unsetenv("NVTX_INJECTION64_PATH");
    no_device = o.exit_code == EXIT_NO_DEVICE;
    if (no_device) {
        fputs(o.err, stderr);
        skip();
    }
    if (o.exit_code != 0)
        fail_msg("%s", o.err);
    FILE *file = fopen(log, "r");
    if (!file)
        fail_msg("the tool heard nothing");
    while (fgets(line, sizeof line, file))
        hear_line(line);
    fclose(file);
}

static void check_frame(void)
{
    assert_int_equal(heard.domains, 1);
    assert_int_equal(heard.destroyed, 1);
    for (int i = 0; i < heard.thread_count; i++)
        if (heard.threads[i].depth != 0)
            fail_msg("%s leaves %d ranges open", heard.threads[i].name, heard.threads[i].depth);
    assert_int_equal(heard.phase_count, EPOCHS);
    assert_int_equal(heard.phases_ended, EPOCHS);
    assert_string_equal(heard.phases[0], "epoch 0");
    assert_string_equal(heard.phases[1], "epoch 1");
}

static bool is_train(int batch)
{
    return batch % (TRAIN_STEPS + VALID_STEPS) < TRAIN_STEPS;
}

/* Each batch has as many ranges of this name as it should: train_count those that are trained on,
 * valid_count the others; and no other number has one. */
static void expect_batches(const char *text, int train_count, int valid_count)
{
    const struct name *name = find_name(text);
    for (int b = 0; b < BATCHES; b++)
        if (name->of_batch[b] != (is_train(b) ? train_count : valid_count))
            fail_msg("%d ranges of %s for batch %d", name->of_batch[b], text, b);
    assert_int_equal(name->pushes, EPOCHS * (TRAIN_STEPS * train_count + VALID_STEPS * valid_count));
}

/* The last range of this name was on a thread whose name begins so. */
static void expect_thread(const char *text, const char *thread)
{
    const struct name *name = find_name(text);
    for (int i = 0; i < heard.thread_count; i++)
        if (heard.threads[i].tid == name->thread &&
            strncmp(heard.threads[i].name, thread, strlen(thread)) == 0)
            return;
    fail_msg("%s isn't on a thread named %s", text, thread);
}

static void check_common_ranges(void)
{
    expect_batches("read", 1, 1);
    expect_batches("upload", 1, 1);
    expect_batches("train", 1, 0);
    expect_batches("validate", 0, 1);
    expect_thread("read", "main");
    expect_thread("upload", "train");
    expect_thread("train", "train");
    expect_thread("validate", "train");
    /* these are numbered by the training steps that are done */
    const struct name *metrics = find_name("metrics"), *checkpoint = find_name("checkpoint");
    for (int step = 1; step <= ALL_TRAIN_STEPS; step++)
        assert_true(metrics->of_batch[step] > 0);
    assert_int_equal(checkpoint->pushes, EPOCHS);
    assert_int_equal(checkpoint->of_batch[TRAIN_STEPS], 1);
    assert_int_equal(checkpoint->of_batch[ALL_TRAIN_STEPS], 1);
    expect_thread("checkpoint", "checkpoint");
    expect_thread("metrics", "main");
}

/* Fused, a worker brackets each image in each stage, and around them its chunk. */
static void test_fused(void **unused)
{
    (void)unused;
    listen("auto", 1); /* one slot: nothing is ahead, so the step must wait for each batch */
    check_frame();
    check_common_ranges();
    expect_batches("decode", 8, 5);
    expect_batches("resize", 8, 5);
    expect_batches("normalize", 8, 5);
    const struct name *chunk = find_name("decode+resize+normalize");
    for (int b = 0; b < BATCHES; b++)
        assert_true(chunk->of_batch[b] > 0);
    assert_true(chunk->pushes <= IMAGES);
    expect_thread("decode", "decode.");
    assert_true(find_name("wait for data")->pushes > 0);
    expect_thread("wait for data", "train");
    for (int i = 0; i < heard.thread_count; i++)
        if (strncmp(heard.threads[i].name, "decode.", 7) == 0 && heard.threads[i].deepest > 0)
            assert_int_equal(heard.threads[i].deepest, 2);
}

/* A pool of threads a stage: a chunk is one range of its stage, on a thread of that name. */
static void test_unfused(void **unused)
{
    (void)unused;
    static const char *const stages[] = {"decode", "resize", "normalize"};
    listen("none", 3);
    check_frame();
    check_common_ranges();
    for (int s = 0; s < 3; s++) {
        const struct name *stage = find_name(stages[s]);
        for (int b = 0; b < BATCHES; b++) {
            assert_true(stage->of_batch[b] > 0);
            assert_int_equal(stage->of_batch[b], find_name("decode")->of_batch[b]);
        }
        expect_thread(stages[s], stages[s]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fused),
        cmocka_unit_test(test_unfused),
    };
    if (rs__scratch_create(&scratch, NULL) != 0)
        return 1;
    run_rstream(&o, scratch.path, "synth %s --train 24 --test 10", in(scratch.path, "set"));
    int result = o.exit_code;
    if (result == 0)
        result = cmocka_run_group_tests(tests, NULL, NULL);
    if (no_device)
        result = SKIPPED;
    rs__scratch_remove(&scratch);
    return result;
}
