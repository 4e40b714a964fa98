/* test_cuda_choices.c: the file of convolution choices: what is written is read, and damage is only
 * forgetting. */
#include "alloc.h"
#include "choices.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char KEY[] = "forward bf16 n64 c64 h22 w22 k64 r3 s1 p1";

static struct rs__choice example(int64_t engine, int32_t knobs)
{
    struct rs__choice choice = {.engine = engine, .knobs = knobs};
    for (int32_t i = 0; i < knobs; i++) {
        choice.type[i] = i;
        choice.value[i] = (int64_t)i * 1000 - 7;
    }
    return choice;
}

static void test_round_trip(void **state)
{
    char root[] = "/tmp/rs-choices-XXXXXX", folder[64], command[96], key[64];
    struct rs__choice_cache cache;
    (void)state;
    assert_non_null(mkdtemp(root));
    snprintf(folder, sizeof(folder), "%s/new/folder", root);
    rs__choices_open(&cache, folder, 91900, "NVIDIA H100 80GB");
    assert_non_null(strstr(cache.path, "cudnn-91900-NVIDIA-H100-80GB.txt"));
    assert_null(rs__choices_find(&cache, KEY));
    struct rs__choice first = example(38, RS__KNOBS_MAX), second = example(2, 0);
    rs__choices_add(&cache, KEY, &second, 1);
    rs__choices_add(&cache, KEY, &first, 0.125f); /* replaces */
    for (int i = 0; i < 200; i++) {
        snprintf(key, sizeof(key), "data fp32 n%d", i);
        rs__choices_add(&cache, key, &second, 2);
    }
    assert_int_equal(cache.count, 201);
    rs__choices_save(&cache);
    rs__choices_close(&cache);

    rs__choices_open(&cache, folder, 91900, "NVIDIA H100 80GB");
    assert_int_equal(cache.count, 201);
    const struct rs__known_choice *known = rs__choices_find(&cache, KEY);
    assert_non_null(known);
    assert_float_equal(known->milliseconds, 0.125, 0);
    assert_memory_equal(&known->choice, &first, sizeof(first));
    assert_memory_equal(&rs__choices_find(&cache, "data fp32 n199")->choice, &second, sizeof(second));
    rs__choices_close(&cache);

    rs__choices_open(&cache, folder, 92000, "NVIDIA H100 80GB"); /* another cuDNN knows nothing */
    assert_int_equal(cache.count, 0);
    rs__choices_close(&cache);
    snprintf(command, sizeof(command), "rm -r %s", root);
    assert_int_equal(system(command), 0); // NOLINT(bugprone-command-processor,cert-env33-c)
}

static void read_text(const char *text, struct rs__choice_cache *cache)
{
    char root[] = "/tmp/rs-choices-XXXXXX", path[128];
    assert_non_null(mkdtemp(root));
    snprintf(path, sizeof(path), "%s/cudnn-1-x.txt", root);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    rs__choices_open(cache, root, 1, "x");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(root), 0);
}

static void test_damage(void **state)
{
    static const char *const bad[] = {
        "k",          "k\t1",       "k\t1\t2",    "k\t1\t2\tx",    "k\t1\t2\t3:",           "k\t1\t2\t3:4;",
        "k\t-1\t2\t", "k\t1x\t2\t", "k\t1\t2x\t", "k\t1\t2\t-1:4", "k\t1\t2\t99999999999:4"};
    struct rs__choice_cache cache;
    char text[8192];
    (void)state;
    read_text("", &cache);
    assert_int_equal(cache.count, 0);
    rs__choices_close(&cache);
    read_text("another program's\nk\t1\t2\t3:4\n", &cache);
    assert_int_equal(cache.count, 0);
    rs__choices_close(&cache);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        snprintf(text, sizeof(text), "rstream: convolution choices, version 2\n%s\ngood\t1\t2\t3:4,5:6\n",
                 bad[i]);
        read_text(text, &cache);
        assert_int_equal(cache.count, 1);
        assert_non_null(rs__choices_find(&cache, "good"));
        rs__choices_close(&cache);
    }
    int used = snprintf(text, sizeof(text), "rstream: convolution choices, version 2\nk\t1\t2\t0:0");
    for (int i = 0; i < RS__KNOBS_MAX; i++) /* one too many */
        used += snprintf(text + used, sizeof(text) - (size_t)used, ",%d:1", i);
    read_text(text, &cache);
    assert_int_equal(cache.count, 0);
    rs__choices_close(&cache);
}

/* A folder that can't be made: a warning, and what was learnt stays for the process. */
static void test_no_folder(void **state)
{
    struct rs__choice_cache cache;
    const struct rs__choice choice = example(1, 1);
    (void)state;
    rs__choices_open(&cache, "/proc/none", 1, "x");
    rs__choices_add(&cache, KEY, &choice, 1);
    rs__choices_save(&cache);
    assert_non_null(rs__choices_find(&cache, KEY));
    rs__choices_close(&cache);
    rs__choices_open(&cache, "", 1, "x");
    rs__choices_add(&cache, KEY, &choice, 1);
    rs__choices_save(&cache);
    assert_non_null(rs__choices_find(&cache, KEY));
    rs__choices_close(&cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_round_trip), cmocka_unit_test(test_damage),
                                       cmocka_unit_test(test_no_folder)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
