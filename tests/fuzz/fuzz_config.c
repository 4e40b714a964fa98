/* fuzz_config.c: the options of a run as JSON, merged into those of a command line. */
#include "fuzz.h"

#include "config.h"
#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct rs_config *defaults(void)
{
    struct rs_config *config = malloc(sizeof *config);
    FUZZ_CHECK(config);
    rs_config_defaults(config, RS_COMMAND_TRAIN);
    return config;
}

static char *print(const struct rs_config *config)
{
    char *text = NULL;
    FUZZ_CHECK(rs_config_json(config, &text, NULL) == 0);
    return text;
}

/* The number in value is the stored one: a count exactly, a real as well as a float has it. "auto" and the
 * like stand for 0. */
static bool same_number(const struct rs_option *option, const char *value, double stored)
{
    if (option->kind == RS_KIND_REAL)
        return fabs(strtod(value, NULL) - stored) <= 1e-6 * fabs(stored) + 1e-40;
    return stored == (option->word && strcmp(value, option->word) == 0 ? 0 : strtod(value, NULL));
}

/* A number that is stored is the one that is used, not one near it. */
static void check_numbers(const struct rs_config *config, const char *text)
{
    cJSON *object = cJSON_Parse(text);
    for (int id = 0; id < RS_OPTIONS; id++) {
        const struct rs_option *option = &rs_options[id];
        char key[64], value[64];
        if (!(option->flags & RS_SAVED) || option->kind == RS_KIND_TEXT || option->max == RS_CORES)
            continue; /* a number of threads beyond the cores becomes the default */
        snprintf(key, sizeof key, "%s", option->name);
        for (char *c = strchr(key, '-'); c; c = strchr(c, '-'))
            *c = '_';
        const cJSON *member = cJSON_GetObjectItemCaseSensitive(object, key);
        rs_option_print(config, (enum rs_option_id)id, value, sizeof value);
        FUZZ_CHECK(!cJSON_IsNumber(member) || same_number(option, value, member->valuedouble));
    }
    cJSON_Delete(object);
}

/* Every value is one that the command line would take, and what is written is read back as the same. */
static void check_merged(const struct rs_config *config)
{
    char value[8192];
    struct rs_config copy = *config;
    for (int id = 0; id < RS_OPTIONS; id++) {
        const struct rs_option *option = &rs_options[id];
        rs_option_print(config, (enum rs_option_id)id, value, sizeof value);
        if (!(option->flags & RS_SAVED) || (option->kind == RS_KIND_TEXT && !value[0]))
            continue;
        FUZZ_CHECK(rs_config_set(&copy, (enum rs_option_id)id, value, strncmp(value, "no-", 3) == 0, NULL) ==
                   0);
    }
    char *first = print(config);
    struct rs_config *again = defaults();
    FUZZ_CHECK(rs_config_merge(again, first, FUZZ_PATH, NULL) == 0);
    char *second = print(again);
    FUZZ_CHECK(strcmp(first, second) == 0);
    rs_config_destroy(again);
    free(second);
    free(first);
}

/* Options that the command line gave keep their values, whatever is stored. */
static void check_given(const char *text)
{
    struct rs_error err = {0};
    struct rs_config *config = defaults(), *before = defaults();
    for (int id = 0; id < RS_OPTIONS; id++)
        if (rs_options[id].fallback)
            config->given |= 1ull << id;
    int code = rs_config_merge(config, text, FUZZ_PATH, &err);
    for (int id = 0; id < RS_OPTIONS; id++) {
        char is[64], was[64];
        rs_option_print(config, (enum rs_option_id)id, is, sizeof is);
        rs_option_print(before, (enum rs_option_id)id, was, sizeof was);
        FUZZ_CHECK(!rs_options[id].fallback || strcmp(is, was) == 0);
    }
    if (code < 0)
        FUZZ_REFUSED(code, &err, code == RS_E_USAGE ? "contradicts the run" : FUZZ_PATH, RS_E_CORRUPT,
                     RS_E_USAGE);
    rs_config_destroy(before);
    rs_config_destroy(config);
}

int fuzz_run(const uint8_t *data, size_t size)
{
    struct rs_error err = {0};
    char *text = fuzz_string(data, size);
    struct rs_config *config = defaults();
    int code = rs_config_merge(config, text, FUZZ_PATH, &err);
    if (code == 0) {
        check_numbers(config, text);
        check_merged(config);
    }
    check_given(text);
    rs_config_destroy(config);
    free(text);
    return code == 0 ? 0 : FUZZ_REFUSED(code, &err, FUZZ_PATH, RS_E_CORRUPT);
}
