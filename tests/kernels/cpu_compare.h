/* cpu_compare.h: the CPU backend beside the reference: the same graph, state and batches through both.
 *
 * How it works: a pair holds one graph, one state, and what each backend makes of them. Batches are random
 * numbers whose values bf16 can hold, so both precisions see the same input. Errors are norms of differences,
 * relative to the reference's norm plus a hundredth of all gradients' norm: a tensor whose true gradient is
 * zero (a bias before a batch norm) has no size of its own. Owner: the test. @thread one. */
#ifndef RS_TEST_CPU_COMPARE_H
#define RS_TEST_CPU_COMPARE_H

#include "backend.h"
#include "cpu.h"

struct side { /* one backend's part */
    const struct rs_backend *backend;
    struct rs_device *device;
    struct rs_plan *plan;
    struct rs_state *state; /* after the steps */
    float *gradients;
    struct rs_step_result result;
    float *probabilities;
};

struct pair {
    struct rs_graph *graph; /* owned by the pair */
    struct rs_state *state; /* before the steps */
    struct side cpu, ref;
    float *floats;
    uint16_t *halves;
    int32_t *labels;
    size_t input_floats; /* of one sample */
    uint32_t max_batch;
    struct rs_error err;
};

/* Takes the graph over. Options' precision is the cpu's; ref computes in fp32. Fails the test on any error.
 */
void pair_open(struct pair *p, struct rs_graph *graph, const struct rs_plan_options *options,
               enum rs_cpu_bf16 how);
void pair_close(struct pair *p);
/* Both go back to the state before the steps. */
void pair_reset(struct pair *p);
/* One training step on both, then gradients and states are fetched. seed names the batch. */
void pair_train(struct pair *p, uint32_t batch, uint64_t seed, float lr);
void pair_eval(struct pair *p, uint32_t batch, uint64_t seed);
/* Largest relative error over the parameters' gradients; prints each beyond the limit. */
double pair_gradient_error(const struct pair *p, double limit);
/* How far the reference's own gradients of the same step move when every parameter goes to one of its two
 * neighbours in bf16, by a coin: the largest of draws draws. What bf16 arithmetic may cost on this graph and
 * batch is measured by that. Begins at the state before the steps and leaves the reference there. */
double pair_bf16_sensitivity(struct pair *p, uint32_t batch, uint64_t seed, uint32_t draws);
/* The same over parameters and buffers after the steps. */
double pair_state_error(const struct pair *p, double limit);
/* Of the last evaluation's probabilities, the largest absolute difference. */
double pair_probability_error(const struct pair *p, uint32_t batch);
/* Whether this machine can run the cpu backend in bf16. */
int cpu_has_bf16(void);

#endif
