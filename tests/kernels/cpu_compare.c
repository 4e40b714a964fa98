/* cpu_compare.c: see cpu_compare.h. */
#include "cpu_compare.h"
#include "alloc.h"
#include "random.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define FLOOR 1e-2 /* share of all gradients' norm, see the header */

static void check(const struct pair *p, int code)
{
    if (code < 0)
        print_error("%s: %s\n", rs_error_name(code), p->err.message);
    assert_true(code >= 0);
}

static void open_side(struct pair *p, struct side *side, const char *name,
                      const struct rs_plan_options *options, enum rs_cpu_bf16 how)
{
    side->backend = rs_backend_find(name);
    assert_non_null(side->backend);
    check(p, side->backend->open(&side->device, &(struct rs_device_options){.threads = 2}, &p->err));
    if (side->backend == &rs_backend_cpu)
        rs_cpu_set_bf16(side->device, how);
    check(p, side->backend->compile(side->device, p->graph, options, &side->plan, &p->err));
    check(p, side->backend->load(side->plan, p->state, &p->err));
    check(p, rs_state_create(&side->state, p->graph, &p->err));
    side->gradients = rs_calloc((size_t)p->graph->param_floats + 1, sizeof(float));
    side->probabilities = rs_calloc((size_t)p->max_batch * (size_t)p->graph->classes, sizeof(float));
    assert_non_null(side->gradients);
    assert_non_null(side->probabilities);
}

void pair_open(struct pair *p, struct rs_graph *graph, const struct rs_plan_options *options,
               enum rs_cpu_bf16 how)
{
    struct rs_plan_options reference = *options;
    memset(p, 0, sizeof *p);
    p->graph = graph;
    for (int i = 0; i < RS_BATCH_SIZES_MAX; i++) {
        p->max_batch = options->train_batches[i] > p->max_batch ? options->train_batches[i] : p->max_batch;
        p->max_batch = options->eval_batches[i] > p->max_batch ? options->eval_batches[i] : p->max_batch;
    }
    const struct rs_shape in = graph->nodes[0].out;
    p->input_floats = (size_t)in.c * (size_t)in.h * (size_t)in.w;
    p->floats = rs_calloc(p->max_batch * p->input_floats, sizeof(float));
    p->halves = rs_calloc(p->max_batch * p->input_floats, sizeof(uint16_t));
    p->labels = rs_calloc(p->max_batch, sizeof(int32_t));
    assert_true(p->floats && p->halves && p->labels);
    check(p, rs_state_create(&p->state, graph, &p->err));
    rs_state_init(p->state, 7);
    struct rs_random random;
    rs_random_init(&random, 9, 0, 0);
    for (int32_t i = 0; i < graph->param_count; i++) /* batch norms away from 1 and 0 */
        for (int64_t k = 0; graph->params[i].fan_in == 0 && k < graph->params[i].count; k++)
            p->state->params[graph->params[i].offset + k] += 0.5f * rs_random_float(&random) - 0.25f;
    reference.precision = RS_PRECISION_FP32;
    open_side(p, &p->ref, "ref", &reference, RS_CPU_BF16_AUTO);
    open_side(p, &p->cpu, "cpu", options, how);
}

static void close_side(struct side *side)
{
    side->backend->destroy(side->plan);
    side->backend->close(side->device);
    rs_state_destroy(side->state);
    rs_free(side->gradients);
    rs_free(side->probabilities);
}

void pair_close(struct pair *p)
{
    close_side(&p->cpu);
    close_side(&p->ref);
    rs_free(p->floats);
    rs_free(p->halves);
    rs_free(p->labels);
    rs_state_destroy(p->state);
    rs_graph_destroy(p->graph);
}

void pair_reset(struct pair *p)
{
    check(p, p->ref.backend->load(p->ref.plan, p->state, &p->err));
    check(p, p->cpu.backend->load(p->cpu.plan, p->state, &p->err));
}

static void make_batch(struct pair *p, uint32_t batch, uint64_t seed)
{
    struct rs_random random;
    rs_random_init(&random, seed, 1, 0);
    for (size_t i = 0; i < batch * p->input_floats; i++) {
        float value = 2.0f * rs_random_float(&random) - 1.0f;
        uint32_t bits;
        memcpy(&bits, &value, sizeof bits);
        p->halves[i] = (uint16_t)(bits >> 16);
        bits &= 0xffff0000u;
        memcpy(&p->floats[i], &bits, sizeof bits);
    }
    for (uint32_t i = 0; i < batch; i++)
        p->labels[i] = (int32_t)(rs_random_u32(&random) % (uint32_t)p->graph->classes);
}

static struct rs_batch_input input_of(const struct pair *p, const struct side *side, uint32_t batch)
{
    int bf16 = side->backend->input_element(side->plan) == RS_ELEMENT_BF16;
    return (struct rs_batch_input){bf16 ? (const void *)p->halves : p->floats, p->labels, batch};
}

void pair_train(struct pair *p, uint32_t batch, uint64_t seed, float lr)
{
    make_batch(p, batch, seed);
    struct side *sides[] = {&p->ref, &p->cpu};
    for (int i = 0; i < 2; i++) {
        struct side *s = sides[i];
        const struct rs_batch_input input = input_of(p, s, batch);
        check(p, s->backend->train_step(s->plan, &input, lr, &s->result, &p->err));
        check(p, s->backend->store_gradients(s->plan, s->gradients, &p->err));
        check(p, s->backend->store(s->plan, s->state, &p->err));
    }
}

void pair_eval(struct pair *p, uint32_t batch, uint64_t seed)
{
    make_batch(p, batch, seed);
    struct side *sides[] = {&p->ref, &p->cpu};
    for (int i = 0; i < 2; i++) {
        struct side *s = sides[i];
        const struct rs_batch_input input = input_of(p, s, batch);
        s->result.probabilities = s->probabilities;
        check(p, s->backend->eval_step(s->plan, &input, &s->result, &p->err));
        s->result.probabilities = NULL;
    }
}

static double norm_of(const float *a, const float *b, int64_t count)
{
    double sum = 0.0;
    for (int64_t i = 0; i < count; i++) {
        double d = (double)a[i] - (b ? (double)b[i] : 0.0);
        sum += d * d;
    }
    return sqrt(sum);
}

static double tensor_error(const char *name, const float *got, const float *want, int64_t count, double floor,
                           double limit)
{
    double error = norm_of(got, want, count) / (norm_of(want, NULL, count) + floor);
    if (!(error <= limit))
        print_error("%s: relative error %.3g, allowed %.3g\n", name, error, limit);
    return error;
}

/* Not fmax: a NaN must survive. */
static double worse(double a, double b)
{
    return a <= b ? b : a;
}

static double gradient_distance(const struct rs_graph *g, const float *got, const float *want, double limit)
{
    double floor = FLOOR * norm_of(want, NULL, g->param_floats), most = 0.0;
    for (int32_t i = 0; i < g->param_count; i++)
        most = worse(tensor_error(g->params[i].name, got + g->params[i].offset, want + g->params[i].offset,
                                  g->params[i].count, floor, limit),
                     most);
    return most;
}

double pair_gradient_error(const struct pair *p, double limit)
{
    return gradient_distance(p->graph, p->cpu.gradients, p->ref.gradients, limit);
}

/* One of the two bf16 numbers around value. */
static float bf16_neighbour(float value, uint32_t up)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    bits = (bits & 0xffff0000u) + (up && (bits & 0xffffu) ? 0x10000u : 0);
    memcpy(&value, &bits, sizeof value);
    return value;
}

double pair_bf16_sensitivity(struct pair *p, uint32_t batch, uint64_t seed, uint32_t draws)
{
    struct side *s = &p->ref;
    const int64_t count = p->graph->param_floats;
    float *want = rs_calloc((size_t)count, sizeof(float)), *params = rs_calloc((size_t)count, sizeof(float));
    double most = 0.0;
    assert_true(want && params);
    memcpy(params, p->state->params, (size_t)count * sizeof(float));
    make_batch(p, batch, seed);
    const struct rs_batch_input input = input_of(p, s, batch);
    for (uint32_t draw = 0; draw <= draws; draw++) { /* the 0th is unrounded */
        struct rs_random random;
        rs_random_init(&random, draw, 2, 0);
        for (int64_t i = 0; draw && i < count; i++)
            p->state->params[i] = bf16_neighbour(params[i], rs_random_u32(&random) & 1u);
        check(p, s->backend->load(s->plan, p->state, &p->err));
        check(p, s->backend->train_step(s->plan, &input, 0.0f, &s->result, &p->err));
        check(p, s->backend->store_gradients(s->plan, draw ? s->gradients : want, &p->err));
        if (draw)
            most = worse(gradient_distance(p->graph, s->gradients, want, INFINITY), most);
    }
    memcpy(p->state->params, params, (size_t)count * sizeof(float));
    check(p, s->backend->load(s->plan, p->state, &p->err));
    rs_free(want);
    rs_free(params);
    return most;
}

double pair_state_error(const struct pair *p, double limit)
{
    const struct rs_graph *g = p->graph;
    const struct rs_state *got = p->cpu.state, *want = p->ref.state;
    double most = tensor_error("parameters", got->params, want->params, g->param_floats, 1e-6, limit);
    for (int32_t i = 0; i < g->norm_count; i++) {
        const struct rs_tensor_info *both[] = {&g->norms[i].running_mean, &g->norms[i].running_var};
        for (int k = 0; k < 2; k++)
            most = worse(tensor_error(both[k]->name, got->buffers + both[k]->offset,
                                      want->buffers + both[k]->offset, both[k]->count, 1e-3, limit),
                         most);
        assert_int_equal(got->batches_tracked[i], want->batches_tracked[i]);
    }
    assert_int_equal(got->steps, want->steps);
    return most;
}

double pair_probability_error(const struct pair *p, uint32_t batch)
{
    double most = 0.0;
    for (size_t i = 0; i < batch * (size_t)p->graph->classes; i++)
        most = worse(fabs((double)p->cpu.probabilities[i] - (double)p->ref.probabilities[i]), most);
    return most;
}

int cpu_has_bf16(void)
{
    struct rs_device_info info;
    struct rs_error err;
    assert_int_equal(rs_backend_cpu.probe(0, &info, &err), 0);
    return strstr(info.precisions, "bf16") != NULL;
}
