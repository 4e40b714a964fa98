/* checkpoint_tool.c: checkpoints for golden_checkpoint: initial weights, and files loaded and saved again.
 *   checkpoint_tool init SIZE CLASSES SEED OUT
 *   checkpoint_tool copy SIZE CLASSES IN OUT [METADATA_KEY]   with the optimizer's tensors, which are new;
 * prints the key's value
 * @thread main. */
#include "checkpoint.h"
#include "resnet.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int copy(struct rs_state *state, char **argv, const char *key, struct rs_error *err)
{
    const struct rs_metadata metadata = {"made by", "checkpoint_tool"};
    char *value = NULL;
    RS_TRY(rs_checkpoint_load(argv[4], state, 0, err));
    if (key)
        RS_TRY(rs_checkpoint_metadata(argv[4], key, &value, err));
    if (value)
        puts(value);
    free(value);
    return rs_checkpoint_save(argv[5], state, 1, &metadata, 1, err);
}

int main(int argc, char **argv)
{
    struct rs_error err = {0};
    struct rs_graph *graph = NULL;
    struct rs_state *state = NULL;
    if (argc != 6 && argc != 7) {
        fprintf(stderr, "see the head of checkpoint_tool.c for its arguments\n");
        return 2;
    }
    int code =
        rs_resnet_build(&graph, (int32_t)strtol(argv[2], NULL, 10), (int32_t)strtol(argv[3], NULL, 10), &err);
    if (code == 0)
        code = rs_state_create(&state, graph, &err);
    if (code == 0 && strcmp(argv[1], "init") == 0) {
        rs_state_init(state, strtoull(argv[4], NULL, 10));
        code = rs_checkpoint_save(argv[5], state, 0, NULL, 0, &err);
    } else if (code == 0) {
        code = copy(state, argv, argc == 7 ? argv[6] : NULL, &err);
    }
    if (code < 0)
        fprintf(stderr, "checkpoint_tool: %s\n", err.message);
    rs_state_destroy(state);
    rs_graph_destroy(graph);
    return code < 0;
}
