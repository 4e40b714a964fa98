/* cli.c: a command line becomes a struct rs_config.
 *
 * How it works: scan goes over argv first and refuses, with a hint, whatever isn't an option of the command
 * written in full; it also answers --help, --usage and --version. argp then walks the clean line and hands
 * each option to rs_config_set, so its own messages and exits are never reached. --resume brings the stored
 * options in between the defaults and the given ones: given ones are set already and marked, so the merge
 * leaves them alone.
 */
#include "checkpoint.h"
#include "config.h"

#include <argp.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define KEY_OPTION 256                        /* key of option 0 */
#define KEY_NEGATED (KEY_OPTION + RS_OPTIONS) /* key of option 0 as --no-name */

int rs_option_find(const char *name, size_t length, bool *negated)
{
    *negated = false;
    for (int id = 0; id < RS_OPTIONS; id++) {
        const char *option = rs_options[id].name;
        if (strlen(option) == length && strncmp(option, name, length) == 0)
            return id;
        if (rs_options[id].kind != RS_KIND_SWITCH || strlen(option) + 3 != length)
            continue;
        *negated = strncmp(name, "no-", 3) == 0 && strncmp(name + 3, option, length - 3) == 0;
        if (*negated)
            return id;
    }
    return -1;
}

int rs_command_find(const char *name)
{
    for (int c = 0; c < RS_COMMAND_COUNT; c++) {
        if (strcmp(rs_commands[c].name, name) == 0)
            return c;
    }
    return -1;
}

/* The command's option nearest to name, or NULL where none is near. */
static const char *nearest_option(enum rs_command command, const char *name)
{
    size_t length = strlen(name);
    unsigned least = length < 3 ? (unsigned)length : length < 6 ? 3 : 4; /* further away it is another word */
    const char *nearest = NULL;
    for (int id = 0; id < RS_OPTIONS; id++) {
        if (!rs_option_taken((enum rs_option_id)id, command))
            continue;
        const char *option = rs_options[id].name;
        unsigned distance = rs_edit_distance(name, option);
        if (length > 0 && strncmp(option, name, length) == 0)
            distance = 0; /* an abbreviation */
        if (distance < least) {
            least = distance;
            nearest = option;
        }
    }
    return nearest;
}

static int unknown_option(enum rs_command command, const char *argument, struct rs_error *err)
{
    char name[64];
    size_t length = strcspn(argument, "=");
    (void)snprintf(name, sizeof name, "%.*s", (int)(length < 63 ? length : 63), argument);
    const char *bare = name + strspn(name, "-");
    const char *nearest = nearest_option(command, bare);
    bool negated = false;
    int elsewhere = rs_option_find(bare, strlen(bare), &negated);
    if (elsewhere >= 0 && !rs_option_taken((enum rs_option_id)elsewhere, command)) {
        for (int c = 0; c < RS_COMMAND_COUNT; c++) {
            if (rs_option_taken((enum rs_option_id)elsewhere, (enum rs_command)c))
                return rs_error_set(err, RS_E_USAGE, "%s is an option of rstream %s, not of rstream %s%s%s%s",
                                    name, rs_commands[c].name, rs_commands[command].name,
                                    nearest ? ": did you mean --" : "", nearest ? nearest : "",
                                    nearest ? "?" : "");
        }
    }
    if (nearest)
        return rs_error_set(err, RS_E_USAGE, "unknown option %s: did you mean --%s?", name, nearest);
    return rs_error_set(err, RS_E_USAGE, "unknown option %s: rstream %s --help lists what there is", name,
                        rs_commands[command].name);
}

/* Prints what --help, --usage or --version ask for. */
static bool answer(enum rs_command command, const char *argument)
{
    if (strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0 || strcmp(argument, "-?") == 0)
        rs_help_command(stdout, command);
    else if (strcmp(argument, "--usage") == 0)
        rs_help_usage(stdout, command);
    else if (strcmp(argument, "--version") == 0)
        (void)printf("rstream %s\n", RS_VERSION);
    else
        return false;
    return true;
}

static bool takes_argument(const struct rs_option *option)
{
    return option->kind != RS_KIND_FLAG && option->kind != RS_KIND_SWITCH;
}

static int scan_option(enum rs_command command, int argc, char **argv, int *at, uint32_t *switches,
                       struct rs_error *err)
{
    const char *argument = argv[*at];
    size_t length = strcspn(argument, "=");
    bool negated = false;
    int id = argument[1] == '-' ? rs_option_find(argument + 2, length - 2, &negated) : -1;
    if (id < 0 || !rs_option_taken((enum rs_option_id)id, command))
        return unknown_option(command, argument, err);
    const struct rs_option *option = &rs_options[id];
    if (!takes_argument(option)) {
        if (argument[length] == '=')
            return rs_error_set(err, RS_E_USAGE, "--%s takes no value: leave out %s", option->name,
                                argument + length);
        if (option->kind == RS_KIND_SWITCH)
            *switches |= negated ? 2u : 1u;
        if (*switches == 3u)
            return rs_error_set(err, RS_E_USAGE, "--%s and --no-%s contradict each other: leave one out",
                                option->name, option->name);
        return RS_OK;
    }
    if (argument[length] == '=')
        return RS_OK;
    if (*at + 1 >= argc || strncmp(argv[*at + 1], "--", 2) == 0)
        return rs_error_set(err, RS_E_USAGE, "--%s lacks its value%s%s", option->name,
                            option->arg ? ", " : "", option->arg ? option->arg : "");
    ++*at;
    return RS_OK;
}

/* RS_END where a question was answered. */
static int scan(enum rs_command command, int argc, char **argv, struct rs_error *err)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (answer(command, argv[i]))
            return RS_END;
    }
    uint32_t switches = 0; /* --shuffle is the only switch: which of its two forms were seen */
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (argv[i][0] == '-' && argv[i][1] != '\0')
            RS_TRY(scan_option(command, argc, argv, &i, &switches, err));
    }
    return RS_OK;
}

struct reader {
    struct rs_config *config;
    struct rs_error *err;
    int code;
};

static error_t read_option(int key, char *argument, struct argp_state *state)
{
    struct reader *reader = state->input;
    struct rs_config *config = reader->config;
    if (key == ARGP_KEY_ARGS) {
        config->operands = state->argv + state->next;
        config->operand_count = state->argc - state->next;
        return 0;
    }
    if (key < KEY_OPTION || key >= KEY_NEGATED + RS_OPTIONS)
        return ARGP_ERR_UNKNOWN;
    bool negated = key >= KEY_NEGATED;
    enum rs_option_id id = (enum rs_option_id)(key - (negated ? KEY_NEGATED : KEY_OPTION));
    reader->code = rs_config_set(config, id, argument ? argument : "", negated, reader->err);
    config->given |= UINT64_C(1) << id;
    return reader->code == RS_OK ? 0 : EINVAL;
}

static int read_line(struct rs_config *config, int argc, char **argv, struct rs_error *err)
{
    struct argp_option rows[2 * RS_OPTIONS + 1] = {{0}};
    char negations[RS_OPTIONS][32];
    int count = 0;
    for (int id = 0; id < RS_OPTIONS; id++) {
        const struct rs_option *option = &rs_options[id];
        if (!rs_option_taken((enum rs_option_id)id, config->command))
            continue;
        rows[count++] = (struct argp_option){
            .name = option->name, .key = KEY_OPTION + id, .arg = takes_argument(option) ? "VALUE" : NULL};
        (void)snprintf(negations[id], sizeof negations[id], "no-%s", option->name);
        if (option->kind == RS_KIND_SWITCH)
            rows[count++] = (struct argp_option){.name = negations[id], .key = KEY_NEGATED + id};
    }
    struct argp argp = {.options = rows, .parser = read_option};
    struct reader reader = {.config = config, .err = err};
    error_t failed = argp_parse(&argp, argc, argv, ARGP_NO_HELP | ARGP_NO_EXIT | ARGP_NO_ERRS, NULL, &reader);
    if (reader.code != RS_OK)
        return reader.code;
    return failed ? rs_error_set(err, RS_E_USAGE, "the command line can't be read") : RS_OK;
}

/* True when both names are one folder; names that lead nowhere are compared as written. */
static bool same_folder(const char *a, const char *b)
{
    char real_a[PATH_MAX], real_b[PATH_MAX];
    if (!realpath(a, real_a) || !realpath(b, real_b))
        return strcmp(a, b) == 0;
    return strcmp(real_a, real_b) == 0;
}

/* A run goes on in its own folder, from its own weights. */
static int check_resume(const struct rs_config *config, struct rs_error *err)
{
    if (config->init)
        return rs_error_set(
            err, RS_E_USAGE,
            "--init %s contradicts --resume %s, whose weights are in the folder: leave one out", config->init,
            config->resume);
    if (config->out && !same_folder(config->out, config->resume))
        return rs_error_set(
            err, RS_E_USAGE,
            "--out %s contradicts --resume %s, which goes on in its own folder: leave --out out", config->out,
            config->resume);
    return RS_OK;
}

/* Brings in the options that the run in --resume was started with. */
static int read_stored(struct rs_config *config, struct rs_error *err)
{
    RS_TRY(check_resume(config, err));
    char path[PATH_MAX];
    int length = snprintf(path, sizeof path, "%s/resume.safetensors", config->resume);
    if (length < 0 || (size_t)length >= sizeof path)
        return rs_error_set(err, RS_E_USAGE, "--resume: the folder's name is too long");
    char *json = NULL;
    struct rs_error why = {0};
    if (rs_checkpoint_metadata(path, "config", &json, &why) < 0)
        return rs_error_set(err, why.code, "--resume %s: %.420s", config->resume, why.message);
    if (!json)
        return rs_error_set(
            err, RS_E_CORRUPT,
            "%s: holds no options of a run (metadata \"config\"): was it written by rstream train?", path);
    int code = rs_config_merge(config, json, path, err);
    free(json);
    if (code == RS_OK && !config->out)
        config->out = config->resume;
    return code;
}

int rs_config_create(const struct rs_config **out, enum rs_command command, int argc, char **argv,
                     struct rs_error *err)
{
    *out = NULL;
    int code = scan(command, argc, argv, err);
    if (code != RS_OK)
        return code;
    struct rs_config *config = calloc(1, sizeof *config);
    if (!config)
        return rs_error_set(err, RS_E_NOMEM, "out of memory");
    rs_config_defaults(config, command);
    code = read_line(config, argc, argv, err);
    if (code == RS_OK && config->resume)
        code = read_stored(config, err);
    if (code == RS_OK)
        code = rs_config_validate(config, err);
    if (code != RS_OK) {
        rs_config_destroy(config);
        return code;
    }
    *out = config;
    return RS_OK;
}

void rs_config_destroy(const struct rs_config *config)
{
    if (!config)
        return;
    for (int id = 0; id < RS_OPTIONS; id++)
        free(config->owned[id]);
    free((void *)config);
}
