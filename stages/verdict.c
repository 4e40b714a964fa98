/* verdict.c: from an epoch's figures to a stage's name and an advice. */
#include "verdict.h"

#include <stdio.h>

#define READ 0 /* stages[] begins with read, then the workers' */
#define WORKER_FIRST 1

static double busy_per_thread(const struct rs_stage_figures *f)
{
    return f->threads ? (double)f->busy_ns / f->threads : 0;
}

static void advise_workers(const struct rs_verdict_input *in, struct rs_verdict *v)
{
    if (in->workers < in->cores)
        snprintf(v->advice, sizeof v->advice, "try --workers %u",
                 in->workers * 2 < in->cores ? in->workers * 2 : in->cores);
    else
        snprintf(v->advice, sizeof v->advice,
                 "all %u cores are at work; store the images smaller, or compute on another device",
                 in->cores);
}

static void advise_read(const struct rs_verdict_input *in, struct rs_verdict *v)
{
    uint32_t more = in->slots * 2 < RS_SLOTS_MAX ? in->slots * 2 : RS_SLOTS_MAX;
    if (in->slots < RS_SLOTS_MAX)
        snprintf(v->advice, sizeof v->advice, "try --prefetch %u, or a faster disk", more);
    else
        snprintf(v->advice, sizeof v->advice, "the disk is the limit; put the data on a faster one");
}

void rs_verdict_find(const struct rs_verdict_input *in, struct rs_verdict *v)
{
    *v = (struct rs_verdict){.stage = "train"};
    v->wait_share = in->seconds > 0 ? in->wait_seconds / in->seconds : 0;
    if (in->batches < RS_VERDICT_BATCHES) {
        v->stage = "unknown";
        snprintf(v->advice, sizeof v->advice, "%llu steps are too few to tell",
                 (unsigned long long)in->batches);
        return;
    }
    if (v->wait_share < RS_VERDICT_WAIT || in->input_stages <= WORKER_FIRST)
        return;
    uint32_t limit = WORKER_FIRST;
    uint64_t busy = 0, waited = 0;
    for (uint32_t i = WORKER_FIRST; i < in->input_stages; i++) {
        const struct rs_stage_figures *f = &in->stages[i].figures;
        busy += f->busy_ns;
        waited += f->wait_input_ns;
        if (busy_per_thread(f) > busy_per_thread(&in->stages[limit].figures))
            limit = i;
    }
    /* Workers that wait for bytes while slots are free wait for the disk. */
    if (waited > busy && in->stages[READ].figures.wait_input_ns > in->stages[READ].figures.wait_slot_ns)
        limit = READ;
    v->stage = in->stages[limit].name;
    if (limit == READ)
        advise_read(in, v);
    else
        advise_workers(in, v);
}
