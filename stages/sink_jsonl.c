/* sink_jsonl.c: the metrics sink for programs: an object a line, and the way back to a checkpoint's step. */
#include "sinks.h"

#include "file.h"
#include <cjson/cJSON.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct jsonl {
    FILE *file;
    char path[4096];
};

int rs_sink_jsonl_create(void **out, const char *path, struct rs_error *err)
{
    struct jsonl *s = rs_calloc(1, sizeof *s);
    if (!s)
        return rs_error_set(err, RS_E_NOMEM, "no memory for the metrics file");
    snprintf(s->path, sizeof s->path, "%s", path);
    s->file = fopen(path, "ae");
    if (!s->file) {
        int code = rs_error_set_errno(err, errno, "%s can't be opened for writing", path);
        rs_free(s);
        return code;
    }
    *out = s;
    return 0;
}

static int written(struct jsonl *s, int result, struct rs_error *err)
{
    if (result >= 0)
        return 0;
    return rs_error_set_errno(err, errno, "%s can't be written; free space, then go on with --resume",
                              s->path);
}

static int jsonl_batch(void *self, const struct rs_report *r, struct rs_error *err)
{
    struct jsonl *s = self;
    if (r->kind != RS_REPORT_STEP)
        return 0;
    RS_TRY(written(
        s,
        fprintf(s->file,
                "{\"event\":\"step\",\"epoch\":%u,\"step\":%llu,\"loss\":%.9g,\"accuracy\":%.9g,\"lr\":%.7g,"
                "\"images\":%u,\"seconds\":%.6f,\"data_wait_seconds\":%.6f}\n",
                r->epoch, (unsigned long long)r->step, r->loss, r->accuracy, r->lr, r->images, r->seconds,
                r->wait_seconds),
        err));
    return written(s, fflush(s->file), err);
}

static int write_phase(struct jsonl *s, const char *name, const struct rs_totals *t, struct rs_error *err)
{
    return written(s,
                   fprintf(s->file,
                           "\"%s_loss\":%.9g,\"%s_accuracy\":%.9g,\"%s_loss_batch_mean\":%.9g,"
                           "\"%s_accuracy_batch_mean\":%.9g,\"%s_images\":%llu,",
                           name, rs_totals_loss(t), name, rs_totals_accuracy(t), name,
                           rs_totals_batch_loss(t), name, rs_totals_batch_accuracy(t), name,
                           (unsigned long long)t->samples),
                   err);
}

static int write_stage(struct jsonl *s, const struct rs_named_figures *stage, const char *comma,
                       struct rs_error *err)
{
    const struct rs_stage_figures *f = &stage->figures;
    return written(s,
                   fprintf(s->file,
                           "%s\"%s\":{\"batches\":%llu,\"samples\":%llu,\"threads\":%u,\"busy_seconds\":%.6f,"
                           "\"wait_input_seconds\":%.6f,\"wait_slot_seconds\":%.6f}",
                           comma, stage->name, (unsigned long long)f->batches, (unsigned long long)f->samples,
                           f->threads, (double)f->busy_ns * 1e-9, (double)f->wait_input_ns * 1e-9,
                           (double)f->wait_slot_ns * 1e-9),
                   err);
}

static int jsonl_epoch(void *self, const struct rs_epoch_summary *e, struct rs_error *err)
{
    struct jsonl *s = self;
    const struct rs_progress *p = e->progress;
    RS_TRY(written(s,
                   fprintf(s->file, "{\"event\":\"epoch\",\"epoch\":%u,\"step\":%llu,", e->epoch,
                           (unsigned long long)p->steps),
                   err));
    RS_TRY(write_phase(s, "train", &p->train, err));
    if (e->validated)
        RS_TRY(write_phase(s, "valid", &p->valid, err));
    RS_TRY(written(s,
                   fprintf(s->file,
                           "\"seconds\":%.6f,\"train_seconds\":%.6f,\"data_wait_seconds\":%.6f,"
                           "\"images_per_second\":%.3f,\"limit\":\"%s\",\"stages\":{",
                           p->train_seconds + p->valid_seconds, p->train_seconds, p->train_wait_seconds,
                           e->images_per_second, e->verdict.stage),
                   err));
    for (uint32_t i = 0; i < e->stage_count; i++)
        RS_TRY(write_stage(s, &e->stages[i], i ? "," : "", err));
    RS_TRY(written(s, fputs("}}\n", s->file), err));
    return written(s, fflush(s->file), err);
}

static void jsonl_destroy(void *self)
{
    struct jsonl *s = self;
    fclose(s->file);
    rs_free(s);
}

const struct rs_metrics_sink_ops rs_sink_jsonl = {"jsonl", jsonl_batch, jsonl_epoch, NULL, jsonl_destroy};

/* JSON has no control characters but white space; the parser takes all of them for that. */
static bool has_control(const char *line, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)line[i] < ' ' && line[i] != '\t' && line[i] != '\r' && line[i] != '\n')
            return true;
    return false;
}

/* 1 or 0; or RS_E_NOMEM. */
static int keeps_line(const char *line, size_t length, uint64_t steps, uint32_t epoch)
{
    if (has_control(line, length))
        return 0;
    errno = 0;
    cJSON *json = cJSON_ParseWithOpts(line, NULL, true);
    if (!json && errno == ENOMEM)
        return RS_E_NOMEM;
    const cJSON *event = cJSON_GetObjectItemCaseSensitive(json, "event");
    const cJSON *step = cJSON_GetObjectItemCaseSensitive(json, "step");
    const cJSON *of = cJSON_GetObjectItemCaseSensitive(json, "epoch");
    bool keep = cJSON_IsString(event) && cJSON_IsNumber(step) && cJSON_IsNumber(of);
    if (keep && strcmp(event->valuestring, "epoch") == 0)
        keep = of->valuedouble < epoch;
    else if (keep)
        keep = step->valuedouble <= (double)steps;
    cJSON_Delete(json);
    return keep;
}

/* A line that was cut off just before its end gets one, so that the next line begins on its own. */
static int copy_line(struct rs_replacement *to, const char *line, size_t length, struct rs_error *err)
{
    RS_TRY(rs_file_replace_write(to, line, length, err));
    return line[length - 1] == '\n' ? 0 : rs_file_replace_write(to, "\n", 1, err);
}

/* The lines that stay; all lines are read, or it is an error. */
static int copy_lines(FILE *from, struct rs_replacement *to, uint64_t steps, uint32_t epoch,
                      struct rs_error *err)
{
    char *line = NULL;
    size_t size = 0;
    ssize_t length;
    int code = 0;
    errno = 0;
    while (code == 0 && (length = getline(&line, &size, from)) > 0) {
        int keeps = keeps_line(line, (size_t)length, steps, epoch);
        if (keeps < 0)
            code = rs_error_set(err, keeps, "%s: out of memory for a line of it", to->path);
        else if (keeps)
            code = copy_line(to, line, (size_t)length, err);
        errno = 0;
    }
    if (code == 0 && !feof(from))
        code = rs_error_set_errno(err, errno, "%s can't be read to its end", to->path);
    free(line);
    return code;
}

int rs_sink_jsonl_rewind(const char *path, uint64_t steps, uint32_t epoch, struct rs_error *err)
{
    struct rs_replacement to;
    FILE *from = fopen(path, "re");
    if (!from)
        return errno == ENOENT ? 0 : rs_error_set_errno(err, errno, "%s can't be read", path);
    int code = rs_file_replace_begin(&to, path, err);
    if (code == 0) {
        code = copy_lines(from, &to, steps, epoch, err);
        if (code == 0)
            code = rs_file_replace_commit(&to, err);
        else
            rs_file_replace_abandon(&to);
    }
    fclose(from); /* nothing was written to it */
    return code;
}
