/* weights.c: the triangle filter's weights as Pillow computes them, in the layouts that the code paths want.
 *
 * How it works: as Pillow's Resample.c: an output pixel's centre in the input is (i + 0.5) * scale; the
 * triangle is one output pixel wide on each side when it shrinks, one input pixel when it grows; weights are
 * normalized in double and rounded to fixed point. The doubles must not be contracted to fused multiply-adds:
 * -std=c11 sees to that. Taps that round to 0 at either end are dropped, which changes no sum.
 */
#include "paths.h"
#include <math.h>
#include <string.h>

#define SHUFFLE_WINDOW_MAX 128u
#define PAIR_WINDOW 16u
/* A kernel reads its quads in loads of at most this many bytes from the group's base. */
#define LOAD_MAX 128u

struct span { /* one output's inputs and how it weighs them */
    double center, inverse;
    uint32_t first, count;
};

static struct span span_of(uint32_t in, uint32_t out, uint32_t i)
{
    double scale = (double)in / out;
    double width = scale < 1.0 ? 1.0 : scale;
    struct span s = {.center = (i + 0.5) * scale, .inverse = 1.0 / width};
    int64_t first = (int64_t)(s.center - width + 0.5);
    int64_t last = (int64_t)(s.center + width + 0.5);
    first = first < 0 ? 0 : first;
    last = last > (int64_t)in ? (int64_t)in : last;
    s.first = (uint32_t)first;
    s.count = (uint32_t)(last - first);
    return s;
}

static double triangle(const struct span *s, uint32_t tap)
{
    double x = fabs(((double)(tap + s->first) - s->center + 0.5) * s->inverse);
    return x < 1.0 ? 1.0 - x : 0.0;
}

/* Writes the span's weights, first one in front; narrows the span to the taps that don't round to 0. */
static void weigh(struct span *s, uint32_t *fixed)
{
    double sum = 0.0;
    for (uint32_t t = 0; t < s->count; t++)
        sum += triangle(s, t);
    uint32_t used = 0, skipped = 0;
    for (uint32_t t = 0; t < s->count; t++) {
        uint32_t w = (uint32_t)(0.5 + triangle(s, t) / sum * (1 << RS__WEIGHT_BITS));
        if (w == 0 && used == 0) {
            skipped++;
            continue;
        }
        fixed[t - skipped] = w;
        if (w != 0)
            used = t - skipped + 1;
    }
    s->first += skipped;
    s->count = used;
}

static size_t padded(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

static uint32_t parts_of(enum rs__layout layout)
{
    switch (layout) {
    case RS__LAYOUT_WORDS:
        return RS__WORD_PARTS;
    case RS__LAYOUT_DIGITS:
        return RS__DIGIT_PARTS;
    case RS__LAYOUT_PLAIN:
        break;
    }
    return 0;
}

/* Reserves the arrays, zeroed, for the most taps that an output can have. */
static int lay_out(struct rs__weights *w, uint32_t parts, struct rs_error *err)
{
    size_t outputs = (size_t)w->groups * RS__GROUP;
    size_t words = padded(outputs * sizeof(uint32_t));
    size_t bases = padded(w->groups * sizeof(uint32_t));
    size_t shuffles = (size_t)w->groups * 64;
    size_t taps = outputs * w->quads * RS__QUAD * sizeof(uint32_t);
    size_t parted = (size_t)w->groups * w->quads * parts * RS__GROUP * sizeof(uint32_t);
    size_t blends = padded(outputs * sizeof(int16_t)), pairs = padded(outputs * 2);
    size_t total = 3 * words + bases + shuffles + blends + pairs + taps + parted;
    RS_TRY(rs_buffer_reserve(&w->memory, total, err));
    uint8_t *at = w->memory.data;
    memset(at, 0, total);
    w->packed = (uint32_t *)(void *)at; /* in front: kernels load it in whole aligned vectors */
    w->fixed = (uint32_t *)(void *)(at += parted);
    w->first = (uint32_t *)(void *)(at += taps);
    w->count = (uint32_t *)(void *)(at += words);
    w->offset = (uint32_t *)(void *)(at += words);
    w->base = (uint32_t *)(void *)(at += words);
    w->shuffle = (at += bases);
    w->blend = (int16_t *)(void *)(at += shuffles);
    w->pairs = at + blends;
    return 0;
}

/* Bases, offsets and shuffles of the groups, once the firsts are known. */
static void group(struct rs__weights *w)
{
    w->window = 0;
    w->reach = 0;
    for (uint32_t g = 0; g < w->groups; g++) {
        const uint32_t *first = w->first + (size_t)g * RS__GROUP;
        uint32_t low = first[0], high = first[0];
        for (uint32_t i = 1; i < RS__GROUP; i++) {
            low = first[i] < low ? first[i] : low;
            high = first[i] > high ? first[i] : high;
        }
        uint32_t window = high - low + (uint32_t)RS__QUAD;
        size_t loaded = window > LOAD_MAX ? window : LOAD_MAX;
        size_t reach = low + (w->quads - 1) * RS__QUAD + loaded;
        w->window = window > w->window ? window : w->window;
        w->reach = reach > w->reach ? reach : w->reach;
        w->base[g] = low;
        for (uint32_t i = 0; i < RS__GROUP; i++) {
            w->offset[(size_t)g * RS__GROUP + i] = first[i] - low;
            for (uint32_t b = 0; b < RS__QUAD && window <= SHUFFLE_WINDOW_MAX; b++)
                w->shuffle[(size_t)g * 64 + i * RS__QUAD + b] = (uint8_t)(first[i] - low + b);
        }
    }
}

/* Blend weights of the outputs, and the bytes that they blend. */
static void find_blends(struct rs__weights *w, const struct rs__path *path)
{
    w->blends = path->find_blend != NULL;
    for (size_t i = 0; i < (size_t)w->groups * RS__GROUP; i++) {
        const uint32_t *taps = w->fixed + i * w->quads * RS__QUAD;
        bool may = path->find_blend != NULL && w->count[i] <= 2;
        w->blend[i] = may ? path->find_blend(taps[0], taps[1]) : -1;
        w->blends = w->blends && w->blend[i] >= 0 && w->offset[i] + 2 <= PAIR_WINDOW;
        w->pairs[2 * i] = (uint8_t)w->offset[i];
        w->pairs[2 * i + 1] = (uint8_t)(w->offset[i] + 1);
    }
}

static void pack_words(const uint32_t *taps, uint32_t *part)
{
    uint32_t mask = ((uint32_t)1 << RS__WORD_BITS) - 1;
    part[0] = taps[0] >> RS__WORD_BITS | (taps[2] >> RS__WORD_BITS) << 16;
    part[RS__GROUP] = taps[1] >> RS__WORD_BITS | (taps[3] >> RS__WORD_BITS) << 16;
    part[2 * RS__GROUP] = (taps[0] & mask) | (taps[2] & mask) << 16;
    part[3 * RS__GROUP] = (taps[1] & mask) | (taps[3] & mask) << 16;
}

/* Signed digits to base 256: c is w modulo 256 in [-128, 127], b the same of what is left; a is 64 at most.
 */
static void pack_digits(const uint32_t *taps, uint32_t *part)
{
    for (uint32_t t = 0; t < RS__QUAD; t++) {
        uint32_t middle = taps[t] + 128; /* its bits above 8 are (w - c) / 256 */
        uint32_t top = (middle >> 8) + 128;
        uint32_t shift = 8 * t;
        part[0] |= (top >> 8) << shift;
        part[RS__GROUP] |= (middle >> 8 & 0xff) << shift;
        part[2 * RS__GROUP] |= (taps[t] & 0xff) << shift;
    }
}

static void pack(struct rs__weights *w, enum rs__layout layout, uint32_t parts)
{
    for (size_t i = 0; i < (size_t)w->groups * RS__GROUP; i++) {
        for (uint32_t q = 0; q < w->quads; q++) {
            const uint32_t *taps = w->fixed + (i * w->quads + q) * RS__QUAD;
            uint32_t *part = w->packed + ((i / RS__GROUP * w->quads + q) * parts) * RS__GROUP + i % RS__GROUP;
            if (layout == RS__LAYOUT_WORDS)
                pack_words(taps, part);
            else
                pack_digits(taps, part);
        }
    }
}

/* The most taps that an output keeps, found without keeping the weights: those of the widest span. */
static uint32_t most_taps(uint32_t in, uint32_t out)
{
    uint32_t most = 1;
    for (uint32_t i = 0; i < out; i++) {
        struct span s = span_of(in, out, i);
        most = s.count > most ? s.count : most;
    }
    return most;
}

int rs__weights_build(struct rs__weights *w, uint32_t in, uint32_t out, const struct rs__path *path,
                      struct rs_error *err)
{
    uint32_t parts = parts_of(path->layout);
    w->in = in;
    w->out = out;
    w->groups = (uint32_t)((out + RS__GROUP - 1) / RS__GROUP);
    w->quads = (uint32_t)((most_taps(in, out) + RS__QUAD - 1) / RS__QUAD);
    RS_TRY(lay_out(w, parts, err));
    size_t taps = (size_t)w->quads * RS__QUAD;
    for (uint32_t i = 0; i < w->groups * RS__GROUP; i++) {
        struct span s = span_of(in, out, i < out ? i : out - 1);
        weigh(&s, w->fixed + i * taps);
        w->first[i] = s.first;
        w->count[i] = s.count;
    }
    group(w);
    find_blends(w, path);
    if (parts > 0)
        pack(w, path->layout, parts);
    return 0;
}
