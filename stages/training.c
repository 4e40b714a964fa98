/* training.c: builds everything of a training run in order, works it, reports, and takes it down in reverse.
 */
#include "training.h"

#include "alloc.h"
#include "checkpoint.h"
#include "clock.h"
#include "consumer.h"
#include "data.h"
#include "device.h"
#include "device_trace.h"
#include "log.h"
#include "preprocess.h"
#include "resnet.h"
#include "run_dir.h"
#include "sinks.h"
#include "train.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATH_SIZE 4096

/* Everything of a run; what is NULL was not made. */
struct training {
    const struct rs_training_options *o;
    struct rs_data data;
    struct rs_graph *graph;
    struct rs_state *state; /* initial values; freed once the plan has them */
    struct rs_chosen_device device;
    struct rs_preprocess_choice preprocess;
    bool eager; /* steps, for the plan */
    struct rs_plan *plan;
    struct rs_schedule schedule;
    struct rs_progress progress; /* where to begin */
    struct rs_placement placement;
    char *class_names; /* one a line */
    char resume_path[PATH_SIZE];
    int out_lock; /* of the run's folder, -1: none */

    struct rs_run *run;
    struct rs_spans *spans;
    struct rs_lane *lane; /* of main */
    struct rs_device_trace device_trace;
    struct rs_loop *loop;
    struct rs_input *input;
    struct rs_metrics *metrics;
    struct rs_checkpointer *checkpointer;
    struct rs_train *train;
    struct rs_consumer *consumer;
    bool interrupted;
};

static void say(const struct training *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(const struct training *t, const char *format, ...)
{
    va_list args;
    if (!t->o->console || t->o->quiet)
        return;
    va_start(args, format);
    vfprintf(t->o->console, format, args);
    va_end(args);
    fflush(t->o->console);
}

static int join_class_names(struct training *t, struct rs_error *err)
{
    const struct rs_source *source = t->data.sources[RS_PHASE_TRAIN];
    int32_t classes = rs_source_classes(source);
    size_t length = 1;
    for (int32_t i = 0; i < classes; i++)
        length += strlen(rs_source_class_name(source, i)) + 1;
    t->class_names = rs_calloc(length, 1);
    if (!t->class_names)
        return rs_error_set(err, RS_E_NOMEM, "no memory for the class names");
    char *at = t->class_names;
    for (int32_t i = 0; i < classes; i++)
        at = stpcpy(stpcpy(at, i ? "\n" : ""), rs_source_class_name(source, i));
    return 0;
}

static uint64_t count_of(const struct rs_source *source)
{
    return source ? rs_source_count(source) : 0;
}

static int open_data(struct training *t, struct rs_error *err)
{
    const struct rs_training_options *o = t->o;
    RS_TRY(rs_data_open(&t->data, o->data, o->valid_data, err));
    t->schedule = (struct rs_schedule){
        .train_count = count_of(t->data.sources[RS_PHASE_TRAIN]),
        .valid_count = count_of(t->data.sources[RS_PHASE_VALID]),
        .batch_size = o->batch_size,
        .eval_batch_size = o->eval_batch_size,
        .epochs = o->epochs,
        .max_steps = o->max_steps,
        .shuffle = o->shuffle,
        .seed = o->seed,
    };
    rs_schedule_init(&t->schedule);
    return join_class_names(t, err);
}

/* Three files of weights and two of moments, and one beside while it is written. */
static uint64_t checkpoint_bytes(const struct rs_graph *g)
{
    uint64_t weights = (uint64_t)(g->param_floats + g->buffer_floats) * sizeof(float);
    return weights * 3 + (uint64_t)g->param_floats * sizeof(float) * 2 + weights * 3;
}

static int load_progress(struct training *t, struct rs_error *err)
{
    char *text;
    RS_TRY(rs_checkpoint_metadata(t->resume_path, "progress", &text, err));
    if (!text)
        return rs_error_set(err, RS_E_CORRUPT, "%s holds no progress; is it a resume file of rstream?",
                            t->resume_path);
    int code = rs_progress_parse(text, t->resume_path, &t->progress, err);
    free(text);
    return code;
}

static bool nothing_left(const struct training *t, const struct rs_progress *p)
{
    if (p->steps > t->schedule.steps) /* --epochs or --max-steps is less than was done */
        return true;
    return p->validated ? p->steps >= t->schedule.steps
                        : rs_schedule_seq(&t->schedule, p->epoch, p->epoch_steps) >= t->schedule.end;
}

/* A run goes on with the data and within the limits that its position was counted in. */
static int check_progress(const struct training *t, struct rs_error *err)
{
    const struct rs_progress *p = &t->progress;
    const struct rs_schedule *s = &t->schedule;
    if (p->train_count != s->train_count || p->valid_count != s->valid_count)
        return rs_error_set(
            err, RS_E_USAGE,
            "%s was written with %llu images to train on and %llu to validate on, and %s has %llu and "
            "%llu; go on with the same data, or start a new run with --init",
            t->resume_path, (unsigned long long)p->train_count, (unsigned long long)p->valid_count,
            t->o->data, (unsigned long long)s->train_count, (unsigned long long)s->valid_count);
    if (p->epoch_steps > s->train_batches || p->steps != p->epoch * s->train_batches + p->epoch_steps)
        return rs_error_set(err, RS_E_CORRUPT,
                            "%s: step %llu is not step %llu of epoch %u with %llu steps an epoch",
                            t->resume_path, (unsigned long long)p->steps, (unsigned long long)p->epoch_steps,
                            p->epoch, (unsigned long long)s->train_batches);
    return 0;
}

/* The place of metrics.jsonl, its text in path; lines after the checkpoint are dropped first. */
static int prepare_out(struct training *t, struct rs_error *err)
{
    const struct rs_training_options *o = t->o;
    char path[PATH_SIZE];
    RS_TRY(rs_run_dir_prepare(o->out, o->resume, checkpoint_bytes(t->graph), err));
    RS_TRY(rs_run_dir_lock(o->out, &t->out_lock, err));
    RS_TRY(rs_run_dir_path(t->resume_path, sizeof t->resume_path, o->out, "resume.safetensors", err));
    RS_TRY(rs_run_dir_path(path, sizeof path, o->out, "metrics.jsonl", err));
    if (o->resume) {
        RS_TRY(load_progress(t, err));
        RS_TRY(check_progress(t, err));
        if (nothing_left(t, &t->progress))
            return 0;
        RS_TRY(rs_sink_jsonl_rewind(path, t->progress.steps, t->progress.epoch, err));
    } else if (unlink(path) != 0 && errno != ENOENT) {
        return rs_error_set_errno(err, errno, "%s can't be removed", path);
    }
    return rs_run_dir_write(o->out, "config.json", o->config_json, err);
}

static int build_state(struct training *t, struct rs_error *err)
{
    const struct rs_training_options *o = t->o;
    int32_t classes = rs_source_classes(t->data.sources[RS_PHASE_TRAIN]);
    t->progress = (struct rs_progress){
        .train_count = t->schedule.train_count, .valid_count = t->schedule.valid_count, .best_accuracy = -1};
    RS_TRY(rs_resnet_build(&t->graph, (int32_t)o->image_size, classes, err));
    RS_TRY(rs_state_create(&t->state, t->graph, err));
    if (o->out)
        RS_TRY(prepare_out(t, err));
    if (o->resume)
        return rs_checkpoint_load(t->resume_path, t->state, true, err);
    if (o->init)
        return rs_checkpoint_load(o->init, t->state, false, err);
    rs_state_init(t->state, o->seed);
    return 0;
}

/* Sizes of full and of short last batches. Where batches of max_steps end doesn't matter: those are full. */
static void list_sizes(uint32_t sizes[RS_BATCH_SIZES_MAX], uint64_t samples, uint32_t batch)
{
    uint32_t n = 0, rest = (uint32_t)(samples % batch);
    if (samples >= batch)
        sizes[n++] = batch;
    if (rest)
        sizes[n] = rest;
}

static int compile_plan(struct training *t, struct rs_error *err)
{
    const struct rs_training_options *o = t->o;
    struct rs_plan_options plan = {
        .precision = o->precision,
        .optimizer = o->optimizer,
        .beta1 = 0.9,
        .beta2 = 0.999,
        .eps = 1e-8,
        .momentum = o->momentum,
        .weight_decay = o->weight_decay,
        .pixels = t->preprocess.pixels,
        .eager = t->eager,
    };
    list_sizes(plan.train_batches, t->schedule.train_count, o->batch_size);
    list_sizes(plan.eval_batches, t->schedule.valid_count, o->eval_batch_size);
    RS_TRY(t->device.backend->compile(t->device.device, t->graph, &plan, &t->plan, err));
    RS_TRY(t->device.backend->load(t->plan, t->state, err));
    rs_state_destroy(t->state);
    t->state = NULL;
    return 0;
}

static void on_interrupt(void *arg, int n)
{
    struct training *t = arg;
    if (n > 1)
        _exit(130);
    t->interrupted = true;
    say(t, "\ninterrupted; the step in work is finished first (once more to leave at once)\n");
    rs_run_cancel(t->run);
}

static int build_input(struct training *t, struct rs_error *err)
{
    const struct rs_training_options *o = t->o;
    RS_TRY(rs_run_create(&t->run, err));
    RS_TRY(rs_spans_create(&t->spans, o->trace != NULL, err));
    t->lane = rs_spans_lane(t->spans, "main");
    RS_TRY(rs_loop_create(&t->loop, t->run, err));
    RS_TRY(rs_loop_on_interrupt(t->loop, on_interrupt, t, err));
    t->placement = rs_planner_place(o->fuse, t->preprocess.image_stages, o->workers, rs_planner_cores(),
                                    o->batch_size, t->device.computes_on_cpu);
    struct rs_input_options input = {
        .run = t->run,
        .loop = t->loop,
        .spans = t->spans,
        .lane = t->lane,
        .schedule = &t->schedule,
        .sources = {t->data.sources[0], t->data.sources[1]},
        .first_seq = rs_schedule_seq(&t->schedule, t->progress.epoch, t->progress.epoch_steps),
        .slots = o->prefetch,
        .placement = t->placement,
        .image_size = o->image_size,
        .max_pixels = o->max_pixels,
        .element = t->device.backend->input_element(t->plan),
        .pixels = t->preprocess.pixels,
        .backend = t->device.backend,
        .device = t->device.device,
    };
    return rs_input_create(&t->input, &input, err);
}

static int add_sinks(struct training *t, struct rs_error *err)
{
    const struct rs_training_options *o = t->o;
    char path[PATH_SIZE];
    void *sink;
    if (o->out) {
        RS_TRY(rs_run_dir_path(path, sizeof path, o->out, "metrics.jsonl", err));
        RS_TRY(rs_sink_jsonl_create(&sink, path, err));
        RS_TRY(rs_metrics_add(t->metrics, &rs_sink_jsonl, sink, err));
    }
    if (!o->console || o->quiet)
        return 0;
    RS_TRY(rs_sink_console_create(&sink, o->console, o->console_is_terminal, o->epochs, err));
    return rs_metrics_add(t->metrics, &rs_sink_console, sink, err);
}

static int build_train(struct training *t, struct rs_error *err)
{
    struct rs_train_options train = {
        .run = t->run,
        .schedule = &t->schedule,
        .backend = t->device.backend,
        .plan = t->plan,
        .slots = rs_input_slots(t->input),
        .metrics = t->metrics,
        .checkpointer = t->checkpointer,
        .spans = t->spans,
        .device_traced = t->device_trace.on,
        .lr = t->o->lr,
        .progress = t->progress,
    };
    RS_TRY(rs_train_create(&t->train, &train, err));
    struct rs_consumer_options consumer = {
        .run = t->run,
        .loop = t->loop,
        .ready = rs_input_ready(t->input),
        .slots = rs_input_slots(t->input),
        .name = "train",
        .spans = t->spans,
        .enter = rs_train_enter,
        .batch = rs_train_batch,
        .poll = t->device.backend->stream ? rs_train_poll : NULL,
        .finish = rs_train_finish,
        .self = t->train,
    };
    return rs_consumer_create(&t->consumer, &consumer, err);
}

static int build_output(struct training *t, struct rs_error *err)
{
    const struct rs_training_options *o = t->o;
    struct rs_metrics_options metrics = {
        .run = t->run,
        .loop = t->loop,
        .spans = t->spans,
        .lane = t->lane,
        .input = t->input,
        .workers = t->placement.workers,
        .cores = rs_planner_cores(),
        .slots = o->prefetch,
    };
    RS_TRY(rs_metrics_create(&t->metrics, &metrics, err));
    RS_TRY(add_sinks(t, err));
    if (o->out) {
        struct rs_checkpointer_options checkpointer = {
            .run = t->run,
            .spans = t->spans,
            .dir = o->out,
            .graph = t->graph,
            .config_json = o->config_json,
            .classes = t->class_names,
            .image_size = o->image_size,
        };
        RS_TRY(rs_checkpointer_create(&t->checkpointer, &checkpointer, err));
    }
    return build_train(t, err);
}

static const char *precision_text(enum rs_precision precision)
{
    static const char *const texts[] = {
        [RS_PRECISION_FP32] = "fp32", [RS_PRECISION_TF32] = "tf32", [RS_PRECISION_BF16] = "bf16"};
    return texts[precision];
}

static const char *placement_text(const struct rs_placement *p)
{
    static const char *const fused[RS_IMAGE_STAGES] = {"decode", "decode + resize fused",
                                                       "decode + resize + normalize fused"};
    return p->pools > 1 ? "a pool of threads a stage" : fused[p->image_stages - 1];
}

static void announce(const struct training *t)
{
    const struct rs_source *train = t->data.sources[RS_PHASE_TRAIN];
    say(t, "device   %s: %s, %s, %s", t->device.backend->name, t->device.info.name, t->device.info.library,
        precision_text(t->o->precision));
    if (t->device.computes_on_cpu)
        say(t, ", %u thread%s", t->device.threads, t->device.threads == 1 ? "" : "s");
    say(t, t->device.passed_over[0] ? "\n         %s\n" : "\n", t->device.passed_over);
    say(t, "data     %s: %llu images to train on, %llu to validate on, %d classes (%s)\n", t->o->data,
        (unsigned long long)t->schedule.train_count, (unsigned long long)t->schedule.valid_count,
        rs_source_classes(train), rs_source_kind(train));
    uint32_t threads = 0;
    for (uint32_t i = 0; i < t->placement.pools; i++)
        threads += t->placement.threads[i];
    say(t, "pipeline %u slots of %u images, %u worker%s, %s%s\n", t->o->prefetch, t->o->batch_size, threads,
        threads == 1 ? "" : "s", placement_text(&t->placement), rs_preprocess_text(&t->preprocess));
    if (t->o->out)
        say(t, "run      %s\n", t->o->out);
    if (t->o->resume)
        say(t, "resume   epoch %u, after step %llu\n", t->progress.epoch,
            (unsigned long long)t->progress.steps);
}

/* A trace without the device's own records is one all the same. */
static void trace_device(struct training *t)
{
    struct rs_error reason;
    if (!t->o->trace || !t->device.backend->stream)
        return;
    uint64_t first = rs_schedule_seq(&t->schedule, t->progress.epoch, t->progress.epoch_steps);
    if (rs_device_trace_begin(&t->device_trace, t->device.backend, t->plan, first, &reason) < 0)
        say(t, "trace    without the device's own records: %s\n", reason.message);
}

static int prepare(struct training *t, struct rs_error *err)
{
    RS_TRY(open_data(t, err));
    RS_TRY(rs_chosen_device_open(&t->device, t->o->backend, t->o->device,
                                 &(struct rs_device_options){t->o->threads, t->o->ordinal}, err));
    RS_TRY(rs_preprocess_choose(t->o->preprocess, t->device.backend, t->data.sources, t->o->image_size,
                                &t->preprocess, err));
    RS_TRY(rs_chosen_device_eager(&t->device, t->o->step_graph, &t->eager, err));
    RS_TRY(build_state(t, err));
    RS_TRY(compile_plan(t, err));
    RS_TRY(build_input(t, err));
    trace_device(t);
    return build_output(t, err);
}

static int write_trace(struct training *t, struct rs_error *err)
{
    struct rs_error reason;
    if (rs_device_trace_end(&t->device_trace, t->spans, &reason) < 0)
        say(t, "trace    without the device's own records: %s\n", reason.message);
    RS_TRY(rs_spans_write(t->spans, t->o->trace, err));
    uint64_t dropped = rs_spans_dropped(t->spans);
    say(t, "trace    %s (open it in ui.perfetto.dev)\n", t->o->trace);
    if (dropped)
        say(t, "trace    %llu spans found no room and are missing at the end\n", (unsigned long long)dropped);
    return 0;
}

static void report_outcome(const struct training *t, int code, struct rs_training_outcome *outcome)
{
    const struct rs_progress *p = rs_train_progress(t->train), *last = rs_train_last_epoch(t->train);
    /* an interrupt that comes when all is done interrupts nothing */
    bool interrupted = t->interrupted && !nothing_left(t, p);
    *outcome =
        (struct rs_training_outcome){.interrupted = interrupted, .steps = p->steps, .epochs_done = p->epoch};
    if (last) {
        outcome->train_loss = rs_totals_loss(&last->train);
        outcome->train_accuracy = rs_totals_accuracy(&last->train);
        outcome->valid_loss = rs_totals_loss(&last->valid);
        outcome->valid_accuracy = rs_totals_accuracy(&last->valid);
    }
    if (!interrupted && code == 0)
        return;
    if (t->o->out && rs_train_saved(t->train))
        say(t, "stopped after step %llu; go on with: rstream train --resume %s\n",
            (unsigned long long)p->steps, t->o->out);
    else
        say(t, "stopped after step %llu, which no checkpoint holds\n", (unsigned long long)p->steps);
}

static void tear_down(struct training *t)
{
    rs_consumer_destroy(t->consumer);
    rs_train_destroy(t->train);
    rs_checkpointer_destroy(t->checkpointer);
    rs_loop_destroy(t->loop);
    rs_metrics_destroy(t->metrics);
    rs_input_destroy(t->input);
    rs_spans_destroy(t->spans);
    rs_run_destroy(t->run);
    if (t->plan)
        t->device.backend->destroy(t->plan);
    rs_chosen_device_close(&t->device);
    rs_state_destroy(t->state);
    rs_graph_destroy(t->graph);
    rs_data_close(&t->data);
    rs_free(t->class_names);
    if (t->out_lock >= 0)
        close(t->out_lock);
}

int rs_training_run(const struct rs_training_options *options, struct rs_training_outcome *outcome,
                    struct rs_error *err)
{
    struct training *t = rs_calloc(1, sizeof *t);
    if (!t)
        return rs_error_set(err, RS_E_NOMEM, "no memory for a run");
    t->o = options;
    t->out_lock = -1;
    *outcome = (struct rs_training_outcome){0};
    int code = prepare(t, err);
    if (code == 0) {
        announce(t);
        if (nothing_left(t, &t->progress))
            say(t, "%llu steps are done; nothing is left to do (more: --epochs, --max-steps)\n",
                (unsigned long long)t->progress.steps);
        else
            code = rs_input_work(t->input, t->consumer, err);
        rs_metrics_finish(t->metrics);
        if (code == 0)
            code = rs_run_error(t->run, err);
        if (code == 0)
            code = rs_train_error(t->train, err);
        rs_checkpointer_destroy(t->checkpointer); /* ends the last thread that has a lane */
        t->checkpointer = NULL;
        if (t->o->trace) { /* a failed run's trace is worth having, but its first error is what counts */
            int traced = write_trace(t, code < 0 ? NULL : err);
            code = code < 0 ? code : traced;
        }
        report_outcome(t, code, outcome);
    }
    tear_down(t);
    rs_free(t);
    return code;
}
