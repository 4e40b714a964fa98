/* test_help.c: the helps of the built command: which options each command takes, under which heading, their
 * arguments, defaults and ranges, and which decide the weights. The list is written out here, apart from the
 * table of options that everything in rstream is made from. */
#include "support.h"

#include "config.h"
#include "planner.h"
#include "scratch.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static struct rs_scratch scratch;
static struct outcome o;

#define DEVICE "--device=auto|cpu|cuda[:N]|ref (default auto)\n"
#define FUSE "--fuse=auto|none (default auto)\n"
#define CUDA_GRAPH "--cuda-graph=on|off (default on)\n"
#define MAX_PIXELS "--max-pixels=N (default 89478485; 1 to 1000000000)\n"
#define PRECISION "--precision=fp32|tf32|bf16 (default fp32)\n"
#define PREFETCH "--prefetch=N (default 8; 1 to 64)\n"
#define PREPROCESS "--preprocess=auto|host|device (default auto)\n"
#define THREADS "--threads=N (default auto; 1 to CORES, or auto)\n"
#define WORKERS "--workers=N (default auto; 1 to CORES, or auto)\n"
#define IMAGE_SIZE "--image-size=N (default 96; 8 to 1024)\n"
#define BATCH_SIZE "--batch-size=N (default 64; 1 to 4096)\n"
#define EVAL_BATCH_SIZE "--eval-batch-size=N (default 128; 1 to 4096)\n"
#define SEED "--seed=N (default 0; 0 to 9007199254740991)\n"
#define GIVEN(option) option " (must be given)\n"
#define HELP "-h, --help\n--usage\n"

static const char *const helps[RS_COMMAND_COUNT] = {
    [RS_COMMAND_TRAIN] = "Data:\n" GIVEN("--data=DIR") MAX_PIXELS
    "--valid-data=DIR (default: the test or validation split inside --data; none there, no validation)\n"
    "Run:\n"
    "--init=FILE.safetensors (default: PyTorch's random initial values from --seed)\n"
    "--out=RUN_DIR (default: runs/DATE-TIME)\n"
    "--quiet (default: a line an epoch, and progress on a terminal)\n"
    "--resume=RUN_DIR (default: a new run)\n"
    "--trace=FILE.json (default: not written)\n"
    "Training:\n"
    "* " BATCH_SIZE "--epochs=N (default 20; 1 to 1000000)\n" EVAL_BATCH_SIZE "* " IMAGE_SIZE
    "* --lr=X (default 0.01; 0 to 1000)\n"
    "--max-steps=N (default none; 1 to 1000000000000, or none)\n"
    "* --momentum=X (default 0; 0 to 1)\n"
    "* --optimizer=adam|sgd (default adam)\n"
    "* " SEED "* --shuffle, --no-shuffle (default shuffle)\n"
    "* --weight-decay=X (default 0; 0 to 1)\n"
    "Machine:\n" CUDA_GRAPH DEVICE FUSE "* " PRECISION PREFETCH PREPROCESS THREADS WORKERS HELP,
    [RS_COMMAND_EVAL] = "Data:\n" GIVEN("--data=DIR") MAX_PIXELS GIVEN(
        "--weights=FILE.safetensors") "Training:\n" EVAL_BATCH_SIZE IMAGE_SIZE
                                      "Machine:\n" DEVICE FUSE PRECISION PREFETCH THREADS WORKERS HELP,
    [RS_COMMAND_PREDICT] =
        "Data:\n"
        "--data=DIR (default: the names stored with the weights, else numbers)\n" MAX_PIXELS GIVEN(
            "--weights=FILE.safetensors") "Training:\n" IMAGE_SIZE "Machine:\n" DEVICE PRECISION THREADS
                                          "This command:\n--top=N (default 3; 1 to 1000)\n" HELP,
    [RS_COMMAND_PREVIEW] = "Data:\n" GIVEN("--data=DIR") MAX_PIXELS
    "Training:\n" IMAGE_SIZE "This command:\n--count=N (default 64; 1 to 100000)\n"
    "--npy=FILE.npy (default: not written)\n--png=FILE.png (default: not written)\n" HELP,
    [RS_COMMAND_SUMMARY] =
        "Training:\n" IMAGE_SIZE "This command:\n--classes=N (default 10; 2 to 100000)\n" HELP,
    [RS_COMMAND_SYNTH] =
        "Training:\n" SEED "This command:\n--format=cifar10|png (default cifar10)\n"
        "--test=N (default 2000; 10 to 10000000)\n--train=N (default 10000; 10 to 10000000)\n" HELP,
    [RS_COMMAND_BENCH] =
        "Data:\n"
        "--data=DIR (default: pipeline takes generated images, train measures the step alone)\n" MAX_PIXELS
        "Training:\n" BATCH_SIZE IMAGE_SIZE
        "Machine:\n" CUDA_GRAPH DEVICE FUSE PRECISION PREFETCH PREPROCESS THREADS WORKERS
        "This command:\n--repeats=N (default 5; 1 to 100)\n--steps=N (default auto; 1 to 1000000, or "
        "auto)\n" HELP,
    [RS_COMMAND_DEVICES] = HELP,
};

/* An option's rows in one line: "--name=N  Text that\n   goes on (default 3)". */
struct item {
    char text[2048];
    size_t used;
};

static void add_words(struct item *item, const char *line, size_t length)
{
    line += strspn(line, " ");
    while (length > 0 && line[length - 1] == ' ')
        length--;
    item->used += (size_t)snprintf(item->text + item->used, sizeof item->text - item->used, "%s%.*s",
                                   item->used ? " " : "", (int)length, line);
    assert_true(item->used < sizeof item->text);
}

/* "* --name=N (default 3)\n": the mark, the names and the last parentheses of an item, without its prose. */
static void write_item(FILE *to, struct item *item)
{
    if (!item->used)
        return;
    /* between the names and the text are three blanks at least, or a line's end */
    const char *doc = strstr(item->text, "  ");
    const char *names_end = doc ? doc : strchr(item->text, ' ');
    if (strncmp(item->text, "--shuffle, ", 11) == 0 || strncmp(item->text, "-h, ", 4) == 0)
        names_end = doc;
    if (!names_end) {
        fail_msg("%s", item->text);
        return;
    }
    const char *text = names_end + strspn(names_end, " ");
    const bool marked = strncmp(text, "* ", 2) == 0;
    const char *range = strrchr(text, '(');
    assert_true(strlen(text) > 8);
    fprintf(to, "%s%.*s%s%s\n", marked ? "* " : "", (int)(names_end - item->text), item->text,
            range ? " " : "", range ? range : "");
    item->used = 0;
}

/* The list of options of a help, an option a line. */
static void list_options(const char *help, char *list, size_t size)
{
    struct item item = {.used = 0};
    FILE *to = fmemopen(list, size, "w");
    assert_non_null(to);
    for (const char *line = help, *end; (end = strchr(line, '\n')); line = end + 1) {
        const size_t blanks = strspn(line, " "), length = (size_t)(end - line);
        if (blanks == 1) { /* " Data:" */
            write_item(to, &item);
            fprintf(to, "%.*s\n", (int)length - 1, line + 1);
        } else if ((blanks == 6 && strncmp(line, "      --", 8) == 0) || strncmp(line, "  -h, ", 6) == 0) {
            write_item(to, &item);
            size_t names = strcspn(line + blanks, "\n");
            item.used = (size_t)snprintf(item.text, sizeof item.text, "%.*s", (int)names, line + blanks);
        } else if (blanks >= 20 && item.used) {
            if (blanks < length)
                add_words(&item, line + blanks, length - blanks);
        } else {
            write_item(to, &item);
        }
    }
    fclose(to);
}

/* text with CORES replaced by the number of cores. */
static void fill_cores(char *out, size_t size, const char *text)
{
    size_t used = 0;
    for (const char *at; (at = strstr(text, "CORES")); text = at + 5)
        used +=
            (size_t)snprintf(out + used, size - used, "%.*s%u", (int)(at - text), text, rs_planner_cores());
    snprintf(out + used, size - used, "%s", text);
}

static void test_options_of_commands(void **unused)
{
    (void)unused;
    for (int c = 0; c < RS_COMMAND_COUNT; c++) {
        char list[8192] = "", expected[8192];
        run_rstream(&o, scratch.path, "%s --help", rs_commands[c].name);
        assert_int_equal(o.exit_code, 0);
        assert_string_equal(o.err, "");
        list_options(o.out, list, sizeof list);
        fill_cores(expected, sizeof expected, helps[c]);
        if (strcmp(list, expected) != 0)
            print_message("in rstream %s --help\n", rs_commands[c].name);
        assert_string_equal(list, expected);
    }
}

/* Whoever asks for help gets the same text on the same stream. */
static void test_ways_to_ask(void **unused)
{
    (void)unused;
    static const char *const ways[] = {"help %s", "%s -h", "%s -?", "%s --no-such-thing --help",
                                       "%s --data --help"};
    static struct outcome first;
    for (int c = 0; c < RS_COMMAND_COUNT; c++) {
        run_rstream(&first, scratch.path, "%s --help", rs_commands[c].name);
        for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
            char line[64];
            snprintf(line, sizeof line, ways[i], rs_commands[c].name);
            run_rstream(&o, scratch.path, "%s", line);
            assert_int_equal(o.exit_code, 0);
            assert_string_equal(o.out, first.out);
            assert_string_equal(o.err, "");
        }
    }
    /* behind "--" stand operands alone */
    run_rstream(&o, scratch.path, "synth -- --help a");
    assert_int_equal(o.exit_code, 2);
    assert_string_equal(o.err, "rstream synth: 'a' is too much: see rstream synth --help\n");
    run_rstream(&first, scratch.path, "--help");
    static const char *const all[] = {"-h", "help"};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        run_rstream(&o, scratch.path, "%s", all[i]);
        assert_int_equal(o.exit_code, 0);
        assert_string_equal(o.out, first.out);
    }
    run_rstream(&o, scratch.path, " ");
    assert_int_equal(o.exit_code, 2);
    assert_string_equal(o.err, first.out);
    assert_string_equal(o.out, "");
    run_rstream(&o, scratch.path, "--version");
    assert_int_equal(o.exit_code, 0);
    assert_string_equal(o.out, "rstream " RS_VERSION "\n");
    run_rstream(&o, scratch.path, "summary --version");
    assert_int_equal(o.exit_code, 0);
    assert_string_equal(o.out, "rstream " RS_VERSION "\n");
}

/* A row for each command and what every exit code means. */
static void test_list_of_commands(void **unused)
{
    (void)unused;
    static const char expected[] =
        "Usage: rstream COMMAND [OPTION...]\n"
        "Trains convolutional networks from image data as one pipeline of stages.\n\nCommands:\n"
        "  train     Train the network on a folder of images\n"
        "  eval      Measure weights: loss, accuracy, confusion matrix\n"
        "  predict   Classify image files\n"
        "  preview   Show what the network sees of a data set\n"
        "  summary   Print the network: shapes, parameters, work\n"
        "  synth     Generate a data set of ten learnable classes\n"
        "  bench     Measure the ring, the loader or the training step\n"
        "  devices   List what can compute on this machine\n\n";
    run_rstream(&o, scratch.path, "--help");
    assert_memory_equal(o.out, expected, sizeof expected - 1);
    assert_non_null(strstr(
        o.out, "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 the device can't be used, 130 interrupted\n"));
}

static void test_usage_lines(void **unused)
{
    (void)unused;
    static const char *const lines[RS_COMMAND_COUNT] = {
        [RS_COMMAND_TRAIN] = "Usage: rstream train [OPTION...] --data DIR\n  or:  rstream train [OPTION...] "
                             "--resume RUN_DIR\n",
        [RS_COMMAND_EVAL] = "Usage: rstream eval [OPTION...] --data DIR --weights FILE.safetensors\n",
        [RS_COMMAND_PREDICT] = "Usage: rstream predict [OPTION...] --weights FILE.safetensors IMAGE...\n",
        [RS_COMMAND_PREVIEW] = "Usage: rstream preview [OPTION...] --data DIR\n",
        [RS_COMMAND_SUMMARY] = "Usage: rstream summary [OPTION...] \n",
        [RS_COMMAND_SYNTH] = "Usage: rstream synth [OPTION...] OUT_DIR\n",
        [RS_COMMAND_BENCH] =
            "Usage: rstream bench [OPTION...] ring\n  or:  rstream bench [OPTION...] pipeline\n"
            "  or:  rstream bench [OPTION...] train\n",
        [RS_COMMAND_DEVICES] = "Usage: rstream devices [OPTION...] \n",
    };
    for (int c = 0; c < RS_COMMAND_COUNT; c++) {
        run_rstream(&o, scratch.path, "%s --help", rs_commands[c].name);
        assert_memory_equal(o.out, lines[c], strlen(lines[c]));
        run_rstream(&o, scratch.path, "%s --usage", rs_commands[c].name);
        assert_int_equal(o.exit_code, 0);
        for (int id = 0; id < RS_OPTIONS; id++) {
            char word[40];
            snprintf(word, sizeof word, "[--%s", rs_options[id].name);
            const char *found = strstr(o.out, word);
            while (found &&
                   !strchr("]=", found[strlen(word)])) /* --train is no beginning of another option's name */
                found = strstr(found + 1, word);
            assert_int_equal(found != NULL, rs_option_taken((enum rs_option_id)id, (enum rs_command)c));
        }
    }
}

static int set_up(void **unused)
{
    (void)unused;
    return rs__scratch_create(&scratch, NULL);
}

static int tear_down(void **unused)
{
    (void)unused;
    rs__scratch_remove(&scratch);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options_of_commands),
        cmocka_unit_test(test_ways_to_ask),
        cmocka_unit_test(test_list_of_commands),
        cmocka_unit_test(test_usage_lines),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
