/* optimizer.c: one pass over all parameters: torch.optim.Adam and torch.optim.SGD. */
#include "plan.h"
#include <math.h>

static struct rs__adam adam_of(const struct rs_plan_options *o, int64_t step, float lr)
{
    const double bias1 = 1.0 - pow(o->beta1, (double)step);
    const double bias2 = 1.0 - pow(o->beta2, (double)step);
    return (struct rs__adam){
        .beta1 = (float)o->beta1,
        .beta2 = (float)o->beta2,
        .eps = (float)o->eps,
        .weight_decay = o->weight_decay,
        .one_beta1 = (float)(1.0 - o->beta1),
        .one_beta2 = (float)(1.0 - o->beta2),
        .step_size = (float)((double)lr / bias1),
        .inverse_root_bias = (float)(1.0 / sqrt(bias2)),
    };
}

void rs__optimizer_step(struct rs_plan *plan, float lr)
{
    const struct rs_plan_options *o = &plan->options;
    const struct rs__kernels *kernels = plan->device->kernels;
    const struct rs__adam adam = adam_of(o, plan->steps + 1, lr);
    const size_t total = plan->param_floats, chunk = 16384;

#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < total; i += chunk) {
        size_t count = total - i < chunk ? total - i : chunk;
        if (o->optimizer == RS_OPTIMIZER_ADAM)
            kernels->adam(&adam, plan->values + i, plan->gradients + i, plan->moment1 + i, plan->moment2 + i,
                          count);
        else
            kernels->sgd(lr, o->momentum, o->weight_decay, plan->values + i, plan->gradients + i,
                         plan->moment1 + i, count);
    }
    plan->steps++;
}
