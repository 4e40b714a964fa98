/* metrics.jsonl as a killed run can leave it, rewound: nothing but whole objects on lines of their own. */
#include "sinks.h"

#include "cmocka_all.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STEP "{\"event\":\"step\",\"epoch\":0,\"step\":1}"
#define NEXT "{\"event\":\"step\",\"epoch\":0,\"step\":2}"

/* Rewinds a file of these bytes to step 2 of epoch 0. */
static void check_rewind(const char *bytes, size_t size, const char *kept)
{
    char path[] = "/tmp/rstream-test-XXXXXX", text[1024];
    int file = mkstemp(path);
    assert_true(file >= 0);
    assert_int_equal(write(file, bytes, size), size);
    close(file);
    assert_int_equal(rs_sink_jsonl_rewind(path, 2, 0, NULL), 0);
    FILE *stream = fopen(path, "r");
    assert_non_null(stream);
    text[fread(text, 1, sizeof text - 1, stream)] = '\0';
    fclose(stream);
    unlink(path);
    assert_string_equal(text, kept);
}

static void a_missing_newline_is_added(void **state)
{
    (void)state;
    static const char text[] = STEP "\n" NEXT;
    check_rewind(text, strlen(text), STEP "\n" NEXT "\n");
}

static void a_line_with_more_than_its_object_is_dropped(void **state)
{
    (void)state;
    static const char text[] = STEP NEXT "\n" STEP "{\n" NEXT " \n";
    check_rewind(text, strlen(text), NEXT " \n");
}

/* A file system that lost its last block leaves zeros there; the parser takes other control characters for
 * white space. */
static void control_characters_are_dropped(void **state)
{
    (void)state;
    static const char text[] = STEP "\n" NEXT "\0\0\n" STEP "\n" NEXT "\x1e\n\0\0\0";
    check_rewind(text, sizeof text - 1, STEP "\n" STEP "\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_missing_newline_is_added),
        cmocka_unit_test(a_line_with_more_than_its_object_is_dropped),
        cmocka_unit_test(control_characters_are_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
