/* cases.c: see cases.h. @thread any. */
#include "cases.h"

#include "alloc.h"
#include "random.h"
#include "ref.h"
#include "resnet.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#define SIDE_ODD 13

/* Appends; -1 and errors pass through every call, so a builder is a list of lines. */
static int finish(struct rs_graph *g, int at, int32_t classes, struct rs_error *err)
{
    if (at >= 0)
        at = rs_graph_linear(g, "classifier", at, classes, err);
    if (at >= 0)
        at = rs_graph_cross_entropy(g, "loss", at, err);
    return at < 0 ? at : 0;
}

static int conv(struct rs_graph *g, const char *name, int at, int32_t channels, int32_t kernel,
                int32_t stride, int bias, struct rs_error *err)
{
    return at < 0 ? at : rs_graph_conv2d(g, name, at, channels, kernel, stride, kernel / 2, bias, err);
}

static int norm_relu(struct rs_graph *g, const char *name, int at, struct rs_error *err)
{
    if (at >= 0)
        at = rs_graph_batch_norm(g, name, at, err);
    return at < 0 ? at : rs_graph_relu(g, name, at, err);
}

static int build_plain(struct rs_graph **g, struct rs_error *err)
{
    RS_TRY(rs_graph_create(g, (struct rs_shape){3, SIDE_ODD, 11}, err));
    int at = conv(*g, "conv1", 0, 5, 3, 1, 1, err); /* bias in an apply of its own, 5 channels of 8 */
    at = at < 0 ? at : rs_graph_relu(*g, "relu1", at, err);
    at = conv(*g, "conv2", at, 20, 3, 2, 0, err);
    at = at < 0 ? at : rs_graph_relu(*g, "relu2", at, err);
    return finish(*g, at, 7, err);
}

static int build_stem(struct rs_graph **g, struct rs_error *err)
{
    RS_TRY(rs_graph_create(g, (struct rs_shape){3, 29, 30}, err)); /* folded: one side odd, one even */
    int at = rs_graph_conv2d(*g, "block1", 0, 16, 7, 2, 0, 1, err);
    at = at < 0 ? at : rs_graph_max_pool(*g, "pool", at, 3, 2, err);
    at = norm_relu(*g, "bn", at, err);
    at = at < 0 ? at : rs_graph_avg_pool(*g, "mean", at, 2, 1, err); /* windows that overlap */
    return finish(*g, at, 3, err);
}

/* A stem of 5 x 5 on a picture so wide that a block makes a part of a row, and a pool whose last rows and
 * columns no window covers. */
static int build_wide(struct rs_graph **g, struct rs_error *err)
{
    RS_TRY(rs_graph_create(g, (struct rs_shape){3, 12, 523}, err));
    int at = rs_graph_conv2d(*g, "block1", 0, 8, 5, 2, 0, 1, err); /* 4 x 260 */
    at = at < 0 ? at : rs_graph_max_pool(*g, "pool", at, 3, 2, err);
    at = norm_relu(*g, "bn", at, err);
    return finish(*g, at, 3, err);
}

/* The notebook's block; a shortcut convolution where the stride is 2. */
static int residual(struct rs_graph *g, const char *name, int at, int32_t channels, int32_t stride,
                    struct rs_error *err)
{
    char text[8][RS_NAME_MAX];
    static const char *const parts[8] = {"conv1", "bn1", "relu1", "conv2", "bn2", "relu2", "conv3", "add"};
    for (int i = 0; i < 8; i++)
        snprintf(text[i], sizeof(text[i]), "%s.%s", name, parts[i]);
    const int input = at;
    at = norm_relu(g, text[1], conv(g, text[0], at, channels, 3, stride, 0, err), err);
    at = norm_relu(g, text[4], conv(g, text[3], at, channels, 3, 1, 0, err), err);
    const int shortcut = stride == 1 || at < 0 ? input : conv(g, text[6], input, channels, 1, stride, 1, err);
    if (at >= 0 && shortcut >= 0)
        at = rs_graph_add(g, text[7], shortcut, at, err);
    return at < 0 ? at : rs_graph_relu(g, name, at, err);
}

static int build_residual(struct rs_graph **g, struct rs_error *err)
{
    RS_TRY(rs_graph_create(g, (struct rs_shape){3, SIDE_ODD, SIDE_ODD}, err));
    int at = conv(*g, "stem", 0, 16, 3, 1, 1, err);
    at = residual(*g, "block1", at, 16, 1, err);
    at = residual(*g, "block2", at, 24, 2, err);
    at = residual(*g, "block3", at, 24, 1, err);
    at = at < 0 ? at : rs_graph_avg_pool(*g, "mean", at, 3, 3, err);
    return finish(*g, at, 10, err);
}

/* Norms that meet in an addition, a norm without relu, and values with three and four readers. */
static int build_joined(struct rs_graph **g, struct rs_error *err)
{
    RS_TRY(rs_graph_create(g, (struct rs_shape){4, 9, 10}, err));
    const int stem = norm_relu(*g, "stem.bn", conv(*g, "stem", 0, 8, 3, 1, 0, err), err);
    int a = conv(*g, "a", stem, 8, 3, 1, 0, err);
    a = a < 0 ? a : rs_graph_batch_norm(*g, "a.bn", a, err);
    int b = conv(*g, "b", stem, 8, 1, 1, 1, err);
    b = b < 0 ? b : rs_graph_batch_norm(*g, "b.bn", b, err);
    int at = a < 0 || b < 0 ? -1 : rs_graph_add(*g, "ab", a, b, err);
    at = at < 0 ? at : rs_graph_relu(*g, "ab.relu", at, err);
    const int c = conv(*g, "c", stem, 8, 3, 1, 1, err), d = conv(*g, "d", at, 8, 1, 1, 1, err);
    at = c < 0 || d < 0 ? -1 : rs_graph_add(*g, "cd", c, d, err); /* two biases in one addition */
    at = at < 0 ? at : rs_graph_add(*g, "cds", at, stem, err);
    at = at < 0 ? at : rs_graph_add(*g, "twice", at, at, err);
    at = at < 0 ? at : rs_graph_max_pool(*g, "pool", at, 2, 3, err); /* windows with gaps */
    return finish(*g, at, 5, err);
}

static int build_norm_first(struct rs_graph **g, struct rs_error *err)
{
    RS_TRY(rs_graph_create(g, (struct rs_shape){3, 8, 8}, err));
    int at = norm_relu(*g, "bn", 0, err);
    at = conv(*g, "conv", at, 264, 3, 2, 0,
              err); /* more than 256 channels: two blocks of lanes, one of them narrow */
    at = norm_relu(*g, "bn2", at, err);
    return finish(*g, at, 4, err);
}

static int build_resnet(struct rs_graph **g, struct rs_error *err)
{
    return rs_resnet_build(g, RS_RESNET_MIN_IMAGE, 10, err);
}

static const struct rs_case cases[] = {
    {"plain", build_plain, 5, 2, 4, 0.1, 1},       {"stem", build_stem, 4, 3, 4, 0.2, 1},
    {"residual", build_residual, 6, 5, 4, 0.3, 1}, {"joined", build_joined, 3, 1, 4, 0.3, 1},
    {"wide", build_wide, 3, 2, 2, 0.3, 1},         {"norm first", build_norm_first, 4, 2, 4, 0.1, 1},
    {"resnet", build_resnet, 3, 2, 1, 0.5, 6},
};

const struct rs_case *rs_case_at(uint32_t i)
{
    return i < sizeof(cases) / sizeof(cases[0]) ? &cases[i] : NULL;
}

void rs_case_fill(void *tensor, enum rs_element element, size_t count, int32_t *labels, uint32_t samples,
                  int32_t classes, uint64_t seed)
{
    struct rs_random random;
    rs_random_init(&random, seed, 0, 0);
    for (size_t i = 0; i < count; i++) {
        const float value = 2 * rs_random_float(&random) - 1;
        uint32_t bits;
        memcpy(&bits, &value, sizeof(bits));
        if (element == RS_ELEMENT_F32)
            ((float *)tensor)[i] = value;
        else
            ((uint16_t *)tensor)[i] = (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
    }
    for (uint32_t i = 0; i < samples; i++)
        labels[i] = (int32_t)(rs_random_float(&random) * (float)classes) % classes;
}

struct side { /* one of the two backends */
    const struct rs_backend *backend;
    struct rs_plan *plan;
    struct rs_state *state;
    float *gradients, *probabilities;
    void *tensor;
};

struct comparison {
    const struct rs_case *c;
    struct rs_graph *graph;
    struct rs_plan_options options;
    struct rs_device *ref_device;
    struct side ref, other;
    size_t pixels; /* elements of a sample */
    int32_t labels[64];
    uint64_t draw;
    struct rs_case_report *report;
    struct rs_error *err;
};

static int open_side(struct comparison *m, struct side *side, const struct rs_backend *backend,
                     struct rs_device *device, enum rs_precision precision)
{
    struct rs_plan_options options = m->options;
    options.precision = precision;
    side->backend = backend;
    RS_TRY(backend->compile(device, m->graph, &options, &side->plan, m->err));
    RS_TRY(rs_state_create(&side->state, m->graph, m->err));
    rs_state_init(side->state, 11 + m->draw);
    side->gradients = rs_calloc((size_t)m->graph->param_floats, sizeof(float));
    side->probabilities = rs_calloc((size_t)m->c->batch * (size_t)m->graph->classes, sizeof(float));
    side->tensor = rs_calloc(m->c->batch * m->pixels, sizeof(float));
    if (!side->gradients || !side->probabilities || !side->tensor)
        return rs_error_set(m->err, RS_E_NOMEM, "no memory");
    return backend->load(side->plan, side->state, m->err);
}

static void close_side(struct side *side)
{
    if (side->plan)
        side->backend->destroy(side->plan);
    rs_state_destroy(side->state);
    rs_free(side->gradients);
    rs_free(side->probabilities);
    rs_free(side->tensor);
}

/* |a - b| / max(|b|, least), euclidean. A NaN comes out as infinity. */
static double error_of(const float *a, const float *b, int64_t n, double least)
{
    double difference = 0, size = 0;
    for (int64_t i = 0; i < n; i++) {
        difference += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
        size += (double)b[i] * (double)b[i];
    }
    const double error = sqrt(difference) / fmax(sqrt(size), least);
    return isfinite(error) ? error : INFINITY;
}

static double length_of(const float *a, int64_t n)
{
    double size = 0;
    for (int64_t i = 0; i < n; i++)
        size += (double)a[i] * (double)a[i];
    return sqrt(size);
}

static void keep_worst(double *worst, double error)
{
    *worst = error > *worst ? error : *worst;
}

static int step_both(struct comparison *m, uint32_t step)
{
    const uint32_t count = step % 3 == 2 ? m->c->rest : m->c->batch;
    struct side *const sides[2] = {&m->ref, &m->other};
    struct rs_step_result results[2];
    memset(results, 0, sizeof(results));
    for (int i = 0; i < 2; i++) {
        struct side *s = sides[i];
        rs_case_fill(s->tensor, s->backend->input_element(s->plan), count * m->pixels, m->labels, count,
                     m->graph->classes, 100 + step + 1000 * m->draw);
        const struct rs_batch_input input = {s->tensor, m->labels, count};
        RS_TRY(s->backend->train_step(s->plan, &input, 0.005f, &results[i], m->err));
        if (step == 0)
            RS_TRY(s->backend->store_gradients(s->plan, s->gradients, m->err));
    }
    const double error = fabs(results[1].loss_sum - results[0].loss_sum) / fabs(results[0].loss_sum);
    keep_worst(&m->report->loss, isfinite(error) ? error : INFINITY);
    m->report->wrong_hits += results[0].correct != results[1].correct;
    return 0;
}

/* By parameter, so that a small one counts; but what is nothing against the whole counts as that. */
static void compare_gradients(struct comparison *m)
{
    const double least = 1e-3 * length_of(m->ref.gradients, m->graph->param_floats);
    for (int32_t i = 0; i < m->graph->param_count; i++) {
        const struct rs_tensor_info *p = &m->graph->params[i];
        const double error =
            error_of(m->other.gradients + p->offset, m->ref.gradients + p->offset, p->count, least);
        if (error > m->report->gradients)
            snprintf(m->report->worst, sizeof(m->report->worst), "%s", p->name);
        keep_worst(&m->report->gradients, error);
    }
}

static int evaluate_both(struct comparison *m, uint32_t count)
{
    struct side *const sides[2] = {&m->ref, &m->other};
    for (int i = 0; i < 2; i++) {
        struct side *s = sides[i];
        struct rs_step_result result = {.probabilities = s->probabilities};
        rs_case_fill(s->tensor, s->backend->input_element(s->plan), count * m->pixels, m->labels, count,
                     m->graph->classes, 7 + 1000 * m->draw);
        const struct rs_batch_input input = {s->tensor, m->labels, count};
        RS_TRY(s->backend->eval_step(s->plan, &input, &result, m->err));
    }
    keep_worst(&m->report->probabilities, error_of(m->other.probabilities, m->ref.probabilities,
                                                   (int64_t)count * m->graph->classes, 1e-3));
    return 0;
}

static int compare_states(struct comparison *m)
{
    struct rs_state *a = m->other.state, *b = m->ref.state;
    RS_TRY(m->ref.backend->store(m->ref.plan, b, m->err));
    RS_TRY(m->other.backend->store(m->other.plan, a, m->err));
    keep_worst(&m->report->parameters, error_of(a->params, b->params, m->graph->param_floats, 1e-6));
    keep_worst(&m->report->moments, error_of(a->moment1, b->moment1, m->graph->param_floats, 1e-6));
    keep_worst(&m->report->moments, error_of(a->moment2, b->moment2, m->graph->param_floats, 1e-9));
    keep_worst(&m->report->statistics, error_of(a->buffers, b->buffers, m->graph->buffer_floats, 1e-6));
    if (a->steps != b->steps || (m->graph->norm_count > 0 && a->batches_tracked[0] != b->batches_tracked[0]))
        return rs_error_set(m->err, RS_E_BACKEND, "counters differ: %lld steps, ref %lld",
                            (long long)a->steps, (long long)b->steps);
    return 0;
}

static int compare(struct comparison *m, struct rs_device *device, const struct rs_backend *backend,
                   enum rs_precision precision)
{
    const struct rs_shape in = m->graph->nodes[0].out;
    m->pixels = (size_t)in.c * (size_t)in.h * (size_t)in.w;
    RS_TRY(rs_backend_ref.open(&m->ref_device, &(struct rs_device_options){.threads = 1}, m->err));
    RS_TRY(open_side(m, &m->ref, &rs_backend_ref, m->ref_device, RS_PRECISION_FP32));
    RS_TRY(open_side(m, &m->other, backend, device, precision));
    RS_TRY(evaluate_both(m, m->c->rest)); /* before any step: running statistics as loaded */
    for (uint32_t step = 0; step < m->c->steps; step++)
        RS_TRY(step_both(m, step));
    compare_gradients(m);
    RS_TRY(evaluate_both(m, m->c->batch));
    return compare_states(m);
}

/* Of one draw of weights and batches. */
static int compare_draw(struct comparison *m, struct rs_device *device, const struct rs_backend *backend,
                        enum rs_precision precision)
{
    memset(m->report, 0, sizeof(*m->report));
    int code = m->c->build(&m->graph, m->err);
    if (code == 0)
        code = compare(m, device, backend, precision);
    close_side(&m->other);
    close_side(&m->ref);
    if (m->ref_device)
        rs_backend_ref.close(m->ref_device);
    rs_graph_destroy(m->graph);
    return code;
}

/* What a flip doesn't move, in float32. */
static bool is_near(const struct rs_case_report *r)
{
    return r->loss < 1e-4 && r->parameters < 1e-4 && r->statistics < 1e-4 && r->probabilities < 1e-3 &&
           r->wrong_hits == 0;
}

int rs_case_compare(const struct rs_case *c, const struct rs_backend *backend, struct rs_device *device,
                    enum rs_precision precision, enum rs_optimizer optimizer, struct rs_case_report *report,
                    struct rs_error *err)
{
    /* Adam's eps is large: with the usual one a gradient near 0 moves its weight by its sign alone, which
     * rounding decides */
    const struct rs_plan_options options = {.optimizer = optimizer,
                                            .beta1 = 0.9,
                                            .beta2 = 0.999,
                                            .eps = 1e-2,
                                            .momentum = 0.9f,
                                            .weight_decay = 1e-3f,
                                            .train_batches = {c->batch, c->rest},
                                            .eval_batches = {c->batch, c->rest}};
    for (uint32_t draw = 0; draw < c->draws; draw++) {
        struct comparison m = {.c = c, .options = options, .draw = draw, .report = report, .err = err};
        RS_TRY(compare_draw(&m, device, backend, precision));
        report->draws = draw + 1;
        /* only a flip is worth another draw, and only float32 tells one from rounding */
        if (precision != RS_PRECISION_FP32 || !is_near(report) || rs_case_passed(c, report, precision))
            break;
    }
    return 0;
}

bool rs_case_passed(const struct rs_case *c, const struct rs_case_report *r, enum rs_precision precision)
{
    if (precision == RS_PRECISION_FP32)
        return is_near(r) && r->gradients < 2e-4 && r->moments < 2e-4;
    return r->loss < 5e-2 && r->gradients < 1.5 * c->bf16 && r->parameters < 2e-2 && r->moments < c->bf16 &&
           r->statistics < 2e-2 && r->probabilities < 0.1;
}
