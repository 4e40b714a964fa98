/* command_bench.c: rstream bench: picks the part to measure. */
#include "commands.h"
#include "ring_bench.h"

#include <string.h>

int rs_command_bench(const struct rs_config *config, struct rs_error *err)
{
    if (strcmp(config->operands[0], "ring") == 0)
        return rs_ring_bench_run(stdout, err);
    if (strcmp(config->operands[0], "pipeline") == 0)
        return rs__bench_pipeline(config, err);
    return rs__bench_train(config, err);
}
