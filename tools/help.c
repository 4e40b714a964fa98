/* help.c: help and usage texts, laid out by argp from the tables.
 *
 * How it works: a command's options become struct argp_option rows under a heading a group; the text of a row
 * is the option's help with its default and range behind. argp_help prints and returns (argp's own --help
 * would exit).
 */
#include "config.h"
#include "planner.h"

#include <argp.h>
#include <stdlib.h>
#include <string.h>

#define DOC_MAX 512
#define ARG_MAX_LENGTH 48
#define KEY_OPTION 256 /* no key that is a letter: there are no short options but -h */
#define ROWS_MAX (2 * RS_OPTIONS + RS_GROUPS + 2)

static const char *const group_headings[RS_GROUPS] = {
    "Data:", "Run:", "Training:", "Machine:", "This command:"};

struct help {
    struct argp_option rows[ROWS_MAX + 1];
    int count;
    char docs[RS_OPTIONS][DOC_MAX];
    char args[RS_OPTIONS][ARG_MAX_LENGTH]; /* "adam|sgd", or a switch's "no-shuffle" */
    char prose[2 * DOC_MAX + 1024];
};

/* "Images a training step (default 64; 1 to 4096)" */
static void option_doc(const struct rs_option *option, enum rs_command command, char doc[DOC_MAX])
{
    const char *help = option->help, *absent = option->absent;
    for (int i = 0; i < RS_NOTES_MAX; i++) {
        const struct rs_option_note *note = &option->notes[i];
        if ((note->commands >> command & 1) == 0)
            continue;
        help = note->help ? note->help : help;
        absent = note->absent ? note->absent : absent;
    }
    bool marked = command == RS_COMMAND_TRAIN && (option->flags & RS_FIXED);
    bool required = (option->required >> command & 1) != 0;
    unsigned long long high = option->max == RS_CORES ? rs_planner_cores() : option->max;
    (void)snprintf(doc, DOC_MAX, "%s%s (%s%s", marked ? "* " : "", help,
                   !required && option->fallback ? "default " : "",
                   required           ? "must be given"
                   : option->fallback ? option->fallback
                                      : absent);
    size_t used = strlen(doc);
    if (option->kind == RS_KIND_COUNT)
        (void)snprintf(doc + used, DOC_MAX - used, "; %llu to %llu%s%s)", (unsigned long long)option->min,
                       high, option->word ? ", or " : "", option->word ? option->word : "");
    else if (option->kind == RS_KIND_REAL)
        (void)snprintf(doc + used, DOC_MAX - used, "; %g to %g)", (double)option->real_min,
                       (double)option->real_max);
    else
        (void)snprintf(doc + used, DOC_MAX - used, ")");
}

static void add_option(struct help *help, enum rs_option_id id, enum rs_command command)
{
    const struct rs_option *option = &rs_options[id];
    char *arg = help->args[id];
    option_doc(option, command, help->docs[id]);
    for (size_t i = 0; i < RS_CHOICES_MAX && option->choices[i]; i++)
        (void)snprintf(arg + strlen(arg), ARG_MAX_LENGTH - strlen(arg), "%s%s", i ? "|" : "",
                       option->choices[i]);
    help->rows[help->count++] = (struct argp_option){
        .name = option->name,
        .key = KEY_OPTION + (int)id,
        .arg = option->kind == RS_KIND_CHOICE ? arg : option->arg,
        .doc = help->docs[id],
    };
    if (option->kind != RS_KIND_SWITCH)
        return;
    (void)snprintf(arg, ARG_MAX_LENGTH, "no-%s", option->name);
    help->rows[help->count++] = (struct argp_option){.name = arg, .flags = OPTION_ALIAS};
}

static void fill(struct help *help, enum rs_command command)
{
    for (int group = 0; group < RS_GROUPS; group++) {
        bool heading = false;
        for (int id = 0; id < RS_OPTIONS; id++) {
            if ((int)rs_options[id].group != group || !rs_option_taken((enum rs_option_id)id, command))
                continue;
            if (!heading)
                help->rows[help->count++] = (struct argp_option){.doc = group_headings[group]};
            heading = true;
            add_option(help, (enum rs_option_id)id, command);
        }
    }
    help->rows[help->count++] =
        (struct argp_option){.name = "help", .key = 'h', .doc = "Print this help", .group = -1};
    help->rows[help->count++] = (struct argp_option){
        .name = "usage", .key = KEY_OPTION + RS_OPTIONS, .doc = "Print the options in short", .group = -1};
}

static void print(FILE *to, enum rs_command command, unsigned flags)
{
    const struct rs_command_info *info = &rs_commands[command];
    struct help *help = calloc(1, sizeof *help);
    if (!help) {
        (void)fprintf(to, "rstream %s: out of memory\n", info->name);
        return;
    }
    fill(help, command);
    (void)snprintf(help->prose, sizeof help->prose, "%s\v%s", info->before, info->after);
    char name[32];
    (void)snprintf(name, sizeof name, "rstream %s", info->name);
    struct argp argp = {.options = help->rows, .args_doc = info->args_doc, .doc = help->prose};
    argp_help(&argp, to, flags, name);
    free(help);
}

void rs_help_command(FILE *to, enum rs_command command)
{
    print(to, command, ARGP_HELP_SHORT_USAGE | ARGP_HELP_LONG | ARGP_HELP_DOC);
}

void rs_help_usage(FILE *to, enum rs_command command)
{
    print(to, command, ARGP_HELP_USAGE);
}

void rs_help_all(FILE *to)
{
    (void)fprintf(to,
                  "Usage: rstream COMMAND [OPTION...]\n"
                  "Trains convolutional networks from image data as one pipeline of stages.\n\nCommands:\n");
    for (int c = 0; c < RS_COMMAND_COUNT; c++)
        (void)fprintf(to, "  %-9s %s\n", rs_commands[c].name, rs_commands[c].summary);
    (void)fprintf(
        to, "\n  --help, -h   Print this help; rstream COMMAND --help explains a command's options\n"
            "  --version    Print the version\n\n"
            "Start here:\n"
            "  rstream synth toy && rstream train --data toy --epochs 1 --out run1\n\n"
            "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 the device can't be used, 130 interrupted\n");
}
