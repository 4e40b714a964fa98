/* main.c: the rstream command: finds the subcommand, reads its options, runs it, and turns what came of it
 * into an exit code: 0 done, 1 failed, 2 wrong usage, 3 the device can't be used, 130 interrupted. A failure
 * is one line on stderr. */
#include "commands.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

static int (*const runs[RS_COMMAND_COUNT])(const struct rs_config *, struct rs_error *) = {
    [RS_COMMAND_TRAIN] = rs_command_train,     [RS_COMMAND_EVAL] = rs_command_eval,
    [RS_COMMAND_PREDICT] = rs_command_predict, [RS_COMMAND_PREVIEW] = rs_command_preview,
    [RS_COMMAND_SUMMARY] = rs_command_summary, [RS_COMMAND_SYNTH] = rs_command_synth,
    [RS_COMMAND_BENCH] = rs_command_bench,     [RS_COMMAND_DEVICES] = rs_command_devices,
};

static int exit_code(int code)
{
    switch (code) {
    case RS_E_USAGE:
        return 2;
    case RS_E_DEVICE:
        return 3;
    case RS_E_CANCELLED:
        return 130;
    default:
        return code < 0 ? 1 : 0;
    }
}

/* What was printed must have arrived: a full disk behind "rstream eval > file" is a failure. */
static int flush_output(int code, struct rs_error *err)
{
    int failed = fflush(stdout) != 0 || ferror(stdout);
    return code >= 0 && failed ? rs_error_set_errno(err, errno, "standard output can't be written") : code;
}

static int run(enum rs_command command, int argc, char **argv)
{
    const struct rs_config *config = NULL;
    struct rs_error err = {0};
    int code = rs_config_create(&config, command, argc, argv, &err);
    if (code == RS_OK)
        code = runs[command](config, &err);
    rs_config_destroy(config);
    code = flush_output(code, &err);
    if (code < 0)
        (void)fprintf(stderr, "rstream %s: %s\n", rs_commands[command].name,
                      err.message[0] ? err.message : rs_error_text(code));
    return exit_code(code);
}

static int unknown_command(const char *name)
{
    unsigned least = 4; /* further away it is another word */
    const char *nearest = NULL;
    for (int c = 0; c < RS_COMMAND_COUNT; c++) {
        unsigned distance = rs_edit_distance(name, rs_commands[c].name);
        if (distance < least && distance < strlen(name)) {
            least = distance;
            nearest = rs_commands[c].name;
        }
    }
    if (nearest)
        (void)fprintf(stderr, "rstream: unknown command '%s': did you mean %s?\n", name, nearest);
    else
        (void)fprintf(stderr, "rstream: unknown command '%s': rstream --help lists what there is\n", name);
    return 2;
}

int main(int argc, char **argv)
{
    (void)signal(SIGPIPE,
                 SIG_IGN); /* a reader that leaves (| head) must not end a run without a checkpoint */
    if (argc < 2) {
        rs_help_all(stderr);
        return 2;
    }
    const char *name = argv[1];
    if (strcmp(name, "--version") == 0) {
        (void)printf("rstream %s\n", RS_VERSION);
        return 0;
    }
    bool help = strcmp(name, "help") == 0;
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || (help && argc < 3)) {
        rs_help_all(stdout);
        return 0;
    }
    int command = rs_command_find(help ? argv[2] : name);
    if (command < 0)
        return unknown_command(help ? argv[2] : name);
    if (help) {
        rs_help_command(stdout, (enum rs_command)command);
        return 0;
    }
    return run((enum rs_command)command, argc - 1, argv + 1);
}
