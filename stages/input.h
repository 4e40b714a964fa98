/* input.h: the input half of the pipeline: from a folder to ordered batches of tensors.
 *
 * How it works: puts together slots, batches, channels, the read stage and the worker pools as the planner
 * placed them. Whole batches appear on the ready channel in number order, then RS_TOKEN_END.
 *
 *   free slots --> read --tickets--> workers (decode, resize, normalize) --ready--> the consumer
 *        ^------------------------- rs_pool_give_back <---------------------------------'
 *
 * Owner: the creator owns run, loop, sources and schedule, and keeps them until destroy. A slot from ready is
 * the consumer's until it gives it back. @thread create, work, destroy: main; ready: one consumer.
 */
#ifndef RS_INPUT_H
#define RS_INPUT_H

#include "backend.h"
#include "batch.h"
#include "consumer.h"
#include "planner.h"
#include "read.h"
#include "schedule.h"
#include "verdict.h"

struct rs_input_options {
    struct rs_run *run;
    struct rs_loop *loop;
    struct rs_spans *spans; /* or NULL */
    struct rs_lane *lane;   /* of the loop's thread, or NULL */
    const struct rs_schedule *schedule;
    const struct rs_source *sources[2];
    uint64_t first_seq;
    uint32_t slots;
    struct rs_placement placement;
    uint32_t image_size;
    uint64_t max_pixels;
    enum rs_element element;       /* as the plan wants it */
    struct rs_pixel_format pixels; /* with RS_ELEMENT_U8 */
    /* memory for tensors; device NULL: rs_alloc */
    const struct rs_backend *backend;
    struct rs_device *device;
};

struct rs_input;

int rs_input_create(struct rs_input **out, const struct rs_input_options *options, struct rs_error *err);
/* Starts the consumer and all stages, runs the loop on this thread until the consumer is done, joins every
 * thread. Gives the run's first error. */
int rs_input_work(struct rs_input *input, struct rs_consumer *consumer, struct rs_error *err);
void rs_input_destroy(
    struct rs_input *input); /* after the loop was destroyed: reads in flight write into slots */

struct rs_channel *rs_input_ready(struct rs_input *input);
struct rs_pool *rs_input_slots(struct rs_input *input);

/* Figures of the input's stages: read, decode, resize, normalize, as far as they run here. Gives their
 * number.
 * @thread loop */
#define RS_INPUT_STAGES_MAX 4
uint32_t rs_input_figures(const struct rs_input *input, struct rs_named_figures out[RS_INPUT_STAGES_MAX]);

#endif
