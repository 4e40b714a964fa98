/* input.c: makes the slots, channels, worker pools and the read stage of a run, and works them to the end. */
#include "input.h"

#include "image_stages.h"

struct rs_input {
    struct rs_input_options o;
    struct rs_image_options image;
    struct rs_stage stages[RS_IMAGE_STAGES];
    struct rs_pool *slots;
    struct rs_batch *batches[RS_SLOTS_MAX];
    struct rs_channel *tickets[RS_IMAGE_STAGES]; /* input of each worker pool */
    struct rs_channel *ready;
    struct rs_worker_pool *pools[RS_IMAGE_STAGES];
    uint32_t pools_started;
    struct rs_read *read;
};

static void *tensor_alloc(const struct rs_input *in, size_t bytes)
{
    return in->o.device ? in->o.backend->host_alloc(in->o.device, bytes) : rs_alloc(bytes);
}

static void tensor_free(const struct rs_input *in, void *tensor)
{
    if (in->o.device)
        in->o.backend->host_free(in->o.device, tensor);
    else
        rs_free(tensor);
}

static uint32_t largest_batch(const struct rs_schedule *s)
{
    uint32_t train = s->train_count ? s->batch_size : 0, valid = s->valid_count ? s->eval_batch_size : 0;
    return train > valid ? train : valid;
}

static int create_slots(struct rs_input *in, struct rs_error *err)
{
    uint32_t capacity = largest_batch(in->o.schedule);
    struct rs_batch_options batch = {.capacity = capacity,
                                     .image_size = in->o.image_size,
                                     .fused = in->o.placement.pools == 1,
                                     .element = in->o.element,
                                     .pixels = in->o.pixels};
    RS_TRY(rs_pool_create(&in->slots, in->o.run, in->o.slots, err));
    for (uint32_t i = 0; i < in->o.slots; i++) {
        struct rs_batch **b = &in->batches[i];
        RS_TRY(rs_batch_create(b, &batch, err));
        size_t bytes = (*b)->sample_bytes * capacity;
        (*b)->tensor = tensor_alloc(in, bytes);
        if (!(*b)->tensor)
            return rs_error_set(
                err, RS_E_NOMEM,
                "no memory for slot %u of %u (%zu bytes each); lower --prefetch or --batch-size", i,
                in->o.slots, bytes);
        rs_pool_slot(in->slots, i)->payload = *b;
    }
    return 0;
}

static int create_channels(struct rs_input *in, struct rs_error *err)
{
    const struct rs_placement *p = &in->o.placement;
    uint32_t chunks = (largest_batch(in->o.schedule) + p->chunk_size - 1) / p->chunk_size;
    if (chunks > RS_CHUNKS_MAX)
        return rs_error_set(err, RS_E_LIMIT, "a batch has %u chunks, at most %u fit; lower --batch-size",
                            chunks, RS_CHUNKS_MAX);
    for (uint32_t i = 0; i < p->pools; i++) /* + 1: the end token */
        RS_TRY(rs_channel_create(&in->tickets[i], in->o.run, RS_RING_MPMC, in->o.slots * chunks + 1, 0, err));
    return rs_channel_create(&in->ready, in->o.run, RS_RING_ORDERED, in->o.slots + 1, in->o.first_seq, err);
}

static int create_pool(struct rs_input *in, uint32_t i, struct rs_error *err)
{
    const struct rs_placement *p = &in->o.placement;
    bool last = i + 1 == p->pools;
    struct rs_worker_pool_options o = {
        .run = in->o.run,
        .spans = in->o.spans,
        .slots = in->slots,
        .pool_index = i,
        .stages = &in->stages[p->first[i]],
        .stage_count = p->stages[i],
        .threads = p->threads[i],
        .niceness = p->niceness,
        .in = in->tickets[i],
        .next = last ? NULL : in->tickets[i + 1],
        .published = last ? in->ready : NULL,
        .scratch_create = rs_scratch_create,
        .scratch_destroy = rs_scratch_destroy,
        .scratch_arg = &in->image,
    };
    return rs_worker_pool_create(&in->pools[i], &o, err);
}

static int create_stages(struct rs_input *in, struct rs_error *err)
{
    const struct rs_source *const *sources = in->o.sources;
    in->image = (struct rs_image_options){
        .image_size = in->o.image_size,
        .max_pixels = in->o.max_pixels,
        .classes = rs_source_classes(sources[0] ? sources[0] : sources[1]),
    };
    uint32_t stages = in->o.placement.image_stages;
    const struct rs_stage_ops *ops[RS_IMAGE_STAGES] = {stages == 1 ? &rs_stage_unpack : &rs_stage_decode,
                                                       &rs_stage_resize, &rs_stage_normalize};
    for (uint32_t i = 0; i < stages; i++)
        in->stages[i] = (struct rs_stage){ops[i], &in->image};
    for (uint32_t i = 0; i < in->o.placement.pools; i++)
        RS_TRY(create_pool(in, i, err));
    struct rs_read_options read = {
        .run = in->o.run,
        .loop = in->o.loop,
        .spans = in->o.spans,
        .lane = in->o.lane,
        .slots = in->slots,
        .tickets = in->tickets[0],
        .last_workers = in->pools[in->o.placement.pools - 1],
        .schedule = in->o.schedule,
        .sources = {sources[0], sources[1]},
        .first_seq = in->o.first_seq,
        .chunk_size = in->o.placement.chunk_size,
    };
    return rs_read_create(&in->read, &read, err);
}

static int build(struct rs_input *in, struct rs_error *err)
{
    RS_TRY(create_slots(in, err));
    RS_TRY(create_channels(in, err));
    return create_stages(in, err);
}

int rs_input_create(struct rs_input **out, const struct rs_input_options *options, struct rs_error *err)
{
    struct rs_input *in = rs_calloc(1, sizeof *in);
    if (!in)
        return rs_error_set(err, RS_E_NOMEM, "no memory for the input stages");
    in->o = *options;
    int code = build(in, err);
    if (code < 0) {
        rs_input_destroy(in);
        return code;
    }
    *out = in;
    return 0;
}

static int start(struct rs_input *in, struct rs_consumer *consumer, struct rs_error *err)
{
    RS_TRY(rs_consumer_start(consumer, err));
    while (in->pools_started < in->o.placement.pools) {
        RS_TRY(rs_worker_pool_start(in->pools[in->pools_started], err));
        in->pools_started++;
    }
    return rs_read_start(in->read, err);
}

int rs_input_work(struct rs_input *in, struct rs_consumer *consumer, struct rs_error *err)
{
    struct rs_error error;
    if (start(in, consumer, &error) < 0)
        rs_run_fail(in->o.run, "start", &error);
    if (rs_consumer_started(consumer) && rs_loop_run(in->o.loop, &error) < 0)
        rs_run_fail(in->o.run, "loop", &error);
    for (uint32_t i = 0; i < in->pools_started; i++)
        rs_worker_pool_join(in->pools[i]);
    rs_consumer_join(consumer);
    return rs_run_error(in->o.run, err);
}

void rs_input_destroy(struct rs_input *in)
{
    if (!in)
        return;
    rs_read_destroy(in->read);
    for (uint32_t i = 0; i < RS_IMAGE_STAGES; i++) {
        rs_worker_pool_destroy(in->pools[i]);
        rs_channel_destroy(in->tickets[i]);
    }
    rs_channel_destroy(in->ready);
    for (uint32_t i = 0; i < in->o.slots; i++) {
        if (in->batches[i])
            tensor_free(in, in->batches[i]->tensor);
        rs_batch_destroy(in->batches[i]);
    }
    rs_pool_destroy(in->slots);
    rs_free(in);
}

struct rs_channel *rs_input_ready(struct rs_input *in)
{
    return in->ready;
}

struct rs_pool *rs_input_slots(struct rs_input *in)
{
    return in->slots;
}

uint32_t rs_input_figures(const struct rs_input *in, struct rs_named_figures out[RS_INPUT_STAGES_MAX])
{
    const struct rs_placement *p = &in->o.placement;
    out[0].name = "read";
    rs_read_figures(in->read, &out[0].figures);
    for (uint32_t pool = 0; pool < p->pools; pool++)
        for (uint32_t i = 0; i < p->stages[pool]; i++) {
            uint32_t stage = p->first[pool] + i;
            out[1 + stage].name = in->stages[stage].ops->name;
            rs_worker_pool_figures(in->pools[pool], i, &out[1 + stage].figures);
        }
    return 1 + p->image_stages;
}
