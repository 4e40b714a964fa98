/* upload.c: device slots in turn; a host slot goes back when its copy has completed. */
#include "upload.h"

#include "batch.h"
#include "clock.h"

void rs_upload_init(struct rs_upload *u, const struct rs_upload_options *options)
{
    *u = (struct rs_upload){.o = *options, .figures = {.threads = 1}};
    RS_ASSERT(!options->backend->stream || options->backend->stream->slots <= RS_DEVICE_SLOTS_MAX);
}

bool rs_upload_ready(const struct rs_upload *u)
{
    return !u->in_use[u->next];
}

int rs_upload_begin(struct rs_upload *u, struct rs_slot *slot, struct rs_batch_input *input,
                    uint32_t *device_slot, struct rs_error *err)
{
    const struct rs_stream_ops *stream = u->o.backend->stream;
    const struct rs_batch *b = slot->payload;
    uint64_t began = rs_now_ns();
    RS_ASSERT(rs_upload_ready(u));
    *device_slot = u->next;
    *input = (struct rs_batch_input){.tensor = b->tensor, .labels = b->labels, .count = slot->count};
    rs_slot_hand_over(slot, RS_SLOT_READY, "upload");
    if (stream) {
        RS_TRY(stream->upload(u->o.plan, u->next, input, err));
        u->copying[u->next] = slot;
        u->in_use[u->next] = true;
        u->next = (u->next + 1) % stream->slots;
    }
    u->figures.batches++;
    u->figures.samples += input->count;
    u->figures.busy_ns += rs_now_ns() - began;
    return 0;
}

void rs_upload_done(struct rs_upload *u, struct rs_slot *slot)
{
    if (!u->o.backend->stream)
        rs_pool_give_back(u->o.slots, slot);
}

int rs_upload_poll(struct rs_upload *u, struct rs_error *err)
{
    const struct rs_stream_ops *stream = u->o.backend->stream;
    int in_use = 0;
    for (uint32_t i = 0; stream && i < stream->slots; i++) {
        if (!u->in_use[i])
            continue;
        if (u->copying[i]) {
            int code = stream->uploaded(u->o.plan, i, err);
            RS_TRY(code);
            if (code == 0) {
                rs_pool_give_back(u->o.slots, u->copying[i]);
                u->copying[i] = NULL;
            }
        }
        int code = u->copying[i] ? RS_AGAIN : stream->released(u->o.plan, i, err);
        RS_TRY(code);
        u->in_use[i] = code == RS_AGAIN;
        in_use = u->in_use[i] ? RS_AGAIN : in_use;
    }
    return in_use;
}
