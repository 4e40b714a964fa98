/* ref_tool.c: the reference network and its optimizers on numbers from files, for golden_ref.
 *
 * How it works: built twice, in float and in double; files hold raw numbers of that type, labels int32.
 *   ref_tool step GRAPH BATCH STEPS OPTIMIZER LR MOMENTUM DECAY IN OUT
 *     GRAPH: small (3x11x9, 5 classes) or resnet:SIZE:CLASSES. IN: parameters, STEPS x inputs; IN.labels:
 * STEPS x labels. OUT: losses, gradients of step 1, buffers after step 1, then parameters, buffers, moments
 * after the last step. ref_tool optimizer N STEPS OPTIMIZER LR MOMENTUM DECAY IN OUT IN: N parameters, STEPS
 * x N gradients. OUT: parameters and both moments after each step.
 * @thread main.
 */
#include "alloc.h"
#include "net.h"
#include "ops.h"
#include "resnet.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void die(const char *what)
{
    fprintf(stderr, "ref_tool: %s\n", what);
    exit(1);
}

static void *block(size_t count, size_t size)
{
    void *values = rs_calloc(count + 1, size);
    if (!values)
        die("out of memory");
    return values;
}

static void take(FILE *file, void *to, size_t size, size_t count)
{
    if (fread(to, size, count, file) != count)
        die("an input file is too short");
}

static void give(FILE *file, const rs__real *from, int64_t count)
{
    if (fwrite(from, sizeof(*from), (size_t)count, file) != (size_t)count)
        die("the output can't be written");
}

static FILE *must_open(const char *path, const char *mode)
{
    FILE *file = fopen(path, mode);
    if (!file)
        die(path);
    return file;
}

/* Every operator once at least, with cut-off pools, a kernel of even size and a node added to itself. */
static struct rs_graph *small_graph(struct rs_error *err)
{
    struct rs_graph *g;
    if (rs_graph_create(&g, (struct rs_shape){3, 11, 9}, err) < 0)
        return NULL;
    int at = rs_graph_conv2d(g, "a", 0, 6, 3, 1, 1, 0, err);
    at = rs_graph_batch_norm(g, "b", at, err);
    at = rs_graph_relu(g, "r", at, err);
    const int trunk = rs_graph_max_pool(g, "m", at, 3, 2, err);
    at = rs_graph_conv2d(g, "c", trunk, 6, 2, 1, 1, 1, err);
    at = rs_graph_avg_pool(g, "p", at, 2, 1, err);
    at = rs_graph_batch_norm(g, "d", at, err);
    at = rs_graph_add(g, "s", trunk, at, err);
    at = rs_graph_add(g, "t", at, at, err);
    at = rs_graph_linear(g, "f", at, 5, err);
    if (rs_graph_cross_entropy(g, "loss", at, err) < 0) {
        rs_graph_destroy(g);
        return NULL;
    }
    return g;
}

static struct rs_graph *make_graph(const char *name)
{
    struct rs_error err = {0};
    struct rs_graph *graph = NULL;
    int size, classes;
    if (strcmp(name, "small") == 0)
        graph = small_graph(&err);
    else if (sscanf(name, "resnet:%d:%d", &size, &classes) == 2) /* NOLINT(cert-err34-c) */
        rs_resnet_build(&graph, size, classes, &err);
    if (!graph)
        die(err.message);
    return graph;
}

static struct rs_plan_options plan_options(char **argv)
{
    return (struct rs_plan_options){.optimizer =
                                        strcmp(argv[0], "sgd") == 0 ? RS_OPTIMIZER_SGD : RS_OPTIMIZER_ADAM,
                                    .beta1 = 0.9,
                                    .beta2 = 0.999,
                                    .eps = 1e-8,
                                    .momentum = strtof(argv[2], NULL),
                                    .weight_decay = strtof(argv[3], NULL)};
}

/* argv: GRAPH BATCH STEPS OPTIMIZER LR MOMENTUM DECAY IN OUT */
static void run_steps(char **argv)
{
    struct rs_graph *g = make_graph(argv[0]);
    const uint32_t batch = (uint32_t)strtoul(argv[1], NULL, 10), steps = (uint32_t)strtoul(argv[2], NULL, 10);
    const struct rs_plan_options options = plan_options(argv + 3);
    const struct rs_shape in = g->nodes[0].out;
    const size_t inputs = (size_t)batch * (size_t)in.c * (size_t)in.h * (size_t)in.w;
    struct rs__ref_net *net;
    struct rs_state *state;
    if (RS__REF(net_create)(&net, g, batch, NULL) < 0 || rs_state_create(&state, g, NULL) < 0)
        die("out of memory");
    RS__REF(net_load)(net, state); /* the buffers' first values */

    char labels_path[4096];
    snprintf(labels_path, sizeof(labels_path), "%s.labels", argv[7]);
    FILE *input = must_open(argv[7], "rb"), *label_file = must_open(labels_path, "rb"),
         *out = must_open(argv[8], "wb");
    rs__real *x = block(inputs, sizeof(*x)), *losses = block(steps, sizeof(*losses));
    rs__real *first = block((size_t)(g->param_floats + g->buffer_floats), sizeof(*first));
    int32_t *labels = block(batch, sizeof(*labels));
    take(input, net->params, sizeof(rs__real), (size_t)g->param_floats);
    for (uint32_t step = 0; step < steps; step++) {
        struct rs_step_result result = {0};
        take(input, x, sizeof(*x), inputs);
        take(label_file, labels, sizeof(*labels), batch);
        RS__REF(net_forward)(net, x, labels, batch, true, &result);
        RS__REF(net_backward)(net, labels, batch);
        if (step == 0) {
            memcpy(first, net->gradients, (size_t)g->param_floats * sizeof(*first));
            memcpy(first + g->param_floats, net->buffers, (size_t)g->buffer_floats * sizeof(*first));
        }
        RS__REF(net_update)(net, &options, strtof(argv[4], NULL));
        losses[step] = (rs__real)(result.loss_sum / batch);
    }
    give(out, losses, steps);
    give(out, first, g->param_floats + g->buffer_floats);
    give(out, net->params, g->param_floats);
    give(out, net->buffers, g->buffer_floats);
    give(out, net->moment1, g->param_floats);
    give(out, net->moment2, g->param_floats);
    if (fclose(out) != 0)
        die("the output can't be written");
    fclose(input);
    fclose(label_file);
    rs_free(x), rs_free(losses), rs_free(first), rs_free(labels);
    rs_state_destroy(state);
    RS__REF(net_destroy)(net);
    rs_graph_destroy(g);
}

/* argv: N STEPS OPTIMIZER LR MOMENTUM DECAY IN OUT */
static void run_optimizer(char **argv)
{
    const size_t n = strtoul(argv[0], NULL, 10), steps = strtoul(argv[1], NULL, 10);
    const double lr = strtod(argv[3], NULL), momentum = strtod(argv[4], NULL), decay = strtod(argv[5], NULL);
    FILE *input = must_open(argv[6], "rb"), *out = must_open(argv[7], "wb");
    rs__real *p = block(n, sizeof(*p)), *g = block(n, sizeof(*g)), *m = block(n, sizeof(*m)),
             *v = block(n, sizeof(*v));
    take(input, p, sizeof(*p), n);
    for (size_t step = 1; step <= steps; step++) {
        const struct rs__ref_adam adam = {lr, 0.9, 0.999, 1e-8, decay, (int64_t)step};
        const struct rs__ref_sgd sgd = {lr, momentum, decay};
        take(input, g, sizeof(*g), n);
        if (strcmp(argv[2], "adam") == 0)
            RS__REF(adam)(&adam, (int64_t)n, g, p, m, v);
        else
            RS__REF(sgd)(&sgd, (int64_t)n, g, p, m);
        give(out, p, (int64_t)n);
        give(out, m, (int64_t)n);
        give(out, v, (int64_t)n);
    }
    if (fclose(out) != 0)
        die("the output can't be written");
    fclose(input);
    rs_free(p), rs_free(g), rs_free(m), rs_free(v);
}

int main(int argc, char **argv)
{
    if (argc == 11 && strcmp(argv[1], "step") == 0)
        run_steps(argv + 2);
    else if (argc == 10 && strcmp(argv[1], "optimizer") == 0)
        run_optimizer(argv + 2);
    else
        die("see the head of ref_tool.c for its arguments");
    return 0;
}
