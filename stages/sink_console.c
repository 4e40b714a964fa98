/* sink_console.c: the metrics sink for people: a progress line on a terminal, an epoch's line and verdict. */
#include "sinks.h"

#include "clock.h"

#define RATE_SECONDS 2.0 /* the progress line's rate is over at least that long */

struct console {
    FILE *file;
    bool terminal;
    uint32_t epochs;
    struct rs_report last;            /* newest batch; kind EPOCH: none yet in this epoch */
    double loss_sum, correct, images; /* of the epoch's train batches shown so far */
    double rate;                      /* images a second, newest */
    double rate_images;
    uint64_t rate_since;
    bool line_shown;
};

int rs_sink_console_create(void **out, FILE *file, bool terminal, uint32_t epochs, struct rs_error *err)
{
    struct console *c = rs_calloc(1, sizeof *c);
    if (!c)
        return rs_error_set(err, RS_E_NOMEM, "no memory for the console");
    *c = (struct console){.file = file, .terminal = terminal, .epochs = epochs};
    c->last.kind = RS_REPORT_EPOCH;
    *out = c;
    return 0;
}

static int console_batch(void *self, const struct rs_report *r, struct rs_error *err)
{
    (void)err;
    struct console *c = self;
    c->last = *r;
    if (r->kind == RS_REPORT_STEP) {
        c->loss_sum += r->loss * r->images;
        c->correct += r->accuracy * r->images;
        c->images += r->images;
    }
    c->rate_images += r->images;
    return 0;
}

static void update_rate(struct console *c)
{
    uint64_t now = rs_now_ns();
    if (!c->rate_since) {
        c->rate_since = now;
        c->rate_images = 0;
    }
    double seconds = (double)(now - c->rate_since) * 1e-9;
    if (seconds < RATE_SECONDS)
        return;
    c->rate = c->rate_images / seconds;
    c->rate_images = 0;
    c->rate_since = now;
}

/* Of the epoch; batches of validation count like those of training, which overstates a little. */
static double seconds_left(const struct console *c)
{
    double batches = (double)(c->last.epoch_batches - c->last.batch);
    return c->rate > 0 ? batches * c->last.images / c->rate : 0;
}

static int console_tick(void *self, struct rs_error *err)
{
    (void)err;
    struct console *c = self;
    if (!c->terminal || c->last.kind == RS_REPORT_EPOCH)
        return 0;
    update_rate(c);
    double images = c->images > 0 ? c->images : 1;
    unsigned left = (unsigned)(seconds_left(c) + 0.5);
    fprintf(c->file, "\r\033[K%s %u/%u  batch %llu/%llu  loss %.4f  acc %.4f",
            c->last.kind == RS_REPORT_STEP ? "epoch" : "validating epoch", c->last.epoch, c->epochs - 1,
            (unsigned long long)c->last.batch, (unsigned long long)c->last.epoch_batches,
            c->loss_sum / images, c->correct / images);
    if (c->rate > 0)
        fprintf(c->file, "  %.0f img/s  %02u:%02u left", c->rate, left / 60, left % 60);
    fflush(c->file);
    c->line_shown = true;
    return 0;
}

static void clear_line(struct console *c)
{
    if (c->line_shown)
        fputs("\r\033[K", c->file);
    c->line_shown = false;
}

static int console_epoch(void *self, const struct rs_epoch_summary *e, struct rs_error *err)
{
    (void)err;
    struct console *c = self;
    const struct rs_progress *p = e->progress;
    unsigned seconds = (unsigned)(p->train_seconds + p->valid_seconds + 0.5);
    clear_line(c);
    fprintf(c->file, "Epoch %u. Train Loss: %.6f, Train Acc: %.6f, ", e->epoch, rs_totals_loss(&p->train),
            rs_totals_accuracy(&p->train));
    if (e->validated)
        fprintf(c->file, "Valid Loss: %.6f, Valid Acc: %.6f, ", rs_totals_loss(&p->valid),
                rs_totals_accuracy(&p->valid));
    fprintf(c->file, "Time %02u:%02u:%02u\n", seconds / 3600, seconds / 60 % 60, seconds % 60);
    fprintf(c->file, "  %.1f img/s; the step waited %.1f%% of the time for data; limit: %s",
            e->images_per_second, e->verdict.wait_share * 100, e->verdict.stage);
    fprintf(c->file, e->verdict.advice[0] ? "; %s\n" : "%s\n", e->verdict.advice);
    fflush(c->file);
    c->last.kind = RS_REPORT_EPOCH;
    c->loss_sum = c->correct = c->images = 0;
    return 0;
}

static void console_destroy(void *self)
{
    struct console *c = self;
    clear_line(c);
    fflush(c->file);
    rs_free(c);
}

const struct rs_metrics_sink_ops rs_sink_console = {"console", console_batch, console_epoch, console_tick,
                                                    console_destroy};
