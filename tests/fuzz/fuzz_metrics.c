/* fuzz_metrics.c: metrics.jsonl, rewound to a checkpoint. The first two bytes are the checkpoint's step and
 * epoch, the rest is the file. */
#include "fuzz.h"

#include "sinks.h"
#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define NAME "metrics.jsonl"
#define CHOICE_BYTES 2

static char *rewound(uint64_t steps, uint32_t epoch, size_t *size)
{
    char path[512];
    struct stat info;
    struct rs_error err = {0};
    snprintf(path, sizeof path, "%s/" NAME, fuzz_folder());
    FUZZ_CHECK(rs_sink_jsonl_rewind(path, steps, epoch, &err) == 0);
    FUZZ_CHECK(stat(path, &info) == 0);
    *size = (size_t)info.st_size;
    char *text = malloc(*size + 1);
    FILE *file = fopen(path, "rb");
    FUZZ_CHECK(text && file && fread(text, 1, *size, file) == *size);
    fclose(file);
    text[*size] = '\0';
    return text;
}

/* A line of length bytes is an object that belongs before the checkpoint. */
static bool belongs(const char *line, size_t length, uint64_t steps, uint32_t epoch)
{
    const char *end = NULL;
    for (size_t i = 0; i < length; i++)
        if (line[i] >= 0 && line[i] < ' ' && line[i] != '\t' && line[i] != '\r') /* no JSON */
            return false;
    cJSON *json = cJSON_ParseWithLengthOpts(line, length, &end, 0);
    const cJSON *event = cJSON_GetObjectItemCaseSensitive(json, "event");
    const cJSON *step = cJSON_GetObjectItemCaseSensitive(json, "step");
    const cJSON *of = cJSON_GetObjectItemCaseSensitive(json, "epoch");
    bool is = cJSON_IsObject(json) && cJSON_IsString(event) && cJSON_IsNumber(step) && cJSON_IsNumber(of);
    if (is && strcmp(event->valuestring, "epoch") == 0)
        is = of->valuedouble < epoch;
    else if (is)
        is = step->valuedouble <= (double)steps;
    for (; is && end < line + length; end++) /* nothing follows the object */
        is = strchr(" \t\r\n", *end) != NULL;
    cJSON_Delete(json);
    return is;
}

/* The kept text is the input's lines that belong, whole and in their order, each with a newline. */
static void check_lines(const char *text, size_t size, const char *kept, size_t kept_size, uint64_t steps,
                        uint32_t epoch)
{
    const char *end = text + size, *kept_end = kept + kept_size;
    while (text < end) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        size_t length = (size_t)((newline ? newline : end) - text);
        if (belongs(text, length, steps, epoch)) {
            FUZZ_CHECK((size_t)(kept_end - kept) > length && memcmp(kept, text, length) == 0);
            FUZZ_CHECK(kept[length] == '\n');
            kept += length + 1;
        }
        text += length + 1;
    }
    FUZZ_CHECK(kept == kept_end);
}

int fuzz_run(const uint8_t *data, size_t size)
{
    if (size < CHOICE_BYTES)
        return RS_E_USAGE;
    size_t kept_size, again_size;
    uint64_t steps = data[0];
    uint32_t epoch = data[1];
    fuzz_folder_write(NAME, data + CHOICE_BYTES, size - CHOICE_BYTES);
    char *kept = rewound(steps, epoch, &kept_size);
    check_lines((const char *)data + CHOICE_BYTES, size - CHOICE_BYTES, kept, kept_size, steps, epoch);
    char *again = rewound(steps, epoch, &again_size);
    FUZZ_CHECK(again_size == kept_size && memcmp(again, kept, kept_size) == 0);
    free(again);
    free(kept);
    return kept_size == size - CHOICE_BYTES ? 0 : RS_E_CORRUPT;
}
