/* rows.c: see rows.h. */
#include "alloc.h"
#include "spans_pvt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct rs_row *rs_spans_row(struct rs_spans *s, const char *name)
{
    if (!s || !s->traced)
        return NULL;
    RS_ASSERT(s->row_count < RS_ROWS_MAX);
    struct rs_row *row = rs_calloc(1, sizeof *row);
    if (row)
        row->records = rs_alloc(RS_ROW_RECORDS * sizeof *row->records);
    if (!row || !row->records) {
        rs_free(row);
        rs__spans_lack(s);
        return NULL;
    }
    snprintf(row->name, sizeof row->name, "%s", name);
    s->rows[s->row_count++] = row;
    return row;
}

void rs__row_destroy(struct rs_row *row)
{
    rs_free(row->records);
    rs_free(row);
}

static void make_plain(char to[RS__ROW_NAME_BYTES], const char *text)
{
    snprintf(to, RS__ROW_NAME_BYTES, "%s", text);
    for (char *at = to; *at; at++)
        if (*at < ' ' || *at > '~' || *at == '"' || *at == '\\')
            *at = '_';
    if (!*to)
        snprintf(to, RS__ROW_NAME_BYTES, "?");
}

/* The name's number; -1 where the table is full. Few names, most of them the one before or near it. */
static int64_t find_name(struct rs_row *row, const char *text)
{
    char plain[RS__ROW_NAME_BYTES];
    uint32_t i = 0;
    make_plain(plain, text);
    while (i < row->name_count && strcmp(row->names[i], plain) != 0)
        i++;
    if (i == RS_ROW_NAMES)
        return -1;
    if (i == row->name_count)
        memcpy(row->names[row->name_count++], plain, sizeof plain);
    return i;
}

void rs_row_add(struct rs_row *row, const struct rs_row_record *record)
{
    if (!row)
        return;
    int64_t name = find_name(row, record->name);
    if (row->count == RS_ROW_RECORDS || name < 0) {
        row->dropped++;
        return;
    }
    row->records[row->count++] = (struct rs__row_record){
        .begin_ns = record->begin_ns,
        .end_ns = record->end_ns < record->begin_ns ? record->begin_ns : record->end_ns,
        .batch = record->batch,
        .flow = record->flow,
        .name = (uint32_t)name,
    };
}

void rs_row_lose(struct rs_row *row, uint64_t count)
{
    if (row)
        row->dropped += count;
}

static int by_begin(const void *left, const void *right)
{
    const struct rs__row_record *a = left, *b = right;
    if (a->begin_ns != b->begin_ns)
        return a->begin_ns < b->begin_ns ? -1 : 1;
    return (a->end_ns > b->end_ns) - (a->end_ns < b->end_ns);
}

void rs__row_arrange(struct rs_row *row, uint64_t began_ns)
{
    uint64_t ends[RS_ROW_TRACKS] = {0}, last_flow = 0;
    uint32_t kept = 0;
    qsort(row->records, row->count, sizeof *row->records, by_begin);
    row->tracks = 0;
    for (uint32_t i = 0; i < row->count; i++) {
        struct rs__row_record r = row->records[i];
        uint32_t track = 0;
        while (track < RS_ROW_TRACKS && ends[track] > r.begin_ns)
            track++;
        if (track == RS_ROW_TRACKS || r.begin_ns < began_ns) {
            row->dropped++;
            continue;
        }
        ends[track] = r.end_ns;
        r.track = track;
        r.flow = r.flow > last_flow ? r.flow : 0;
        last_flow = r.flow ? r.flow : last_flow;
        row->tracks = track + 1 > row->tracks ? track + 1 : row->tracks;
        row->records[kept++] = r;
    }
    row->count = kept;
}
