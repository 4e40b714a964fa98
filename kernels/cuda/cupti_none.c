/* cupti_none.c: records.h where there are no headers of CUPTI 13 or newer. @thread any. */
#include "records.h"

int rs__cupti_begin(struct rs__cupti **out, struct rs_error *err)
{
    *out = NULL;
    return rs_error_set(
        err, RS_E_UNSUPPORTED,
        "this build has no CUPTI; install the headers of CUDA 13's (cuda-cupti-dev) and build again");
}

void rs__cupti_cause(struct rs__cupti *cupti, uint64_t cause)
{
    (void)cupti, (void)cause;
}

void rs__cupti_end(struct rs__cupti *cupti, rs__trace_fn take, void *arg, uint64_t *lost)
{
    (void)cupti, (void)take, (void)arg;
    *lost = 0;
}
