/* Memory runs out in the parts that a run is made of: networks, states, checkpoint files, data sets, plans.
 */
#include "alloc.h"
#include "checkpoint.h"
#include "oom.h"
#include "progress.h"
#include "resnet.h"
#include "scene.h"
#include "sinks.h"
#include "small_network.h"
#include "source.h"

#include "cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct scene cifar, folder;
static char weights[400], metrics[400];

static uint64_t hash_floats(const float *values, int64_t count, uint64_t hash)
{
    const uint8_t *bytes = (const uint8_t *)values;
    for (size_t i = 0; i < (size_t)count * sizeof *values; i++)
        hash = (hash ^ bytes[i]) * 0x100000001b3u;
    return hash;
}

static int build_default_network(uint64_t *result, struct rs_error *err)
{
    struct rs_graph *graph;
    RS_TRY(rs_resnet_build(&graph, 96, 10, err));
    *result = (uint64_t)graph->param_floats;
    rs_graph_destroy(graph);
    return 0;
}

static void networks(void **unused)
{
    (void)unused;
    oom_sweep(&(struct oom_scenario){.name = "the default network", .run = build_default_network});
}

/* A network and a state of it with given values. */
static int build_state(struct rs_graph **graph, struct rs_state **state, struct rs_error *err)
{
    *graph = NULL;
    *state = NULL;
    RS_TRY(small_network_build(graph, 8, 10, err));
    RS_TRY(rs_state_create(state, *graph, err));
    rs_state_init(*state, 5);
    return 0;
}

static int save(uint64_t *result, struct rs_error *err)
{
    struct rs_graph *graph;
    struct rs_state *state;
    const struct rs_metadata metadata[] = {{"classes", "a\nb"}, {"image_size", "8"}};
    int code = build_state(&graph, &state, err);
    if (code == 0)
        code = rs_checkpoint_save(weights, state, true, metadata, 2, err);
    rs_state_destroy(state);
    rs_graph_destroy(graph);
    *result = code == 0 ? oom_file_hash(weights, 0) : 0;
    return code;
}

static int load_into(struct rs_state *state, uint64_t *result, struct rs_error *err)
{
    int32_t classes;
    char *size;
    RS_TRY(rs_checkpoint_load(weights, state, true, err));
    RS_TRY(rs_checkpoint_classes(weights, &classes, err));
    RS_TRY(rs_checkpoint_metadata(weights, "image_size", &size, err));
    *result = hash_floats(state->params, state->graph->param_floats, (uint64_t)classes) + strlen(size);
    free(size);
    return 0;
}

static int load(uint64_t *result, struct rs_error *err)
{
    struct rs_graph *graph;
    struct rs_state *state;
    int code = build_state(&graph, &state, err);
    if (code == 0)
        code = load_into(state, result, err);
    rs_state_destroy(state);
    rs_graph_destroy(graph);
    return code;
}

/* The file of a failed save is the one before, whole. */
static void checkpoints(void **unused)
{
    (void)unused;
    oom_sweep(&(struct oom_scenario){.name = "saving a checkpoint", .run = save, .points = 200});
    oom_sweep(&(struct oom_scenario){.name = "loading a checkpoint", .run = load, .points = 200});
}

static int print_progress(uint64_t *result, struct rs_error *err)
{
    const struct rs_progress progress = {.epoch = 3, .steps = 17, .train_count = 90};
    struct rs_progress back;
    char *text = rs_progress_print(&progress);
    if (!text) /* the caller's to say what for */
        return rs_error_set(err, RS_E_NOMEM, "out of memory");
    int code = rs_progress_parse(text, "a file", &back, err);
    free(text);
    *result = back.steps;
    return code;
}

static const char lines[] = "{\"event\":\"step\",\"epoch\":0,\"step\":1}\n"
                            "{\"event\":\"epoch\",\"epoch\":0,\"step\":1}\n"
                            "{\"event\":\"step\",\"epoch\":1,\"step\":2}\n";

static int rewind_metrics(uint64_t *result, struct rs_error *err)
{
    RS_TRY(rs_sink_jsonl_rewind(metrics, 1, 1, err));
    *result = oom_file_hash(metrics, 0);
    return 0;
}

static void write_metrics(void)
{
    FILE *file = fopen(metrics, "w");
    assert_non_null(file);
    assert_true(fputs(lines, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void records_of_a_run(void **unused)
{
    (void)unused;
    write_metrics();
    oom_sweep(
        &(struct oom_scenario){.name = "a run's progress as JSON", .run = print_progress, .points = 200});
    oom_sweep(&(struct oom_scenario){.name = "metrics.jsonl cut to a checkpoint",
                                     .run = rewind_metrics,
                                     .reset = write_metrics,
                                     .points = 200});
}

static int open_split(const char *dir, enum rs_split split, uint64_t *result, struct rs_error *err)
{
    struct rs_source *source;
    RS_TRY(rs_source_open(&source, dir, split, err));
    *result += rs_source_count(source) * (uint64_t)rs_source_classes(source);
    rs_source_destroy(source);
    return 0;
}

static int open_both(const char *dir, uint64_t *result, struct rs_error *err)
{
    RS_TRY(open_split(dir, RS_SPLIT_TRAIN, result, err));
    RS_TRY(open_split(dir, RS_SPLIT_VALID, result, err));
    return open_split(dir, RS_SPLIT_ALL_OF_IT, result, err);
}

static int open_cifar(uint64_t *result, struct rs_error *err)
{
    return open_both(cifar.data, result, err);
}

static int open_folder(uint64_t *result, struct rs_error *err)
{
    return open_both(folder.data, result, err);
}

static void data_sets(void **unused)
{
    (void)unused;
    oom_sweep(&(struct oom_scenario){.name = "a CIFAR folder", .run = open_cifar, .points = 200});
    oom_sweep(&(struct oom_scenario){.name = "an image folder", .run = open_folder, .points = 200});
}

static int begin(void **unused)
{
    (void)unused;
    oom_files_in_memory();
    scene_begin(&cifar, RS_SYNTH_CIFAR10, 20, 10);
    scene_begin(&folder, RS_SYNTH_PNG, 100, 10);
    snprintf(weights, sizeof weights, "%s/w.safetensors", cifar.root);
    snprintf(metrics, sizeof metrics, "%s/metrics.jsonl", cifar.root);
    uint64_t result;
    struct rs_error err;
    assert_int_equal(save(&result, &err), 0); /* to load, where that is the only scenario */
    return 0;
}

static int end(void **unused)
{
    (void)unused;
    scene_end(&cifar);
    scene_end(&folder);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(networks),
        cmocka_unit_test(checkpoints),
        cmocka_unit_test(records_of_a_run),
        cmocka_unit_test(data_sets),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
