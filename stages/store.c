/* store.c: the encoded data of a small source in one arena, loaded once or file by file. */
#include "store.h"

#include "alloc.h"

enum place { PLACE_ABSENT, PLACE_LOADING, PLACE_PRESENT };

struct rs_store {
    const struct rs_source *source;
    uint32_t files;
    uint8_t *arena; /* NULL: nothing is kept */
    uint64_t *offsets;
    uint8_t *places; /* enum place, a file */

    /* loading of packed files */
    struct rs_file_read *pieces;
    uint32_t pieces_left;
    int code;
    struct rs_error error;
    void (*done)(void *arg, int code, const struct rs_error *error);
    void *arg;
};

int rs_store_create(struct rs_store **out, const struct rs_source *source, struct rs_error *err)
{
    struct rs_store *s = rs_calloc(1, sizeof *s);
    if (!s)
        goto fail;
    s->source = source;
    s->files = rs_source_file_count(source);
    *out = s;
    if (rs_source_bytes(source) > RS_STORE_LIMIT)
        return 0;
    s->offsets = rs_calloc(s->files, sizeof *s->offsets);
    s->places = rs_calloc(s->files, 1);
    s->arena = rs_alloc((size_t)rs_source_bytes(source));
    if (!s->offsets || !s->places || !s->arena)
        goto fail;
    uint64_t at = 0;
    for (uint32_t i = 0; i < s->files; i++) {
        s->offsets[i] = at;
        at += rs_source_file_size(source, i);
    }
    return 0;
fail:
    rs_store_destroy(s);
    *out = NULL;
    return rs_error_set(err, RS_E_NOMEM, "no memory to keep %llu bytes of data",
                        (unsigned long long)rs_source_bytes(source));
}

void rs_store_destroy(struct rs_store *s)
{
    if (!s)
        return;
    rs_free(s->pieces);
    rs_free(s->arena);
    rs_free(s->offsets);
    rs_free(s->places);
    rs_free(s);
}

static void piece_done(struct rs_file_read *read, int code, const struct rs_error *error)
{
    struct rs_store *s = read->arg;
    if (code < 0 && s->code == 0) {
        s->code = code;
        s->error = *error;
    }
    if (--s->pieces_left)
        return;
    if (s->code == 0)
        for (uint32_t i = 0; i < s->files; i++)
            s->places[i] = PLACE_PRESENT;
    s->done(s->arg, s->code, &s->error);
}

static uint32_t count_pieces(const struct rs_store *s)
{
    uint64_t pieces = 0;
    for (uint32_t i = 0; i < s->files; i++)
        pieces += (rs_source_file_size(s->source, i) + RS_STORE_PIECE - 1) / RS_STORE_PIECE;
    return (uint32_t)pieces;
}

int rs_store_load(struct rs_store *s, struct rs_loop *loop,
                  void (*done)(void *arg, int code, const struct rs_error *error), void *arg,
                  struct rs_error *err)
{
    s->done = done;
    s->arg = arg;
    uint32_t pieces = s->arena && rs_source_is_packed(s->source) ? count_pieces(s) : 0;
    if (!pieces) {
        done(arg, 0, NULL);
        return 0;
    }
    s->pieces = rs_calloc(pieces, sizeof *s->pieces);
    if (!s->pieces)
        return rs_error_set(err, RS_E_NOMEM, "no memory to load the data");
    s->pieces_left = pieces;
    struct rs_file_read *read = s->pieces;
    for (uint32_t i = 0; i < s->files; i++) {
        uint64_t size = rs_source_file_size(s->source, i);
        for (uint64_t at = 0; at < size; at += RS_STORE_PIECE, read++) {
            read->path = rs_source_file_path(s->source, i);
            read->offset = at;
            read->length = (size_t)(size - at < RS_STORE_PIECE ? size - at : RS_STORE_PIECE);
            read->data = s->arena + s->offsets[i] + at;
            read->to_end = at + read->length == size;
            read->done = piece_done;
            read->arg = s;
            rs_loop_read(loop, read);
        }
    }
    return 0;
}

const uint8_t *rs_store_find(const struct rs_store *s, uint32_t file)
{
    return s->arena && s->places[file] == PLACE_PRESENT ? s->arena + s->offsets[file] : NULL;
}

uint8_t *rs_store_claim(struct rs_store *s, uint32_t file)
{
    if (!s->arena || s->places[file] != PLACE_ABSENT)
        return NULL;
    s->places[file] = PLACE_LOADING;
    return s->arena + s->offsets[file];
}

void rs_store_fill(struct rs_store *s, uint32_t file)
{
    s->places[file] = PLACE_PRESENT;
}
