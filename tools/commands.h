/* commands.h: what the subcommands do, one function each.
 *
 * Each prints its result to stdout and returns 0 or a failure with its sentence in err; main.c turns the code
 * into the exit code. RS_E_CANCELLED: interrupted by a signal. @thread main.
 */
#ifndef RS_COMMANDS_H
#define RS_COMMANDS_H

#include "config.h"

int rs_command_train(const struct rs_config *config, struct rs_error *err);
int rs_command_eval(const struct rs_config *config, struct rs_error *err);
int rs_command_predict(const struct rs_config *config, struct rs_error *err);
int rs_command_preview(const struct rs_config *config, struct rs_error *err);
int rs_command_summary(const struct rs_config *config, struct rs_error *err);
int rs_command_synth(const struct rs_config *config, struct rs_error *err);
int rs_command_bench(const struct rs_config *config, struct rs_error *err);
int rs_command_devices(const struct rs_config *config, struct rs_error *err);

/* bench's parts. */
int rs__bench_pipeline(const struct rs_config *config, struct rs_error *err);
int rs__bench_train(const struct rs_config *config, struct rs_error *err);

#endif
