/* plan_run.c: see plan_run.h. */
#include "plan_run.h"

#include "alloc.h"
#include "random.h"
#include "small_network.h"
#include "stream_steps.h"
#include <string.h>

#define SIDE 8
#define CLASSES 10
#define FULL 4u
#define SHORT 3u
#define STEPS 6u /* enough for a device that records its steps to run a recorded one */

struct work {
    const struct plan_setup *setup;
    struct rs_device *device;
    struct rs_graph *graph;
    struct rs_state *state;
    struct rs_plan *plan;
    void *tensor; /* FULL samples */
    int32_t labels[FULL];
};

static int open_plan(struct work *w, struct rs_error *err)
{
    const struct rs_backend *backend = w->setup->backend;
    const struct rs_plan_options options = {.precision = w->setup->precision,
                                            .optimizer = RS_OPTIMIZER_ADAM,
                                            .beta1 = 0.9,
                                            .beta2 = 0.999,
                                            .eps = 1e-8,
                                            .train_batches = {FULL, SHORT},
                                            .eval_batches = {FULL},
                                            .pixels = w->setup->pixels,
                                            .eager = w->setup->eager};
    RS_TRY(backend->open(&w->device, &(struct rs_device_options){.threads = 2}, err));
    if (w->setup->prepare)
        w->setup->prepare(w->device);
    RS_TRY(small_network_build(&w->graph, SIDE, CLASSES, err));
    RS_TRY(rs_state_create(&w->state, w->graph, err));
    rs_state_init(w->state, 5);
    RS_TRY(backend->compile(w->device, w->graph, &options, &w->plan, err));
    return backend->load(w->plan, w->state, err);
}

/* Random bits are pixels; as a tensor's elements, small numbers are better. */
static int fill_batch(struct work *w, struct rs_error *err)
{
    const struct rs_backend *backend = w->setup->backend;
    const size_t values = (size_t)FULL * 3 * SIDE * SIDE;
    struct rs_random random;
    w->tensor = backend->host_alloc(w->device, values * sizeof(float));
    if (!w->tensor)
        return rs_error_set(err, RS_E_NOMEM, "out of memory for a batch");
    rs_random_init(&random, 3, 0, 0);
    memset(w->tensor, 0, values * sizeof(float));
    for (size_t i = 0; i < values; i++) {
        if (backend->input_element(w->plan) == RS_ELEMENT_F32)
            ((float *)w->tensor)[i] = rs_random_float(&random);
        else if (backend->input_element(w->plan) == RS_ELEMENT_BF16)
            ((uint16_t *)w->tensor)[i] = (uint16_t)(0x3f00 + (rs_random_u32(&random) >> 25));
        else
            ((uint8_t *)w->tensor)[i] = (uint8_t)rs_random_u32(&random);
    }
    for (int32_t i = 0; i < (int32_t)FULL; i++)
        w->labels[i] = i % CLASSES;
    return 0;
}

static int run_steps(struct work *w, struct rs_error *err)
{
    const struct rs_backend *backend = w->setup->backend;
    struct rs_batch_input input = {w->tensor, w->labels, FULL};
    struct rs_step_result result = {0};
    for (uint32_t i = 0; i < STEPS; i++) {
        input.count = i % 3 == 2 ? SHORT : FULL;
        RS_TRY(backend->train_step(w->plan, &input, 0.01f, &result, err));
    }
    input.count = FULL;
    float probabilities[FULL * CLASSES];
    result.probabilities = probabilities;
    RS_TRY(backend->eval_step(w->plan, &input, &result, err));
    if (!backend->stream)
        return 0;
    struct rs_stream_steps stream = {
        .stream = backend->stream, .plan = w->plan, .batches = &input, .count = 1, .lr = 0.01f};
    return rs_stream_steps_run(&stream, STEPS, NULL, NULL, err);
}

static int fetch(struct work *w, uint64_t *result, struct rs_error *err)
{
    const struct rs_backend *backend = w->setup->backend;
    const struct rs_batch_input input = {w->tensor, w->labels, FULL};
    char text[4096];
    if (backend->profile)
        RS_TRY(backend->profile(w->plan, &input, text, sizeof text, err));
    if (backend->store_gradients) /* into what store overwrites */
        RS_TRY(backend->store_gradients(w->plan, w->state->params, err));
    RS_TRY(backend->store(w->plan, w->state, err));
    uint64_t hash = 0xcbf29ce484222325u;
    const uint8_t *bytes = (const uint8_t *)w->state->params;
    for (size_t i = 0; i < (size_t)w->graph->param_floats * sizeof(float); i++)
        hash = (hash ^ bytes[i]) * 0x100000001b3u;
    *result = hash;
    return 0;
}

int plan_run(const struct plan_setup *setup, uint64_t *result, struct rs_error *err)
{
    struct work w = {.setup = setup};
    int code = open_plan(&w, err);
    if (code == 0)
        code = fill_batch(&w, err);
    if (code == 0)
        code = run_steps(&w, err);
    if (code == 0)
        code = fetch(&w, result, err);
    if (w.plan)
        setup->backend->destroy(w.plan);
    if (w.tensor)
        setup->backend->host_free(w.device, w.tensor);
    rs_state_destroy(w.state);
    rs_graph_destroy(w.graph);
    if (w.device)
        setup->backend->close(w.device);
    return code;
}
