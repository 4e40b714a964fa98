/* choices.h: which engine was fastest for a convolution pass, kept on disk.
 *
 * How it works: a text file for each cuDNN version and device; a line is a pass ("forward bf16 n64 c64 …"),
 * the engine, its milliseconds and its knobs, separated by tabs. The file is read at the start and written
 * anew, beside and renamed, when something was learnt. It is a cache: one that is missing, damaged or can't
 * be written only costs the time of trying again.
 *
 * Owner: the device. @thread one at a time.
 */
#ifndef RS_CUDA_CHOICES_H
#define RS_CUDA_CHOICES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RS__KNOBS_MAX 24
#define RS__CHOICE_KEY_MAX 112

struct rs__choice {
    int64_t engine; /* its global index within the operation's kind */
    int32_t knobs;
    int32_t type[RS__KNOBS_MAX]; /* cudnnBackendKnobType_t */
    int64_t value[RS__KNOBS_MAX];
};

struct rs__known_choice {
    char key[RS__CHOICE_KEY_MAX];
    float milliseconds;
    struct rs__choice choice;
};

struct rs__choice_cache {
    char path[640]; /* empty: nothing is kept */
    struct rs__known_choice *known;
    size_t count, capacity;
    bool changed;
};

/* folder: made when the file is first written; empty: nothing is kept beyond the process. */
void rs__choices_open(struct rs__choice_cache *cache, const char *folder, size_t version, const char *device);
void rs__choices_close(struct rs__choice_cache *cache);
bool rs__same_choice(const struct rs__choice *a, const struct rs__choice *b);
/* NULL: not known. Good until the next add. */
const struct rs__known_choice *rs__choices_find(const struct rs__choice_cache *cache, const char *key);
/* Replaces what was known. Without memory nothing is learnt. */
void rs__choices_add(struct rs__choice_cache *cache, const char *key, const struct rs__choice *choice,
                     float milliseconds);
/* Writes the file if something was added. A failure is logged. */
void rs__choices_save(struct rs__choice_cache *cache);

#endif
