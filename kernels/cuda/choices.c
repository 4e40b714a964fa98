/* choices.c: see choices.h. @thread as there. */
#include "choices.h"

#include "alloc.h"
#include "log.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char HEADER[] = "rstream: convolution choices, version 2\n";

bool rs__same_choice(const struct rs__choice *a, const struct rs__choice *b)
{
    bool same = a->engine == b->engine && a->knobs == b->knobs;
    for (int32_t i = 0; same && i < a->knobs; i++)
        same = a->type[i] == b->type[i] && a->value[i] == b->value[i];
    return same;
}

const struct rs__known_choice *rs__choices_find(const struct rs__choice_cache *cache, const char *key)
{
    for (size_t i = 0; i < cache->count; i++)
        if (strcmp(cache->known[i].key, key) == 0)
            return &cache->known[i];
    return NULL;
}

/* Room for one more. */
static bool grow(struct rs__choice_cache *cache)
{
    if (cache->count < cache->capacity)
        return true;
    const size_t capacity = cache->capacity ? 2 * cache->capacity : 64;
    struct rs__known_choice *known = rs_calloc(capacity, sizeof(*known));
    if (!known)
        return false;
    if (cache->count > 0)
        memcpy(known, cache->known, cache->count * sizeof(*known));
    rs_free(cache->known);
    cache->known = known;
    cache->capacity = capacity;
    return true;
}

static void put(struct rs__choice_cache *cache, const struct rs__known_choice *known)
{
    for (size_t i = 0; i < cache->count; i++)
        if (strcmp(cache->known[i].key, known->key) == 0) {
            cache->known[i] = *known;
            return;
        }
    if (grow(cache))
        cache->known[cache->count++] = *known;
}

void rs__choices_add(struct rs__choice_cache *cache, const char *key, const struct rs__choice *choice,
                     float milliseconds)
{
    struct rs__known_choice known = {.milliseconds = milliseconds, .choice = *choice};
    snprintf(known.key, sizeof(known.key), "%s", key);
    put(cache, &known);
    cache->changed = true;
}

/* "type:value,type:value" */
static bool parse_knobs(const char *text, struct rs__choice *choice)
{
    while (*text) {
        char *end;
        if (choice->knobs == RS__KNOBS_MAX)
            return false;
        const long type = strtol(text, &end, 10);
        if (end == text || *end != ':' || type < 0 || type > INT32_MAX)
            return false;
        text = end + 1;
        const long long value = strtoll(text, &end, 10);
        if (end == text || (*end != ',' && *end != 0))
            return false;
        choice->type[choice->knobs] = (int32_t)type;
        choice->value[choice->knobs++] = value;
        text = *end == ',' ? end + 1 : end;
    }
    return true;
}

static bool parse_line(char *line, struct rs__known_choice *known)
{
    char *fields[4] = {line, NULL, NULL, NULL}, *end;
    line[strcspn(line, "\n")] = 0;
    for (int i = 1; i < 4; i++) {
        fields[i] = strchr(fields[i - 1], '\t');
        if (!fields[i])
            return false;
        *fields[i]++ = 0;
    }
    memset(known, 0, sizeof(*known));
    if (snprintf(known->key, sizeof(known->key), "%s", fields[0]) >= (int)sizeof(known->key))
        return false;
    known->choice.engine = strtoll(fields[1], &end, 10);
    if (end == fields[1] || *end || known->choice.engine < 0)
        return false;
    known->milliseconds = strtof(fields[2], &end);
    return end != fields[2] && *end == 0 && parse_knobs(fields[3], &known->choice);
}

static void read_file(struct rs__choice_cache *cache)
{
    char line[1024];
    struct rs__known_choice known;
    FILE *file = fopen(cache->path, "re");
    if (!file)
        return;
    if (fgets(line, sizeof(line), file) && strcmp(line, HEADER) == 0)
        while (fgets(line, sizeof(line), file))
            if (parse_line(line, &known))
                put(cache, &known);
    (void)fclose(file);
}

void rs__choices_open(struct rs__choice_cache *cache, const char *folder, size_t version, const char *device)
{
    memset(cache, 0, sizeof(*cache));
    char name[128];
    size_t used = 0;
    for (; device[used] && used < sizeof(name) - 1; used++) {
        const char c = device[used];
        const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        name[used] = c;
        if (!plain)
            name[used] = '-';
    }
    name[used] = 0;
    if (!*folder)
        return;
    if (snprintf(cache->path, sizeof(cache->path), "%s/cudnn-%zu-%s.txt", folder, version, name) >=
        (int)sizeof(cache->path))
        cache->path[0] = 0;
    else
        read_file(cache);
}

void rs__choices_close(struct rs__choice_cache *cache)
{
    rs_free(cache->known);
    memset(cache, 0, sizeof(*cache));
}

/* The folders before the file's name, as far as they can be made. */
static void make_folders(const char *path)
{
    char folder[640];
    snprintf(folder, sizeof(folder), "%s", path);
    for (char *at = strchr(folder + 1, '/'); at; at = strchr(at + 1, '/')) {
        *at = 0;
        (void)mkdir(folder, 0777); /* what is there already is fine; the rest shows when the file is opened */
        *at = '/';
    }
}

static bool write_lines(const struct rs__choice_cache *cache, FILE *file)
{
    bool good = fputs(HEADER, file) >= 0;
    for (size_t i = 0; good && i < cache->count; i++) {
        const struct rs__known_choice *known = &cache->known[i];
        good = fprintf(file, "%s\t%" PRId64 "\t%.6g\t", known->key, known->choice.engine,
                       (double)known->milliseconds) > 0;
        for (int32_t k = 0; good && k < known->choice.knobs; k++)
            good = fprintf(file, "%s%" PRId32 ":%" PRId64, k ? "," : "", known->choice.type[k],
                           known->choice.value[k]) > 0;
        good = good && fputc('\n', file) != EOF;
    }
    return good;
}

void rs__choices_save(struct rs__choice_cache *cache)
{
    char partial[704];
    if (!cache->changed || !cache->path[0])
        return;
    cache->changed = false;
    make_folders(cache->path);
    snprintf(partial, sizeof(partial), "%s.%ld", cache->path, (long)getpid());
    FILE *file = fopen(partial, "we");
    bool good = file && write_lines(cache, file);
    if (file)
        good = (fclose(file) == 0) && good;
    if (good && rename(partial, cache->path) == 0)
        return;
    rs_log(RS_LOG_WARN,
           "cuda: the convolutions' choices can't be kept in %s (%s); set RSTREAM_CACHE to a folder",
           cache->path, strerror(errno));
    if (file)
        (void)unlink(partial);
}
