/* test_checkpoint.c: what is saved is what is loaded; the file is as the format says. */
#include "small_state.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void check_round_trip(struct small_state *f, int save_optimizer, int load_optimizer)
{
    struct rs_state *other;
    assert_int_equal(rs_state_create(&other, f->graph, &f->err), 0);
    if (rs_checkpoint_save(f->path, f->state, save_optimizer, NULL, 0, &f->err) < 0 ||
        rs_checkpoint_load(f->path, other, load_optimizer, &f->err) < 0)
        fail_msg("%s", f->err.message);
    assert_true(small_state_same(f->state, other, load_optimizer));
    if (!load_optimizer)
        assert_int_equal(other->steps, 0);
    rs_state_destroy(other);
}

static void test_round_trips(void **state)
{
    struct small_state *f = *state;
    check_round_trip(f, 0, 0);
    check_round_trip(f, 1, 1);
    check_round_trip(f, 1, 0); /* a resume file serves as weights */
}

static void test_weights_have_no_optimizer(void **state)
{
    struct small_state *f = *state;
    assert_int_equal(rs_checkpoint_save(f->path, f->state, 0, NULL, 0, &f->err), 0);
    assert_int_equal(rs_checkpoint_load(f->path, f->state, 1, &f->err), RS_E_NOT_FOUND);
    assert_non_null(strstr(f->err.message, "optimizer."));
    assert_non_null(strstr(f->err.message, f->path));
}

static void test_metadata(void **state)
{
    struct small_state *f = *state;
    const struct rs_metadata metadata[] = {
        {"config", "{\"lr\":0.01,\n\"path\":\"C:\\\\x\"}\t"}, {"empty", ""}, {"name", "r\xc3\xa9seau"}};
    char *value;
    assert_int_equal(rs_checkpoint_save(f->path, f->state, 1, metadata, 3, &f->err), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(rs_checkpoint_metadata(f->path, metadata[i].key, &value, &f->err), 0);
        assert_string_equal(value, metadata[i].value);
        free(value);
    }
    assert_int_equal(rs_checkpoint_metadata(f->path, "none", &value, &f->err), 0);
    assert_null(value);
    assert_int_equal(rs_checkpoint_load(f->path, f->state, 1, &f->err), 0);
    assert_int_equal(rs_checkpoint_save(f->path, f->state, 1, NULL, 0, &f->err), 0);
    assert_int_equal(rs_checkpoint_metadata(f->path, "config", &value, &f->err), 0);
    assert_null(value);
}

static void test_classes(void **state)
{
    struct small_state *f = *state;
    int32_t classes;
    assert_int_equal(rs_checkpoint_save(f->path, f->state, 1, NULL, 0, &f->err), 0);
    assert_int_equal(rs_checkpoint_classes(f->path, &classes, &f->err), 0);
    assert_int_equal(classes, 3);
}

/* Without classifier.weight the matrix that lies last counts; without a matrix there is none. */
static void test_classes_of_others(void **state)
{
    struct small_state *f = *state;
    static const char matrices[] = "{\"z\":{\"dtype\":\"F32\",\"shape\":[1,2],\"data_offsets\":[0,8]},"
                                   "\"a\":{\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[8,16]}}";
    static const char vector[] = "{\"z\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}}";
    static const char *const headers[] = {matrices, vector};
    for (int i = 0; i < 2; i++) {
        char file[256] = {0};
        int32_t classes;
        const uint64_t length = strlen(headers[i]);
        memcpy(file, &length, 8);
        memcpy(file + 8, headers[i], length);
        small_state_write_file(f->path, file, 8 + length + 16);
        assert_int_equal(rs_checkpoint_classes(f->path, &classes, &f->err), i == 0 ? 0 : RS_E_NOT_FOUND);
        assert_int_equal(classes, i == 0 ? 2 : 0);
    }
}

/* Length, JSON padded with spaces, data at a multiple of 8 from the file's start; the counters first, so that
 * they are aligned. */
static void test_layout(void **state)
{
    struct small_state *f = *state;
    size_t size;
    uint64_t length;
    int64_t counter;
    assert_int_equal(rs_checkpoint_save(f->path, f->state, 0, NULL, 0, &f->err), 0);
    char *file = small_state_read_file(f->path, &size);
    memcpy(&length, file, sizeof(length));
    assert_int_equal(length % 8, 0);
    assert_true(file[8] == '{');
    assert_true(file[8 + length - 1] == ' ' || file[8 + length - 1] == '}');
    assert_int_equal(size, 8 + length + 8 +
                               (size_t)(f->graph->param_floats + f->graph->buffer_floats) * sizeof(float));
    memcpy(&counter, file + 8 + length, sizeof(counter));
    assert_int_equal(counter, 123456789012);
    assert_memory_equal(file + 8 + length + 8, f->state->params,
                        (size_t)f->graph->param_floats * sizeof(float));
    free(file);
}

/* A save replaces what was there, and a path without a folder is the current one. */
static void test_replaces(void **state)
{
    struct small_state *f = *state;
    struct rs_state *other;
    char *before = getcwd(NULL, 0);
    assert_int_equal(rs_state_create(&other, f->graph, &f->err), 0);
    small_state_write_file(f->path, "old", 3);
    assert_int_equal(chdir(f->folder), 0);
    assert_int_equal(rs_checkpoint_save("w.safetensors", f->state, 0, NULL, 0, &f->err), 0);
    assert_int_equal(rs_checkpoint_load(f->path, other, 0, &f->err), 0);
    assert_int_equal(access("w.safetensors.partial", F_OK), -1);
    assert_int_equal(chdir(before), 0);
    assert_true(small_state_same(f->state, other, 0));
    rs_state_destroy(other);
    free(before);
}

/* Two norms whose counters differ: each has its own tensor. */
static void test_counters_of_two_norms(void **state)
{
    struct small_state *f = *state;
    struct rs_graph *graph;
    struct rs_state *saved, *loaded;
    assert_int_equal(rs_graph_create(&graph, (struct rs_shape){2, 1, 1}, &f->err), 0);
    assert_int_equal(rs_graph_batch_norm(graph, "one", 0, &f->err), 1);
    assert_int_equal(rs_graph_batch_norm(graph, "two", 1, &f->err), 2);
    assert_int_equal(rs_graph_linear(graph, "classifier", 2, 3, &f->err), 3);
    assert_int_equal(rs_graph_cross_entropy(graph, "loss", 3, &f->err), 4);
    assert_int_equal(rs_state_create(&saved, graph, &f->err), 0);
    assert_int_equal(rs_state_create(&loaded, graph, &f->err), 0);
    saved->batches_tracked[0] = 5;
    saved->batches_tracked[1] = 7;
    assert_int_equal(rs_checkpoint_save(f->path, saved, 0, NULL, 0, &f->err), 0);
    assert_int_equal(rs_checkpoint_load(f->path, loaded, 0, &f->err), 0);
    assert_int_equal(loaded->batches_tracked[0], 5);
    assert_int_equal(loaded->batches_tracked[1], 7);
    rs_state_destroy(saved);
    rs_state_destroy(loaded);
    rs_graph_destroy(graph);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_counters_of_two_norms, small_state_set_up,
                                        small_state_tear_down),
        cmocka_unit_test_setup_teardown(test_round_trips, small_state_set_up, small_state_tear_down),
        cmocka_unit_test_setup_teardown(test_weights_have_no_optimizer, small_state_set_up,
                                        small_state_tear_down),
        cmocka_unit_test_setup_teardown(test_metadata, small_state_set_up, small_state_tear_down),
        cmocka_unit_test_setup_teardown(test_classes, small_state_set_up, small_state_tear_down),
        cmocka_unit_test_setup_teardown(test_classes_of_others, small_state_set_up, small_state_tear_down),
        cmocka_unit_test_setup_teardown(test_layout, small_state_set_up, small_state_tear_down),
        cmocka_unit_test_setup_teardown(test_replaces, small_state_set_up, small_state_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
