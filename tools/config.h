/* config.h: what a command line asks for: one table of options, one struct of values.
 *
 * How it works: rs_options is the only place that knows an option: its name, kind, default, range, help and
 * which commands take it. The help texts, the parser, the checks, config.json and the merge with a stored
 * configuration are all made from it. rs_config_create fills a struct rs_config in this order: defaults, the
 * configuration stored in RUN_DIR/resume.safetensors (train --resume), the command line; checks it once, and
 * hands it out const.
 *
 * Owner: the caller of rs_config_create owns the config; its strings lie in argv or in the config itself, so
 * argv must outlive it. @thread main.
 */
#ifndef RS_CONFIG_H
#define RS_CONFIG_H

#include "errors.h"
#include "training.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum rs_command {
    RS_COMMAND_TRAIN,
    RS_COMMAND_EVAL,
    RS_COMMAND_PREDICT,
    RS_COMMAND_PREVIEW,
    RS_COMMAND_SUMMARY,
    RS_COMMAND_SYNTH,
    RS_COMMAND_BENCH,
    RS_COMMAND_DEVICES,
    RS_COMMAND_COUNT,
};

struct rs_command_info {
    const char *name;
    const char *summary;  /* one line, for the list of commands */
    const char *args_doc; /* of the usage line, alternatives by newline */
    const char *before;   /* of the help: what it does */
    const char *after;    /* of the help: notes and examples */
    int operands_min, operands_max;
    const char *operand; /* what an operand is called, NULL where there is none */
};
extern const struct rs_command_info rs_commands[RS_COMMAND_COUNT];

enum rs_option_id {
    RS_OPTION_DATA,
    RS_OPTION_VALID_DATA,
    RS_OPTION_WEIGHTS,
    RS_OPTION_MAX_PIXELS,
    RS_OPTION_OUT,
    RS_OPTION_RESUME,
    RS_OPTION_INIT,
    RS_OPTION_QUIET,
    RS_OPTION_TRACE,
    RS_OPTION_EPOCHS,
    RS_OPTION_MAX_STEPS,
    RS_OPTION_BATCH_SIZE,
    RS_OPTION_EVAL_BATCH_SIZE,
    RS_OPTION_IMAGE_SIZE,
    RS_OPTION_OPTIMIZER,
    RS_OPTION_LR,
    RS_OPTION_MOMENTUM,
    RS_OPTION_WEIGHT_DECAY,
    RS_OPTION_SEED,
    RS_OPTION_SHUFFLE,
    RS_OPTION_DEVICE,
    RS_OPTION_PRECISION,
    RS_OPTION_THREADS,
    RS_OPTION_WORKERS,
    RS_OPTION_PREFETCH,
    RS_OPTION_FUSE,
    RS_OPTION_PREPROCESS,
    RS_OPTION_CUDA_GRAPH,
    RS_OPTION_TOP,
    RS_OPTION_IMAGES,
    RS_OPTION_NPY,
    RS_OPTION_PNG,
    RS_OPTION_CLASSES,
    RS_OPTION_FORMAT,
    RS_OPTION_TRAIN,
    RS_OPTION_TEST,
    RS_OPTION_STEPS,
    RS_OPTION_REPEATS,
    RS_OPTIONS, /* their number; 64 at most, for the bits of rs_config.given */
};

enum rs_option_kind {
    RS_KIND_TEXT,   /* const char *: a path */
    RS_KIND_COUNT,  /* uint64_t */
    RS_KIND_REAL,   /* float */
    RS_KIND_CHOICE, /* uint32_t: index of the word */
    RS_KIND_DEVICE, /* struct rs_device_choice: a word, one of which may have :N behind it */
    RS_KIND_SWITCH, /* bool: --name and --no-name */
    RS_KIND_FLAG,   /* bool: --name */
};

enum rs_option_group {
    RS_GROUP_DATA,
    RS_GROUP_RUN,
    RS_GROUP_TRAINING,
    RS_GROUP_MACHINE,
    RS_GROUP_OUTPUT,
    RS_GROUPS,
};

enum rs_option_flags {
    RS_SAVED = 1, /* belongs to a run: written to config.json and to the resume file */
    RS_FIXED = 2, /* decides the weights' bits: --resume refuses another value than the stored one */
    RS_PATH = 4,  /* written as an absolute path, so that a run can be resumed from another folder */
};

#define RS_CORES UINT64_MAX /* as a maximum: the cores that this process may use */
#define RS_CHOICES_MAX 4
#define RS_NOTES_MAX 2
/* Largest whole number that JSON readers keep exactly: 2^53 - 1. */
#define RS_JSON_COUNT_MAX 9007199254740991u

struct rs_option_note { /* where an option means something else to some commands: texts in place of its own,
                           or NULL */
    uint32_t commands;
    const char *help, *absent;
};

struct rs_option {
    const char *name; /* "batch-size"; its key in config.json has underscores */
    enum rs_option_kind kind;
    enum rs_option_group group;
    const char *arg;      /* of the help: "N"; NULL for choices and switches */
    const char *fallback; /* the default as one would type it; NULL: none */
    const char *absent;   /* help: what happens without it, where there is no default */
    uint64_t min, max;    /* counts */
    float real_min, real_max;
    const char *word; /* counts: a word that stands for 0, "auto" */
    const char *choices[RS_CHOICES_MAX];
    uint32_t commands; /* bit c: rs_command c takes it */
    uint32_t required; /* bit c: rs_command c can't do without */
    uint32_t flags;
    const char *help; /* a sentence, with the unit */
    struct rs_option_note notes[RS_NOTES_MAX];
    size_t field; /* offset in struct rs_config */
};
extern const struct rs_option rs_options[RS_OPTIONS];

#define RS_DEVICE_ORDINAL_MAX 63u

struct rs_device_choice {
    uint32_t word;    /* index in the option's choices */
    uint32_t ordinal; /* of cuda:N */
};

struct rs_config {
    enum rs_command command;
    uint64_t given; /* bit i: option i stood on the command line */
    char **operands;
    int operand_count;

    const char *data, *valid_data, *weights;
    uint64_t max_pixels;
    const char *out, *resume, *init;
    bool quiet;
    const char *trace;
    uint64_t epochs, max_steps, batch_size, eval_batch_size, image_size;
    uint32_t optimizer; /* enum rs_optimizer */
    float lr, momentum, weight_decay;
    uint64_t seed;
    bool shuffle;
    struct rs_device_choice device; /* rs_config_device */
    uint32_t precision;             /* enum rs_precision */
    uint64_t threads, workers, prefetch;
    uint32_t fuse;       /* enum rs_fuse */
    uint32_t preprocess; /* enum rs_preprocess */
    uint32_t cuda_graph; /* 0 on, 1 off */
    uint64_t top, count;
    const char *npy, *png;
    uint64_t classes;
    uint32_t format; /* enum rs_synth_format */
    uint64_t train, test, steps, repeats;

    char *owned[RS_OPTIONS]; /* strings from a stored configuration */
};

/* Reads argv (argv[0] is skipped), merges and checks. RS_END: help or version was asked for and printed to
 * stdout, *out is NULL. Errors: RS_E_USAGE with a hint; what the resume file's reader says. */
int rs_config_create(const struct rs_config **out, enum rs_command command, int argc, char **argv,
                     struct rs_error *err);
void rs_config_destroy(const struct rs_config *config);

bool rs_config_given(const struct rs_config *config, enum rs_option_id option);
/* "auto", "cuda", …, without a number. */
const char *rs_config_device(const struct rs_config *config);
/* --threads, 0 for all cores, and the number in --device cuda:N. */
struct rs_device_options rs_config_device_options(const struct rs_config *config);
/* --cuda-graph as it was given, or the default. */
enum rs_step_graph rs_config_step_graph(const struct rs_config *config);
/* The run's options. config_json is borrowed and may be NULL; console is left NULL. */
void rs_config_training(const struct rs_config *config, const char *config_json,
                        struct rs_training_options *out);
/* The RS_SAVED options as JSON text that the caller frees with free(). */
int rs_config_json(const struct rs_config *config, char **text, struct rs_error *err);

/* Steps of rs_config_create, for tests as well. */
void rs_config_defaults(struct rs_config *config, enum rs_command command);
/* Parses text into option's field. negated: for a switch, --no-name. RS_E_USAGE names the option and what is
 * allowed. */
int rs_config_set(struct rs_config *config, enum rs_option_id option, const char *text, bool negated,
                  struct rs_error *err);
/* Takes every RS_SAVED option that isn't given from a stored configuration (JSON text read from path).
 * RS_E_USAGE names both values where a given RS_FIXED option differs; RS_E_CORRUPT where the text is wrong.
 */
int rs_config_merge(struct rs_config *config, const char *json, const char *path, struct rs_error *err);
/* Options that are missing, too many operands, contradictions. */
int rs_config_validate(const struct rs_config *config, struct rs_error *err);

/* An option's value as one would type it, into text; "" for a path that isn't there. */
void rs_option_print(const struct rs_config *config, enum rs_option_id option, char *text, size_t size);
/* Option of that name, or -1. *negated tells a switch's --no-name. */
int rs_option_find(const char *name, size_t length, bool *negated);
bool rs_option_taken(enum rs_option_id option, enum rs_command command);
/* Command of that name, or -1. */
int rs_command_find(const char *name);
/* Help of one command; and of rstream itself. */
void rs_help_command(FILE *to, enum rs_command command);
void rs_help_usage(FILE *to, enum rs_command command);
void rs_help_all(FILE *to);

/* Edits (insert, drop, replace, swap neighbours) that make b of a: optimal string alignment. Case is ignored;
 * strings over 63 characters are as far apart as they are long. */
unsigned rs_edit_distance(const char *a, const char *b);

#endif
