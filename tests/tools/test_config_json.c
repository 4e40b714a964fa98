/* test_config_json.c: the options of a run as JSON text, and back: what is stored, word by word, what comes
 * back, and what may not change. */
#include "support.h"

#include "command_line.h"
#include "config.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void test_json_round_trip(void **unused)
{
    (void)unused;
    char storage[LINE_ROOM], other_storage[LINE_ROOM];
    const struct rs_config *c = accepted(
        storage,
        "train --data x --epochs 3 --max-steps 70 --batch-size 5 --lr 0.0003 --optimizer sgd "
        "--momentum 0.9 --no-shuffle --seed 9007199254740991 --device cuda:3 --workers 1 --fuse none");
    char *text = NULL;
    assert_int_equal(rs_config_json(c, &text, NULL), RS_OK);
    assert_non_null(strstr(text, "\"batch_size\":\t5"));
    assert_non_null(strstr(text, "\"lr\":\t0.0003"));
    assert_non_null(strstr(text, "\"shuffle\":\tfalse"));
    assert_non_null(strstr(text, "\"threads\":\t\"auto\""));
    assert_non_null(strstr(text, "\"valid_data\":\tnull"));
    struct rs_config merged;
    struct rs_error err = {0};
    rs_config_defaults(&merged, RS_COMMAND_TRAIN);
    if (rs_config_merge(&merged, text, "resume", &err) != RS_OK)
        fail_msg("%s", err.message);
    for (int id = 0; id < RS_OPTIONS; id++) {
        if ((rs_options[id].flags & RS_SAVED) == 0)
            continue;
        rs_option_print(c, (enum rs_option_id)id, storage + 256, 256);
        rs_option_print(&merged, (enum rs_option_id)id, other_storage, sizeof other_storage);
        assert_string_equal(storage + 256, other_storage);
    }
    char *again = NULL;
    assert_int_equal(rs_config_json(&merged, &again, NULL), RS_OK);
    assert_string_equal(text, again);
    for (int id = 0; id < RS_OPTIONS; id++)
        free(merged.owned[id]);
    free(text);
    free(again);
    rs_config_destroy(c);
}

/* Every stored option with a value of its own: the whole text, and each value back again. */
static void test_json_word_by_word(void **unused)
{
    (void)unused;
    char storage[LINE_ROOM], text[64], other[64], *json = NULL;
    char line[512] = "train --data /dev/null/x --valid-data v --init w --max-pixels 12345 --epochs 3 "
                     "--max-steps 70 --batch-size 5 "
                     "--eval-batch-size 6 --image-size 80 --optimizer sgd --lr 1.5e-5 --momentum 0.9 "
                     "--weight-decay 0.1 --seed 11 "
                     "--no-shuffle --device cuda:2 --precision tf32 --workers 1 --prefetch 9 --fuse none "
                     "--preprocess device";
    static const char expected[] = "{\n"
                                   "\t\"rstream\":\t\"" RS_VERSION "\",\n"
                                   "\t\"data\":\t\"/dev/null/x\",\n"
                                   "\t\"valid_data\":\t\"v\",\n"
                                   "\t\"max_pixels\":\t12345,\n"
                                   "\t\"init\":\t\"w\",\n"
                                   "\t\"epochs\":\t3,\n"
                                   "\t\"max_steps\":\t70,\n"
                                   "\t\"batch_size\":\t5,\n"
                                   "\t\"eval_batch_size\":\t6,\n"
                                   "\t\"image_size\":\t80,\n"
                                   "\t\"optimizer\":\t\"sgd\",\n"
                                   "\t\"lr\":\t1.5e-05,\n"
                                   "\t\"momentum\":\t0.9,\n"
                                   "\t\"weight_decay\":\t0.1,\n"
                                   "\t\"seed\":\t11,\n"
                                   "\t\"shuffle\":\tfalse,\n"
                                   "\t\"device\":\t\"cuda:2\",\n"
                                   "\t\"precision\":\t\"tf32\",\n"
                                   "\t\"threads\":\t\"auto\",\n"
                                   "\t\"workers\":\t1,\n"
                                   "\t\"prefetch\":\t9,\n"
                                   "\t\"fuse\":\t\"none\",\n"
                                   "\t\"preprocess\":\t\"device\"\n"
                                   "}\n";
    struct rs_config merged;
    struct rs_error err = {0};
    const struct rs_config *c = accepted(storage, line);
    assert_int_equal(rs_config_json(c, &json, NULL), RS_OK);
    assert_string_equal(json, expected);
    rs_config_defaults(&merged, RS_COMMAND_TRAIN);
    if (rs_config_merge(&merged, json, "resume", &err) != RS_OK)
        fail_msg("%s", err.message);
    for (int id = 0; id < RS_OPTIONS; id++) {
        rs_option_print(c, (enum rs_option_id)id, text, sizeof text);
        rs_option_print(&merged, (enum rs_option_id)id, other, sizeof other);
        assert_string_equal(text, other);
        free(merged.owned[id]);
    }
    free(json);
    rs_config_destroy(c);
}

/* Folders and files that are there are stored as absolute paths, so that a run goes on from another folder.
 */
static void test_json_paths_are_absolute(void **unused)
{
    (void)unused;
    char storage[LINE_ROOM], *json = NULL, *here = getcwd(NULL, 0);
    assert_int_equal(chdir("/usr"), 0);
    const struct rs_config *c = accepted(storage, "train --data bin --valid-data ./lib/.. --init bin/env");
    assert_int_equal(rs_config_json(c, &json, NULL), RS_OK);
    assert_int_equal(chdir(here), 0);
    assert_non_null(strstr(json, "\"data\":\t\"/usr/bin\",\n"));
    assert_non_null(strstr(json, "\"valid_data\":\t\"/usr\",\n"));
    assert_non_null(strstr(json, "\"init\":\t\"/usr/bin/"));
    assert_non_null(strstr(json, "\"max_steps\":\t\"none\",\n"));
    free(json);
    free(here);
    rs_config_destroy(c);
}

/* Every float that can be given comes back from its text. */
static void test_printed_reals(void **unused)
{
    (void)unused;
    static const char *const values[][2] = {{"0.01", "0.01"},
                                            {"1e-05", "1e-05"},
                                            {"0.1", "0.1"},
                                            {"0.30000001192092896", "0.3"},
                                            {"0.33333334", "0.33333334"},
                                            {"11.1154375", "11.1154375"},
                                            {"1000", "1e+03"},
                                            {"0", "0"}};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        char text[32];
        struct rs_config config;
        rs_config_defaults(&config, RS_COMMAND_TRAIN);
        assert_int_equal(rs_config_set(&config, RS_OPTION_LR, values[i][0], false, NULL), RS_OK);
        rs_option_print(&config, RS_OPTION_LR, text, sizeof text);
        assert_string_equal(text, values[i][1]);
        assert_true(strtof(text, NULL) == config.lr);
    }
}

/* A config with one option given, merged with a stored text; returns the code. */
static int merge(enum rs_option_id id, const char *value, const char *stored, struct rs_error *err)
{
    struct rs_config config;
    rs_config_defaults(&config, RS_COMMAND_TRAIN);
    assert_int_equal(rs_config_set(&config, id, value, strncmp(value, "no-", 3) == 0, err), RS_OK);
    config.given = UINT64_C(1) << id;
    int code = rs_config_merge(&config, stored, "run/resume.safetensors", err);
    for (int i = 0; i < RS_OPTIONS; i++)
        free(config.owned[i]);
    return code;
}

static void test_merge_refuses_other_bits(void **unused)
{
    (void)unused;
    static const struct {
        enum rs_option_id id;
        const char *value, *stored, *given, *run;
    } cases[] = {
        {RS_OPTION_BATCH_SIZE, "32", "{\"batch_size\":64}", "--batch-size 32", "--batch-size 64"},
        {RS_OPTION_SEED, "1", "{\"seed\":2}", "--seed 1", "--seed 2"},
        {RS_OPTION_OPTIMIZER, "sgd", "{\"optimizer\":\"adam\"}", "--optimizer sgd", "--optimizer adam"},
        {RS_OPTION_PRECISION, "bf16", "{\"precision\":\"fp32\"}", "--precision bf16", "--precision fp32"},
        {RS_OPTION_IMAGE_SIZE, "80", "{\"image_size\":96}", "--image-size 80", "--image-size 96"},
        {RS_OPTION_SHUFFLE, "no-shuffle", "{\"shuffle\":true}", "--no-shuffle", "--shuffle"},
        {RS_OPTION_LR, "0.1", "{\"lr\":0.01}", "--lr 0.1", "--lr 0.01"},
        {RS_OPTION_MOMENTUM, "0.1", "{\"momentum\":0}", "--momentum 0.1", "--momentum 0"},
        {RS_OPTION_WEIGHT_DECAY, "0.1", "{\"weight_decay\":0}", "--weight-decay 0.1", "--weight-decay 0"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct rs_error err = {0};
        assert_int_equal(merge(cases[i].id, cases[i].value, cases[i].stored, &err), RS_E_USAGE);
        assert_non_null(strstr(err.message, cases[i].given));
        assert_non_null(strstr(err.message, cases[i].run));
    }
    /* the same value, also in another spelling, is no contradiction */
    assert_int_equal(merge(RS_OPTION_LR, "1e-2", "{\"lr\":0.01}", NULL), RS_OK);
    assert_int_equal(merge(RS_OPTION_LR, "0.01", "{\"lr\":0.0100000000}", NULL), RS_OK);
    assert_int_equal(merge(RS_OPTION_SHUFFLE, "no-shuffle", "{\"shuffle\":false}", NULL), RS_OK);
    /* and these may change */
    assert_int_equal(merge(RS_OPTION_EPOCHS, "9", "{\"epochs\":2}", NULL), RS_OK);
    assert_int_equal(merge(RS_OPTION_MAX_STEPS, "none", "{\"max_steps\":2}", NULL), RS_OK);
    assert_int_equal(merge(RS_OPTION_PREFETCH, "1", "{\"prefetch\":2}", NULL), RS_OK);
    assert_int_equal(merge(RS_OPTION_DATA, "moved", "{\"data\":\"/old\"}", NULL), RS_OK);
}

static void test_merge_of_strange_files(void **unused)
{
    (void)unused;
    static const char *const wrong[] = {"",
                                        "[]",
                                        "{\"epochs\":",
                                        "{\"epochs\":2}}",
                                        "{\"epochs\":1.5}",
                                        "{\"max_steps\":123456789.5}",
                                        "{\"epochs\":0}",
                                        "{\"max_steps\":0}",
                                        "{\"max_steps\":\"auto\"}",
                                        "{\"seed\":-1}",
                                        "{\"prefetch\":65}",
                                        "{\"device\":\"tpu\"}",
                                        "{\"epochs\":\"x\"}",
                                        "{\"epochs\":null}",
                                        "{\"data\":3}",
                                        "{\"lr\":\"0.1\"}",
                                        "{\"shuffle\":1}",
                                        "{\"precision\":\"fp8\"}"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct rs_error err = {0};
        if (merge(RS_OPTION_FUSE, "auto", wrong[i], &err) != RS_E_CORRUPT)
            fail_msg("%s was taken", wrong[i]);
        assert_non_null(strstr(err.message, "run/resume.safetensors"));
    }
    /* a run from a larger machine: as many workers as there are cores here, by default */
    struct rs_config config;
    rs_config_defaults(&config, RS_COMMAND_TRAIN);
    assert_int_equal(rs_config_merge(&config, "{\"workers\":100000,\"threads\":1}", "r", NULL), RS_OK);
    assert_int_equal(config.workers, 0);
    assert_int_equal(config.threads, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_round_trip),          cmocka_unit_test(test_json_word_by_word),
        cmocka_unit_test(test_json_paths_are_absolute),  cmocka_unit_test(test_printed_reals),
        cmocka_unit_test(test_merge_refuses_other_bits), cmocka_unit_test(test_merge_of_strange_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
