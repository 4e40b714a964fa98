/* cudnn_graph_pvt.h: a convolution pass as a cuDNN operation graph, and engines for it; private to this
 * folder.
 *
 * How it works: a graph holds one operation. The heuristics name engine configurations for it; each is
 * reduced to a choice (an engine and its knobs, plain numbers that can lie in a file), and a plan is built
 * from a choice. Engines that aren't deterministic are never chosen, nor those that round more than the
 * precision allows. With a handle all this is about the handle's device; without one about device properties
 * in JSON, so that tests plan for any device.
 *
 * Owner: the creator of each. @thread one at a time for a planner.
 */
#ifndef RS_CUDNN_GRAPH_PVT_H
#define RS_CUDNN_GRAPH_PVT_H

#include "choices.h"
#include "conv.h"
#include "cudnn_api.h"
#include <stdbool.h>

#define RS__CHOICES_MAX 12 /* tried out a pass */

struct rs__planner {
    const struct rs__cudnn_api *api;
    cudnnHandle_t handle;                /* NULL: plans are for properties, and can't be run */
    cudnnBackendDescriptor_t properties; /* NULL with a handle */
    int64_t workspace_limit;             /* bytes */
};

enum { RS__UID_X = 1, RS__UID_W = 2, RS__UID_Y = 3 }; /* tensors of a graph */

struct rs__conv_graph {
    cudnnBackendDescriptor_t parts[5]; /* x, w, y, the convolution, the operation */
    cudnnBackendDescriptor_t graph;
    enum rs__math math;
};

/* Properties from JSON, as cuDNN 9.8 and newer writes it. Errors: RS_E_BACKEND with the field that cuDNN
 * misses. */
int rs__planner_for_properties(struct rs__planner *planner, const struct rs__cudnn_api *api, const char *json,
                               struct rs_error *err);
void rs__planner_close(struct rs__planner *planner); /* the properties; handle and api are the caller's */

int rs__conv_graph_create(struct rs__conv_graph *graph, const struct rs__planner *planner,
                          const struct rs__conv_shape *shape, enum rs__conv_pass pass, enum rs__math math,
                          struct rs_error *err);
void rs__conv_graph_destroy(struct rs__conv_graph *graph, const struct rs__planner *planner);

/* A finalized plan for a choice; workspace in bytes. Errors: RS_E_UNSUPPORTED (not deterministic, rounds too
 * much, wants more workspace than the limit), RS_E_BACKEND (cuDNN refuses it). */
int rs__plan_from_choice(const struct rs__planner *planner, const struct rs__conv_graph *graph,
                         const struct rs__choice *choice, cudnnBackendDescriptor_t *plan, int64_t *workspace,
                         struct rs_error *err);
/* Choices that give a plan, the heuristic's order (mode A, then the fallback list), without duplicates; their
 * number, or RS_E_UNSUPPORTED when there is none. plans, workspaces: of each; the caller destroys the plans.
 */
int rs__conv_choices(const struct rs__planner *planner, const struct rs__conv_graph *graph,
                     struct rs__choice choices[RS__CHOICES_MAX],
                     cudnnBackendDescriptor_t plans[RS__CHOICES_MAX], int64_t workspaces[RS__CHOICES_MAX],
                     struct rs_error *err);

#endif
