/* conv_cudnn.c: convolution passes by cuDNN: planning, trying out, running. See conv.h.
 *
 * How it works: create makes a plan for every candidate, or for the one that is known to be the fastest; tune
 * times them with events on the compute stream and keeps one; bind makes the variant pack, so that running is
 * one call.
 *
 * @thread the plan's.
 */
#include "conv.h"

#include "alloc.h"
#include "gpu_pvt.h"
#include <float.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define TIMED_RUNS 4
#define TRIES 3       /* groups of timed runs; the least counts, because the host can only add time */
#define HOPELESS 1.5f /* times the best so far: no second try */

struct rs__conv {
    struct rs__gpu *gpu;
    struct rs__conv_graph graph;
    char layer[64]; /* for messages */
    char key[RS__CHOICE_KEY_MAX];
    struct rs__choice choices[RS__CHOICES_MAX];
    cudnnBackendDescriptor_t plans[RS__CHOICES_MAX];
    int64_t workspaces[RS__CHOICES_MAX];
    int count;          /* of them; 1 once chosen */
    int tried;          /* candidates when it was chosen */
    float milliseconds; /* of the chosen one; 0: not timed */
    cudnnBackendDescriptor_t pack;
};

static const char *const pass_names[] = {
    [RS__CONV_FORWARD] = "forward", [RS__CONV_DATA_GRADIENT] = "data", [RS__CONV_WEIGHT_GRADIENT] = "weight"};
static const char *const math_names[] = {
    [RS__MATH_FP32] = "fp32", [RS__MATH_TF32] = "tf32", [RS__MATH_BF16] = "bf16"};

static void make_key(struct rs__conv *conv, const struct rs__conv_shape *s, enum rs__conv_pass pass,
                     enum rs__math math)
{
    snprintf(conv->key, sizeof(conv->key),
             "%s %s n%" PRId64 " c%" PRId64 " h%" PRId64 " w%" PRId64 " k%" PRId64 " r%" PRId64 "x%" PRId64
             " s%" PRId64 " p%" PRId64,
             pass_names[pass], math_names[math], s->n, s->c, s->h, s->w, s->k, s->r, s->s, s->stride,
             s->padding);
}

static void drop_plan(struct rs__conv *conv, int i)
{
    if (conv->plans[i])
        (void)conv->gpu->cudnn.descriptor_destroy(conv->plans[i]);
    conv->plans[i] = NULL;
}

/* Makes candidate i the only one. */
static void keep_one(struct rs__conv *conv, int i)
{
    for (int k = 0; k < conv->count; k++)
        if (k != i)
            drop_plan(conv, k);
    conv->plans[0] = conv->plans[i];
    conv->choices[0] = conv->choices[i];
    conv->workspaces[0] = conv->workspaces[i];
    if (i > 0)
        conv->plans[i] = NULL;
    conv->tried = conv->count;
    conv->count = 1;
}

/* The choice that the cache knows, if it still gives a plan; else all candidates. */
static int find_plans(struct rs__conv *conv, struct rs_error *err)
{
    const struct rs__planner *planner = &conv->gpu->planner;
    const struct rs__known_choice *known = rs__choices_find(&conv->gpu->choices, conv->key);
    if (known && rs__plan_from_choice(planner, &conv->graph, &known->choice, &conv->plans[0],
                                      &conv->workspaces[0], NULL) == 0) {
        conv->choices[0] = known->choice;
        conv->milliseconds = known->milliseconds;
        conv->count = 1;
        return 0;
    }
    const int count =
        rs__conv_choices(planner, &conv->graph, conv->choices, conv->plans, conv->workspaces, err);
    RS_TRY(count);
    conv->count = count;
    return 0;
}

int rs__conv_create(struct rs__conv **out, struct rs__gpu *gpu, const char *name,
                    const struct rs__conv_shape *shape, enum rs__conv_pass pass, enum rs__math math,
                    struct rs_error *err)
{
    struct rs_error reason = {.code = 0};
    *out = NULL;
    struct rs__conv *conv = rs_calloc(1, sizeof(*conv));
    if (!conv)
        return rs_error_set(err, RS_E_NOMEM, "out of memory for a convolution");
    conv->gpu = gpu;
    snprintf(conv->layer, sizeof(conv->layer), "%s", name);
    make_key(conv, shape, pass, math);
    int code = rs__conv_graph_create(&conv->graph, &gpu->planner, shape, pass, math, &reason);
    if (code == 0)
        code = find_plans(conv, &reason);
    if (code < 0) {
        (void)rs_error_set(err, code, "%s, %s: %.300s", name, conv->key, reason.message);
        rs__conv_destroy(conv);
        return code;
    }
    *out = conv;
    return 0;
}

void rs__conv_destroy(struct rs__conv *conv)
{
    if (!conv)
        return;
    if (conv->pack)
        (void)conv->gpu->cudnn.descriptor_destroy(conv->pack);
    for (int i = 0; i < conv->count; i++)
        drop_plan(conv, i);
    rs__conv_graph_destroy(&conv->graph, &conv->gpu->planner);
    rs_free(conv);
}

size_t rs__conv_workspace(const struct rs__conv *conv)
{
    int64_t most = 0;
    for (int i = 0; i < conv->count; i++)
        most = conv->workspaces[i] > most ? conv->workspaces[i] : most;
    return (size_t)most;
}

int rs__conv_bind(struct rs__conv *conv, void *x, void *w, void *y, void *workspace, struct rs_error *err)
{
    const struct rs__cudnn_api *api = &conv->gpu->cudnn;
    const int64_t ids[3] = {RS__UID_X, RS__UID_W, RS__UID_Y};
    void *const pointers[3] = {x, w, y};
    if (conv->pack)
        (void)api->descriptor_destroy(conv->pack);
    conv->pack = NULL;
    cudnnStatus_t status = api->descriptor_create(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, &conv->pack);
    if (status == CUDNN_STATUS_SUCCESS)
        status = api->set(conv->pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, 3, ids);
    if (status == CUDNN_STATUS_SUCCESS)
        status =
            api->set(conv->pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, 3, pointers);
    if (status == CUDNN_STATUS_SUCCESS)
        status = api->set(conv->pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace);
    if (status == CUDNN_STATUS_SUCCESS)
        status = api->finalize(conv->pack);
    return rs__cudnn_check(api, status, conv->layer, err);
}

static int run_plan(const struct rs__conv *conv, int i, struct rs_error *err)
{
    const struct rs__gpu *gpu = conv->gpu;
    return rs__cudnn_check(&gpu->cudnn, gpu->cudnn.execute(gpu->planner.handle, conv->plans[i], conv->pack),
                           conv->layer, err);
}

int rs__conv_run(struct rs__conv *conv, struct rs_error *err)
{
    return run_plan(conv, 0, err);
}

/* Milliseconds of a run of candidate i, of some runs after each other. */
static int time_runs(const struct rs__conv *conv, int i, cudaEvent_t begin, cudaEvent_t end,
                     float *milliseconds, struct rs_error *err)
{
    const cudaStream_t stream = conv->gpu->streams[RS__QUEUE_COMPUTE];
    RS_TRY(rs__cuda_check(cudaEventRecord(begin, stream), "timing", err));
    for (int run = 0; run < TIMED_RUNS; run++)
        RS_TRY(run_plan(conv, i, err));
    RS_TRY(rs__cuda_check(cudaEventRecord(end, stream), "timing", err));
    RS_TRY(rs__cuda_check(cudaEventSynchronize(end), "timing", err));
    RS_TRY(rs__cuda_check(cudaEventElapsedTime(milliseconds, begin, end), "timing", err));
    *milliseconds /= TIMED_RUNS;
    return 0;
}

/* The least of several, unless the first is far from best. */
static int time_plan(const struct rs__conv *conv, int i, cudaEvent_t begin, cudaEvent_t end, float best,
                     float *milliseconds, struct rs_error *err)
{
    RS_TRY(run_plan(conv, i, err)); /* loads its kernels */
    RS_TRY(time_runs(conv, i, begin, end, milliseconds, err));
    for (int once = 1; once < TRIES && *milliseconds < HOPELESS * best; once++) {
        float again;
        RS_TRY(time_runs(conv, i, begin, end, &again, err));
        *milliseconds = again < *milliseconds ? again : *milliseconds;
    }
    return 0;
}

/* The fastest candidate; one that fails is passed over, as long as another runs. */
static int find_fastest(struct rs__conv *conv, cudaEvent_t begin, cudaEvent_t end, struct rs_error *err)
{
    float best = FLT_MAX / HOPELESS;
    int fastest = -1;
    for (int i = 0; i < conv->count; i++) {
        float milliseconds = 0;
        if (time_plan(conv, i, begin, end, best, &milliseconds, err) == 0 && milliseconds < best) {
            best = milliseconds;
            fastest = i;
        }
    }
    if (fastest < 0)
        return RS_E_BACKEND; /* err has the last one's reason */
    keep_one(conv, fastest);
    conv->milliseconds = best;
    rs__choices_add(&conv->gpu->choices, conv->key, &conv->choices[0], best);
    return 0;
}

int rs__conv_tune(struct rs__conv *conv, void *x, void *w, void *y, void *workspace, struct rs_error *err)
{
    cudaEvent_t begin = NULL, end = NULL;
    if (conv->milliseconds > 0)
        return 0; /* known */
    /* another size or layer may have learnt it since */
    const struct rs__known_choice *known = rs__choices_find(&conv->gpu->choices, conv->key);
    for (int i = 0; known && i < conv->count; i++)
        if (rs__same_choice(&conv->choices[i], &known->choice)) {
            conv->milliseconds = known->milliseconds;
            keep_one(conv, i);
            return 0;
        }
    RS_TRY(rs__conv_bind(conv, x, w, y, workspace, err));
    int code = rs__cuda_check(cudaEventCreate(&begin), "an event", err);
    if (code == 0)
        code = rs__cuda_check(cudaEventCreate(&end), "an event", err);
    if (code == 0)
        code = find_fastest(conv, begin, end, err);
    if (begin)
        (void)cudaEventDestroy(begin);
    if (end)
        (void)cudaEventDestroy(end);
    return code;
}

void rs__conv_describe(const struct rs__conv *conv, char *text, size_t size)
{
    snprintf(text, size, "%s, %s: engine %" PRId64 ", %.4f ms, %" PRId64 " bytes of workspace, %s",
             conv->layer, conv->key, conv->choices[0].engine, (double)conv->milliseconds, conv->workspaces[0],
             conv->tried ? "tried now" : "known");
}
