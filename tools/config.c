/* config.c: values of options: defaults, parsing, checks. Everything about a single option comes from its row
 * of rs_options; only contradictions between options are written out here. */
#include "config.h"
#include "planner.h"
#include "resnet.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SHEET_IMAGES_MAX 4096u /* a contact sheet that viewers still open */

static void *field_of(struct rs_config *config, const struct rs_option *option)
{
    return (char *)config + option->field;
}

static const void *const_field_of(const struct rs_config *config, const struct rs_option *option)
{
    return (const char *)config + option->field;
}

static uint64_t count_max(const struct rs_option *option)
{
    return option->max == RS_CORES ? rs_planner_cores() : option->max;
}

static int set_count(uint64_t *field, const struct rs_option *option, const char *text, struct rs_error *err)
{
    if (option->word && strcmp(text, option->word) == 0) {
        *field = 0;
        return RS_OK;
    }
    char *end = NULL;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    bool digits = text[0] >= '0' && text[0] <= '9' && *end == '\0';
    if (digits && errno == 0 && value >= option->min && value <= count_max(option)) {
        *field = value;
        return RS_OK;
    }
    return rs_error_set(err, RS_E_USAGE, "--%s %s: a whole number from %llu to %llu%s%s is allowed%s",
                        option->name, text, (unsigned long long)option->min,
                        (unsigned long long)count_max(option), option->word ? ", or " : "",
                        option->word ? option->word : "",
                        option->max == RS_CORES ? " (this process may use that many cores)" : "");
}

static int set_real(float *field, const struct rs_option *option, const char *text, struct rs_error *err)
{
    char *end = NULL;
    float value = strtof(text, &end);
    if (end != text && *end == '\0' && isfinite(value) && value >= option->real_min &&
        value <= option->real_max) {
        *field = value;
        return RS_OK;
    }
    return rs_error_set(err, RS_E_USAGE, "--%s %s: a number from %g to %g is allowed", option->name, text,
                        (double)option->real_min, (double)option->real_max);
}

/* The choice that the first length bytes of text name; false: none. */
static bool find_choice(const struct rs_option *option, const char *text, size_t length, uint32_t *index)
{
    for (uint32_t i = 0; i < RS_CHOICES_MAX && option->choices[i]; i++)
        if (strlen(option->choices[i]) == length && strncmp(text, option->choices[i], length) == 0) {
            *index = i;
            return true;
        }
    return false;
}

static int set_choice(uint32_t *field, const struct rs_option *option, const char *text, struct rs_error *err)
{
    char words[64] = "";
    if (find_choice(option, text, strlen(text), field))
        return RS_OK;
    for (uint32_t i = 0; i < RS_CHOICES_MAX && option->choices[i]; i++) {
        size_t used = strlen(words);
        (void)snprintf(words + used, sizeof words - used, "%s%s", i ? ", " : "", option->choices[i]);
    }
    return rs_error_set(err, RS_E_USAGE, "--%s %s: one of %s is allowed", option->name, text, words);
}

/* A word, or "cuda:N". */
static int set_device(struct rs_device_choice *field, const struct rs_option *option, const char *text,
                      struct rs_error *err)
{
    char *end = NULL;
    const size_t length = strcspn(text, ":");
    struct rs_device_choice choice = {0};
    if (!find_choice(option, text, length, &choice.word))
        return rs_error_set(err, RS_E_USAGE, "--%s %s: one of %s is allowed", option->name, text,
                            option->arg);
    if (text[length] == ':') {
        const char *word = option->choices[choice.word];
        const char *number = text + length + 1;
        if (strcmp(word, "cuda") != 0)
            return rs_error_set(err, RS_E_USAGE, "--%s %s: only cuda has numbers: --%s %s", option->name,
                                text, option->name, word);
        const unsigned long value = strtoul(number, &end, 10);
        if (number[0] < '0' || number[0] > '9' || *end != '\0' || value > RS_DEVICE_ORDINAL_MAX)
            return rs_error_set(err, RS_E_USAGE,
                                "--%s %s: a GPU's number from 0 to %u follows cuda:, as rstream devices "
                                "lists them",
                                option->name, text, RS_DEVICE_ORDINAL_MAX);
        choice.ordinal = (uint32_t)value;
    }
    *field = choice;
    return RS_OK;
}

int rs_config_set(struct rs_config *config, enum rs_option_id id, const char *text, bool negated,
                  struct rs_error *err)
{
    const struct rs_option *option = &rs_options[id];
    void *field = field_of(config, option);
    switch (option->kind) {
    case RS_KIND_TEXT:
        if (text[0] == '\0')
            return rs_error_set(err, RS_E_USAGE, "--%s is empty: it takes a %s", option->name, option->arg);
        *(const char **)field = text;
        return RS_OK;
    case RS_KIND_COUNT:
        return set_count(field, option, text, err);
    case RS_KIND_REAL:
        return set_real(field, option, text, err);
    case RS_KIND_CHOICE:
        return set_choice(field, option, text, err);
    case RS_KIND_DEVICE:
        return set_device(field, option, text, err);
    case RS_KIND_SWITCH:
    case RS_KIND_FLAG:
        *(bool *)field = !negated;
        return RS_OK;
    }
    return RS_OK;
}

void rs_config_defaults(struct rs_config *config, enum rs_command command)
{
    memset(config, 0, sizeof *config);
    config->command = command;
    for (int id = 0; id < RS_OPTIONS; id++) {
        const struct rs_option *option = &rs_options[id];
        if (!option->fallback)
            continue;
        bool negated = option->kind == RS_KIND_SWITCH && strcmp(option->fallback, option->name) != 0;
        int code = rs_config_set(config, (enum rs_option_id)id, option->fallback, negated, NULL);
        RS_ASSERT(code == RS_OK); /* a default outside its own range is a mistake in the table */
    }
}

void rs_option_print(const struct rs_config *config, enum rs_option_id id, char *text, size_t size)
{
    const struct rs_option *option = &rs_options[id];
    const void *field = const_field_of(config, option);
    uint64_t count = 0;
    switch (option->kind) {
    case RS_KIND_TEXT: {
        const char *path = *(const char *const *)field;
        (void)snprintf(text, size, "%s", path ? path : "");
        return;
    }
    case RS_KIND_COUNT:
        count = *(const uint64_t *)field;
        if (count == 0 && option->word)
            (void)snprintf(text, size, "%s", option->word);
        else
            (void)snprintf(text, size, "%llu", (unsigned long long)count);
        return;
    case RS_KIND_REAL:
        /* the fewest digits that give the same float again */
        for (int digits = 1; digits <= 9; digits++) {
            (void)snprintf(text, size, "%.*g", digits, (double)*(const float *)field);
            if (strtof(text, NULL) == *(const float *)field)
                return;
        }
        return;
    case RS_KIND_CHOICE:
        (void)snprintf(text, size, "%s", option->choices[*(const uint32_t *)field]);
        return;
    case RS_KIND_DEVICE: {
        const struct rs_device_choice *device = field;
        if (device->ordinal)
            (void)snprintf(text, size, "%s:%u", option->choices[device->word], device->ordinal);
        else
            (void)snprintf(text, size, "%s", option->choices[device->word]);
        return;
    }
    case RS_KIND_SWITCH:
    case RS_KIND_FLAG:
        (void)snprintf(text, size, "%s%s", *(const bool *)field ? "" : "no-", option->name);
        return;
    }
}

bool rs_config_given(const struct rs_config *config, enum rs_option_id option)
{
    return (config->given >> option & 1) != 0;
}

const char *rs_config_device(const struct rs_config *config)
{
    return rs_options[RS_OPTION_DEVICE].choices[config->device.word];
}

struct rs_device_options rs_config_device_options(const struct rs_config *config)
{
    return (struct rs_device_options){.threads = (uint32_t)config->threads,
                                      .ordinal = config->device.ordinal};
}

bool rs_option_taken(enum rs_option_id option, enum rs_command command)
{
    return (rs_options[option].commands >> command & 1) != 0;
}

static int check_operands(const struct rs_config *config, struct rs_error *err)
{
    const struct rs_command_info *info = &rs_commands[config->command];
    if (config->operand_count > info->operands_max) {
        const char *extra = config->operands[info->operands_max];
        if (info->operands_max == 0 && rs_option_taken(RS_OPTION_DATA, config->command) && !config->data)
            return rs_error_set(err, RS_E_USAGE, "'%s' stands alone: did you mean --data %s?", extra, extra);
        return rs_error_set(err, RS_E_USAGE, "'%s' is too much: see rstream %s --help", extra, info->name);
    }
    if (config->operand_count < info->operands_min)
        return rs_error_set(err, RS_E_USAGE, "%s is missing: see rstream %s --help", info->operand,
                            info->name);
    return RS_OK;
}

static int check_required(const struct rs_config *config, struct rs_error *err)
{
    for (int id = 0; id < RS_OPTIONS; id++) {
        const struct rs_option *option = &rs_options[id];
        if ((option->required >> config->command & 1) == 0 ||
            *(const char *const *)const_field_of(config, option))
            continue;
        return rs_error_set(err, RS_E_USAGE, "--%s %s is missing: see rstream %s --help", option->name,
                            option->arg, rs_commands[config->command].name);
    }
    return RS_OK;
}

static int check_train(const struct rs_config *config, struct rs_error *err)
{
    if (rs_config_given(config, RS_OPTION_MOMENTUM) && config->optimizer == RS_OPTIMIZER_ADAM)
        return rs_error_set(
            err, RS_E_USAGE,
            "--momentum does nothing with --optimizer adam: add --optimizer sgd or leave it out");
    return RS_OK;
}

static int check_bench(const struct rs_config *config, struct rs_error *err)
{
    const char *kind = config->operands[0];
    bool ring = strcmp(kind, "ring") == 0, pipeline = strcmp(kind, "pipeline") == 0;
    if (!ring && !pipeline && strcmp(kind, "train") != 0)
        return rs_error_set(err, RS_E_USAGE, "%s: one of ring, pipeline, train is allowed", kind);
    if (ring && config->given)
        return rs_error_set(err, RS_E_USAGE, "bench ring takes no options");
    static const enum rs_option_id of_train[] = {RS_OPTION_DEVICE, RS_OPTION_PRECISION, RS_OPTION_THREADS,
                                                 RS_OPTION_PREPROCESS, RS_OPTION_CUDA_GRAPH};
    for (size_t i = 0; pipeline && i < sizeof of_train / sizeof of_train[0]; i++) {
        if (rs_config_given(config, of_train[i]))
            return rs_error_set(err, RS_E_USAGE,
                                "bench pipeline computes nothing: --%s belongs to bench train",
                                rs_options[of_train[i]].name);
    }
    static const enum rs_option_id of_loader[] = {RS_OPTION_WORKERS, RS_OPTION_PREFETCH, RS_OPTION_FUSE,
                                                  RS_OPTION_PREPROCESS, RS_OPTION_MAX_PIXELS};
    for (size_t i = 0; !pipeline && !config->data && i < sizeof of_loader / sizeof of_loader[0]; i++) {
        if (rs_config_given(config, of_loader[i]))
            return rs_error_set(err, RS_E_USAGE, "bench train reads nothing without --data: --%s needs it",
                                rs_options[of_loader[i]].name);
    }
    if (!pipeline && rs_config_given(config, RS_OPTION_REPEATS))
        return rs_error_set(err, RS_E_USAGE,
                            "--repeats belongs to bench pipeline; bench train takes --steps");
    return RS_OK;
}

static int check_image_size(const struct rs_config *config, struct rs_error *err)
{
    bool network =
        config->command != RS_COMMAND_PREVIEW && rs_option_taken(RS_OPTION_IMAGE_SIZE, config->command);
    if (config->command == RS_COMMAND_BENCH)
        network = strcmp(config->operands[0], "train") == 0;
    if (network && config->image_size < RS_RESNET_MIN_IMAGE)
        return rs_error_set(err, RS_E_USAGE,
                            "--image-size %llu is too small for the network: from %d to %llu is "
                            "allowed",
                            (unsigned long long)config->image_size, RS_RESNET_MIN_IMAGE,
                            (unsigned long long)rs_options[RS_OPTION_IMAGE_SIZE].max);
    return RS_OK;
}

static int check_device(const struct rs_config *config, struct rs_error *err)
{
    if (rs_config_given(config, RS_OPTION_THREADS) && rs_option_taken(RS_OPTION_DEVICE, config->command) &&
        strcmp(rs_config_device(config), "cuda") == 0)
        return rs_error_set(err, RS_E_USAGE,
                            "--threads does nothing with --device cuda: leave it out; --workers are the "
                            "threads that load images");
    return RS_OK;
}

int rs_config_validate(const struct rs_config *config, struct rs_error *err)
{
    RS_TRY(check_operands(config, err));
    RS_TRY(check_required(config, err));
    RS_TRY(check_device(config, err));
    if (config->command == RS_COMMAND_TRAIN)
        RS_TRY(check_train(config, err));
    if (config->command == RS_COMMAND_BENCH)
        RS_TRY(check_bench(config, err));
    if (config->command == RS_COMMAND_PREVIEW && config->png && config->count > SHEET_IMAGES_MAX)
        return rs_error_set(err, RS_E_USAGE, "--count %llu with --png: a contact sheet holds 1 to %u images",
                            (unsigned long long)config->count, SHEET_IMAGES_MAX);
    return check_image_size(config, err);
}

enum rs_step_graph rs_config_step_graph(const struct rs_config *config)
{
    if (!rs_config_given(config, RS_OPTION_CUDA_GRAPH))
        return RS_STEP_GRAPH_DEFAULT;
    return config->cuda_graph ? RS_STEP_GRAPH_OFF : RS_STEP_GRAPH_ON;
}

void rs_config_training(const struct rs_config *config, const char *config_json,
                        struct rs_training_options *out)
{
    *out = (struct rs_training_options){
        .data = config->data,
        .valid_data = config->valid_data,
        .out = config->out,
        .init = config->resume ? NULL : config->init, /* a resumed run has its weights */
        .resume = config->resume != NULL,
        .epochs = (uint32_t)config->epochs,
        .max_steps = config->max_steps,
        .batch_size = (uint32_t)config->batch_size,
        .eval_batch_size = (uint32_t)config->eval_batch_size,
        .prefetch = (uint32_t)config->prefetch,
        .workers = (uint32_t)config->workers,
        .threads = (uint32_t)config->threads,
        .fuse = (enum rs_fuse)config->fuse,
        .preprocess = (enum rs_preprocess)config->preprocess,
        .device = rs_config_device(config),
        .ordinal = config->device.ordinal,
        .precision = (enum rs_precision)config->precision,
        .step_graph = rs_config_step_graph(config),
        .optimizer = (enum rs_optimizer)config->optimizer,
        .momentum = config->momentum,
        .weight_decay = config->weight_decay,
        .lr = config->lr,
        .seed = config->seed,
        .image_size = (uint32_t)config->image_size,
        .max_pixels = config->max_pixels,
        .shuffle = config->shuffle,
        .quiet = config->quiet,
        .trace = config->trace,
        .config_json = config_json,
    };
}
