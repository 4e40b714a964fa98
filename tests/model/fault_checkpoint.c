/* fault_checkpoint.c: files that lie, are cut off or belong to another network; disks that are full.
 *
 * How it works: a refused file must give its code, a message that names file and tensor, and an unchanged
 * state. A failed save must leave the old file and nothing else.
 */
#include "small_state.h"
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define NOBODY 65534

/* The header of small_state's weights, in another order than ours; 2 + 2 conv, 2 + 2 + 2 + 2 bn, 24 + 3
 * classifier: 39 floats. */
#define CONV "\"conv.weight\":{\"dtype\":\"F32\",\"shape\":[2,1,1,1],\"data_offsets\":[0,8]},"
#define CONV_BIAS "\"conv.bias\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,16]},"
#define BN                                                                                                   \
    "\"bn.weight\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[16,24]},"                              \
    "\"bn.bias\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[24,32]},"                                \
    "\"bn.running_mean\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[32,40]},"                        \
    "\"bn.running_var\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[40,48]},"
#define COUNTER "\"bn.num_batches_tracked\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[48,56]},"
#define CLASSIFIER "\"classifier.weight\":{\"dtype\":\"F32\",\"shape\":[3,8],\"data_offsets\":[56,152]},"
#define CLASSIFIER_BIAS "\"classifier.bias\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[152,164]}"
#define GOOD "{" CONV CONV_BIAS BN COUNTER CLASSIFIER CLASSIFIER_BIAS "}"
#define GOOD_DATA 164

struct lie {
    const char *header;
    size_t data; /* bytes after it */
    int code;
    const char *says; /* must be in the message */
};

static const struct lie lies[] = {
    {GOOD, GOOD_DATA, 0, ""},
    {GOOD "      ", GOOD_DATA, 0, ""},
    {"{\"__metadata__\":{\"format\":\"pt\"}," CONV CONV_BIAS BN COUNTER CLASSIFIER CLASSIFIER_BIAS "}",
     GOOD_DATA, 0, ""},
    {GOOD, GOOD_DATA - 1, RS_E_CORRUPT, "classifier.bias"},
    {GOOD, GOOD_DATA + 1, RS_E_CORRUPT, "belong to no tensor"},
    {GOOD "x", GOOD_DATA, RS_E_CORRUPT, "follows the header"},
    {"", 0, RS_E_CORRUPT, "no JSON object"},
    {"[1,2]", 0, RS_E_CORRUPT, "no JSON object"},
    {"{\"a\":", 0, RS_E_CORRUPT, "no JSON object"},
    {"{}", 0, RS_E_NOT_FOUND, "bn.num_batches_tracked"},
    {"{\"a\":[[[[[[[[[]]]]]]]]]}", 0, RS_E_CORRUPT, "nested"},
    {"{\"__metadata__\":{\"a\":[[[[[[1]]]]]]}," CONV CONV_BIAS BN COUNTER CLASSIFIER CLASSIFIER_BIAS "}",
     GOOD_DATA, 0, ""},
    {"{\"__metadata__\":{\"a\":[[[[[[[1]]]]]]]}," CONV CONV_BIAS BN COUNTER CLASSIFIER CLASSIFIER_BIAS "}",
     GOOD_DATA, RS_E_CORRUPT, "nested more than 8 deep"},
    /* an empty tensor begins where another one does, behind it in the header */
    {"{" CONV CONV_BIAS BN COUNTER CLASSIFIER CLASSIFIER_BIAS
     ",\"z\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[8,8]}}",
     GOOD_DATA, RS_E_SHAPE, "no tensor 'z'"},
    {"{" CONV CONV_BIAS BN COUNTER CLASSIFIER CLASSIFIER_BIAS
     ",\"z\":{\"dtype\":\"U16\",\"shape\":[1,1,1,1,1,1,1,2],\"data_offsets\":[164,168]}}",
     168, RS_E_SHAPE, "no tensor 'z'"},
    {"{\"\\\"[[[[[[[[[[[[\":1}", 0, RS_E_CORRUPT, "no dtype"},
    {"{" CONV CONV_BIAS BN COUNTER CLASSIFIER "\"classifier.bias\":3}", GOOD_DATA, RS_E_CORRUPT, "no dtype"},
    {"{" CONV CONV_BIAS BN CLASSIFIER CLASSIFIER_BIAS "}", GOOD_DATA, RS_E_CORRUPT, "gap"},
    {"{" CONV CONV_BIAS BN COUNTER
     "\"classifier.weight\":{\"dtype\":\"F32\",\"shape\":[3,8],\"data_offsets\":[48,144]},"
     "\"classifier.bias\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[144,156]}}",
     156, RS_E_CORRUPT, "overlaps"},
    {"{" CONV CONV_BIAS BN COUNTER
     "\"classifier.weight\":{\"dtype\":\"F32\",\"shape\":[8,3],\"data_offsets\":[56,152]}," CLASSIFIER_BIAS
     "}",
     GOOD_DATA, RS_E_SHAPE, "'classifier.weight' has the shape [8, 3], the network needs [3, 8]"},
    {"{" CONV CONV_BIAS BN COUNTER
     "\"classifier.weight\":{\"dtype\":\"F32\",\"shape\":[3,4],\"data_offsets\":[56,104]},"
     "\"classifier.bias\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[104,116]}}",
     116, RS_E_SHAPE, "[3, 4], the network needs [3, 8]"},
    {"{" CONV CONV_BIAS BN COUNTER
     "\"classifier.weight\":{\"dtype\":\"F32\",\"shape\":[24],\"data_offsets\":[56,152]}," CLASSIFIER_BIAS
     "}",
     GOOD_DATA, RS_E_SHAPE, "[24], the network needs [3, 8]"},
    {"{" CONV CONV_BIAS BN COUNTER
     "\"classifier.weight\":{\"dtype\":\"F16\",\"shape\":[3,8],\"data_offsets\":[56,104]},"
     "\"classifier.bias\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[104,116]}}",
     116, RS_E_UNSUPPORTED, "'classifier.weight' is F16, only F32 can be read; convert it with .float()"},
    {"{" CONV CONV_BIAS BN COUNTER CLASSIFIER
     "\"classifier.bias\":{\"dtype\":\"BF16\",\"shape\":[3],\"data_offsets\":[152,158]}}",
     158, RS_E_UNSUPPORTED, "BF16"},
    {"{" CONV CONV_BIAS BN COUNTER CLASSIFIER
     "\"classifier.bias\":{\"dtype\":\"F64\",\"shape\":[3],\"data_offsets\":[152,176]}}",
     176, RS_E_UNSUPPORTED, "F64"},
    {"{" CONV CONV_BIAS BN COUNTER CLASSIFIER
     "\"classifier.bias\":{\"dtype\":\"Q4\",\"shape\":[3],\"data_offsets\":[152,164]}}",
     GOOD_DATA, RS_E_UNSUPPORTED, "unknown dtype 'Q4'"},
    {"{" CONV CONV_BIAS BN
     "\"bn.num_batches_tracked\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[48,56]}," CLASSIFIER
         CLASSIFIER_BIAS "}",
     GOOD_DATA, RS_E_SHAPE, "'bn.num_batches_tracked' has the shape [1], the network needs []"},
    {"{" CONV CONV_BIAS BN
     "\"bn.num_batches_tracked\":{\"dtype\":\"F64\",\"shape\":[],\"data_offsets\":[48,56]}," CLASSIFIER
         CLASSIFIER_BIAS "}",
     GOOD_DATA, RS_E_UNSUPPORTED, ".long()"},
    {"{" CONV CONV_BIAS BN COUNTER CLASSIFIER CLASSIFIER_BIAS
     ",\"extra\\u0007\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[164,168]}}",
     168, RS_E_SHAPE, "no tensor 'extra?'"},
    {"{" CONV CONV_BIAS BN COUNTER CLASSIFIER CLASSIFIER_BIAS
     ",\"\x7f~\\u001f \":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[164,168]}}",
     168, RS_E_SHAPE, "no tensor '?~? '"},
    {"{" CONV CONV_BIAS BN COUNTER CLASSIFIER CLASSIFIER_BIAS
     ",\"optimizer.moment1.nothing\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[164,168]}}",
     168, RS_E_SHAPE, "optimizer.moment1.nothing"},
    {"{" CONV CONV_BIAS BN COUNTER CLASSIFIER CLASSIFIER_BIAS
     ",\"conv.bias\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[164,164]}}",
     GOOD_DATA, RS_E_CORRUPT, "'conv.bias': it stands in the file twice"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4, RS_E_CORRUPT, "no count"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1.5],\"data_offsets\":[0,6]}}", 6, RS_E_CORRUPT, "no count"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}", 0, RS_E_CORRUPT,
     "no count"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1e300],\"data_offsets\":[0,4]}}", 4, RS_E_CORRUPT, "no count"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[\"1\"],\"data_offsets\":[0,4]}}", 4, RS_E_CORRUPT, "no count"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}", 4, RS_E_CORRUPT,
     "8 dimensions"},
    {"{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, RS_E_CORRUPT, "no shape"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4]}}", 4, RS_E_CORRUPT, "no pair"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", 4, RS_E_CORRUPT, "no range"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[-4,0]}}", 4, RS_E_CORRUPT, "no range"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,8]}}", 8, RS_E_CORRUPT, "don't fit"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[9007199254740988,9007199254740992]}}", 4,
     RS_E_CORRUPT, "cut off"},
    {"{\"a\":{\"dtype\":3,\"shape\":[1],\"data_offsets\":[0,4]}}", 4, RS_E_CORRUPT, "no dtype"},
};

static void write_lie(const struct small_state *f, const char *header, size_t data)
{
    const uint64_t length = strlen(header);
    char *file = calloc(1, 8 + length + data + 1);
    assert_non_null(file);
    memcpy(file, &length, 8);
    snprintf(file + 8, length + 1, "%s", header);
    small_state_write_file(f->path, file, 8 + length + data);
    free(file);
}

static void test_lies(void **state)
{
    struct small_state *f = *state;
    struct rs_state *victim;
    assert_int_equal(rs_state_create(&victim, f->graph, &f->err), 0);
    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        const struct lie *lie = &lies[i];
        rs_state_copy(victim, f->state);
        write_lie(f, lie->header, lie->data);
        f->err = (struct rs_error){0};
        const int code = rs_checkpoint_load(f->path, victim, 0, &f->err);
        if (code != lie->code ||
            (code < 0 && (!strstr(f->err.message, lie->says) || !strstr(f->err.message, f->path))))
            fail_msg("lie %zu: code %d, expected %d \"%s\": %s", i, code, lie->code, lie->says,
                     f->err.message);
        if (code < 0)
            assert_true(small_state_same(victim, f->state, 1));
        else
            assert_true(victim->params[0] == 0);
    }
    rs_state_destroy(victim);
}

static void test_negative_counter(void **state)
{
    struct small_state *f = *state;
    f->state->batches_tracked[0] = -1;
    assert_int_equal(rs_checkpoint_save(f->path, f->state, 0, NULL, 0, &f->err), 0);
    assert_int_equal(rs_checkpoint_load(f->path, f->state, 0, &f->err), RS_E_CORRUPT);
    assert_non_null(strstr(f->err.message, "bn.num_batches_tracked"));
}

/* Cut off at every byte; also with a header length that lies. */
static void test_truncated(void **state)
{
    struct small_state *f = *state;
    size_t size;
    const struct rs_metadata metadata = {"a", "b"};
    assert_int_equal(rs_checkpoint_save(f->path, f->state, 1, &metadata, 1, &f->err), 0);
    char *file = small_state_read_file(f->path, &size);
    for (size_t cut = 0; cut < size; cut++) {
        char *value;
        int32_t classes;
        small_state_write_file(f->path, file, cut);
        assert_int_equal(rs_checkpoint_load(f->path, f->state, 0, &f->err), RS_E_CORRUPT);
        assert_int_equal(rs_checkpoint_metadata(f->path, "a", &value, &f->err), RS_E_CORRUPT);
        assert_int_equal(rs_checkpoint_classes(f->path, &classes, &f->err), RS_E_CORRUPT);
    }
    const uint64_t lengths[] = {0, 1, size, UINT64_MAX, UINT64_MAX - 7, INT64_MAX, (uint64_t)1 << 62};
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        memcpy(file, &lengths[i], 8);
        small_state_write_file(f->path, file, size);
        assert_int_equal(rs_checkpoint_load(f->path, f->state, 0, &f->err), RS_E_CORRUPT);
    }
    free(file);
}

/* Every third bit of the header turned, one at a time: refused or loaded, never a crash (the sanitizers
 * watch). */
static void test_flipped_bits(void **state)
{
    struct small_state *f = *state;
    size_t size, refused = 0, tried = 0;
    uint64_t length;
    assert_int_equal(rs_checkpoint_save(f->path, f->state, 0, NULL, 0, &f->err), 0);
    char *file = small_state_read_file(f->path, &size);
    memcpy(&length, file, 8);
    for (size_t bit = 0; bit < 8 * (8 + length); bit += 3, tried++) {
        file[bit / 8] = (char)(file[bit / 8] ^ 1 << bit % 8);
        small_state_write_file(f->path, file, size);
        refused += rs_checkpoint_load(f->path, f->state, 0, &f->err) < 0;
        file[bit / 8] = (char)(file[bit / 8] ^ 1 << bit % 8);
    }
    assert_true(refused > tried / 2); /* spaces and letter case of nothing important may turn */
    free(file);
}

static void test_large_header(void **state)
{
    struct small_state *f = *state;
    const uint64_t length = ((uint64_t)16 << 20) + 8;
    FILE *file = fopen(f->path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(&length, 8, 1, file), 1);
    assert_int_equal(ftruncate(fileno(file), (off_t)(length + 64)), 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(rs_checkpoint_load(f->path, f->state, 0, &f->err), RS_E_LIMIT);
    /* the longest header that is read */
    const size_t longest = (size_t)16 << 20;
    char *header = malloc(longest + 1);
    assert_non_null(header);
    memset(header, ' ', longest);
    header[longest] = '\0';
    memcpy(header, GOOD, strlen(GOOD));
    write_lie(f, header, GOOD_DATA);
    assert_int_equal(rs_checkpoint_load(f->path, f->state, 0, &f->err), 0);
    free(header);
}

static void test_no_file(void **state)
{
    struct small_state *f = *state;
    char *value;
    int32_t classes;
    char folder_path[128];
    assert_int_equal(rs_checkpoint_load(f->path, f->state, 0, &f->err), RS_E_NOT_FOUND);
    assert_non_null(strstr(f->err.message, f->path));
    assert_int_equal(rs_checkpoint_metadata(f->path, "a", &value, &f->err), RS_E_NOT_FOUND);
    assert_int_equal(rs_checkpoint_classes(f->path, &classes, &f->err), RS_E_NOT_FOUND);
    assert_int_equal(rs_checkpoint_load(f->folder, f->state, 0, &f->err), RS_E_UNSUPPORTED);
    assert_int_equal(mkfifo(f->path, 0600), 0); /* nobody writes into it; an open must not wait */
    assert_int_equal(rs_checkpoint_load(f->path, f->state, 0, &f->err), RS_E_UNSUPPORTED);
    snprintf(folder_path, sizeof(folder_path), "%s/none/w.safetensors", f->folder);
    assert_int_equal(rs_checkpoint_save(folder_path, f->state, 0, NULL, 0, &f->err), RS_E_NOT_FOUND);
}

static void check_failed_save(struct small_state *f, int code)
{
    size_t size;
    char partial[128];
    snprintf(partial, sizeof(partial), "%s.partial", f->path);
    f->state->params[0] += 1;
    f->err = (struct rs_error){0};
    const int got = rs_checkpoint_save(f->path, f->state, 1, NULL, 0, &f->err);
    if (got != code)
        fail_msg("code %d, expected %d: %s", got, code, f->err.message);
    assert_non_null(strstr(f->err.message, f->path));
    assert_int_equal(access(partial, F_OK), -1);
    char *file = small_state_read_file(f->path, &size);
    assert_int_equal(size, 3);
    assert_memory_equal(file, "old", 3);
    free(file);
}

/* /dev/full in the partial file's place: every write says that the disk is full. */
static void test_full_disk(void **state)
{
    struct small_state *f = *state;
    char partial[128];
    snprintf(partial, sizeof(partial), "%s.partial", f->path);
    small_state_write_file(f->path, "old", 3);
    assert_int_equal(symlink("/dev/full", partial), 0);
    check_failed_save(f, RS_E_NO_SPACE);
    assert_non_null(strstr(f->err.message, "free some space"));
    assert_int_equal(access("/dev/full", F_OK), 0);
}

/* Saves under a limit on a file's size; without the limit again when it returns, for the test's own output is
 * a file, too. */
static int save_limited(struct small_state *f, rlim_t limit)
{
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    const struct rlimit lower = {limit, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &lower), 0);
    const int code = rs_checkpoint_save(f->path, f->state, 1, NULL, 0, &f->err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    return code;
}

/* The limit is reached in the header, within the data and one byte before the end: a write that is short,
 * then one that is refused. */
static void test_size_limit(void **state)
{
    struct small_state *f = *state;
    struct stat info;
    char partial[128];
    snprintf(partial, sizeof(partial), "%s.partial", f->path);
    assert_int_equal(rs_checkpoint_save(f->path, f->state, 1, NULL, 0, &f->err), 0);
    assert_int_equal(stat(f->path, &info), 0);
    const rlim_t limits[] = {0, 5, 600, (rlim_t)info.st_size - 100, (rlim_t)info.st_size - 1};
    small_state_write_file(f->path, "old", 3);
    void (*kept)(int) = signal(SIGXFSZ, SIG_IGN);
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        assert_int_equal(save_limited(f, limits[i]), RS_E_IO);
        assert_int_equal(access(partial, F_OK), -1);
        assert_int_equal(stat(f->path, &info), 0);
        assert_int_equal(info.st_size, 3);
    }
    signal(SIGXFSZ, kept);
}

/* A folder where the file should be can't be replaced. */
static void test_folder_in_the_way(void **state)
{
    struct small_state *f = *state;
    char partial[128];
    snprintf(partial, sizeof(partial), "%s.partial", f->path);
    assert_int_equal(mkdir(f->path, 0700), 0);
    assert_int_equal(rs_checkpoint_save(f->path, f->state, 0, NULL, 0, &f->err), RS_E_IO);
    assert_int_equal(access(partial, F_OK), -1);
    assert_int_equal(rmdir(f->path), 0);
}

/* Permissions do not stop root, so as root the test becomes the user nobody. */
static void test_permissions(void **state)
{
    struct small_state *f = *state;
    const int was_root = geteuid() == 0;
    if (was_root && (chown(f->folder, NOBODY, NOBODY) != 0 || seteuid(NOBODY) != 0))
        skip();
    small_state_write_file(f->path, "old", 3);
    assert_int_equal(chmod(f->folder, 0500), 0);
    check_failed_save(f, RS_E_PERMISSION);
    assert_int_equal(chmod(f->folder, 0700), 0);
    assert_int_equal(chmod(f->path, 0), 0);
    assert_int_equal(rs_checkpoint_load(f->path, f->state, 0, &f->err), RS_E_PERMISSION);
    assert_non_null(strstr(f->err.message, f->path));
    if (was_root)
        assert_int_equal(seteuid(0), 0);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, small_state_set_up, small_state_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_lies),         CASE(test_negative_counter),  CASE(test_truncated), CASE(test_flipped_bits),
        CASE(test_large_header), CASE(test_no_file),           CASE(test_full_disk), CASE(test_size_limit),
        CASE(test_permissions),  CASE(test_folder_in_the_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
