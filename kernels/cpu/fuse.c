/* fuse.c: which nodes one operation computes: batch norm, its ReLU, the sum of a residual block, the ReLU
 * after it.
 *
 * How it works: from each batch norm forward, as long as the output has one consumer of the next kind. The
 * last node of a group has its operation; the others are absorbed. A ReLU after a sum whose addends are both
 * ReLU outputs changes nothing: they are at least 0, and where the sum is 0 both addends are, so their own
 * ReLUs stop the gradient. It is left out. */
#include "alloc.h"
#include "plan.h"

struct use {
    int32_t count, last; /* consumers, and the last of them */
};

static int32_t sole_consumer(const struct rs_graph *g, const struct use *uses, int32_t node, enum rs_op op)
{
    return uses[node].count == 1 && g->nodes[uses[node].last].op == op ? uses[node].last : RS_NONE;
}

/* Follows the batch norm at `norm`; ends by writing the group at its last node. */
static void fuse_norm(const struct rs_graph *g, const struct use *uses, struct rs__group *groups,
                      int32_t norm)
{
    struct rs__group group = {.norm = norm, .residual = RS_NONE};
    int32_t last = norm;
    int32_t relu = sole_consumer(g, uses, last, RS_OP_RELU);
    if (relu != RS_NONE) {
        group.flags |= RS__RELU;
        groups[last].absorbed = 1;
        last = relu;
    }
    int32_t add = sole_consumer(g, uses, last, RS_OP_ADD);
    if (add != RS_NONE && groups[add].norm == RS_NONE) {
        const int32_t *in = g->nodes[add].input;
        group.residual = in[0] == last ? in[1] : in[0];
        groups[last].absorbed = 1;
        last = add;
        int32_t post = sole_consumer(g, uses, last, RS_OP_RELU);
        if (post != RS_NONE) {
            int changes = !(group.flags & RS__RELU) || g->nodes[group.residual].op != RS_OP_RELU;
            group.flags |= changes ? RS__POST_RELU : 0;
            groups[last].norm = norm; /* claimed */
            groups[last].absorbed = 1;
            last = post;
        }
    }
    groups[last] = group;
}

int rs__fuse(const struct rs_graph *graph, struct rs__group *groups, struct rs_error *err)
{
    struct use *uses = rs_calloc((size_t)graph->node_count, sizeof(*uses));
    if (!uses)
        return rs_error_set(err, RS_E_NOMEM, "out of memory for a network of %d nodes", graph->node_count);
    for (int32_t i = 0; i < graph->node_count; i++) {
        groups[i] = (struct rs__group){.norm = RS_NONE, .residual = RS_NONE};
        for (int k = 0; k < 2; k++)
            if (graph->nodes[i].input[k] != RS_NONE) {
                uses[graph->nodes[i].input[k]].count++;
                uses[graph->nodes[i].input[k]].last = i;
            }
    }
    for (int32_t i = 0; i < graph->node_count; i++)
        if (graph->nodes[i].op == RS_OP_BATCH_NORM)
            fuse_norm(graph, uses, groups, i);
    rs_free(uses);
    return 0;
}
