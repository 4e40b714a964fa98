/* metrics.c: reports go from the train thread to the loop by one ring and come back empty by another. */
#include "metrics.h"

#include "clock.h"

#include <string.h>
#include <time.h>

#define SETTLE_NS 20000 /* between two looks */
#define REPORTS 256u
#define SINKS_MAX 4u
#define TICK_MS 250u

struct rs_metrics {
    struct rs_metrics_options o;
    struct rs_report *reports;
    struct rs_channel *posted, *unused; /* indices of reports: train to loop, loop to train */
    struct {
        const struct rs_metrics_sink_ops *ops;
        void *self;
    } sinks[SINKS_MAX];
    uint32_t sink_count;
    uint32_t span_name;
    struct rs_stage_figures figures;               /* of this stage */
    struct rs_named_figures before[RS_STAGES_MAX]; /* all stages' figures at the last epoch's end */
};

static struct rs_stage_figures difference(const struct rs_stage_figures *a, const struct rs_stage_figures *b)
{
    return (struct rs_stage_figures){
        .batches = a->batches - b->batches,
        .samples = a->samples - b->samples,
        .busy_ns = a->busy_ns - b->busy_ns,
        .wait_input_ns = a->wait_input_ns - b->wait_input_ns,
        .wait_slot_ns = a->wait_slot_ns - b->wait_slot_ns,
        .threads = a->threads,
    };
}

static void summarize(struct rs_metrics *m, const struct rs_report *report, struct rs_epoch_summary *s)
{
    struct rs_named_figures now[RS_STAGES_MAX];
    uint32_t input_stages = rs_input_figures(m->o.input, now), count = input_stages;
    now[count++] = (struct rs_named_figures){"upload", report->upload};
    now[count++] = (struct rs_named_figures){"train", report->train};
    now[count++] = (struct rs_named_figures){"metrics", m->figures};
    *s = (struct rs_epoch_summary){.epoch = report->epoch,
                                   .progress = &report->progress,
                                   .stage_count = count,
                                   .validated = report->progress.valid.samples > 0};
    for (uint32_t i = 0; i < count; i++) {
        s->stages[i].name = now[i].name;
        s->stages[i].figures = difference(&now[i].figures, &m->before[i].figures);
        m->before[i] = now[i];
    }
    if (report->progress.train_seconds > 0)
        s->images_per_second = (double)report->progress.train.samples / report->progress.train_seconds;
    struct rs_verdict_input input = {
        .stages = s->stages,
        .input_stages = input_stages,
        .seconds = report->progress.train_seconds,
        .wait_seconds = report->progress.train_wait_seconds,
        .batches = report->progress.train.batches,
        .workers = m->o.workers,
        .cores = m->o.cores,
        .slots = m->o.slots,
    };
    rs_verdict_find(&input, &s->verdict);
}

static int deliver(struct rs_metrics *m, const struct rs_report *report, struct rs_error *err)
{
    struct rs_epoch_summary summary;
    if (report->kind == RS_REPORT_EPOCH)
        summarize(m, report, &summary);
    for (uint32_t i = 0; i < m->sink_count; i++) {
        const struct rs_metrics_sink_ops *ops = m->sinks[i].ops;
        if (report->kind == RS_REPORT_EPOCH)
            RS_TRY(ops->epoch ? ops->epoch(m->sinks[i].self, &summary, err) : 0);
        else
            RS_TRY(ops->batch ? ops->batch(m->sinks[i].self, report, err) : 0);
    }
    return 0;
}

void rs_metrics_drain(void *arg)
{
    struct rs_metrics *m = arg;
    struct rs_error error;
    uint32_t index;
    while (rs_channel_try_pop(m->posted, &index) == 0) {
        uint64_t began = rs_now_ns();
        rs_lane_begin(m->o.lane, m->span_name, m->reports[index].step);
        if (deliver(m, &m->reports[index], &error) < 0)
            rs_run_fail(m->o.run, "metrics", &error);
        rs_lane_end(m->o.lane);
        /* an epoch's report repeats the number of images of its last batch */
        if (m->reports[index].kind != RS_REPORT_EPOCH) {
            m->figures.batches++;
            m->figures.samples += m->reports[index].images;
        }
        m->figures.busy_ns += rs_now_ns() - began;
        rs_channel_push(m->unused, index);
    }
}

static void tick(void *arg)
{
    struct rs_metrics *m = arg;
    struct rs_error error;
    for (uint32_t i = 0; i < m->sink_count; i++)
        if (m->sinks[i].ops->tick && m->sinks[i].ops->tick(m->sinks[i].self, &error) < 0)
            rs_run_fail(m->o.run, "metrics", &error);
}

void rs_metrics_finish(struct rs_metrics *m)
{
    rs_metrics_drain(m);
    tick(m);
}

static int build(struct rs_metrics *m, struct rs_error *err)
{
    m->reports = rs_calloc(REPORTS, sizeof *m->reports);
    if (!m->reports)
        return rs_error_set(err, RS_E_NOMEM, "no memory for the metrics stage");
    RS_TRY(rs_channel_create(&m->posted, m->o.run, RS_RING_SPSC, REPORTS, 0, err));
    RS_TRY(rs_channel_create(&m->unused, m->o.run, RS_RING_SPSC, REPORTS, 0, err));
    for (uint32_t i = 0; i < REPORTS; i++)
        rs_channel_push(m->unused, i);
    rs_channel_listen(m->posted, rs_loop_notify, m->o.loop);
    rs_loop_watch(m->o.loop, rs_metrics_drain, m);
    return rs_loop_every(m->o.loop, TICK_MS, tick, m, err);
}

int rs_metrics_create(struct rs_metrics **out, const struct rs_metrics_options *options, struct rs_error *err)
{
    struct rs_metrics *m = rs_calloc(1, sizeof *m);
    if (!m)
        return rs_error_set(err, RS_E_NOMEM, "no memory for the metrics stage");
    m->o = *options;
    m->figures.threads = 1;
    m->span_name = rs_spans_name(options->spans, "metrics");
    int code = build(m, err);
    if (code < 0) {
        rs_metrics_destroy(m);
        return code;
    }
    *out = m;
    return 0;
}

int rs_metrics_add(struct rs_metrics *m, const struct rs_metrics_sink_ops *ops, void *self,
                   struct rs_error *err)
{
    if (m->sink_count == SINKS_MAX) {
        ops->destroy(self);
        return rs_error_set(err, RS_E_LIMIT, "more than %u metrics sinks", SINKS_MAX);
    }
    m->sinks[m->sink_count].ops = ops;
    m->sinks[m->sink_count++].self = self;
    return 0;
}

int rs_metrics_post(struct rs_metrics *m, const struct rs_report *report)
{
    uint32_t index;
    /* first without waiting: a stopped run's last reports count as well */
    if (rs_channel_try_pop(m->unused, &index) == RS_AGAIN)
        RS_TRY(rs_channel_pop(m->unused, &index, NULL));
    m->reports[index] = *report;
    rs_channel_push(m->posted, index);
    return 0;
}

void rs_metrics_settle(struct rs_metrics *m)
{
    const struct timespec pause = {.tv_nsec = SETTLE_NS};
    while (rs_channel_length(m->unused) < REPORTS) /* only this thread takes from it */
        nanosleep(&pause, NULL);
}

void rs_metrics_destroy(struct rs_metrics *m)
{
    if (!m)
        return;
    for (uint32_t i = 0; i < m->sink_count; i++)
        m->sinks[i].ops->destroy(m->sinks[i].self);
    rs_channel_destroy(m->posted);
    rs_channel_destroy(m->unused);
    rs_free(m->reports);
    rs_free(m);
}
