/* test_bench_ring.c: rstream bench ring, a row for each task; and bench pipeline by where TMPDIR leads.
 */
#include "support.h"

#include "scratch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct rs_scratch scratch;
static struct outcome o;

static void expect(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("no '%s' in:\n%s%s", part, text, o.err);
}

static void where_generated_images_lie(void **unused)
{
    (void)unused;
    const char *given = getenv("TMPDIR");
    char *before = given ? strdup(given) : NULL;
    setenv("TMPDIR", in(scratch.path, "no such folder"), 1);
    run_rstream(&o, scratch.path, "bench pipeline --steps 3 --repeats 1");
    assert_int_equal(o.exit_code, 1);
    expect(o.err, "no such folder");
    expect(o.err, "set TMPDIR");
    char longer[400];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    setenv("TMPDIR", longer, 1);
    run_rstream(&o, scratch.path, "bench pipeline --steps 3 --repeats 1");
    assert_int_equal(o.exit_code, 1);
    expect(o.err, "TMPDIR's path is too long");
    unsetenv("TMPDIR");
    run_rstream(&o, scratch.path, "bench pipeline --steps 3 --repeats 1 --batch-size 8 --image-size 32");
    assert_int_equal(o.exit_code, 0);
    expect(o.out, "Loader alone: /tmp/rstream-bench-");
    if (before)
        setenv("TMPDIR", before, 1);
    free(before);
}

#ifndef __SANITIZE_THREAD__ /* it doesn't know what the ring to compare with synchronizes */
static void ring(void **unused)
{
    (void)unused;
    static const char *const tasks[] = {"SPSC push and pop, one thread", "MPMC push and pop, one thread",
                                        "SPSC stream, 1 to 1 threads",   "MPMC stream, 1 to 1 threads",
                                        "MPMC stream, 2 to 2 threads",   "SPSC ping-pong, one way",
                                        "MPMC ping-pong, one way",       "channel ping-pong, one way"};
    run_rstream(&o, scratch.path, "bench ring");
    assert_int_equal(o.exit_code, 0);
    for (size_t t = 0; t < sizeof tasks / sizeof tasks[0]; t++) {
        const char *row = strstr(o.out, tasks[t]);
        double ns = 0;
        if (!row || sscanf(row + strlen(tasks[t]), "%lf", &ns) != 1)
            fail_msg("no row '%s' in:\n%s", tasks[t], o.out);
        assert_true(ns > 0);
    }
}
#endif

static int set_up(void **state)
{
    (void)state;
    return rs__scratch_create(&scratch, NULL);
}

static int tear_down(void **state)
{
    (void)state;
    rs__scratch_remove(&scratch);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(where_generated_images_lie),
#ifndef __SANITIZE_THREAD__
        cmocka_unit_test(ring),
#endif
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
