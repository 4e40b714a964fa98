/* fuzz_safetensors.c: a weights or resume file of the tests' small network: its list of tensors, its values,
 * its metadata. */
#include "fuzz.h"

#include "safetensors.h"
#include "small_state.h"
#include "weights_info.h"
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define CODES                                                                                                \
    RS_E_CORRUPT, RS_E_UNSUPPORTED, RS_E_LIMIT, RS_E_NOT_FOUND,                                              \
        RS_E_SHAPE /* the last two: a sound file of another network */

static int by_begin(const void *a, const void *b)
{
    const struct rs__tensor_entry *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return (x->end > y->end) - (x->end < y->end);
}

/* Bytes of the shape's elements; a dtype's name ends with its bits, but for BOOL. */
static int64_t shape_bytes(const struct rs__tensor_entry *entry)
{
    const char *bits = strpbrk(entry->dtype, "0123456789");
    int64_t bytes = bits ? atoi(bits) / 8 : 1;
    for (int32_t d = 0; d < entry->rank; d++)
        bytes *= entry->dims[d];
    return bytes;
}

/* Each byte of the data belongs to one tensor, names differ, and what a tensor reads is what lies there. */
static void check_entries(const struct rs__tensor_reader *reader, const uint8_t *data, size_t size)
{
    size_t bytes = (size_t)reader->count * sizeof *reader->entries;
    struct rs__tensor_entry *entries = malloc(bytes + 1);
    int64_t covered = 0;
    FUZZ_CHECK(entries);
    FUZZ_CHECK(reader->data_start + reader->data_size == (int64_t)size);
    if (reader->count)
        memcpy(entries, reader->entries, bytes);
    for (int32_t i = 0; i < reader->count; i++) {
        const struct rs__tensor_entry *entry = &reader->entries[i];
        FUZZ_CHECK(i == 0 || strcmp(entry[-1].name, entry->name) < 0);
        FUZZ_CHECK(entry->end - entry->begin == shape_bytes(entry));
        FUZZ_CHECK(rs__tensor_find(reader, entry->name) == entry);
        uint8_t *values = malloc((size_t)(entry->end - entry->begin) + 1);
        FUZZ_CHECK(values && rs__tensor_read(reader, entry, values, NULL) == 0);
        FUZZ_CHECK(memcmp(values, data + reader->data_start + entry->begin,
                          (size_t)(entry->end - entry->begin)) == 0);
        free(values);
    }
    qsort(entries, (size_t)reader->count, sizeof *entries, by_begin);
    for (int32_t i = 0; i < reader->count; covered = entries[i++].end)
        FUZZ_CHECK(entries[i].begin == covered);
    FUZZ_CHECK(covered == reader->data_size);
    free(entries);
}

static int check_reader(const char *path, const uint8_t *data, size_t size)
{
    struct rs__tensor_reader reader;
    struct rs_error err = {0};
    int code = rs__tensor_open(&reader, path, &err);
    if (code == 0)
        check_entries(&reader, data, size);
    else
        FUZZ_REFUSED(code, &err, path, RS_E_CORRUPT, RS_E_UNSUPPORTED, RS_E_LIMIT);
    rs__tensor_close(&reader);
    return code;
}

/* What the commands eval and predict ask of a file. */
static void check_info(const char *path, bool readable)
{
    struct rs_weights_info info;
    struct rs_error err = {0};
    char *value = NULL;
    FUZZ_CHECK((rs_checkpoint_metadata(path, "classes", &value, NULL) == 0) == readable);
    free(value);
    int code = rs__weights_info_read(path, &info, &err);
    if (code < 0)
        FUZZ_REFUSED(code, &err, path, CODES);
    else
        FUZZ_CHECK(readable && info.classes > 0 && info.image_size <= 1024);
    for (int32_t c = 0; code == 0 && info.names && c < info.classes; c++)
        FUZZ_CHECK(info.names[c] && !strchr(info.names[c], '\n'));
    rs__weights_info_free(&info);
}

static struct rs_state *new_state(void)
{
    static struct rs_graph *graph;
    struct rs_state *state = NULL;
    if (!graph)
        FUZZ_CHECK(small_state_graph(&graph, NULL) > 0);
    FUZZ_CHECK(rs_state_create(&state, graph, NULL) == 0);
    return state;
}

/* A file that doesn't fit changes nothing; only a negative counter is found after values were read. */
static int check_load(const char *path, int with_optimizer)
{
    struct rs_state *state = new_state(), *other = new_state();
    struct rs_error err = {0};
    int code = rs_checkpoint_load(path, state, with_optimizer, &err);
    bool partly = code == RS_E_CORRUPT && strstr(err.message, "counts -");
    if (code < 0 && !partly)
        FUZZ_CHECK(small_state_same(state, other, 1));
    if (code < 0)
        FUZZ_REFUSED(code, &err, path, CODES);
    else
        FUZZ_CHECK(state->steps >= 0 && state->batches_tracked[0] >= 0);
    if (code == 0 && with_optimizer) { /* the same file holds the same weights */
        FUZZ_CHECK(rs_checkpoint_load(path, other, 0, NULL) == 0);
        FUZZ_CHECK(small_state_same(state, other, 0));
    }
    rs_state_destroy(other);
    rs_state_destroy(state);
    return code;
}

int fuzz_run(const uint8_t *data, size_t size)
{
    const char *path = fuzz_file(data, size);
    bool readable = check_reader(path, data, size) == 0;
    check_info(path, readable);
    int weights = check_load(path, 0);
    int all = check_load(path, 1);
    FUZZ_CHECK(readable || (weights < 0 && all < 0));
    FUZZ_CHECK(weights == 0 || all < 0);
    return weights;
}

#ifdef RS_FUZZ
#define LENGTH_BYTES 8

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed);

/* Most inputs get the length of the header that they have: it ends at the last brace. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
    size = LLVMFuzzerMutate(data, size, max_size);
    uint64_t end = size;
    while (end > LENGTH_BYTES && data[end - 1] != '}')
        end--;
    if (seed % 8 == 0 || end <= LENGTH_BYTES)
        return size;
    end -= LENGTH_BYTES;
    memcpy(data, &end, sizeof end);
    return size;
}
#endif
