/* test_short_reads.c: a checkpoint whose reads come in pieces, each once interrupted by a signal, loads to
 * the same bits. The linker sends pread here. */
#include "small_state.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

static size_t piece; /* bytes that a read gives at most, 0: all */
static unsigned reads;

ssize_t __real_pread(int file, void *data, size_t size, off_t offset);
ssize_t __wrap_pread(int file, void *data, size_t size, off_t offset);

ssize_t __wrap_pread(int file, void *data, size_t size, off_t offset)
{
    if (piece && reads++ % 2 == 0) {
        errno = EINTR;
        return -1;
    }
    return __real_pread(file, data, piece && size > piece ? piece : size, offset);
}

static void test_pieces(void **state)
{
    struct small_state *f = *state;
    static const size_t pieces[] = {0, 1, 3, 7, 64};
    struct rs_state *loaded;
    for (int64_t i = 0; i < f->graph->param_floats; i++)
        f->state->params[i] = (float)(i * 37 % 101);
    assert_int_equal(rs_checkpoint_save(f->path, f->state, 1, NULL, 0, &f->err), 0);
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        assert_int_equal(rs_state_create(&loaded, f->graph, &f->err), 0);
        piece = pieces[i];
        reads = 0;
        if (rs_checkpoint_load(f->path, loaded, 1, &f->err) < 0)
            fail_msg("%zu bytes at a time: %s", piece, f->err.message);
        assert_true(piece == 0 || reads > 2);
        piece = 0;
        assert_true(small_state_same(loaded, f->state, 1));
        rs_state_destroy(loaded);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_pieces, small_state_set_up, small_state_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
