/* spans.c: see spans.h. The hot functions touch their own lane only. */
#include "spans_pvt.h"

#include "alloc.h"
#include "clock.h"
#include "nvtx_pvt.h"

#include <stdio.h>
#include <string.h>

#define NAME_BITS 0x3fffu
#define DURATION_BITS (((uint64_t)1 << 48) - 1)
_Static_assert(RS_SPAN_NAMES_MAX <= 32, "struct rs_lane's counted has a bit a name");

int rs_spans_create(struct rs_spans **out, bool traced, struct rs_error *err)
{
    struct rs_spans *s = rs_calloc(1, sizeof *s);
    if (!s)
        return rs_error_set(err, RS_E_NOMEM, "no memory for the trace");
    s->traced = traced;
    s->domain = rs__nvtx_domain_create("rstream");
    s->began_ns = rs_now_ns();
    pthread_mutex_init(&s->mutex, NULL);
    *out = s;
    return 0;
}

void rs_spans_destroy(struct rs_spans *s)
{
    if (!s)
        return;
    for (uint32_t i = 0; i < s->lane_count; i++) {
        rs_lane_phase_end(s->lanes[i]);
        rs_free(s->lanes[i]->events);
        rs_free(s->lanes[i]);
    }
    for (uint32_t i = 0; i < s->row_count; i++)
        rs__row_destroy(s->rows[i]);
    rs__nvtx_domain_destroy(s->domain);
    pthread_mutex_destroy(&s->mutex);
    rs_free(s);
}

/* Stands in a JSON string as it is. */
static bool is_plain(const char *text)
{
    while (*text >= ' ' && *text <= '~' && *text != '"' && *text != '\\')
        text++;
    return *text == '\0';
}

static uint32_t find_or_add(struct rs_spans *s, const char *text)
{
    uint32_t i = 0;
    while (i < s->name_count && strcmp(s->names[i].text, text) != 0)
        i++;
    if (i < s->name_count)
        return i;
    size_t bytes = strlen(text) + 1;
    RS_ASSERT(i < RS_SPAN_NAMES_MAX && bytes <= RS__NAME_BYTES && is_plain(text));
    memcpy(s->names[i].text, text, bytes);
    s->names[i].registered = rs__nvtx_register(s->domain, text);
    s->name_count++;
    return i;
}

uint32_t rs_spans_name(struct rs_spans *s, const char *text)
{
    if (!s)
        return 0;
    pthread_mutex_lock(&s->mutex);
    uint32_t number = find_or_add(s, text);
    pthread_mutex_unlock(&s->mutex);
    return number;
}

void rs__spans_lack(struct rs_spans *s)
{
    pthread_mutex_lock(&s->mutex);
    s->untraced++;
    pthread_mutex_unlock(&s->mutex);
}

struct rs_lane *rs_spans_lane(struct rs_spans *s, const char *thread_name)
{
    if (!s)
        return NULL;
    RS_ASSERT(is_plain(thread_name));
    struct rs_lane *lane = rs_calloc(1, sizeof *lane);
    if (lane && s->traced)
        lane->events = rs_alloc(RS_LANE_EVENTS * sizeof *lane->events);
    if (!lane || (s->traced && !lane->events)) {
        rs_free(lane);
        rs__spans_lack(s);
        return NULL;
    }
    lane->spans = s;
    snprintf(lane->name, sizeof lane->name, "%s", thread_name);
    rs__nvtx_name_thread(thread_name);
    pthread_mutex_lock(&s->mutex);
    RS_ASSERT(s->lane_count < RS_LANES_MAX);
    lane->number = s->lane_count;
    s->lanes[s->lane_count++] = lane;
    pthread_mutex_unlock(&s->mutex);
    return lane;
}

/* Where it is kept, or NULL. */
static struct rs__event *keep(struct rs_lane *lane, const struct rs__event *event)
{
    if (lane->count == RS_LANE_EVENTS) {
        lane->dropped++;
        return NULL;
    }
    lane->events[lane->count] = *event;
    return &lane->events[lane->count++];
}

void rs_lane_begin(struct rs_lane *lane, uint32_t name, uint64_t batch)
{
    if (!lane)
        return;
    RS_ASSERT(lane->depth < RS_SPAN_DEPTH_MAX);
    rs_lane_range_begin(lane, name, batch);
    struct rs__event *open = &lane->open[lane->depth++];
    open->name = name & NAME_BITS;
    open->value = batch;
    open->begin_ns = lane->events ? rs_now_ns() : 0;
}

void rs_lane_end(struct rs_lane *lane)
{
    if (!lane)
        return;
    RS_ASSERT(lane->depth > 0);
    rs_lane_range_end(lane);
    struct rs__event *open = &lane->open[--lane->depth];
    if (!lane->events)
        return;
    open->duration_ns = (rs_now_ns() - open->begin_ns) & DURATION_BITS;
    (void)keep(lane, open);
}

void rs_lane_range_begin(struct rs_lane *lane, uint32_t name, uint64_t batch)
{
    if (lane && lane->spans->domain)
        rs__nvtx_push(lane->spans->domain, lane->spans->names[name].registered, batch);
}

void rs_lane_range_end(struct rs_lane *lane)
{
    if (lane && lane->spans->domain)
        rs__nvtx_pop(lane->spans->domain);
}

void rs_lane_counter(struct rs_lane *lane, uint32_t name, uint64_t value)
{
    if (!lane || !lane->events)
        return;
    if ((lane->counted >> name & 1) && lane->last_values[name] == value)
        return;
    lane->counted |= 1u << name;
    lane->last_values[name] = value;
    struct rs__event event = {
        .begin_ns = rs_now_ns(), .value = value, .name = name & NAME_BITS, .kind = RS__EVENT_COUNTER};
    (void)keep(lane, &event);
}

void rs_lane_flow(struct rs_lane *lane, uint64_t flow)
{
    if (!lane || !lane->events)
        return;
    RS_ASSERT(lane->depth > 0 && flow > 0);
    struct rs__event event = {.begin_ns = rs_now_ns(), .value = flow, .kind = RS__EVENT_FLOW};
    (void)keep(lane, &event);
}

/* Kept at its beginning: one that outlasts the room for events is there all the same. */
void rs_lane_phase(struct rs_lane *lane, uint32_t name, uint64_t number)
{
    char text[RS__NAME_BYTES + 24];
    if (!lane)
        return;
    rs_lane_phase_end(lane);
    snprintf(text, sizeof text, "%s %llu", lane->spans->names[name].text, (unsigned long long)number);
    lane->phase = rs__nvtx_start(lane->spans->domain, text);
    lane->has_phase = true;
    if (!lane->events)
        return;
    struct rs__event event = {
        .begin_ns = rs_now_ns(), .value = number, .name = name & NAME_BITS, .kind = RS__EVENT_PHASE};
    lane->phase_event = keep(lane, &event);
}

void rs_lane_phase_end(struct rs_lane *lane)
{
    if (!lane || !lane->has_phase)
        return;
    rs__nvtx_stop(lane->spans->domain, lane->phase);
    if (lane->phase_event)
        lane->phase_event->duration_ns = (rs_now_ns() - lane->phase_event->begin_ns) & DURATION_BITS;
    lane->phase_event = NULL;
    lane->has_phase = false;
}

uint64_t rs_spans_dropped(const struct rs_spans *s)
{
    uint64_t dropped = s ? s->untraced : 0;
    for (uint32_t i = 0; s && i < s->lane_count; i++)
        dropped += s->lanes[i]->dropped;
    for (uint32_t i = 0; s && i < s->row_count; i++)
        dropped += s->rows[i]->dropped;
    return dropped;
}
