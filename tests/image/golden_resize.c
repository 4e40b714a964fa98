/* golden_resize.c: every code path, both layouts, against Pillow: equal bits.
 *
 * pillow_oracle.py makes the cases: fixed sizes that are known to be awkward, then random ones. Sources and
 * results end at a page that can't be touched, so reading or writing past them fails the test in every build.
 */
#include "guarded.h"
#include "image.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#define CASES 320
#define SKIPPED 77

struct oracle_case {
    uint32_t width, height, new_width, new_height;
    struct guarded interleaved, planar; /* the source */
    struct guarded expected;            /* the result in planes */
};

static void read_exactly(FILE *from, void *to, size_t size)
{
    assert_int_equal(fread(to, 1, size, from), size);
}

static void to_planes(const uint8_t *interleaved, size_t pixels, uint8_t *planar)
{
    for (size_t i = 0; i < pixels; i++)
        for (size_t c = 0; c < 3; c++)
            planar[c * pixels + i] = interleaved[3 * i + c];
}

/* The next case. False at the oracle's end. */
static bool read_case(FILE *oracle, struct oracle_case *c)
{
    uint32_t size[4];
    size_t got = fread(size, 1, sizeof size, oracle);
    if (got == 0)
        return false;
    assert_int_equal(got, sizeof size);
    *c = (struct oracle_case){size[0], size[1], size[2], size[3], {0}, {0}, {0}};
    size_t pixels = (size_t)c->width * c->height, new_pixels = (size_t)c->new_width * c->new_height;
    c->interleaved = guarded_alloc(pixels * 3);
    c->planar = guarded_alloc(pixels * 3);
    c->expected = guarded_alloc(new_pixels * 3);
    read_exactly(oracle, c->interleaved.data, pixels * 3);
    to_planes(c->interleaved.data, pixels, c->planar.data);
    struct guarded result = guarded_alloc(new_pixels * 3);
    read_exactly(oracle, result.data, new_pixels * 3);
    to_planes(result.data, new_pixels, c->expected.data);
    guarded_free(&result);
    return true;
}

static void free_case(struct oracle_case *c)
{
    guarded_free(&c->interleaved);
    guarded_free(&c->planar);
    guarded_free(&c->expected);
}

static void check_case(struct rs_resizer *resizer, const struct oracle_case *c, int planar)
{
    struct rs_error err;
    struct rs_resize_source src = {planar ? c->planar.data : c->interleaved.data, c->width, c->height,
                                   planar};
    size_t size = (size_t)c->new_width * c->new_height * 3;
    struct guarded dst = guarded_alloc(size);
    memset(dst.data, 0xa5, size);
    assert_int_equal(rs_resizer_run(resizer, &src, c->new_width, c->new_height, dst.data, &err), 0);
    for (size_t i = 0; i < size; i++)
        if (dst.data[i] != c->expected.data[i])
            fail_msg("%s, %s: %u x %u to %u x %u: byte %zu is %u, Pillow's %u", rs_resizer_path(resizer),
                     planar ? "planar" : "interleaved", c->width, c->height, c->new_width, c->new_height, i,
                     dst.data[i], c->expected.data[i]);
    guarded_free(&dst);
}

/* The resizers of all paths that this machine can run. */
static size_t make_resizers(struct rs_resizer *resizers[], size_t max)
{
    size_t count = 0;
    for (uint32_t i = 0; rs_resizer_path_at(i) != NULL; i++) {
        assert_true(count < max);
        assert_int_equal(rs_resizer_create(&resizers[count], NULL), 0);
        if (rs_resizer_use(resizers[count], rs_resizer_path_at(i), NULL) == 0) {
            count++;
            continue;
        }
        print_message("this machine can't run %s: not compared\n", rs_resizer_path_at(i));
        rs_resizer_destroy(resizers[count]);
    }
    return count;
}

static void compare(FILE *oracle, struct rs_resizer *resizers[], size_t paths, size_t *compared)
{
    struct oracle_case c;
    while (read_case(oracle, &c)) {
        for (size_t p = 0; p < paths; p++) {
            check_case(resizers[p], &c, 0);
            check_case(resizers[p], &c, 1);
        }
        free_case(&c);
        ++*compared;
    }
}

static void equals_pillow(void **state)
{
    (void)state;
    char command[1024];
    struct rs_resizer *resizers[8];
    size_t compared = 0;
    snprintf(command, sizeof command, "/usr/bin/python3 '%s/pillow_oracle.py' %d 20240607",
             RS_TEST_SOURCE_DIR, CASES);
    FILE *oracle = popen(command, "r");
    assert_non_null(oracle);
    size_t paths = make_resizers(resizers, 8);
    compare(oracle, resizers, paths, &compared);
    for (size_t p = 0; p < paths; p++)
        rs_resizer_destroy(resizers[p]);
    int status = pclose(oracle);
    const char *required = getenv("RS_REQUIRE_ORACLES");
    if (WIFEXITED(status) && (WEXITSTATUS(status) == SKIPPED || WEXITSTATUS(status) == 127) &&
        !(required != NULL && strcmp(required, "1") == 0)) {
        print_message("golden_resize: skipped: python3 with Pillow and NumPy is missing\n");
        exit(SKIPPED);
    }
    assert_int_equal(status, 0);
    assert_int_equal(compared, CASES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(equals_pillow)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
