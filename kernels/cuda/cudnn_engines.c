/* cudnn_engines.c: engines for an operation graph: the heuristics' list, choices, plans. See
 * cudnn_graph_pvt.h. @thread as there. */
#include "cudnn_graph_pvt.h"

#include <string.h>

typedef cudnnBackendDescriptor_t descriptor;

#define HEURISTIC_MAX 64 /* configurations asked of one mode */

static void destroy(const struct rs__planner *planner, descriptor d)
{
    if (d)
        (void)planner->api->descriptor_destroy(d);
}

/* A finalized engine of the graph. */
static int create_engine(const struct rs__planner *planner, const struct rs__conv_graph *graph, int64_t index,
                         descriptor *out, struct rs_error *err)
{
    const struct rs__cudnn_api *api = planner->api;
    *out = NULL;
    cudnnStatus_t status = api->descriptor_create(CUDNN_BACKEND_ENGINE_DESCRIPTOR, out);
    if (status == CUDNN_STATUS_SUCCESS)
        status = api->set(*out, CUDNN_ATTR_ENGINE_OPERATION_GRAPH, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
                          &graph->graph);
    if (status == CUDNN_STATUS_SUCCESS)
        status = api->set(*out, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, &index);
    if (status == CUDNN_STATUS_SUCCESS && !planner->handle)
        status = api->set(*out, CUDNN_ATTR_ENGINE_DEVICEPROP, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
                          &planner->properties);
    if (status == CUDNN_STATUS_SUCCESS)
        status = api->finalize(*out);
    return rs__cudnn_check(api, status, "an engine", err);
}

/* Sums of transformed values: they round more than plain sums do, and strict fp32 is asked for where that
 * matters. */
static bool transforms(cudnnBackendNumericalNote_t note)
{
    return note == CUDNN_NUMERICAL_NOTE_FFT || note == CUDNN_NUMERICAL_NOTE_WINOGRAD ||
           note == CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_4x4 || note == CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_6x6 ||
           note == CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_13x13;
}

/* 0, or RS_E_UNSUPPORTED for an engine that the precision or determinism rules out. */
static int check_notes(const struct rs__planner *planner, descriptor engine, enum rs__math math,
                       struct rs_error *err)
{
    cudnnBackendNumericalNote_t notes[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
    int64_t count = 0;
    RS_TRY(
        rs__cudnn_check(planner->api,
                        planner->api->get(engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
                                          CUDNN_NUMERICAL_NOTE_TYPE_COUNT, &count, notes),
                        "an engine's numerical notes", err));
    for (int64_t i = 0; i < count; i++) {
        const cudnnBackendNumericalNote_t note = notes[i];
        if (note == CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC)
            return rs_error_set(err, RS_E_UNSUPPORTED, "the engine is not deterministic");
        if (math == RS__MATH_BF16)
            continue;
        if (note == CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS ||
            note == CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION)
            return rs_error_set(err, RS_E_UNSUPPORTED, "the engine rounds its inputs or sums");
        if (math == RS__MATH_FP32 && note == CUDNN_NUMERICAL_NOTE_TENSOR_CORE)
            return rs_error_set(err, RS_E_UNSUPPORTED, "the engine computes in TF32");
        if (math == RS__MATH_FP32 && transforms(note))
            return rs_error_set(err, RS_E_UNSUPPORTED, "the engine sums transformed values");
    }
    return 0;
}

/* A configuration of the engine with the choice's knobs. The knob descriptors are copied by the
 * configuration. */
static cudnnStatus_t create_config(const struct rs__planner *planner, const struct rs__choice *choice,
                                   descriptor engine, descriptor *out)
{
    const struct rs__cudnn_api *api = planner->api;
    descriptor knobs[RS__KNOBS_MAX] = {NULL};
    cudnnStatus_t status = api->descriptor_create(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, out);
    if (status == CUDNN_STATUS_SUCCESS)
        status = api->set(*out, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &engine);
    for (int32_t i = 0; i < choice->knobs && status == CUDNN_STATUS_SUCCESS; i++) {
        const cudnnBackendKnobType_t type = (cudnnBackendKnobType_t)choice->type[i];
        status = api->descriptor_create(CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR, &knobs[i]);
        if (status == CUDNN_STATUS_SUCCESS)
            status = api->set(knobs[i], CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE, 1, &type);
        if (status == CUDNN_STATUS_SUCCESS)
            status =
                api->set(knobs[i], CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, CUDNN_TYPE_INT64, 1, &choice->value[i]);
        if (status == CUDNN_STATUS_SUCCESS)
            status = api->finalize(knobs[i]);
    }
    if (status == CUDNN_STATUS_SUCCESS && choice->knobs > 0)
        status = api->set(*out, CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                          choice->knobs, knobs);
    if (status == CUDNN_STATUS_SUCCESS)
        status = api->finalize(*out);
    for (int32_t i = 0; i < choice->knobs; i++)
        destroy(planner, knobs[i]);
    return status;
}

static cudnnStatus_t create_plan(const struct rs__planner *planner, descriptor config, descriptor *out,
                                 int64_t *workspace)
{
    const struct rs__cudnn_api *api = planner->api;
    int64_t count = 0;
    cudnnStatus_t status = api->descriptor_create(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, out);
    if (status == CUDNN_STATUS_SUCCESS && planner->handle)
        status = api->set(*out, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &planner->handle);
    if (status == CUDNN_STATUS_SUCCESS && !planner->handle)
        status = api->set(*out, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
                          &planner->properties);
    if (status == CUDNN_STATUS_SUCCESS)
        status = api->set(*out, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
                          &config);
    if (status == CUDNN_STATUS_SUCCESS)
        status = api->finalize(*out);
    if (status == CUDNN_STATUS_SUCCESS)
        status =
            api->get(*out, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &count, workspace);
    return status;
}

int rs__plan_from_choice(const struct rs__planner *planner, const struct rs__conv_graph *graph,
                         const struct rs__choice *choice, descriptor *plan, int64_t *workspace,
                         struct rs_error *err)
{
    descriptor engine = NULL, config = NULL;
    *plan = NULL;
    *workspace = 0;
    int code = create_engine(planner, graph, choice->engine, &engine, err);
    if (code == 0)
        code = check_notes(planner, engine, graph->math, err);
    if (code == 0)
        code = rs__cudnn_check(planner->api, create_config(planner, choice, engine, &config),
                               "an engine's knobs", err);
    if (code == 0)
        code = rs__cudnn_check(planner->api, create_plan(planner, config, plan, workspace), "a plan", err);
    if (code == 0 && *workspace > planner->workspace_limit)
        code = rs_error_set(err, RS_E_UNSUPPORTED, "the plan wants %lld bytes of workspace",
                            (long long)*workspace);
    destroy(planner, config);
    destroy(planner, engine);
    if (code < 0) {
        destroy(planner, *plan);
        *plan = NULL;
    }
    return code;
}

/* Engine and knobs of a configuration that the heuristics gave. */
static cudnnStatus_t read_choice(const struct rs__planner *planner, descriptor config,
                                 struct rs__choice *choice)
{
    const struct rs__cudnn_api *api = planner->api;
    descriptor engine = NULL, knobs[RS__KNOBS_MAX] = {NULL};
    int64_t count = 0;
    memset(choice, 0, sizeof(*choice));
    cudnnStatus_t status = api->descriptor_create(CUDNN_BACKEND_ENGINE_DESCRIPTOR, &engine);
    if (status == CUDNN_STATUS_SUCCESS)
        status =
            api->get(config, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count, &engine);
    if (status == CUDNN_STATUS_SUCCESS)
        status =
            api->get(engine, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, &count, &choice->engine);
    for (int i = 0; i < RS__KNOBS_MAX && status == CUDNN_STATUS_SUCCESS; i++)
        status = api->descriptor_create(CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR, &knobs[i]);
    count = 0;
    if (status == CUDNN_STATUS_SUCCESS)
        status = api->get(config, CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                          RS__KNOBS_MAX, &count, knobs);
    if (count > RS__KNOBS_MAX)
        status = CUDNN_STATUS_NOT_SUPPORTED;
    for (int64_t i = 0; i < count && status == CUDNN_STATUS_SUCCESS; i++) {
        cudnnBackendKnobType_t type = CUDNN_KNOB_TYPE_COUNTS;
        int64_t one = 0;
        status = api->get(knobs[i], CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE, 1, &one, &type);
        if (status == CUDNN_STATUS_SUCCESS)
            status = api->get(knobs[i], CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, CUDNN_TYPE_INT64, 1, &one,
                              &choice->value[i]);
        choice->type[i] = (int32_t)type;
        choice->knobs = (int32_t)i + 1;
    }
    for (int i = 0; i < RS__KNOBS_MAX; i++)
        destroy(planner, knobs[i]);
    destroy(planner, engine);
    return status;
}

/* Configurations of one mode into configs (HEURISTIC_MAX descriptors made here); their number. */
static cudnnStatus_t ask_heuristic(const struct rs__planner *planner, const struct rs__conv_graph *graph,
                                   cudnnBackendHeurMode_t mode, descriptor *configs, int64_t *count)
{
    const struct rs__cudnn_api *api = planner->api;
    descriptor heuristic = NULL;
    *count = 0;
    cudnnStatus_t status = api->descriptor_create(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, &heuristic);
    if (status == CUDNN_STATUS_SUCCESS)
        status = api->set(heuristic, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
                          &graph->graph);
    if (status == CUDNN_STATUS_SUCCESS)
        status = api->set(heuristic, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
    if (status == CUDNN_STATUS_SUCCESS && !planner->handle)
        status = api->set(heuristic, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
                          &planner->properties);
    if (status == CUDNN_STATUS_SUCCESS)
        status = api->finalize(heuristic);
    for (int i = 0; i < HEURISTIC_MAX && status == CUDNN_STATUS_SUCCESS; i++)
        status = api->descriptor_create(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, &configs[i]);
    if (status == CUDNN_STATUS_SUCCESS)
        status = api->get(heuristic, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                          HEURISTIC_MAX, count, configs);
    *count = status != CUDNN_STATUS_SUCCESS ? 0 : *count > HEURISTIC_MAX ? HEURISTIC_MAX : *count;
    destroy(planner, heuristic);
    return status;
}

struct list { /* what rs__conv_choices fills */
    struct rs__choice *choices;
    descriptor *plans;
    int64_t *workspaces;
    int count;
};

/* Adds the configuration if a plan comes of it. Why one doesn't is of no interest as long as another does;
 * the last reason stays in err. */
static void try_config(const struct rs__planner *planner, const struct rs__conv_graph *graph,
                       descriptor config, struct list *list, struct rs_error *err)
{
    struct rs__choice *choice = &list->choices[list->count];
    if (read_choice(planner, config, choice) != CUDNN_STATUS_SUCCESS)
        return;
    for (int i = 0; i < list->count; i++)
        if (rs__same_choice(choice, &list->choices[i]))
            return;
    if (rs__plan_from_choice(planner, graph, choice, &list->plans[list->count],
                             &list->workspaces[list->count], err) == 0)
        list->count++;
}

int rs__conv_choices(const struct rs__planner *planner, const struct rs__conv_graph *graph,
                     struct rs__choice choices[RS__CHOICES_MAX], descriptor plans[RS__CHOICES_MAX],
                     int64_t workspaces[RS__CHOICES_MAX], struct rs_error *err)
{
    static const cudnnBackendHeurMode_t modes[] = {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK};
    struct list list = {choices, plans, workspaces, 0};
    struct rs_error reason = {.message = "the heuristics named no engine"};
    for (size_t m = 0; m < sizeof(modes) / sizeof(modes[0]); m++) {
        descriptor configs[HEURISTIC_MAX] = {NULL};
        int64_t count = 0;
        const cudnnStatus_t status = ask_heuristic(planner, graph, modes[m], configs, &count);
        if (status != CUDNN_STATUS_SUCCESS)
            (void)rs__cudnn_check(planner->api, status, "the heuristics", &reason);
        for (int64_t i = 0; i < count && list.count < RS__CHOICES_MAX; i++)
            try_config(planner, graph, configs[i], &list, &reason);
        for (int i = 0; i < HEURISTIC_MAX; i++)
            destroy(planner, configs[i]);
    }
    if (list.count == 0)
        return rs_error_set(err, RS_E_UNSUPPORTED, "cuDNN has no engine for it: %.300s", reason.message);
    return list.count;
}
