/* place.c: where a program's memory lies, and which gradients exist. See program.h.
 *
 * How it works: a cursor hands out places of a block one after the other; without a block it counts.
 * Gradients are placed by walking the operations in reverse, as the backward pass does. @thread as there.
 */
#include "program.h"

#define ALIGNMENT ((uintptr_t)256)

struct cursor {
    struct rs__program *p;
    uintptr_t at;
};

static void *take(struct cursor *c, int64_t elements, size_t size)
{
    /* addresses are formed as integers: while bytes are counted there is no block yet. A count begins at
     * ALIGNMENT, so that no place is NULL. */
    const uintptr_t place = c->at;
    c->at += ((uintptr_t)elements * size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return (void *)place; // NOLINT(performance-no-int-to-ptr)
}

static void *take_value(struct cursor *c, const struct rs__value *v)
{
    return take(c, (int64_t)rs__value_rows(v, c->p->batch) * v->cp, c->p->bf16 ? 2 : 4);
}

static void place_values(struct cursor *c)
{
    struct rs__program *p = c->p;
    p->values[0].data = take_value(c, &p->values[0]);
    for (int32_t i = 0; i < p->op_count; i++) {
        struct rs__op *op = &p->ops[i];
        struct rs__value *y = &p->values[op->y];
        const bool in_place =
            op->kind == RS__KIND_APPLY && op->norm == RS_NONE && op->add == RS_NONE && !op->relu_sum;
        if (op->kind == RS__KIND_LINEAR || op->kind == RS__KIND_LOSS)
            continue; /* logits and probabilities lie elsewhere, in fp32 */
        y->data = in_place ? p->values[op->x].data : take_value(c, y);
        if (op->kind == RS__KIND_MAX_POOL)
            op->index = take(c, (int64_t)rs__value_rows(y, p->batch) * y->cp, 1);
        if (op->norm != RS_NONE) {
            op->mean = take(c, y->cp, sizeof(float));
            op->inv_std = take(c, y->cp, sizeof(float));
            op->coefficients = take(c, 3 * (int64_t)y->cp, sizeof(float));
        }
    }
}

/* One more part of a value's gradient; op may have to merge the two that are there. The input's gradient
 * nobody wants. */
static void add_part(struct cursor *c, struct rs__op *op, int merge, int32_t value, const void *part)
{
    struct rs__value *v = &c->p->values[value];
    op->merges[merge] = (struct rs__merge){.value = value};
    if (value == 0)
        return;
    if (v->part_count == 2) {
        op->merges[merge].a = v->parts[0];
        op->merges[merge].b = v->parts[1];
        op->merges[merge].to = take_value(c, v);
        v->parts[0] = op->merges[merge].to;
        v->part_count = 1;
    }
    v->parts[v->part_count++] = part;
}

static void place_apply_gradient(struct cursor *c, struct rs__op *op)
{
    struct rs__program *p = c->p;
    const bool norm = op->norm != RS_NONE;
    /* without a norm the addends' gradient is y's own where nothing masks or adds it */
    const bool store = norm ? op->add != RS_NONE : op->relu_sum || op->dy2;
    op->g = store ? take_value(c, &p->values[op->y]) : NULL;
    op->dx = norm && op->x != 0 ? take_value(c, &p->values[op->x]) : NULL;
    const void *addend = op->g ? op->g : op->dy1;
    add_part(c, op, 0, op->x, norm ? op->dx : addend);
    if (op->add != RS_NONE)
        add_part(c, op, 1, op->add, addend);
}

static void place_gradients(struct cursor *c)
{
    struct rs__program *p = c->p;
    for (int32_t i = 0; i < p->value_count; i++)
        p->values[i].part_count = 0;
    for (int32_t i = p->op_count - 1; i >= 0; i--) {
        struct rs__op *op = &p->ops[i];
        const struct rs__value *y = &p->values[op->y];
        op->dy1 = y->part_count > 0 ? y->parts[0] : NULL;
        op->dy2 = y->part_count > 1 ? y->parts[1] : NULL;
        op->dx = NULL;
        if (op->kind == RS__KIND_LOSS)
            continue;
        if (op->kind == RS__KIND_APPLY) {
            place_apply_gradient(c, op);
            continue;
        }
        if (op->kind == RS__KIND_CONV)
            op->dy_sum = op->dy2 ? take_value(c, y) : NULL;
        if (op->x == 0)
            continue;
        op->dx = take_value(c, &p->values[op->x]);
        add_part(c, op, 0, op->x, op->dx);
    }
}

/* The most floats of partial sums that an operation needs: three planes. */
static int64_t partial_floats(const struct rs__program *p)
{
    int64_t most = 8;
    for (int32_t i = 0; i < p->op_count; i++) {
        const int64_t need = (int64_t)3 * RS__CHUNKS_MAX * p->values[p->ops[i].y].cp;
        most = need > most ? need : most;
    }
    return most;
}

static void place_weights(struct cursor *c)
{
    struct rs__program *p = c->p;
    p->masters = take(c, p->elements, sizeof(float));
    p->moment1 = take(c, p->elements, sizeof(float));
    p->moment2 = take(c, p->elements, sizeof(float));
    p->gradients = take(c, p->elements, sizeof(float));
    p->shadows = p->bf16 ? take(c, p->conv_elements, 2) : p->masters;
    p->conv_gradients = p->bf16 ? take(c, p->conv_elements, 2) : p->gradients;
    p->running = take(c, p->statistic_elements, sizeof(float));
}

void rs__program_place(struct rs__program *program, void *block)
{
    struct cursor c = {.p = program, .at = block ? (uintptr_t)block : ALIGNMENT};
    const uintptr_t start = c.at;
    const int64_t batch = program->batch, classes = program->graph->classes;
    place_weights(&c);
    place_values(&c);
    place_gradients(&c);
    program->partial = take(&c, partial_floats(program), sizeof(float));
    program->logits = take(&c, batch * classes, sizeof(float));
    program->dlogits = take(&c, batch * classes, sizeof(float));
    program->probabilities = take(&c, batch * classes, sizeof(float));
    program->losses = take(&c, batch, sizeof(float));
    program->hits = take(&c, batch, sizeof(uint32_t));
    program->labels = take(&c, batch, sizeof(int32_t));
    program->result = take(&c, 1, sizeof(struct rs__result));
    program->hyper = take(&c, 1, sizeof(struct rs__hyper));
    program->bytes = (size_t)(c.at - start);
}
