/* metrics.h: the metrics stage: takes the train stage's reports and gives them to sinks.
 *
 * How it works: reports come from a fixed pool and travel two SPSC channels, there and back, so that posting
 * one allocates nothing and waits only when the loop is a whole pool behind. On the event loop they are
 * drained into each sink: the log file, the console. At an epoch's end the input's figures are read and the
 * verdict is found.
 *
 * Owner: the creator; a sink belongs to the metrics stage once added. @thread create, add, destroy: main;
 * post: the train stage; the rest: loop.
 */
#ifndef RS_METRICS_H
#define RS_METRICS_H

#include "input.h"
#include "loop.h"
#include "progress.h"

enum rs_report_kind { RS_REPORT_STEP, RS_REPORT_VALID, RS_REPORT_EPOCH };

struct rs_report {
    enum rs_report_kind kind;
    uint32_t epoch, images;
    uint64_t step;                 /* optimizer steps of the run, this one included */
    uint64_t batch, epoch_batches; /* of the epoch, validation included: done, and in all */
    double loss, accuracy;         /* of this batch */
    double lr, seconds, wait_seconds;
    /* EPOCH: */
    struct rs_progress progress; /* with the totals of the whole epoch */
    struct rs_stage_figures upload, train;
};

#define RS_STAGES_MAX 8
struct rs_epoch_summary {
    uint32_t epoch;
    bool validated;
    const struct rs_progress *progress;
    double images_per_second;                      /* of the train steps */
    struct rs_named_figures stages[RS_STAGES_MAX]; /* of this epoch */
    uint32_t stage_count;
    struct rs_verdict verdict;
};

/* Where reports go: one vtable a kind. Functions return 0 or an error that fails the run; NULL members are
 * skipped. @thread loop */
struct rs_metrics_sink_ops {
    const char *name;
    int (*batch)(void *self, const struct rs_report *report, struct rs_error *err); /* STEP and VALID */
    int (*epoch)(void *self, const struct rs_epoch_summary *summary, struct rs_error *err);
    int (*tick)(void *self, struct rs_error *err); /* a few times a second */
    void (*destroy)(void *self);
};

struct rs_metrics_options {
    struct rs_run *run;
    struct rs_loop *loop;
    struct rs_spans *spans; /* or NULL */
    struct rs_lane *lane;   /* of the loop's thread, or NULL */
    const struct rs_input *input;
    uint32_t workers, cores, slots;
};

struct rs_metrics;

int rs_metrics_create(struct rs_metrics **out, const struct rs_metrics_options *options,
                      struct rs_error *err);
int rs_metrics_add(struct rs_metrics *metrics, const struct rs_metrics_sink_ops *ops, void *self,
                   struct rs_error *err); /* at most 4; destroys self when it fails */
/* 0, or RS_E_CANCELLED when the run was stopped while waiting. @thread train */
int rs_metrics_post(struct rs_metrics *metrics, const struct rs_report *report);
/* Waits until the sinks have what was posted. The loop gives it to them for as long as the train stage runs,
 * in a stopped run as well. @thread train */
void rs_metrics_settle(struct rs_metrics *metrics);
/* Drains what was posted; the loop does it by itself. Failures fail the run.
 */
void rs_metrics_drain(void *metrics);
/* Drains, and has the sinks write out what they hold. @thread main, after the loop */
void rs_metrics_finish(struct rs_metrics *metrics);
void rs_metrics_destroy(struct rs_metrics *metrics);

#endif
