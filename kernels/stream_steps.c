/* stream_steps.c: one loop that starts a step when a slot is free and takes a result when one is there. */
#include "stream_steps.h"

#include "clock.h"

struct work {
    struct rs_stream_steps *steps;
    uint32_t slots;                    /* of the device */
    uint64_t first, end;               /* tickets */
    uint64_t started, released, taken; /* those before are so */
    uint64_t last_ns;                  /* when the result before came */
    double *seconds, *losses;
};

/* RS_AGAIN while every device slot holds a batch that its step hasn't read. They are used in turn, so the
 * oldest is the next to be free. */
static int find_slot(struct work *w, struct rs_error *err)
{
    if (w->started - w->released < w->slots)
        return 0;
    uint32_t oldest = (uint32_t)(w->released % w->slots);
    int code = w->steps->stream->released(w->steps->plan, oldest, err);
    w->released += code == 0;
    return code;
}

static int start_step(struct work *w, struct rs_error *err)
{
    struct rs_stream_steps *s = w->steps;
    if (w->started == w->end || w->started - w->taken == RS_STREAM_RESULTS)
        return RS_AGAIN;
    int code = find_slot(w, err);
    if (code)
        return code;
    uint32_t slot = (uint32_t)(w->started % w->slots);
    RS_TRY(s->stream->upload(s->plan, slot, &s->batches[w->started % s->count], err));
    RS_TRY(s->stream->train(s->plan, slot, s->lr, w->started, err));
    w->started++;
    return 0;
}

static int take_result(struct work *w, struct rs_error *err)
{
    struct rs_step_result result = {0};
    if (w->taken == w->started)
        return RS_AGAIN;
    int code = w->steps->stream->result(w->steps->plan, w->taken, &result, err);
    if (code)
        return code;
    uint64_t now = rs_now_ns();
    if (w->seconds)
        w->seconds[w->taken - w->first] = (double)(now - w->last_ns) * 1e-9;
    if (w->losses)
        w->losses[w->taken - w->first] = result.loss_sum;
    w->last_ns = now;
    w->taken++;
    return 0;
}

static int run(struct work *w, struct rs_error *err)
{
    const struct rs_stream_ops *stream = w->steps->stream;
    RS_TRY(stream->drain(w->steps->plan, err));
    w->last_ns = rs_now_ns();
    while (w->taken < w->end) {
        RS_TRY(start_step(w, err));
        RS_TRY(take_result(w, err));
    }
    RS_TRY(stream->drain(w->steps->plan, err));
    if (w->seconds && w->end > w->first)
        w->seconds[w->end - w->first - 1] += (double)(rs_now_ns() - w->last_ns) * 1e-9;
    return 0;
}

int rs_stream_steps_run(struct rs_stream_steps *s, uint64_t count, double *seconds, double *losses,
                        struct rs_error *err)
{
    RS_ASSERT(s->count > 0 && s->stream->slots > 0);
    /* between runs the device is drained, so every slot is free */
    struct work w = {.steps = s,
                     .slots = s->stream->slots,
                     .first = s->next,
                     .end = s->next + count,
                     .started = s->next,
                     .released = s->next,
                     .taken = s->next,
                     .seconds = seconds,
                     .losses = losses};
    int code = run(&w, err);
    s->next = w.started;
    if (code < 0) { /* the first error is the caller's; the batches may be freed after this */
        struct rs_error later = {0};
        (void)s->stream->drain(s->plan, &later);
    }
    return code;
}
