/* small_state.h: a network of a few tensors, and a scratch folder, for the checkpoint tests.
 * Owner: the fixture is the test's. @thread main. */
#ifndef RS_SMALL_STATE_H
#define RS_SMALL_STATE_H

#include "checkpoint.h"

struct small_state {
    char folder[64];
    char path[96]; /* folder/w.safetensors */
    struct rs_graph *graph;
    struct rs_state *state;
    struct rs_error err;
};

/* The network, of two normalized channels and three classes. */
int small_state_graph(struct rs_graph **out, struct rs_error *err);
/* cmocka's set-up and tear-down: a state with every value set, an empty folder; both gone afterwards. */
int small_state_set_up(void **out);
int small_state_tear_down(void **out);
/* All values of two states of one graph are the same bits; the optimizer's too if with_optimizer. */
int small_state_same(const struct rs_state *a, const struct rs_state *b, int with_optimizer);
/* The whole file into a new block, with its size; freed with free. */
char *small_state_read_file(const char *path, size_t *size);
void small_state_write_file(const char *path, const void *data, size_t size);

#endif
