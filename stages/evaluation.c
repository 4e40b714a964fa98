/* evaluation.c: a validation pass of its own: the input stages, an eval step a batch, sums a class. */
#include "evaluation.h"

#include "alloc.h"
#include "checkpoint.h"
#include "clock.h"
#include "consumer.h"
#include "device.h"
#include "input.h"
#include "progress.h"
#include "resnet.h"

#include <string.h>
#include <unistd.h>

struct evaluation {
    const struct rs_training_options *o;
    struct rs_source *source;
    struct rs_graph *graph;
    struct rs_chosen_device device;
    struct rs_plan *plan;
    struct rs_schedule schedule;
    struct rs_run *run;
    struct rs_loop *loop;
    struct rs_input *input;
    struct rs_consumer *consumer;
    float *probabilities; /* eval_batch_size x classes */
    struct rs_totals totals;
    struct rs_evaluation *out;
};

static void count_confusion(struct evaluation *e, const int32_t *labels, uint32_t count)
{
    int32_t classes = e->out->classes;
    for (uint32_t i = 0; i < count; i++) {
        const float *p = e->probabilities + (size_t)i * (size_t)classes;
        int32_t best = 0;
        for (int32_t c = 1; c < classes; c++)
            if (p[c] > p[best])
                best = c;
        e->out->confusion[(size_t)labels[i] * (size_t)classes + (size_t)best]++;
    }
}

static int evaluate_batch(void *self, struct rs_slot *slot, uint64_t waited_ns, struct rs_error *err)
{
    (void)waited_ns;
    struct evaluation *e = self;
    const struct rs_batch *b = slot->payload;
    struct rs_batch_input input = {.tensor = b->tensor, .labels = b->labels, .count = slot->count};
    struct rs_step_result result = {.probabilities = e->probabilities};
    rs_slot_hand_over(slot, RS_SLOT_READY, "evaluate");
    RS_TRY(e->device.backend->eval_step(e->plan, &input, &result, err));
    count_confusion(e, input.labels, input.count);
    rs_totals_add(&e->totals, &result, input.count);
    rs_pool_give_back(rs_input_slots(e->input), slot);
    return 0;
}

static void on_interrupt(void *arg, int n)
{
    struct evaluation *e = arg;
    struct rs_error error;
    if (n > 1)
        _exit(130);
    rs_error_set(&error, RS_E_CANCELLED, "interrupted");
    rs_run_fail(e->run, "evaluate", &error);
}

static int prepare_out(struct evaluation *e, struct rs_error *err)
{
    int32_t classes = rs_source_classes(e->source);
    struct rs_evaluation *out = e->out;
    out->classes = classes;
    out->class_names = rs_calloc((size_t)classes, sizeof *out->class_names);
    out->confusion = rs_calloc((size_t)classes * (size_t)classes, sizeof *out->confusion);
    e->probabilities = rs_calloc((size_t)e->o->eval_batch_size * (size_t)classes, sizeof *e->probabilities);
    if (!out->class_names || !out->confusion || !e->probabilities)
        goto fail;
    for (int32_t i = 0; i < classes; i++) {
        const char *name = rs_source_class_name(e->source, i);
        size_t size = strlen(name) + 1;
        out->class_names[i] = rs_alloc(size);
        if (!out->class_names[i])
            goto fail;
        memcpy(out->class_names[i], name, size);
    }
    return 0;
fail:
    return rs_error_set(err, RS_E_NOMEM, "no memory for the results of %d classes", classes);
}

static int open_data(struct evaluation *e, const char *weights, struct rs_error *err)
{
    int32_t classes;
    RS_TRY(rs_source_open(&e->source, e->o->data, RS_SPLIT_ALL_OF_IT, err));
    RS_TRY(rs_checkpoint_classes(weights, &classes, err));
    if (classes != rs_source_classes(e->source))
        return rs_error_set(err, RS_E_SHAPE, "%s is for %d classes, and %s has %d", weights, classes,
                            e->o->data, rs_source_classes(e->source));
    e->schedule = (struct rs_schedule){.valid_count = rs_source_count(e->source),
                                       .batch_size = e->o->eval_batch_size,
                                       .eval_batch_size = e->o->eval_batch_size,
                                       .epochs = 1};
    rs_schedule_init(&e->schedule);
    return prepare_out(e, err);
}

static int load_network(struct evaluation *e, const char *weights, struct rs_error *err)
{
    struct rs_state *state;
    const struct rs_training_options *o = e->o;
    uint64_t count = e->schedule.valid_count;
    struct rs_plan_options plan = {.precision = o->precision, .optimizer = RS_OPTIMIZER_SGD};
    uint32_t *size = plan.eval_batches;
    if (count >= o->eval_batch_size)
        *size++ = o->eval_batch_size;
    if (count % o->eval_batch_size)
        *size = (uint32_t)(count % o->eval_batch_size);
    RS_TRY(rs_resnet_build(&e->graph, (int32_t)o->image_size, e->out->classes, err));
    RS_TRY(rs_chosen_device_open(&e->device, o->backend, o->device,
                                 &(struct rs_device_options){o->threads, o->ordinal}, err));
    RS_TRY(e->device.backend->compile(e->device.device, e->graph, &plan, &e->plan, err));
    RS_TRY(rs_state_create(&state, e->graph, err));
    int code = rs_checkpoint_load(weights, state, false, err);
    if (code == 0)
        code = e->device.backend->load(e->plan, state, err);
    rs_state_destroy(state);
    return code;
}

static int build_pipeline(struct evaluation *e, struct rs_error *err)
{
    const struct rs_training_options *o = e->o;
    RS_TRY(rs_run_create(&e->run, err));
    RS_TRY(rs_loop_create(&e->loop, e->run, err));
    RS_TRY(rs_loop_on_interrupt(e->loop, on_interrupt, e, err));
    struct rs_input_options input = {
        .run = e->run,
        .loop = e->loop,
        .schedule = &e->schedule,
        .sources = {NULL, e->source},
        .slots = o->prefetch,
        .placement = rs_planner_place(o->fuse, RS_IMAGE_STAGES, o->workers, rs_planner_cores(),
                                      o->eval_batch_size, e->device.computes_on_cpu),
        .image_size = o->image_size,
        .max_pixels = o->max_pixels,
        .element = e->device.backend->input_element(e->plan),
        .backend = e->device.backend,
        .device = e->device.device,
    };
    RS_TRY(rs_input_create(&e->input, &input, err));
    struct rs_consumer_options consumer = {
        .run = e->run,
        .loop = e->loop,
        .ready = rs_input_ready(e->input),
        .slots = rs_input_slots(e->input),
        .name = "evaluate",
        .batch = evaluate_batch,
        .self = e,
    };
    return rs_consumer_create(&e->consumer, &consumer, err);
}

static int evaluate(struct evaluation *e, const char *weights, struct rs_error *err)
{
    RS_TRY(open_data(e, weights, err));
    RS_TRY(load_network(e, weights, err));
    RS_TRY(build_pipeline(e, err));
    rs_chosen_device_note(&e->device);
    uint64_t began = rs_now_ns();
    RS_TRY(rs_input_work(e->input, e->consumer, err));
    e->out->seconds = (double)(rs_now_ns() - began) * 1e-9;
    e->out->samples = e->totals.samples;
    e->out->loss = rs_totals_loss(&e->totals);
    e->out->accuracy = rs_totals_accuracy(&e->totals);
    return 0;
}

int rs_evaluation_run(const struct rs_training_options *options, const char *weights,
                      struct rs_evaluation *out, struct rs_error *err)
{
    struct evaluation e = {.o = options, .out = out};
    *out = (struct rs_evaluation){0};
    int code = evaluate(&e, weights, err);
    rs_consumer_destroy(e.consumer);
    rs_loop_destroy(e.loop);
    rs_input_destroy(e.input);
    rs_run_destroy(e.run);
    if (e.plan)
        e.device.backend->destroy(e.plan);
    rs_chosen_device_close(&e.device);
    rs_graph_destroy(e.graph);
    rs_source_destroy(e.source);
    rs_free(e.probabilities);
    if (code < 0)
        rs_evaluation_free(out);
    return code;
}

void rs_evaluation_free(struct rs_evaluation *e)
{
    if (e->class_names)
        for (int32_t i = 0; i < e->classes; i++)
            rs_free(e->class_names[i]);
    rs_free(e->class_names);
    rs_free(e->confusion);
    *e = (struct rs_evaluation){0};
}
