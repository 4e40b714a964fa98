/* read.h: the read stage: takes free slots, numbers batches, brings their bytes, hands tickets to the
 * workers.
 *
 * How it works: on the event loop, whenever a slot is free, the next scheduled batch gets it. Samples that
 * the store keeps are pointed to; the others are read asynchronously, all of a batch at once and all slots
 * side by side. A chunk's ticket is pushed as soon as the chunk's bytes are there. After the last batch
 * follows the end token.
 *
 * Owner: the creator. @thread loop; figures: loop.
 */
#ifndef RS_READ_H
#define RS_READ_H

#include "loop.h"
#include "schedule.h"
#include "source.h"
#include "worker_pool.h"

struct rs_read_options {
    struct rs_run *run;
    struct rs_loop *loop;
    struct rs_spans *spans; /* or NULL */
    struct rs_lane *lane;   /* of the loop's thread, or NULL */
    struct rs_pool *slots;
    struct rs_channel *tickets;
    struct rs_worker_pool *last_workers; /* told the number that publishes the end */
    const struct rs_schedule *schedule;
    const struct rs_source *sources[2]; /* by enum rs_phase; NULL where the phase has no batches */
    uint64_t first_seq;
    uint32_t chunk_size;
};

struct rs_read;

int rs_read_create(struct rs_read **out, const struct rs_read_options *options, struct rs_error *err);
/* Begins; the rest happens while the loop runs. */
int rs_read_start(struct rs_read *read, struct rs_error *err);
void rs_read_destroy(struct rs_read *read); /* after the loop's end */
void rs_read_figures(const struct rs_read *read, struct rs_stage_figures *out);

#endif
