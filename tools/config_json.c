/* config_json.c: the options of a run as JSON text, and back.
 *
 * How it works: one member an RS_SAVED option, named as the option with underscores. Counts and reals are
 * numbers, a count's word ("auto") and choices are strings, switches are booleans, paths are strings or null.
 * The text is written to config.json for people and into resume.safetensors for --resume.
 */
#include "config.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define KEY_MAX 32

static void key_of(const struct rs_option *option, char key[KEY_MAX])
{
    (void)snprintf(key, KEY_MAX, "%s", option->name);
    for (char *c = key; *c; c++)
        *c = *c == '-' ? '_' : *c;
}

static cJSON *add_option(cJSON *object, const struct rs_config *config, enum rs_option_id id)
{
    const struct rs_option *option = &rs_options[id];
    char key[KEY_MAX], text[PATH_MAX], absolute[PATH_MAX];
    key_of(option, key);
    rs_option_print(config, id, text, sizeof text);
    switch (option->kind) {
    case RS_KIND_TEXT:
        if (text[0] == '\0')
            return cJSON_AddNullToObject(object, key);
        if ((option->flags & RS_PATH) && realpath(text, absolute))
            return cJSON_AddStringToObject(object, key, absolute);
        return cJSON_AddStringToObject(object, key, text);
    case RS_KIND_COUNT:
        if (option->word && strcmp(text, option->word) == 0)
            return cJSON_AddStringToObject(object, key, text);
        return cJSON_AddRawToObject(object, key, text);
    case RS_KIND_REAL:
        return cJSON_AddRawToObject(object, key, text);
    case RS_KIND_CHOICE:
    case RS_KIND_DEVICE:
        return cJSON_AddStringToObject(object, key, text);
    case RS_KIND_SWITCH:
    case RS_KIND_FLAG:
        return cJSON_AddBoolToObject(object, key, strcmp(text, option->name) == 0);
    }
    return NULL;
}

int rs_config_json(const struct rs_config *config, char **text, struct rs_error *err)
{
    *text = NULL;
    cJSON *object = cJSON_CreateObject();
    bool whole = object && cJSON_AddStringToObject(object, "rstream", RS_VERSION);
    for (int id = 0; whole && id < RS_OPTIONS; id++) {
        if (rs_options[id].flags & RS_SAVED)
            whole = add_option(object, config, (enum rs_option_id)id) != NULL;
    }
    char *printed = whole ? cJSON_Print(object) : NULL;
    if (!printed || asprintf(text, "%s\n", printed) < 0)
        *text = NULL;
    cJSON_free(printed);
    cJSON_Delete(object);
    return *text ? RS_OK : rs_error_set(err, RS_E_NOMEM, "out of memory while writing the options as JSON");
}

/* A member's value as one would type it. False where its type is wrong. null gives "". */
static bool member_text(const cJSON *member, const struct rs_option *option, char *text, size_t size)
{
    bool is_switch = option->kind == RS_KIND_SWITCH || option->kind == RS_KIND_FLAG;
    text[0] = '\0';
    if (cJSON_IsNull(member))
        return option->kind == RS_KIND_TEXT;
    if (is_switch) {
        (void)snprintf(text, size, "%s%s", cJSON_IsTrue(member) ? "" : "no-", option->name);
        return cJSON_IsBool(member);
    }
    if (cJSON_IsString(member)) {
        (void)snprintf(text, size, "%s", member->valuestring);
        return option->kind != RS_KIND_REAL && strlen(member->valuestring) < size;
    }
    if (!cJSON_IsNumber(member))
        return false;
    if (option->kind == RS_KIND_COUNT)
        /* a fraction as it is, so that it is refused and not rounded */
        (void)snprintf(text, size, trunc(member->valuedouble) == member->valuedouble ? "%.0f" : "%.17g",
                       member->valuedouble);
    else
        (void)snprintf(text, size, "%.9g", member->valuedouble);
    return option->kind == RS_KIND_COUNT || option->kind == RS_KIND_REAL;
}

static int store(struct rs_config *config, enum rs_option_id id, const char *text, struct rs_error *err)
{
    const struct rs_option *option = &rs_options[id];
    if (option->kind != RS_KIND_TEXT)
        return rs_config_set(config, id, text, strcmp(text, option->name) != 0, err);
    if (text[0] == '\0')
        return RS_OK;
    free(config->owned[id]);
    config->owned[id] = strdup(text);
    if (!config->owned[id])
        return rs_error_set(err, RS_E_NOMEM, "out of memory while reading the stored options");
    return rs_config_set(config, id, config->owned[id], false, err);
}

static int merge_option(struct rs_config *config, const cJSON *object, enum rs_option_id id, const char *path,
                        struct rs_error *err)
{
    const struct rs_option *option = &rs_options[id];
    char key[KEY_MAX], stored[PATH_MAX], given[PATH_MAX];
    key_of(option, key);
    const cJSON *member = cJSON_GetObjectItemCaseSensitive(object, key);
    if (!member)
        return RS_OK; /* written by an older rstream, which had only the default */
    if (!member_text(member, option, stored, sizeof stored))
        return rs_error_set(err, RS_E_CORRUPT, "%s: the stored option %s has the wrong type", path, key);
    if (!rs_config_given(config, id)) {
        struct rs_error why = {0};
        if (store(config, id, stored, &why) == RS_OK)
            return RS_OK;
        /* more threads than this machine has cores: the default of the machine where the run goes on */
        if (option->max == RS_CORES)
            return rs_config_set(config, id, option->fallback, false, err);
        return rs_error_set(err, why.code == RS_E_NOMEM ? RS_E_NOMEM : RS_E_CORRUPT, "%s: stored option %s",
                            path, why.message);
    }
    rs_option_print(config, id, given, sizeof given);
    if ((option->flags & RS_FIXED) && strcmp(given, stored) != 0) {
        struct rs_config other = *config;
        if (rs_config_set(&other, id, stored, strcmp(stored, option->name) != 0, NULL) == RS_OK)
            rs_option_print(&other, id, stored, sizeof stored);
        if (strcmp(given, stored) == 0)
            return RS_OK; /* the same number in another spelling */
        bool is_switch = option->kind == RS_KIND_SWITCH;
        return rs_error_set(
            err, RS_E_USAGE,
            "--%s%s%s contradicts the run, which was started with --%s%s%s: leave it out, or start "
            "a new run with --out",
            is_switch ? given : option->name, is_switch ? "" : " ", is_switch ? "" : given,
            is_switch ? stored : option->name, is_switch ? "" : " ", is_switch ? "" : stored);
    }
    return RS_OK;
}

int rs_config_merge(struct rs_config *config, const char *json, const char *path, struct rs_error *err)
{
    errno = 0;
    cJSON *object = cJSON_ParseWithOpts(json, NULL, true);
    int code = RS_OK;
    if (!object && errno == ENOMEM)
        return rs_error_set(err, RS_E_NOMEM, "out of memory while reading the stored options");
    if (!cJSON_IsObject(object))
        code = rs_error_set(err, RS_E_CORRUPT, "%s: the stored options are no JSON object", path);
    for (int id = 0; code == RS_OK && id < RS_OPTIONS; id++) {
        if (rs_options[id].flags & RS_SAVED)
            code = merge_option(config, object, (enum rs_option_id)id, path, err);
    }
    cJSON_Delete(object);
    return code;
}
