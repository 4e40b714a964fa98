/* checkpointer.h: the checkpoint stage: writes weights and resume files while training goes on.
 *
 * How it works: the train stage fills the snapshot (begin waits until the one before is on the disk), commit
 * hands it to the checkpointer's thread, which writes resume.safetensors, last.safetensors and, when it is
 * the best so far, best.safetensors. The first failure fails the run and is what every later call returns.
 *
 * Owner: the creator; the snapshot is the train stage's between begin and commit. @thread create, destroy:
 * main; begin, commit, wait: train.
 */
#ifndef RS_CHECKPOINTER_H
#define RS_CHECKPOINTER_H

#include "progress.h"
#include "run.h"
#include "spans.h"
#include "state.h"
#include <stdbool.h>

struct rs_checkpointer_options {
    struct rs_run *run;
    struct rs_spans *spans; /* or NULL */
    const char *dir;        /* RUN_DIR */
    const struct rs_graph *graph;
    const char *config_json; /* metadata "config" of the resume file */
    const char *classes;     /* metadata "classes": names, one a line */
    uint32_t image_size;     /* metadata "image_size" */
};

enum rs_checkpoint_kind {
    RS_CHECKPOINT_EPOCH,       /* resume and last */
    RS_CHECKPOINT_BEST,        /* the same and best */
    RS_CHECKPOINT_INTERRUPTED, /* resume and last, between two steps */
};

struct rs_checkpointer;

int rs_checkpointer_create(struct rs_checkpointer **out, const struct rs_checkpointer_options *options,
                           struct rs_error *err);
int rs_checkpointer_begin(struct rs_checkpointer *c, struct rs_state **snapshot, struct rs_error *err);
void rs_checkpointer_commit(struct rs_checkpointer *c, const struct rs_progress *progress,
                            enum rs_checkpoint_kind kind);
/* Until nothing is being written. */
int rs_checkpointer_wait(struct rs_checkpointer *c, struct rs_error *err);
void rs_checkpointer_destroy(struct rs_checkpointer *c); /* writes what was committed first */

#endif
