/* train.h: the train stage: one optimizer step a train batch, one forward pass a validation batch.
 *
 * How it works: the handler of the consumer thread. With a device in host memory a step is a call; with one
 * that runs by itself uploads and steps are started, and poll takes their results in order. It keeps the
 * run's progress, reports each batch to the metrics stage, and at an epoch's end stores the weights into the
 * checkpointer's snapshot and goes on. After an interrupt, or an error that isn't its own, it stores where it
 * stands, so that nothing is lost.
 *
 * Owner: the creator owns everything in the options. @thread create, destroy: main; the rest: the consumer's.
 */
#ifndef RS_TRAIN_H
#define RS_TRAIN_H

#include "backend.h"
#include "checkpointer.h"
#include "metrics.h"
#include "schedule.h"

struct rs_train_options {
    struct rs_run *run;
    const struct rs_schedule *schedule;
    const struct rs_backend *backend;
    struct rs_plan *plan;
    struct rs_pool *slots;
    struct rs_metrics *metrics;
    struct rs_checkpointer *checkpointer; /* NULL: nothing is written */
    float lr;
    struct rs_spans *spans;      /* or NULL */
    bool device_traced;          /* spans begin arrows to the device's records */
    struct rs_progress progress; /* where to begin */
};

struct rs_train;

int rs_train_create(struct rs_train **out, const struct rs_train_options *options, struct rs_error *err);
void rs_train_destroy(struct rs_train *train);

/* For rs_consumer_options; self is the struct rs_train. */
void rs_train_enter(void *self, struct rs_lane *lane);
int rs_train_batch(void *self, struct rs_slot *slot, uint64_t waited_ns, struct rs_error *err);
int rs_train_poll(void *self, struct rs_error *err); /* for backends with a stream */
void rs_train_finish(void *self);

/* Where it stands; the last finished epoch's totals. After the thread's end. @thread main */
const struct rs_progress *rs_train_progress(const struct rs_train *train);
const struct rs_progress *rs_train_last_epoch(const struct rs_train *train); /* NULL before the first */
/* 0, or why the progress isn't saved: the checkpoint at the end failed, or the stage did after the run was
 * cancelled. A run that failed by itself has its own error, which came first. @thread main */
int rs_train_error(const struct rs_train *train, struct rs_error *err);
/* Whether the last checkpoint holds all steps done. */
bool rs_train_saved(const struct rs_train *train);

#endif
