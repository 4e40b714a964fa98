/* feed.c: the input stages with a function of the caller's at their end instead of a network. */
#include "feed.h"

#include "clock.h"
#include "consumer.h"
#include "data.h"
#include "input.h"

#include <unistd.h>

struct feed {
    const struct rs_training_options *o;
    int (*consume)(void *arg, const struct rs_feed_batch *batch, struct rs_error *err);
    void *arg;
    struct rs_data data;
    struct rs_schedule schedule;
    struct rs_run *run;
    struct rs_loop *loop;
    struct rs_input *input;
    struct rs_consumer *consumer;
};

static int feed_batch(void *self, struct rs_slot *slot, uint64_t waited_ns, struct rs_error *err)
{
    (void)waited_ns;
    struct feed *f = self;
    const struct rs_batch *b = slot->payload;
    rs_slot_hand_over(slot, RS_SLOT_READY, "feed");
    struct rs_feed_batch batch = {b->tensor, b->labels, b->samples, slot->count, slot->epoch};
    RS_TRY(f->consume(f->arg, &batch, err));
    rs_pool_give_back(rs_input_slots(f->input), slot);
    return 0;
}

static void on_interrupt(void *arg, int n)
{
    struct feed *f = arg;
    struct rs_error error;
    if (n > 1)
        _exit(130);
    rs_error_set(&error, RS_E_CANCELLED, "interrupted");
    rs_run_fail(f->run, "feed", &error);
}

static int build(struct feed *f, struct rs_error *err)
{
    const struct rs_training_options *o = f->o;
    RS_TRY(rs_source_open(&f->data.sources[RS_PHASE_TRAIN], o->data, RS_SPLIT_TRAIN, err));
    f->schedule = (struct rs_schedule){
        .train_count = rs_source_count(f->data.sources[RS_PHASE_TRAIN]),
        .batch_size = o->batch_size,
        .eval_batch_size = o->batch_size,
        .epochs = o->epochs,
        .max_steps = o->max_steps,
        .shuffle = o->shuffle,
        .seed = o->seed,
    };
    rs_schedule_init(&f->schedule);
    RS_TRY(rs_run_create(&f->run, err));
    RS_TRY(rs_loop_create(&f->loop, f->run, err));
    RS_TRY(rs_loop_on_interrupt(f->loop, on_interrupt, f, err));
    struct rs_input_options input = {
        .run = f->run,
        .loop = f->loop,
        .schedule = &f->schedule,
        .sources = {f->data.sources[0], NULL},
        .slots = o->prefetch,
        .placement =
            rs_planner_place(o->fuse, RS_IMAGE_STAGES, o->workers, rs_planner_cores(), o->batch_size, false),
        .image_size = o->image_size,
        .max_pixels = o->max_pixels,
    };
    RS_TRY(rs_input_create(&f->input, &input, err));
    struct rs_consumer_options consumer = {
        .run = f->run,
        .loop = f->loop,
        .ready = rs_input_ready(f->input),
        .slots = rs_input_slots(f->input),
        .name = "feed",
        .batch = feed_batch,
        .self = f,
    };
    return rs_consumer_create(&f->consumer, &consumer, err);
}

int rs_feed_run(const struct rs_training_options *options,
                int (*consume)(void *arg, const struct rs_feed_batch *batch, struct rs_error *err), void *arg,
                struct rs_error *err)
{
    struct feed f = {.o = options, .consume = consume, .arg = arg};
    int code = build(&f, err);
    if (code == 0)
        code = rs_input_work(f.input, f.consumer, err);
    rs_consumer_destroy(f.consumer);
    rs_loop_destroy(f.loop);
    rs_input_destroy(f.input);
    rs_run_destroy(f.run);
    rs_data_close(&f.data);
    return code;
}
