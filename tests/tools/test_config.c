/* test_config.c: the table of options: defaults, ranges, contradictions, and how values reach a run. */
#include "support.h"

#include "command_line.h"
#include "config.h"
#include "planner.h"
#include "resnet.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void test_train_defaults(void **unused)
{
    (void)unused;
    char storage[LINE_ROOM];
    const struct rs_config *c = accepted(storage, "train --data x");
    struct rs_training_options o;
    rs_config_training(c, "{}", &o);
    assert_string_equal(o.data, "x");
    assert_null(o.valid_data);
    assert_null(o.out);
    assert_null(o.init);
    assert_false(o.resume);
    assert_int_equal(o.epochs, 20);
    assert_int_equal(o.max_steps, 0);
    assert_int_equal(o.batch_size, 64);
    assert_int_equal(o.eval_batch_size, 128);
    assert_int_equal(o.prefetch, 8);
    assert_int_equal(o.workers, 0);
    assert_int_equal(o.threads, 0);
    assert_int_equal(o.fuse, RS_FUSE_AUTO);
    assert_string_equal(o.device, "auto");
    assert_int_equal(o.precision, RS_PRECISION_FP32);
    assert_int_equal(o.optimizer, RS_OPTIMIZER_ADAM);
    assert_true(o.momentum == 0 && o.weight_decay == 0 && o.lr == 0.01F);
    assert_int_equal(o.seed, 0);
    assert_int_equal(o.image_size, 96);
    assert_int_equal(o.max_pixels, 89478485);
    assert_true(o.shuffle);
    assert_false(o.quiet);
    assert_string_equal(o.config_json, "{}");
    rs_config_destroy(c);
}

static void test_devices(void **unused)
{
    (void)unused;
    static const struct {
        const char *text, *name, *printed;
        uint32_t ordinal;
    } good[] = {{"auto", "auto", "auto", 0},       {"cpu", "cpu", "cpu", 0},
                {"ref", "ref", "ref", 0},          {"cuda", "cuda", "cuda", 0},
                {"cuda:0", "cuda", "cuda", 0},     {"cuda:7", "cuda", "cuda:7", 7},
                {"cuda:63", "cuda", "cuda:63", 63}};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        char storage[LINE_ROOM], line[64], printed[16];
        struct rs_training_options o;
        snprintf(line, sizeof line, "train --data x --device %s", good[i].text);
        const struct rs_config *c = accepted(storage, line);
        rs_config_training(c, NULL, &o);
        assert_string_equal(o.device, good[i].name);
        assert_int_equal(o.ordinal, good[i].ordinal);
        assert_int_equal(rs_config_device_options(c).ordinal, good[i].ordinal);
        rs_option_print(c, RS_OPTION_DEVICE, printed, sizeof printed);
        assert_string_equal(printed, good[i].printed);
        rs_config_destroy(c);
    }
    refused("train --data x --device gpu", "--device gpu", "auto|cpu|cuda[:N]|ref", NULL);
    refused("train --data x --device cud", "auto|cpu|cuda[:N]|ref", NULL);
    refused("train --data x --device cpu:0", "only cuda has numbers", "--device cpu", NULL);
    refused("train --data x --device cuda:", "from 0 to 63", "rstream devices", NULL);
    refused("train --data x --device cuda:64", "from 0 to 63", NULL);
    refused("train --data x --device cuda:1x", "from 0 to 63", NULL);
    refused("train --data x --device cuda:-1", "from 0 to 63", NULL);
    refused("train --data x --device cuda --threads 1", "--threads does nothing with --device cuda", NULL);
}

static void test_other_defaults(void **unused)
{
    (void)unused;
    char storage[LINE_ROOM];
    const struct rs_config *c = accepted(storage, "predict --weights w a.png b.png");
    assert_int_equal(c->top, 3);
    assert_int_equal(c->operand_count, 2);
    assert_string_equal(c->operands[1], "b.png");
    rs_config_destroy(c);
    c = accepted(storage, "preview --data x");
    assert_int_equal(c->count, 64);
    assert_null(c->npy);
    assert_null(c->png);
    rs_config_destroy(c);
    c = accepted(storage, "summary");
    assert_int_equal(c->classes, 10);
    rs_config_destroy(c);
    c = accepted(storage, "synth dir");
    assert_int_equal(c->format, 0);
    assert_int_equal(c->train, 10000);
    assert_int_equal(c->test, 2000);
    rs_config_destroy(c);
    c = accepted(storage, "bench train");
    assert_int_equal(c->steps, 0);
    assert_int_equal(c->repeats, 5);
    rs_config_destroy(c);
}

static void test_given_values(void **unused)
{
    (void)unused;
    char storage[LINE_ROOM];
    const struct rs_config *c = accepted(
        storage,
        "train --data=x --valid-data v --out o --epochs 3 --max-steps 7 --batch-size=5 --lr 1e-4 "
        "--optimizer sgd --momentum 0.9 --weight-decay 5e-4 --precision bf16 --device ref --fuse none "
        "--no-shuffle --quiet --seed 9007199254740991 --prefetch 64 --workers auto --threads 1");
    struct rs_training_options o;
    rs_config_training(c, NULL, &o);
    assert_string_equal(o.valid_data, "v");
    assert_string_equal(o.out, "o");
    assert_int_equal(o.epochs, 3);
    assert_int_equal(o.max_steps, 7);
    assert_int_equal(o.batch_size, 5);
    assert_true(o.lr == 1e-4F && o.momentum == 0.9F && o.weight_decay == 5e-4F);
    assert_int_equal(o.optimizer, RS_OPTIMIZER_SGD);
    assert_int_equal(o.precision, RS_PRECISION_BF16);
    assert_string_equal(o.device, "ref");
    assert_int_equal(o.fuse, RS_FUSE_NONE);
    assert_false(o.shuffle);
    assert_true(o.quiet);
    assert_int_equal(o.seed, 9007199254740991);
    assert_int_equal(o.prefetch, 64);
    assert_int_equal(o.threads, 1);
    assert_true(rs_config_given(c, RS_OPTION_WORKERS));
    assert_false(rs_config_given(c, RS_OPTION_INIT));
    rs_config_destroy(c);
}

/* Every count and real: its two borders pass, one beyond them doesn't and the message says the range. */
static void test_ranges_of_the_table(void **unused)
{
    (void)unused;
    for (int id = 0; id < RS_OPTIONS; id++) {
        const struct rs_option *option = &rs_options[id];
        struct rs_config config;
        struct rs_error err = {0};
        char text[64], low[32], high[32];
        rs_config_defaults(&config, RS_COMMAND_TRAIN);
        if (option->kind == RS_KIND_COUNT) {
            unsigned long long max = option->max == RS_CORES ? rs_planner_cores() : option->max;
            snprintf(low, sizeof low, "%llu", (unsigned long long)option->min);
            snprintf(high, sizeof high, "%llu", max);
            snprintf(text, sizeof text, "%llu", max + 1);
        } else if (option->kind == RS_KIND_REAL) {
            snprintf(low, sizeof low, "%g", (double)option->real_min);
            snprintf(high, sizeof high, "%g", (double)option->real_max);
            snprintf(text, sizeof text, "%g", (double)option->real_max * 1.01);
        } else {
            continue;
        }
        assert_int_equal(rs_config_set(&config, (enum rs_option_id)id, low, false, &err), RS_OK);
        assert_int_equal(rs_config_set(&config, (enum rs_option_id)id, high, false, &err), RS_OK);
        static const char *const wrong[] = {NULL, "-1", "", "x", "3x", "nan", "inf", "1e99", " 5"};
        for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
            const char *value = wrong[i] ? wrong[i] : text;
            if (option->kind == RS_KIND_REAL && value[0] == ' ')
                continue; /* strtof skips blanks */
            if (rs_config_set(&config, (enum rs_option_id)id, value, false, &err) != RS_E_USAGE)
                fail_msg("--%s takes '%s'", option->name, value);
            assert_non_null(strstr(err.message, option->name));
            assert_non_null(strstr(err.message, low));
            assert_non_null(strstr(err.message, high));
        }
        if (option->kind == RS_KIND_COUNT && option->min > 0)
            assert_int_equal(rs_config_set(&config, (enum rs_option_id)id, "0", false, &err), RS_E_USAGE);
    }
}

static void test_ranges_of_the_issue(void **unused)
{
    (void)unused;
    char line[64];
    refused("train --data x --max-steps 0", "--max-steps 0", "1 to ", NULL);
    refused("train --data x --prefetch 0", "--prefetch 0", "1 to 64", NULL);
    refused("train --data x --prefetch 65", "1 to 64", NULL);
    refused("train --data x --batch-size 0", "--batch-size 0", "1 to 4096", NULL);
    refused("train --data x --precision fp16", "fp32", "bf16", NULL);
    refused("train --data x --fuse yes", "auto", "none", NULL);
    snprintf(line, sizeof line, "train --data x --workers %u", rs_planner_cores() + 1);
    refused(line, "--workers", "cores", NULL);
    /* the smallest size is the network's */
    struct rs_graph *graph = NULL;
    refused("train --data x --image-size 74", "--image-size 74", "75 to 1024", NULL);
    assert_int_equal(rs_resnet_build(&graph, 74, 10, NULL), RS_E_SHAPE);
    assert_int_equal(rs_resnet_build(&graph, 75, 10, NULL), 0);
    rs_graph_destroy(graph);
    char storage[LINE_ROOM];
    rs_config_destroy(accepted(storage, "preview --data x --image-size 74"));
}

static void test_contradictions(void **unused)
{
    (void)unused;
    refused("train --data x --momentum 0.9", "--momentum", "--optimizer sgd", NULL);
    refused("train --data x --momentum 0.9 --optimizer adam", "--momentum", NULL);
    refused("train --data x --shuffle --no-shuffle", "--shuffle", "--no-shuffle", NULL);
    refused("train --resume a --init w", "--init w", "--resume a", NULL);
    refused("train --resume a --out b", "--out b", "--resume a", NULL);
    refused("preview --data x --png s --count 5000", "--count 5000", "4096", NULL);
    refused("bench ring --steps 3", "takes no options", NULL);
    refused("bench pipeline --precision bf16", "--precision", "bench train", NULL);
    refused("bench train --workers 1", "--workers", "--data", NULL);
    refused("bench train --repeats 2", "--repeats", "pipeline", NULL);
    refused("bench all", "ring", "pipeline", "train", NULL);
}

static void test_missing_and_unknown(void **unused)
{
    (void)unused;
    refused("train", "--data DIR is missing", "--help", NULL);
    refused("eval --data x", "--weights", "missing", NULL);
    refused("predict --weights w", "IMAGE is missing", NULL);
    refused("synth", "OUT_DIR is missing", NULL);
    refused("synth a b", "'b'", NULL);
    refused("train x", "did you mean --data x?", NULL);
    refused("train --data", "--data lacks its value", NULL);
    refused("train --out --quiet", "--out lacks its value", NULL);
    refused("train --data x --quiet=1", "takes no value", NULL);
    refused("train --batchsize 3", "--batchsize", "--batch-size?", NULL);
    refused("train --epoch 3", "--epochs?", NULL);
    refused("train --prefech=3", "unknown option --prefech:", "--prefetch?", NULL);
    refused("train --mo 3", "--momentum?", NULL);
    refused("train --colour 3", "unknown option --colour", "--help", NULL);
    refused("train --npy f", "rstream preview", "not of rstream train", NULL);
    refused("train -x", "unknown option -x", "--help", NULL);
}

/* Every option of a run reaches it: each given value differs from its default and from the others. */
static void test_all_options_reach_the_run(void **unused)
{
    (void)unused;
    char storage[LINE_ROOM];
    const struct rs_config *c = accepted(
        storage,
        "train --data d --valid-data v --init w --out o --trace t --max-pixels 12345 --epochs 3 --max-steps "
        "70 "
        "--batch-size 5 --eval-batch-size 6 --image-size 80 --optimizer sgd --lr 0.5 --momentum 0.25 "
        "--weight-decay 0.125 --seed 11 --no-shuffle --device cuda:2 --precision tf32 --workers 1 --prefetch "
        "9 "
        "--fuse none --preprocess device --cuda-graph off --quiet");
    struct rs_training_options o;
    rs_config_training(c, "json", &o);
    assert_string_equal(o.data, "d");
    assert_string_equal(o.valid_data, "v");
    assert_string_equal(o.init, "w");
    assert_string_equal(o.out, "o");
    assert_string_equal(o.trace, "t");
    assert_string_equal(o.config_json, "json");
    assert_false(o.resume);
    assert_int_equal(o.max_pixels, 12345);
    assert_int_equal(o.epochs, 3);
    assert_int_equal(o.max_steps, 70);
    assert_int_equal(o.batch_size, 5);
    assert_int_equal(o.eval_batch_size, 6);
    assert_int_equal(o.image_size, 80);
    assert_int_equal(o.optimizer, RS_OPTIMIZER_SGD);
    assert_true(o.lr == 0.5F && o.momentum == 0.25F && o.weight_decay == 0.125F);
    assert_int_equal(o.seed, 11);
    assert_false(o.shuffle);
    assert_string_equal(o.device, "cuda");
    assert_int_equal(o.ordinal, 2);
    assert_int_equal(o.precision, RS_PRECISION_TF32);
    assert_int_equal(o.workers, 1);
    assert_int_equal(o.threads, 0);
    assert_int_equal(o.prefetch, 9);
    assert_int_equal(o.fuse, RS_FUSE_NONE);
    assert_int_equal(o.preprocess, RS_PREPROCESS_DEVICE);
    assert_int_equal(o.step_graph, RS_STEP_GRAPH_OFF);
    assert_true(o.quiet);
    rs_config_destroy(c);
    c = accepted(storage, "train --data d --cuda-graph on --preprocess host --device cpu --threads 1");
    rs_config_training(c, NULL, &o);
    assert_int_equal(o.step_graph, RS_STEP_GRAPH_ON);
    assert_int_equal(o.preprocess, RS_PREPROCESS_HOST);
    assert_int_equal(o.threads, 1);
    assert_int_equal(rs_config_device_options(c).threads, 1);
    assert_null(o.trace);
    rs_config_destroy(c);
    c = accepted(storage, "train --data d");
    rs_config_training(c, NULL, &o);
    assert_int_equal(o.step_graph, RS_STEP_GRAPH_DEFAULT);
    assert_int_equal(o.preprocess, RS_PREPROCESS_AUTO);
    rs_config_destroy(c);
}

/* A run that goes on has its weights: the file that it was started from is stored, and not read again. */
static void test_resume_needs_no_init(void **unused)
{
    (void)unused;
    struct rs_config config;
    struct rs_training_options o;
    rs_config_defaults(&config, RS_COMMAND_TRAIN);
    config.data = "d";
    config.init = "w";
    rs_config_training(&config, NULL, &o);
    assert_string_equal(o.init, "w");
    assert_false(o.resume);
    config.resume = "run";
    rs_config_training(&config, NULL, &o);
    assert_null(o.init);
    assert_true(o.resume);
}

/* What a bench takes: each option with each part, accepted or refused with the reason. */
static void test_bench_options(void **unused)
{
    (void)unused;
    static const struct {
        const char *option, *ring, *pipeline, *train, *train_with_data; /* NULL: accepted */
    } cases[] = {
#define RING "bench ring takes no options"
#define COMPUTES "bench pipeline computes nothing: --"
#define READS "bench train reads nothing without --data: --"
        {"--batch-size 4", RING, NULL, NULL, NULL},
        {"--steps 4", RING, NULL, NULL, NULL},
        {"--repeats 2", RING, NULL, "--repeats belongs to bench pipeline",
         "--repeats belongs to bench pipeline"},
        {"--image-size 96", RING, NULL, NULL, NULL},
        {"--image-size 74", RING, NULL, "--image-size 74 is too small", "--image-size 74 is too small"},
        {"--device cpu", RING, COMPUTES "device", NULL, NULL},
        {"--precision bf16", RING, COMPUTES "precision", NULL, NULL},
        {"--threads 1", RING, COMPUTES "threads", NULL, NULL},
        {"--cuda-graph off", RING, COMPUTES "cuda-graph", NULL, NULL},
        {"--preprocess host", RING, COMPUTES "preprocess", READS "preprocess", NULL},
        {"--workers 1", RING, NULL, READS "workers", NULL},
        {"--prefetch 2", RING, NULL, READS "prefetch", NULL},
        {"--fuse none", RING, NULL, READS "fuse", NULL},
        {"--max-pixels 9", RING, NULL, READS "max-pixels", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *const parts[] = {"ring", "pipeline", "train", "train --data d"};
        const char *const reasons[] = {cases[i].ring, cases[i].pipeline, cases[i].train,
                                       cases[i].train_with_data};
        for (int part = 0; part < 4; part++) {
            char storage[LINE_ROOM], line[128];
            snprintf(line, sizeof line, "bench %s %s", parts[part], cases[i].option);
            if (reasons[part])
                refused(line, reasons[part], NULL);
            else
                rs_config_destroy(accepted(storage, line));
        }
    }
    refused("bench", "ring|pipeline|train is missing", NULL);
    refused("bench train pipeline", "'pipeline' is too much", NULL);
    refused("bench rings", "rings: one of ring, pipeline, train is allowed", NULL);
}

/* The helps and defaults of the table make sense: the test of its rows, not of code. */
static void test_table_is_whole(void **unused)
{
    (void)unused;
    for (int id = 0; id < RS_OPTIONS; id++) {
        const struct rs_option *option = &rs_options[id];
        bool negated = false;
        assert_int_equal(rs_option_find(option->name, strlen(option->name), &negated), id);
        assert_false(negated);
        assert_true(option->commands != 0 && (option->required & ~option->commands) == 0);
        assert_true(strlen(option->help) > 8);
        assert_true(option->fallback || option->absent || option->required);
        /* whoever needs no --x must be able to learn what happens without it */
        for (int c = 0; c < RS_COMMAND_COUNT; c++) {
            bool explained = option->fallback || option->absent || (option->required >> c & 1);
            for (int i = 0; i < RS_NOTES_MAX; i++)
                explained = explained || ((option->notes[i].commands >> c & 1) && option->notes[i].absent);
            if (rs_option_taken((enum rs_option_id)id, (enum rs_command)c) && !explained)
                fail_msg("--%s of %s has no default in its help", option->name, rs_commands[c].name);
        }
    }
}

static void test_edit_distance(void **unused)
{
    (void)unused;
    assert_int_equal(rs_edit_distance("", ""), 0);
    assert_int_equal(rs_edit_distance("epochs", "epochs"), 0);
    assert_int_equal(rs_edit_distance("Epochs", "epochs"), 0);
    assert_int_equal(rs_edit_distance("epoch", "epochs"), 1);
    assert_int_equal(rs_edit_distance("epcohs", "epochs"), 1);
    assert_int_equal(rs_edit_distance("kitten", "sitting"), 3);
    assert_int_equal(rs_edit_distance("", "abc"), 3);
    assert_int_equal(rs_edit_distance("ca", "abc"), 3); /* no edit inside a swapped pair */
    char longer[70];
    memset(longer, 'a', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    assert_int_equal(rs_edit_distance(longer, "a"), 69);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_train_defaults),
        cmocka_unit_test(test_devices),
        cmocka_unit_test(test_other_defaults),
        cmocka_unit_test(test_given_values),
        cmocka_unit_test(test_ranges_of_the_table),
        cmocka_unit_test(test_ranges_of_the_issue),
        cmocka_unit_test(test_contradictions),
        cmocka_unit_test(test_missing_and_unknown),
        cmocka_unit_test(test_all_options_reach_the_run),
        cmocka_unit_test(test_resume_needs_no_init),
        cmocka_unit_test(test_bench_options),
        cmocka_unit_test(test_table_is_whole),
        cmocka_unit_test(test_edit_distance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
