/* metrics.jsonl goes back to a checkpoint: which lines stay, whatever is in the file. */
#include "sinks.h"

#include "cmocka_all.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define STEP(epoch, step) "{\"event\":\"step\",\"epoch\":" #epoch ",\"step\":" #step ",\"loss\":0.5}\n"
#define EPOCH(epoch, step) "{\"event\":\"epoch\",\"epoch\":" #epoch ",\"step\":" #step ",\"stages\":{}}\n"

static char dir[64], path[128];

static int begin(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/rstream-test-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof path, "%s/metrics.jsonl", dir);
    return 0;
}

/* Nothing but metrics.jsonl may be left. */
static int end(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(dir);
}

static void write_file(const char *text, size_t length)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, length, f), length);
    fclose(f);
}

static void assert_file(const char *text)
{
    size_t length = strlen(text);
    char *found = calloc(length + 2, 1);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    assert_non_null(found);
    (void)!fread(found, 1, length + 1, f);
    fclose(f);
    assert_string_equal(found, text);
    free(found);
}

static void assert_rewound(const char *before, uint64_t steps, uint32_t epoch, const char *after)
{
    struct rs_error err = {0};
    write_file(before, strlen(before));
    assert_int_equal(rs_sink_jsonl_rewind(path, steps, epoch, &err), 0);
    assert_file(after);
}

/* Two epochs of two steps, and half of a third. */
#define FIRST STEP(0, 1) STEP(0, 2)
#define SECOND STEP(1, 3) STEP(1, 4)
#define WHOLE FIRST EPOCH(0, 2) SECOND EPOCH(1, 4) STEP(2, 5)

static void steps_and_epochs_up_to_the_checkpoint_stay(void **state)
{
    (void)state;
    assert_rewound(WHOLE, 0, 0, "");
    assert_rewound(WHOLE, 1, 0, STEP(0, 1));
    assert_rewound(WHOLE, 2, 0, FIRST); /* in the first validation, or after a short epoch */
    assert_rewound(WHOLE, 2, 1, FIRST EPOCH(0, 2));
    assert_rewound(WHOLE, 3, 1, FIRST EPOCH(0, 2) STEP(1, 3));
    assert_rewound(WHOLE, 4, 1, FIRST EPOCH(0, 2) SECOND);
    assert_rewound(WHOLE, 4, 2, FIRST EPOCH(0, 2) SECOND EPOCH(1, 4));
    assert_rewound(WHOLE, 5, 2, WHOLE);
    assert_rewound(WHOLE, 1000, 1000, WHOLE);
    assert_rewound("", 5, 2, "");
}

static void a_torn_line_is_dropped(void **state)
{
    (void)state;
    const char line[] = STEP(2, 5);
    for (size_t length = 1; length < sizeof line - 2; length++) {
        char torn[256];
        snprintf(torn, sizeof torn, "%s%.*s", FIRST, (int)length, line);
        assert_rewound(torn, 5, 2, FIRST);
    }
}

/* Only the line's end is missing: the next line would be glued to it. */
static void a_line_without_its_end_gets_one(void **state)
{
    (void)state;
    const char line[] = FIRST STEP(1, 3);
    struct rs_error err;
    write_file(line, strlen(line) - 1);
    assert_int_equal(rs_sink_jsonl_rewind(path, 3, 1, &err), 0);
    assert_file(line);
    write_file(line, strlen(line) - 1);
    assert_int_equal(rs_sink_jsonl_rewind(path, 2, 1, &err), 0);
    assert_file(FIRST);
}

static void what_is_no_line_of_ours_is_dropped(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "\n",
        "garbage\n",
        "[]\n",
        "17\n",
        "\"event\"\n",
        "{}\n",
        "{\"event\":\"step\",\"epoch\":0}\n",
        "{\"event\":\"step\",\"step\":1}\n",
        "{\"epoch\":0,\"step\":1}\n",
        "{\"event\":\"step\",\"epoch\":0,\"step\":\"1\"}\n",
        "{\"event\":\"step\",\"epoch\":null,\"step\":1}\n",
        "{\"event\":7,\"epoch\":0,\"step\":1}\n",
        "{\"event\":\"step\",\"epoch\":0,\"step\":1}{\"event\":\"step\",\"epoch\":0,\"step\":2}\n",
        "{\"event\":\"step\",\"epoch\":0,\"step\":1} {\"event\":\n",
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        char text[512];
        snprintf(text, sizeof text, "%s%s%s", STEP(0, 1), lines[i], STEP(0, 2));
        assert_rewound(text, 5, 2, FIRST);
        snprintf(text, sizeof text, "%s%s", FIRST, lines[i]);
        assert_rewound(text, 5, 2, FIRST);
    }
}

/* What a file system may leave of a file that was being written when the power failed. */
static void zero_bytes_are_dropped(void **state)
{
    (void)state;
    static const char tail[] = FIRST "\0\0\0\0\0\0";
    static const char inside[] = STEP(0, 1) "{\"event\":\"step\",\"epoch\":0,\"step\":1}\0\0\0\n" STEP(0, 2);
    struct rs_error err;
    write_file(tail, sizeof tail - 1);
    assert_int_equal(rs_sink_jsonl_rewind(path, 5, 2, &err), 0);
    assert_file(FIRST);
    write_file(inside, sizeof inside - 1);
    assert_int_equal(rs_sink_jsonl_rewind(path, 5, 2, &err), 0);
    assert_file(FIRST);
}

static void a_very_long_line_stays_whole(void **state)
{
    (void)state;
    const size_t room = (size_t)1 << 20;
    char *text = malloc(room + 512);
    assert_non_null(text);
    int at = sprintf(text, "%s{\"event\":\"epoch\",\"epoch\":0,\"step\":2,\"note\":\"", FIRST);
    memset(text + at, 'x', room);
    snprintf(text + (size_t)at + room, 512 - (size_t)at, "%s", "\"}\n" STEP(1, 3));
    assert_rewound(text, 3, 1, text);
    assert_rewound(text, 2, 0, FIRST);
    free(text);
}

static void a_missing_file_stays_missing(void **state)
{
    (void)state;
    struct stat st;
    assert_int_equal(rs_sink_jsonl_rewind(path, 5, 2, NULL), 0);
    assert_int_equal(stat(path, &st), -1);
}

/* What is beside it, of a process that died, is replaced. */
static void a_partial_file_of_before_is_replaced(void **state)
{
    (void)state;
    char partial[160];
    snprintf(partial, sizeof partial, "%s.partial", path);
    FILE *f = fopen(partial, "w");
    assert_non_null(f);
    fputs(WHOLE WHOLE WHOLE, f);
    fclose(f);
    assert_rewound(WHOLE, 3, 1, FIRST EPOCH(0, 2) STEP(1, 3));
    struct stat st;
    assert_int_equal(stat(partial, &st), -1);
}

/* A process's own memory can't be read at 0: reading begins and fails. */
static void a_read_error_is_one(void **state)
{
    (void)state;
    struct rs_error err = {0};
    char target[32] = "";
    assert_int_equal(symlink("/proc/self/mem", path), 0);
    assert_int_equal(rs_sink_jsonl_rewind(path, 5, 2, &err), RS_E_IO);
    assert_non_null(strstr(err.message, path));
    assert_true(readlink(path, target, sizeof target) > 0); /* not replaced */
}

static void a_folder_that_can_t_be_written_is_named(void **state)
{
    (void)state;
    char partial[160];
    struct rs_error err = {0};
    snprintf(partial, sizeof partial, "%s.partial", path);
    write_file(WHOLE, strlen(WHOLE));
    assert_int_equal(symlink("/dev/full", partial), 0);
    assert_int_equal(rs_sink_jsonl_rewind(path, 3, 1, &err), RS_E_NO_SPACE);
    assert_non_null(strstr(err.message, path));
    assert_file(WHOLE);
    assert_int_equal(mkdir(partial, 0700), 0); /* the link is gone */
    assert_true(rs_sink_jsonl_rewind(path, 3, 1, &err) < 0);
    assert_non_null(strstr(err.message, path));
    assert_file(WHOLE);
    rmdir(partial);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(steps_and_epochs_up_to_the_checkpoint_stay, begin, end),
        cmocka_unit_test_setup_teardown(a_torn_line_is_dropped, begin, end),
        cmocka_unit_test_setup_teardown(a_line_without_its_end_gets_one, begin, end),
        cmocka_unit_test_setup_teardown(what_is_no_line_of_ours_is_dropped, begin, end),
        cmocka_unit_test_setup_teardown(zero_bytes_are_dropped, begin, end),
        cmocka_unit_test_setup_teardown(a_very_long_line_stays_whole, begin, end),
        cmocka_unit_test_setup_teardown(a_missing_file_stays_missing, begin, end),
        cmocka_unit_test_setup_teardown(a_partial_file_of_before_is_replaced, begin, end),
        cmocka_unit_test_setup_teardown(a_read_error_is_one, begin, end),
        cmocka_unit_test_setup_teardown(a_folder_that_can_t_be_written_is_named, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
