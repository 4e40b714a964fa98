/* command_train.c: rstream train. */
#include "commands.h"
#include "training.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* A run without --out goes to a folder named by the time, so that no weights are lost; a second run in the
 * same second gets a number behind it. */
static int default_out(char *text, size_t size, struct rs_error *err)
{
    char stamp[24];
    time_t now = time(NULL);
    struct tm local;
    if (!localtime_r(&now, &local) || !strftime(stamp, sizeof stamp, "%Y%m%d-%H%M%S", &local))
        return rs_error_set(err, RS_E_IO,
                            "the time can't be told, which names the run's folder; give --out RUN_DIR");
    (void)snprintf(text, size, "runs/%s", stamp);
    for (unsigned n = 2; access(text, F_OK) == 0; n++)
        (void)snprintf(text, size, "runs/%s-%u", stamp, n);
    return RS_OK;
}

int rs_command_train(const struct rs_config *config, struct rs_error *err)
{
    char *json = NULL, out[48];
    if (!config->out)
        RS_TRY(default_out(out, sizeof out, err));
    RS_TRY(rs_config_json(config, &json, err));
    struct rs_training_options options;
    rs_config_training(config, json, &options);
    options.console = config->quiet ? NULL : stdout;
    options.console_is_terminal = isatty(STDOUT_FILENO) == 1;
    if (!options.out)
        options.out = out;
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
