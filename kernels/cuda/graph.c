/* graph.c: a captured step's graph, changed before it becomes executable.
 *
 * cuDNN zeroes a convolution's counters (of a hundred bytes or so) right before its kernel. In a graph that
 * is a node between two kernels, and costs some 5 us each time, a twentieth of a step; here all of them
 * become one node at the beginning.
 *
 * @thread the plan's.
 */
#include "gpu_pvt.h"

#include "alloc.h"
#include "log.h"
#include <stdint.h>

#define NEIGHBOURS_MAX 16 /* of a node that is taken out; a captured stream has one each way */

/* CUDA 13 added the edges' data to these; the edges of a node that sets memory have none. */
#if CUDART_VERSION >= 13000
#define NO_EDGE_DATA NULL,
#else
#define NO_EDGE_DATA
#endif

struct clearing { /* a node that zeroes counters */
    cudaGraphNode_t node;
    uintptr_t begin, end; /* of what it zeroes */
};

static int look_at(cudaGraphNode_t node, void *counters, size_t bytes, struct clearing *clearing, bool *is,
                   struct rs_error *err)
{
    enum cudaGraphNodeType type;
    struct cudaMemsetParams set;
    const uintptr_t begin = (uintptr_t)counters;
    *is = false;
    RS_TRY(rs__cuda_check(cudaGraphNodeGetType(node, &type), "a node of the step's graph", err));
    if (type != cudaGraphNodeTypeMemset)
        return 0;
    RS_TRY(rs__cuda_check(cudaGraphMemsetNodeGetParams(node, &set), "a node of the step's graph", err));
    const uintptr_t at = (uintptr_t)set.dst;
    *clearing = (struct clearing){node, at, at + set.width * set.elementSize};
    *is = set.value == 0 && set.height == 1 && at >= begin && clearing->end <= begin + bytes;
    return 0;
}

/* Counters that are zeroed twice in a step are used in between: these nodes stay. */
static bool is_alone(const struct clearing *all, size_t count, size_t which)
{
    for (size_t i = 0; i < count; i++)
        if (i != which && all[i].begin < all[which].end && all[which].begin < all[i].end)
            return false;
    return true;
}

/* What came before a node now comes right before what came after it. */
static int take_out(cudaGraph_t graph, cudaGraphNode_t node, struct rs_error *err)
{
    static const char what[] = "taking a node out of the step's graph";
    cudaGraphNode_t before[NEIGHBOURS_MAX], after[NEIGHBOURS_MAX];
    size_t before_count = 0, after_count = 0;
    RS_TRY(rs__cuda_check(cudaGraphNodeGetDependencies(node, NULL, NO_EDGE_DATA & before_count), what, err));
    RS_TRY(rs__cuda_check(cudaGraphNodeGetDependentNodes(node, NULL, NO_EDGE_DATA & after_count), what, err));
    if (before_count > NEIGHBOURS_MAX || after_count > NEIGHBOURS_MAX)
        return rs_error_set(err, RS_E_BACKEND, "CUDA: %s: it has %zu and %zu neighbours", what, before_count,
                            after_count);
    if (before_count > 0)
        RS_TRY(rs__cuda_check(cudaGraphNodeGetDependencies(node, before, NO_EDGE_DATA & before_count), what,
                              err));
    if (after_count > 0)
        RS_TRY(rs__cuda_check(cudaGraphNodeGetDependentNodes(node, after, NO_EDGE_DATA & after_count), what,
                              err));
    RS_TRY(rs__cuda_check(cudaGraphDestroyNode(node), what, err));
    for (size_t i = 0; i < before_count; i++)
        for (size_t k = 0; k < after_count; k++)
            RS_TRY(rs__cuda_check(cudaGraphAddDependencies(graph, &before[i], &after[k], NO_EDGE_DATA 1),
                                  what, err));
    return 0;
}

/* all: room for count. */
static int take_out_all(cudaGraph_t graph, cudaGraphNode_t *nodes, struct clearing *all, size_t count,
                        void *counters, size_t bytes, size_t *taken, struct rs_error *err)
{
    size_t found = 0;
    RS_TRY(rs__cuda_check(cudaGraphGetNodes(graph, nodes, &count), "the step's graph", err));
    for (size_t i = 0; i < count; i++) {
        bool is;
        RS_TRY(look_at(nodes[i], counters, bytes, &all[found], &is, err));
        found += is;
    }
    for (size_t i = 0; i < found; i++) {
        if (!is_alone(all, found, i))
            continue;
        RS_TRY(take_out(graph, all[i].node, err));
        (*taken)++;
    }
    return 0;
}

/* A node that zeroes counters, before all that had nothing before it. */
static int clear_first(cudaGraph_t graph, cudaGraphNode_t *nodes, size_t count, void *counters, size_t bytes,
                       struct rs_error *err)
{
    static const char what[] = "a node before the step's graph";
    const struct cudaMemsetParams set = {
        .dst = counters, .elementSize = 1, .width = bytes, .height = 1, .pitch = bytes};
    cudaGraphNode_t first = NULL;
    RS_TRY(rs__cuda_check(cudaGraphGetRootNodes(graph, nodes, &count), what, err));
    RS_TRY(rs__cuda_check(cudaGraphAddMemsetNode(&first, graph, NULL, 0, &set), what, err));
    for (size_t i = 0; i < count; i++)
        RS_TRY(rs__cuda_check(cudaGraphAddDependencies(graph, &first, &nodes[i], NO_EDGE_DATA 1), what, err));
    return 0;
}

int rs__graph_clear_once(cudaGraph_t graph, void *counters, size_t bytes, struct rs_error *err)
{
    size_t count = 0, taken = 0;
    if (bytes == 0)
        return 0;
    RS_TRY(rs__cuda_check(cudaGraphGetNodes(graph, NULL, &count), "the step's graph", err));
    cudaGraphNode_t *nodes = rs_calloc(count + 1, sizeof(cudaGraphNode_t));
    struct clearing *all = rs_calloc(count + 1, sizeof(*all));
    int code = nodes && all ? take_out_all(graph, nodes, all, count, counters, bytes, &taken, err)
                            : rs_error_set(err, RS_E_NOMEM, "out of memory for the step's graph");
    if (code == 0 && taken > 0)
        code = clear_first(graph, nodes, count, counters, bytes, err);
    if (code == 0)
        rs_log(RS_LOG_DEBUG, "cuda: %zu nodes that zeroed counters became one", taken);
    rs_free(all);
    rs_free(nodes);
    return code;
}
