/* run_files.c: see run_files.h. */
#include "run_files.h"

#include "cmocka_all.h"

#include <cjson/cJSON.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of the tensors that the fake device changes. */
#define WEIGHTS "block1.weight"
#define MOMENT "optimizer.moment1." WEIGHTS
#define STEPS "optimizer.steps"

static const cJSON *field(const cJSON *object, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    if (!item)
        fail_msg("no '%s' in a checkpoint's header", name);
    return item;
}

/* The header of a safetensors file; *data: where the tensors' bytes begin. */
static cJSON *read_header(FILE *f, uint64_t *data)
{
    uint64_t length;
    assert_int_equal(fread(&length, sizeof length, 1, f), 1);
    char *text = calloc(length + 1, 1);
    assert_non_null(text);
    assert_int_equal(fread(text, 1, length, f), length);
    cJSON *json = cJSON_ParseWithOpts(text, NULL, true);
    assert_non_null(json);
    free(text);
    *data = sizeof length + length;
    return json;
}

/* The first bytes of a tensor: the rest is zero, and long. */
static void read_first(FILE *f, const cJSON *header, uint64_t data, const char *name, void *to, size_t size)
{
    const cJSON *offsets = field(field(header, name), "data_offsets");
    double begin = cJSON_GetArrayItem(offsets, 0)->valuedouble;
    assert_int_equal(fseek(f, (long)data + (long)begin, SEEK_SET), 0);
    assert_int_equal(fread(to, 1, size, f), size);
}

static char *metadata(const cJSON *header, const char *key)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(field(header, "__metadata__"), key);
    return value ? strdup(value->valuestring) : NULL;
}

/* The last tensor's end is the file's. */
static void assert_complete(FILE *f, const cJSON *header, uint64_t data)
{
    double end = 0;
    for (const cJSON *item = header->child; item; item = item->next) {
        const cJSON *offsets = cJSON_GetObjectItemCaseSensitive(item, "data_offsets");
        if (offsets && cJSON_GetArrayItem(offsets, 1)->valuedouble > end)
            end = cJSON_GetArrayItem(offsets, 1)->valuedouble;
    }
    assert_int_equal(fseek(f, 0, SEEK_END), 0);
    assert_int_equal(ftell(f), (long)data + (long)end);
}

static void read_saved(struct saved_file *file, const char *dir, const char *name, bool resume)
{
    char path[500];
    uint64_t data;
    *file = (struct saved_file){.there = has_file(dir, name)};
    if (!file->there)
        return;
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    cJSON *header = read_header(f, &data);
    assert_complete(f, header, data);
    read_first(f, header, data, WEIGHTS, file->weights, sizeof file->weights);
    if (resume) {
        read_first(f, header, data, STEPS, &file->steps, sizeof file->steps);
        read_first(f, header, data, MOMENT, &file->moment, sizeof file->moment);
    } else {
        assert_null(cJSON_GetObjectItemCaseSensitive(header, STEPS));
    }
    file->classes = metadata(header, "classes");
    file->image_size = metadata(header, "image_size");
    file->config = metadata(header, "config");
    file->progress = metadata(header, "progress");
    cJSON_Delete(header);
    fclose(f);
}

static void free_saved(struct saved_file *file)
{
    free(file->classes);
    free(file->image_size);
    free(file->config);
    free(file->progress);
}

/* stages and limit follow from times, and count from a process's start. */
static char *without_times(const char *line)
{
    static const char *const keys[] = {"seconds",           "train_seconds", "data_wait_seconds",
                                       "images_per_second", "limit",         "stages"};
    cJSON *json = cJSON_ParseWithOpts(line, NULL, true);
    if (!json)
        fail_msg("not one JSON object: %s", line);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        cJSON_DeleteItemFromObjectCaseSensitive(json, keys[i]);
    char *text = cJSON_PrintUnformatted(json);
    cJSON_Delete(json);
    return text;
}

static void read_lines(struct run_files *files, const char *dir)
{
    char path[500], *line = NULL;
    size_t size = 0;
    snprintf(path, sizeof path, "%s/metrics.jsonl", dir);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    for (ssize_t length; (length = getline(&line, &size, f)) > 0;) {
        assert_true(files->line_count < LINES_MAX);
        if (line[length - 1] != '\n')
            fail_msg("a torn line: %s", line);
        files->lines[files->line_count] = strdup(line);
        files->plain[files->line_count++] = without_times(line);
    }
    free(line);
    fclose(f);
}

void run_files_read(struct run_files *files, const char *dir)
{
    struct rs_error err = {0};
    *files = (struct run_files){0};
    read_saved(&files->best, dir, "best.safetensors", false);
    read_saved(&files->last, dir, "last.safetensors", false);
    read_saved(&files->resume, dir, "resume.safetensors", true);
    if (files->resume.there && rs_progress_parse(files->resume.progress, dir, &files->progress, &err) < 0)
        fail_msg("%s", err.message);
    read_lines(files, dir);
}

void run_files_free(struct run_files *files)
{
    free_saved(&files->best);
    free_saved(&files->last);
    free_saved(&files->resume);
    for (uint32_t i = 0; i < files->line_count; i++) {
        free(files->lines[i]);
        cJSON_free(files->plain[i]);
    }
    *files = (struct run_files){0};
}

static void assert_same_text(const char *a, const char *b)
{
    assert_int_equal(a != NULL, b != NULL);
    if (a)
        assert_string_equal(a, b);
}

static void assert_same_saved(const struct saved_file *a, const struct saved_file *b)
{
    assert_int_equal(a->there, b->there);
    assert_memory_equal(a->weights, b->weights, sizeof a->weights);
    assert_memory_equal(&a->moment, &b->moment, sizeof a->moment);
    assert_int_equal(a->steps, b->steps);
    assert_same_text(a->classes, b->classes);
    assert_same_text(a->image_size, b->image_size);
    assert_same_text(a->config, b->config);
}

static void assert_same_totals(const struct rs_totals *a, const struct rs_totals *b)
{
    assert_true(a->loss_sum == b->loss_sum);
    assert_int_equal(a->correct, b->correct);
    assert_int_equal(a->samples, b->samples);
    assert_true(a->batch_loss_sum == b->batch_loss_sum);
    assert_true(a->batch_accuracy_sum == b->batch_accuracy_sum);
    assert_int_equal(a->batches, b->batches);
}

static void assert_same_progress(const struct rs_progress *a, const struct rs_progress *b)
{
    assert_int_equal(a->epoch, b->epoch);
    assert_int_equal(a->epoch_steps, b->epoch_steps);
    assert_int_equal(a->steps, b->steps);
    assert_int_equal(a->train_count, b->train_count);
    assert_int_equal(a->valid_count, b->valid_count);
    assert_int_equal(a->validated, b->validated);
    assert_same_totals(&a->train, &b->train);
    assert_same_totals(&a->valid, &b->valid);
    assert_true(a->best_accuracy == b->best_accuracy);
}

void assert_same_files(const struct run_files *a, const struct run_files *b)
{
    assert_same_saved(&a->best, &b->best);
    assert_same_saved(&a->last, &b->last);
    assert_same_saved(&a->resume, &b->resume);
    assert_same_progress(&a->progress, &b->progress);
    for (uint32_t i = 0; i < a->line_count && i < b->line_count; i++)
        assert_string_equal(a->plain[i], b->plain[i]);
    assert_int_equal(a->line_count, b->line_count);
}

void assert_weights(const struct saved_file *file, const struct run_result *run, uint64_t steps)
{
    assert_true(file->there);
    assert_true(steps < FAKE_HISTORY);
    assert_memory_equal(file->weights, run->script.history[steps], sizeof file->weights);
}

/* FNV-1a over names and bytes; folders hold a few files, in an order that stays while none is made. */
uint64_t folder_hash(const char *dir)
{
    static uint64_t block[1 << 13];
    uint64_t sum = 0;
    DIR *d = opendir(dir);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));) {
        char path[700];
        uint64_t hash = 0xcbf29ce484222325u;
        if (e->d_name[0] == '.')
            continue;
        for (const char *c = e->d_name; *c; c++)
            hash = (hash ^ (uint8_t)*c) * 0x100000001b3u;
        snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        FILE *f = fopen(path, "r");
        assert_non_null(f);
        for (size_t n; (n = fread(block, 1, sizeof block, f)) > 0;) {
            for (size_t i = 0; i < (n + 7) / 8; i++)
                hash = (hash ^ block[i]) * 0x100000001b3u;
            hash = (hash ^ n) * 0x100000001b3u;
            memset(block, 0, sizeof block);
        }
        fclose(f);
        sum += hash; /* whatever the order */
    }
    closedir(d);
    return sum;
}
