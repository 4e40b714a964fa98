/* command_synth.c: rstream synth. */
#include "commands.h"
#include "synth.h"

int rs_command_synth(const struct rs_config *config, struct rs_error *err)
{
    const char *dir = config->operands[0];
    const struct rs_synth_options options = {
        .format = (enum rs_synth_format)config->format,
        .seed = config->seed,
        .train = (uint32_t)config->train,
        .test = (uint32_t)config->test,
    };
    RS_TRY(rs_synth_write(dir, &options, err));
    (void)printf("%s: %u training and %u test images of ten generated classes, seed %llu\n"
                 "Train on it: rstream train --data %s\n",
                 dir, options.train, options.test, (unsigned long long)options.seed, dir);
    return RS_OK;
}
