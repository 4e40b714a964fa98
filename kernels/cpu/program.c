/* program.c: a list of operations over tensors: built, given memory, run. */
#include "alloc.h"
#include "clock.h"
#include "plan.h"
#include <string.h>

/* Room for one more element; the array may move. */
static int grow(void **array, int32_t count, int32_t *room, size_t element, struct rs_error *err)
{
    if (count < *room)
        return 0;
    int32_t larger = *room ? *room * 2 : 64;
    void *moved = rs_calloc((size_t)larger, element);
    if (!moved)
        return rs_error_set(err, RS_E_NOMEM, "out of memory for a program of %d operations", larger);
    if (*array)
        memcpy(moved, *array, (size_t)count * element);
    rs_free(*array);
    *array = moved;
    *room = larger;
    return 0;
}

static size_t tensor_bytes(const struct rs__program *p, enum rs__form form, struct rs_shape shape)
{
    const struct rs_plan *plan = p->plan;
    if (form == RS__PLAIN)
        return p->batch * (size_t)shape.c * rs__pixels(shape) * sizeof(float);
    return p->batch * rs__blocks(plan, shape.c) * rs__pixels(shape) * plan->lanes *
           rs__element_bytes(plan->element);
}

int rs__program_tensor(struct rs__program *program, enum rs__form form, struct rs_shape shape,
                       size_t raw_bytes, struct rs_error *err)
{
    void *tensors = program->tensors;
    int code = grow(&tensors, program->tensor_count, &program->tensor_room, sizeof(*program->tensors), err);
    program->tensors = tensors;
    RS_TRY(code);
    struct rs__tensor *t = &program->tensors[program->tensor_count];
    *t = (struct rs__tensor){.form = form, .shape = shape, .first = INT32_MAX, .last = -1};
    t->bytes = form == RS__RAW ? raw_bytes : tensor_bytes(program, form, shape);
    return program->tensor_count++;
}

int rs__program_op(struct rs__program *program, int32_t node, const char *phase,
                   int (*run)(const struct rs__op *, const struct rs__call *), struct rs__op **out,
                   struct rs_error *err)
{
    void *ops = program->ops;
    int code = grow(&ops, program->op_count, &program->op_room, sizeof(*program->ops), err);
    program->ops = ops;
    RS_TRY(code);
    struct rs__op *op = &program->ops[program->op_count++];
    *op = (struct rs__op){.run = run, .node = node, .phase = phase};
    for (int i = 0; i < RS__OP_IN; i++)
        op->in[i] = RS_NONE;
    for (int i = 0; i < RS__OP_OUT; i++)
        op->out[i] = RS_NONE;
    *out = op;
    return 0;
}

int rs__op_reserve(struct rs__op *op, uint32_t count, struct rs_error *err)
{
    op->dnnl = rs_calloc(count, sizeof(struct rs__dnnl *));
    if (!op->dnnl)
        return rs_error_set(err, RS_E_NOMEM, "out of memory for %u primitives", count);
    op->dnnl_count = count;
    return 0;
}

static void touch(struct rs__program *p, int32_t tensor, int32_t op)
{
    if (tensor == RS_NONE)
        return;
    struct rs__tensor *t = &p->tensors[tensor];
    t->first = op < t->first ? op : t->first;
    t->last = op > t->last ? op : t->last;
}

static void drop_building(struct rs__program *p)
{
    rs_free(p->blocked);
    rs_free(p->plain);
    rs_free(p->grads);
    p->blocked = p->plain = NULL;
    p->grads = NULL;
}

static int start(struct rs__program *p, struct rs_error *err)
{
    size_t nodes = (size_t)p->plan->graph->node_count;
    p->blocked = rs_calloc(nodes, sizeof(int32_t));
    p->plain = rs_calloc(nodes, sizeof(int32_t));
    p->grads = rs_calloc(nodes, sizeof(*p->grads));
    if (!p->blocked || !p->plain || !p->grads)
        return rs_error_set(err, RS_E_NOMEM, "out of memory for a network of %zu nodes", nodes);
    for (size_t i = 0; i < nodes; i++)
        p->blocked[i] = p->plain[i] = p->grads[i][0] = p->grads[i][1] = RS_NONE;
    return 0;
}

/* Lifetimes, offsets, and room for addresses and times. */
static int settle(struct rs__program *p, struct rs_error *err)
{
    for (int32_t i = 0; i < p->op_count; i++) {
        for (int k = 0; k < RS__OP_IN; k++)
            touch(p, p->ops[i].in[k], i);
        for (int k = 0; k < RS__OP_OUT; k++)
            touch(p, p->ops[i].out[k], i);
    }
    int32_t *order = rs_calloc((size_t)p->tensor_count, sizeof(*order));
    p->at = rs_calloc((size_t)p->tensor_count, sizeof(*p->at));
    p->seconds = rs_calloc((size_t)p->op_count + 1, sizeof(*p->seconds));
    int code = 0;
    if (order && p->at && p->seconds)
        p->arena_bytes = rs__arena_assign(p->tensors, p->tensor_count, order);
    else
        code = rs_error_set(err, RS_E_NOMEM, "out of memory for a program of %d operations", p->op_count);
    rs_free(order);
    return code;
}

int rs__program_create(struct rs__program **out, struct rs_plan *plan, uint32_t batch, int training,
                       struct rs_error *err)
{
    struct rs__program *p = rs_calloc(1, sizeof(*p));
    *out = NULL;
    if (!p)
        return rs_error_set(err, RS_E_NOMEM, "out of memory for a program");
    p->plan = plan;
    p->batch = batch;
    p->training = training;
    int code = start(p, err);
    if (code >= 0)
        code = rs__forward_append(p, err);
    if (code >= 0 && training)
        code = rs__backward_append(p, err);
    if (code >= 0)
        code = settle(p, err);
    drop_building(p);
    if (code < 0) {
        rs__program_destroy(p);
        return code;
    }
    *out = p;
    return 0;
}

void rs__program_destroy(struct rs__program *program)
{
    if (!program)
        return;
    for (int32_t i = 0; i < program->op_count; i++) {
        for (uint32_t k = 0; k < program->ops[i].dnnl_count; k++)
            rs__dnnl_destroy(program->ops[i].dnnl[k]);
        rs_free(program->ops[i].dnnl);
    }
    rs_free(program->ops);
    rs_free(program->tensors);
    rs_free(program->at);
    rs_free(program->seconds);
    rs_free(program);
}

int rs__program_bind(struct rs__program *program, struct rs_error *err)
{
    struct rs_plan *plan = program->plan;
    for (int32_t i = 0; i < program->tensor_count; i++)
        if (program->tensors[i].form != RS__INPUT)
            program->at[i] = (char *)plan->arena + program->tensors[i].offset;
    for (int32_t i = 0; i < program->op_count; i++)
        for (uint32_t k = 0; k < program->ops[i].dnnl_count; k++)
            RS_TRY(rs__dnnl_bind(program->ops[i].dnnl[k], plan, program,
                                 plan->graph->nodes[program->ops[i].node].name, err));
    return 0;
}

int rs__program_run(const struct rs__call *call, int timed)
{
    struct rs__program *p = call->program;
    p->at[0] = (void *)call->input->tensor; /* tensor 0 is the caller's; nothing writes it */
    for (int32_t i = 0; i < p->op_count; i++) {
        uint64_t start_ns = timed ? rs_now_ns() : 0;
        RS_TRY(p->ops[i].run(&p->ops[i], call));
        if (timed)
            p->seconds[i] = (double)(rs_now_ns() - start_ns) * 1e-9;
    }
    return 0;
}
