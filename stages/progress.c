/* progress.c: a run's position as JSON inside a checkpoint, and back. */
#include "progress.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

void rs_totals_add(struct rs_totals *t, const struct rs_step_result *result, uint32_t count)
{
    t->loss_sum += result->loss_sum;
    t->correct += result->correct;
    t->samples += count;
    t->batch_loss_sum += result->loss_sum / count;
    t->batch_accuracy_sum += (double)result->correct / count;
    t->batches++;
}

static double mean(double sum, uint64_t count)
{
    return count ? sum / (double)count : 0;
}

double rs_totals_loss(const struct rs_totals *t)
{
    return mean(t->loss_sum, t->samples);
}

double rs_totals_accuracy(const struct rs_totals *t)
{
    return mean((double)t->correct, t->samples);
}

double rs_totals_batch_loss(const struct rs_totals *t)
{
    return mean(t->batch_loss_sum, t->batches);
}

double rs_totals_batch_accuracy(const struct rs_totals *t)
{
    return mean(t->batch_accuracy_sum, t->batches);
}

/* One table for both ways. Counters are below 2^53, so doubles carry them exactly. */
#define COUNT_MAX 9007199254740991.0
enum field_kind { FIELD_BOOL, FIELD_U32, FIELD_U64, FIELD_DOUBLE };
static const struct field {
    const char *name;
    enum field_kind kind;
    size_t offset;
} fields[] = {
#define FIELD(kind, member)                                                                                  \
    {                                                                                                        \
#member, kind, offsetof(struct rs_progress, member)                                                  \
    }
    FIELD(FIELD_U32, epoch),
    FIELD(FIELD_U64, epoch_steps),
    FIELD(FIELD_U64, steps),
    FIELD(FIELD_U64, train_count),
    FIELD(FIELD_U64, valid_count),
    FIELD(FIELD_BOOL, validated),
    FIELD(FIELD_DOUBLE, train.loss_sum),
    FIELD(FIELD_U64, train.correct),
    FIELD(FIELD_U64, train.samples),
    FIELD(FIELD_DOUBLE, train.batch_loss_sum),
    FIELD(FIELD_DOUBLE, train.batch_accuracy_sum),
    FIELD(FIELD_U64, train.batches),
    FIELD(FIELD_DOUBLE, train_seconds),
    FIELD(FIELD_DOUBLE, train_wait_seconds),
    FIELD(FIELD_DOUBLE, best_accuracy),
#undef FIELD
};
#define FIELD_COUNT (sizeof fields / sizeof *fields)

static double get_field(const struct rs_progress *progress, const struct field *field)
{
    const void *at = (const char *)progress + field->offset;
    switch (field->kind) {
    case FIELD_BOOL:
        return *(const bool *)at;
    case FIELD_U32:
        return *(const uint32_t *)at;
    case FIELD_U64:
        return (double)*(const uint64_t *)at;
    default:
        return *(const double *)at;
    }
}

static bool set_field(struct rs_progress *progress, const struct field *field, double value)
{
    void *at = (char *)progress + field->offset;
    double limit = field->kind == FIELD_BOOL ? 1 : field->kind == FIELD_U32 ? UINT32_MAX : COUNT_MAX;
    if (!isfinite(value)) /* as 1e999 is read; what is saved is finite */
        return false;
    if (field->kind != FIELD_DOUBLE && !(value >= 0 && value <= limit && value == trunc(value)))
        return false;
    switch (field->kind) {
    case FIELD_BOOL:
        *(bool *)at = value != 0;
        break;
    case FIELD_U32:
        *(uint32_t *)at = (uint32_t)value;
        break;
    case FIELD_U64:
        *(uint64_t *)at = (uint64_t)value;
        break;
    case FIELD_DOUBLE:
        *(double *)at = value;
        break;
    }
    return true;
}

char *rs_progress_print(const struct rs_progress *progress)
{
    cJSON *json = cJSON_CreateObject();
    bool whole = json != NULL;
    for (size_t i = 0; whole && i < FIELD_COUNT; i++) {
        double value = get_field(progress, &fields[i]);
        char number[32]; /* cJSON's own numbers are only equal to about 16 digits */
        snprintf(number, sizeof number, "%.17g", value);
        whole = cJSON_AddRawToObject(json, fields[i].name, number) != NULL;
    }
    char *text = whole ? cJSON_PrintUnformatted(json) : NULL;
    cJSON_Delete(json);
    return text;
}

int rs_progress_parse(const char *text, const char *path, struct rs_progress *progress, struct rs_error *err)
{
    int code = 0;
    *progress = (struct rs_progress){0};
    errno = 0;
    cJSON *json = cJSON_ParseWithOpts(text, NULL, true);
    if (!json && errno == ENOMEM)
        return rs_error_set(err, RS_E_NOMEM, "%s: out of memory for the run's progress", path);
    for (size_t i = 0; i < FIELD_COUNT && code == 0; i++) {
        const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, fields[i].name);
        if (!cJSON_IsNumber(item) || !set_field(progress, &fields[i], item->valuedouble))
            code = rs_error_set(err, RS_E_CORRUPT, "%s: the progress field '%s' is missing or out of range",
                                path, fields[i].name);
    }
    cJSON_Delete(json);
    return code;
}
