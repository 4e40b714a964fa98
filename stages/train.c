/* train.c: a step a batch, in host memory or started on a device; totals, reports, checkpoints at an epoch's
 * end. */
#include "train.h"

#include "alloc.h"
#include "clock.h"
#include "device_trace.h"
#include "upload.h"

#include <math.h>

/* A step that was started on a device and has not given its result. */
struct started {
    struct rs_scheduled_batch plan;
    uint64_t waited_ns;
};

struct rs_train {
    struct rs_train_options o;
    struct rs_progress progress;
    struct rs_progress last_epoch;
    bool has_last_epoch;
    bool weights_good;       /* false once a step failed or a loss wasn't finite */
    bool saved;              /* a checkpoint holds progress */
    bool best_due;           /* the weights are the best so far, and best.safetensors doesn't hold them yet */
    struct rs_error failure; /* the first of a batch, a poll or the drain */
    struct rs_error finish_error; /* of the last checkpoint */
    struct rs_upload upload;
    struct rs_stage_figures figures;
    uint64_t last_end; /* of the batch before, or of the start */
    struct rs_lane *lane;
    uint32_t train_name, valid_name, upload_name, snapshot_name, epoch_name; /* of spans */
    uint32_t phase_epoch; /* whose phase is open, plus one */

    /* with a stream: tickets first_ticket to next_ticket - 1 are started */
    struct started started[RS_DEVICE_SLOTS_MAX];
    uint64_t first_ticket, next_ticket;
    bool epoch_closing; /* the epoch's last batch is started: the next epoch waits for its checkpoint */
};

int rs_train_create(struct rs_train **out, const struct rs_train_options *options, struct rs_error *err)
{
    struct rs_train *t = rs_calloc(1, sizeof *t);
    if (!t)
        return rs_error_set(err, RS_E_NOMEM, "no memory for the train stage");
    t->o = *options;
    t->progress = options->progress;
    t->weights_good = true;
    t->saved = options->progress.steps > 0;
    t->figures.threads = 1;
    t->last_end = rs_now_ns();
    struct rs_upload_options upload = {options->backend, options->plan, options->slots};
    rs_upload_init(&t->upload, &upload);
    t->train_name = rs_spans_name(options->spans, "train");
    t->valid_name = rs_spans_name(options->spans, "validate");
    t->upload_name = rs_spans_name(options->spans, "upload");
    t->snapshot_name = rs_spans_name(options->spans, "snapshot");
    t->epoch_name = rs_spans_name(options->spans, "epoch");
    *out = t;
    return 0;
}

void rs_train_destroy(struct rs_train *t)
{
    rs_free(t);
}

static int check_finite(struct rs_train *t, bool train, const struct rs_step_result *result,
                        struct rs_error *err)
{
    if (isfinite(result->loss_sum))
        return 0;
    t->weights_good = false;
    if (train)
        return rs_error_set(
            err, RS_E_NOT_FINITE,
            "the loss of step %llu is not finite (epoch %u, learning rate %g); lower --lr, then go "
            "on from the last checkpoint or start again",
            (unsigned long long)t->progress.steps + 1, t->progress.epoch, (double)t->o.lr);
    return rs_error_set(
        err, RS_E_NOT_FINITE,
        "the validation loss after step %llu is not finite (epoch %u, learning rate %g); lower --lr, "
        "then go on from the last checkpoint or start again",
        (unsigned long long)t->progress.steps, t->progress.epoch, (double)t->o.lr);
}

/* A train step gave its result. */
static void count_step(struct rs_train *t)
{
    t->saved = false;
    t->progress.steps++;
    t->progress.epoch_steps++;
    t->progress.validated = false;
}

static int checkpoint(struct rs_train *t, const struct rs_progress *progress, enum rs_checkpoint_kind kind,
                      struct rs_error *err)
{
    struct rs_state *snapshot;
    if (!t->o.checkpointer)
        return 0;
    rs_lane_begin(t->lane, t->snapshot_name, progress->steps);
    int code = rs_checkpointer_begin(t->o.checkpointer, &snapshot, err);
    if (code == 0)
        code = t->o.backend->store(t->o.plan, snapshot, err);
    rs_lane_end(t->lane);
    RS_TRY(code);
    rs_metrics_settle(t->o.metrics); /* the lines of what it counts are written before the checkpoint */
    rs_checkpointer_commit(t->o.checkpointer, progress, kind);
    t->saved = true;
    t->best_due = false;
    return 0;
}

/* The progress that a run goes on from: the same epoch if max_steps cut it short, so that more steps can
 * follow, else the next. */
static struct rs_progress after_epoch(const struct rs_train *t)
{
    struct rs_progress next = t->progress;
    next.valid = (struct rs_totals){0};
    next.valid_seconds = 0;
    next.validated = true;
    if (t->progress.epoch_steps < t->o.schedule->train_batches)
        return next;
    return (struct rs_progress){
        .epoch = t->progress.epoch + 1,
        .steps = t->progress.steps,
        .train_count = t->progress.train_count,
        .valid_count = t->progress.valid_count,
        .best_accuracy = t->progress.best_accuracy,
    };
}

/* Only a stopped run refuses a report, when the loop is a whole pool of them behind: progress must not depend
 * on it. */
static void post(struct rs_train *t, const struct rs_report *report)
{
    (void)rs_metrics_post(t->o.metrics, report);
}

static int end_epoch(struct rs_train *t, struct rs_report *report, struct rs_error *err)
{
    double accuracy = rs_totals_accuracy(&t->progress.valid);
    if (t->progress.valid.samples && accuracy > t->progress.best_accuracy) {
        t->progress.best_accuracy = accuracy;
        t->best_due = true;
    }
    report->kind = RS_REPORT_EPOCH;
    report->progress = t->last_epoch = t->progress;
    report->upload = t->upload.figures;
    report->train = t->figures;
    t->has_last_epoch = true;
    post(t, report);
    t->progress = after_epoch(t);
    int code = checkpoint(t, &t->progress, t->best_due ? RS_CHECKPOINT_BEST : RS_CHECKPOINT_EPOCH, err);
    t->last_end = rs_now_ns(); /* the snapshot is no step's time */
    return code;
}

static void count_batch(struct rs_train *t, struct rs_report *report, uint64_t waited_ns,
                        const struct rs_step_result *result)
{
    bool train = report->kind == RS_REPORT_STEP;
    uint64_t now = rs_now_ns(), whole = now - t->last_end;
    t->last_end = now;
    report->seconds = (double)whole * 1e-9;
    report->wait_seconds = (double)waited_ns * 1e-9;
    report->loss = result->loss_sum / report->images;
    report->accuracy = (double)result->correct / report->images;
    rs_totals_add(train ? &t->progress.train : &t->progress.valid, result, report->images);
    *(train ? &t->progress.train_seconds : &t->progress.valid_seconds) += report->seconds;
    if (train && t->figures.batches) /* the first wait is the filling of the pipeline, no stage's fault */
        t->progress.train_wait_seconds += report->wait_seconds;
    t->figures.batches++;
    t->figures.samples += report->images;
    t->figures.wait_input_ns += waited_ns;
}

/* A batch gave its result: totals, report, and the epoch's end after its last one. */
static int complete(struct rs_train *t, const struct rs_scheduled_batch *plan, uint64_t waited_ns,
                    const struct rs_step_result *result, struct rs_error *err)
{
    bool train = plan->phase == RS_PHASE_TRAIN;
    RS_TRY(check_finite(t, train, result, err));
    if (train)
        count_step(t);
    uint64_t steps = rs_schedule_epoch_steps(t->o.schedule, plan->epoch);
    struct rs_report report = {
        .kind = train ? RS_REPORT_STEP : RS_REPORT_VALID,
        .epoch = plan->epoch,
        .images = plan->count,
        .step = t->progress.steps,
        .batch = plan->index + 1 + (train ? 0 : steps),
        .epoch_batches = steps + t->o.schedule->valid_batches,
        .lr = (double)t->o.lr,
    };
    count_batch(t, &report, waited_ns, result);
    post(t, &report);
    return plan->last_of_epoch ? end_epoch(t, &report, err) : 0;
}

/* Within the span of what starts it. */
static void begin_arrow(struct rs_train *t, enum rs_device_cause cause, uint64_t seq)
{
    if (t->o.device_traced)
        rs_lane_flow(t->lane, rs_device_trace_flow(cause, seq));
}

/* In host memory: the whole step. */
static int run_step(struct rs_train *t, const struct rs_scheduled_batch *plan, struct rs_slot *slot,
                    const struct rs_batch_input *input, uint64_t waited_ns, struct rs_error *err)
{
    struct rs_step_result result = {0};
    bool train = plan->phase == RS_PHASE_TRAIN;
    uint64_t began = rs_now_ns();
    int code;
    rs_lane_begin(t->lane, train ? t->train_name : t->valid_name, plan->seq);
    if (train) {
        code = t->o.backend->train_step(t->o.plan, input, t->o.lr, &result, err);
        t->weights_good = code == 0;
    } else {
        code = t->o.backend->eval_step(t->o.plan, input, &result, err);
    }
    rs_lane_end(t->lane);
    RS_TRY(code);
    t->figures.busy_ns += rs_now_ns() - began;
    rs_upload_done(&t->upload, slot);
    return complete(t, plan, waited_ns, &result, err);
}

/* On a device that runs by itself: the step follows its upload there. */
static int start_step(struct rs_train *t, const struct rs_scheduled_batch *plan, uint32_t device_slot,
                      uint64_t waited_ns, struct rs_error *err)
{
    const struct rs_stream_ops *stream = t->o.backend->stream;
    uint64_t ticket = t->next_ticket;
    bool train = plan->phase == RS_PHASE_TRAIN;
    int code;
    rs_lane_begin(t->lane, train ? t->train_name : t->valid_name, plan->seq);
    begin_arrow(t, RS_CAUSE_STEP, plan->seq);
    if (train) {
        code = stream->train(t->o.plan, device_slot, t->o.lr, ticket, err);
        t->weights_good = t->weights_good && code == 0;
    } else {
        code = stream->eval(t->o.plan, device_slot, ticket, err);
    }
    rs_lane_end(t->lane);
    RS_TRY(code);
    t->started[ticket % RS_DEVICE_SLOTS_MAX] = (struct started){*plan, waited_ns};
    t->next_ticket++;
    t->epoch_closing = plan->last_of_epoch;
    return 0;
}

void rs_train_enter(void *self, struct rs_lane *lane)
{
    struct rs_train *t = self;
    t->lane = lane;
}

/* An epoch's range begins with its first batch here. */
static void begin_phase(struct rs_train *t, uint32_t epoch)
{
    if (t->phase_epoch == epoch + 1)
        return;
    t->phase_epoch = epoch + 1;
    rs_lane_phase(t->lane, t->epoch_name, epoch);
}

/* A run that was cancelled keeps no error: the stage does, and tells it when it left progress unsaved. */
static int keep_failure(struct rs_train *t, int code, const struct rs_error *error)
{
    if (code < 0 && !t->failure.code)
        t->failure = *error;
    return code;
}

static int begin_batch(struct rs_train *t, struct rs_slot *slot, uint64_t waited_ns, struct rs_error *err)
{
    struct rs_batch_input input;
    uint32_t device_slot;
    if (t->epoch_closing || t->next_ticket - t->first_ticket == RS_DEVICE_SLOTS_MAX ||
        !rs_upload_ready(&t->upload))
        return RS_AGAIN;
    struct rs_scheduled_batch plan = rs_schedule_at(t->o.schedule, slot->seq);
    begin_phase(t, plan.epoch);
    rs_lane_begin(t->lane, t->upload_name, plan.seq);
    begin_arrow(t, RS_CAUSE_UPLOAD, plan.seq);
    int code = rs_upload_begin(&t->upload, slot, &input, &device_slot, err);
    rs_lane_end(t->lane);
    RS_TRY(code);
    return t->o.backend->stream ? start_step(t, &plan, device_slot, waited_ns, err)
                                : run_step(t, &plan, slot, &input, waited_ns, err);
}

int rs_train_batch(void *self, struct rs_slot *slot, uint64_t waited_ns, struct rs_error *err)
{
    return keep_failure(self, begin_batch(self, slot, waited_ns, err), err);
}

/* Takes the results that are there. */
static int take_results(struct rs_train *t, struct rs_error *err)
{
    while (t->first_ticket < t->next_ticket) {
        struct rs_step_result result = {0};
        int code = t->o.backend->stream->result(t->o.plan, t->first_ticket, &result, err);
        if (code < 0)
            t->weights_good = false;
        if (code)
            return code;
        struct started s = t->started[t->first_ticket++ % RS_DEVICE_SLOTS_MAX];
        RS_TRY(complete(t, &s.plan, s.waited_ns, &result, err));
        if (s.plan.last_of_epoch)
            t->epoch_closing = false;
    }
    return 0;
}

static int poll_device(struct rs_train *t, struct rs_error *err)
{
    uint64_t began = rs_now_ns();
    int uploads = rs_upload_poll(&t->upload, err);
    RS_TRY(uploads);
    int results = take_results(t, err);
    RS_TRY(results);
    t->figures.busy_ns += rs_now_ns() - began;
    return uploads == RS_AGAIN || results == RS_AGAIN ? RS_AGAIN : 0;
}

int rs_train_poll(void *self, struct rs_error *err)
{
    return keep_failure(self, poll_device(self, err), err);
}

/* What was started ends before anything is saved or freed; its results count. */
static void drain(struct rs_train *t)
{
    struct rs_error error = {0};
    if (!t->o.backend->stream)
        return;
    int code = t->o.backend->stream->drain(t->o.plan, &error);
    if (code == 0 && t->weights_good)
        code = take_results(t, &error);
    if (code == RS_AGAIN)
        code = rs_error_set(&error, RS_E_BACKEND, "the device has no result of a step that it ended");
    if (code < 0) {
        t->weights_good = false;
        keep_failure(t, code, &error);
        rs_run_fail(t->o.run, "train", &error);
    }
}

void rs_train_finish(void *self)
{
    struct rs_train *t = self;
    struct rs_error *error = &t->finish_error;
    int code = 0;
    drain(t);
    rs_lane_phase_end(t->lane);
    if (!t->o.checkpointer)
        return;
    if (rs_run_stopped(t->o.run) && t->weights_good && !t->saved && t->progress.steps) {
        struct rs_progress progress = t->progress;
        progress.valid = (struct rs_totals){0}; /* an interrupted validation begins again */
        progress.valid_seconds = 0;
        /* still due: the store at the epoch's end failed */
        code = checkpoint(t, &progress, t->best_due ? RS_CHECKPOINT_BEST : RS_CHECKPOINT_INTERRUPTED, error);
    }
    if (code == 0)
        code = rs_checkpointer_wait(t->o.checkpointer, error);
    if (code < 0)
        t->saved = false;
}

int rs_train_error(const struct rs_train *t, struct rs_error *err)
{
    if (t->finish_error.code)
        return rs_error_set(err, t->finish_error.code, "checkpoint: %s", t->finish_error.message);
    bool lost = !t->saved || t->first_ticket < t->next_ticket; /* what was started counts as well */
    if (t->failure.code && lost)
        return rs_error_set(err, t->failure.code, "train: %s", t->failure.message);
    return 0;
}

const struct rs_progress *rs_train_progress(const struct rs_train *t)
{
    return &t->progress;
}

const struct rs_progress *rs_train_last_epoch(const struct rs_train *t)
{
    return t->has_last_epoch ? &t->last_epoch : NULL;
}

bool rs_train_saved(const struct rs_train *t)
{
    return t->saved;
}
