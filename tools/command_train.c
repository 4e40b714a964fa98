/* command_train.c: rstream train. */
#include "commands.h"
#include "training.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* A run without --out goes to a folder named by the time, so that no weights are lost. */
static const char *default_out(char *text, size_t size)
{
    time_t now = time(NULL);
    struct tm local;
    if (!localtime_r(&now, &local) || !strftime(text, size, "runs/%Y%m%d-%H%M%S", &local))
        return "runs/unnamed";
    return text;
}

int rs_command_train(const struct rs_config *config, struct rs_error *err)
{
    char *json = NULL, out[32];
    RS_TRY(rs_config_json(config, &json, err));
    struct rs_training_options options;
    rs_config_training(config, json, &options);
    options.console = config->quiet ? NULL : stdout;
    options.console_is_terminal = isatty(STDOUT_FILENO) == 1;
    if (!options.out)
        options.out = default_out(out, sizeof out);
    struct rs_training_outcome outcome = {0};
    int code = rs_training_run(&options, &outcome, err);
    free(json);
    RS_TRY(code);
    if (!outcome.interrupted)
        return RS_OK;
    if (config->quiet) /* else the run's own last line says it */
        return rs_error_set(err, RS_E_CANCELLED,
                            "interrupted after step %llu; go on with: rstream train --resume %s",
                            (unsigned long long)outcome.steps, options.out);
    return rs_error_set(err, RS_E_CANCELLED, "interrupted after step %llu",
                        (unsigned long long)outcome.steps);
}
