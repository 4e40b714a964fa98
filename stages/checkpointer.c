/* checkpointer.c: a thread that writes snapshots while training goes on; see checkpointer.h. */
#include "checkpointer.h"

#include "alloc.h"
#include "checkpoint.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

struct rs_checkpointer {
    struct rs_checkpointer_options o;
    char image_size[16];
    struct rs_state *snapshot; /* the train stage's while idle, the thread's while busy */
    pthread_t thread;
    bool started;

    pthread_mutex_t mutex;
    pthread_cond_t changed;
    /* shared, protected by mutex */
    bool busy, leave;
    struct rs_progress progress;
    enum rs_checkpoint_kind kind;
    struct rs_error error; /* the first failure */
};

static int save(struct rs_checkpointer *c, const char *file, bool resume, const char *progress,
                struct rs_error *err)
{
    char path[4096];
    if ((size_t)snprintf(path, sizeof path, "%s/%s", c->o.dir, file) >= sizeof path)
        return rs_error_set(err, RS_E_LIMIT, "the path %s/%s is too long", c->o.dir, file);
    const struct rs_metadata metadata[] = {
        {"classes", c->o.classes},
        {"image_size", c->image_size},
        {"config", c->o.config_json},
        {"progress", progress},
    };
    return rs_checkpoint_save(path, c->snapshot, resume, metadata, resume ? 4 : 2, err);
}

/* The resume file comes last: it says what best.safetensors has reached, so that must lie there by then. A
 * crash before it repeats the epoch. */
static int save_all(struct rs_checkpointer *c, const struct rs_progress *progress,
                    enum rs_checkpoint_kind kind, struct rs_error *err)
{
    char *text = rs_progress_print(progress);
    if (!text)
        return rs_error_set(err, RS_E_NOMEM, "no memory to write a checkpoint");
    int code = kind == RS_CHECKPOINT_BEST ? save(c, "best.safetensors", false, NULL, err) : 0;
    if (code == 0)
        code = save(c, "last.safetensors", false, NULL, err);
    if (code == 0)
        code = save(c, "resume.safetensors", true, text, err);
    free(text);
    return code;
}

static void *checkpointer_main(void *arg)
{
    struct rs_checkpointer *c = arg;
    struct rs_lane *lane = rs_spans_lane(c->o.spans, "checkpoint");
    uint32_t name = rs_spans_name(c->o.spans, "checkpoint");
    pthread_mutex_lock(&c->mutex);
    for (;;) {
        while (!c->busy && !c->leave)
            pthread_cond_wait(&c->changed, &c->mutex);
        if (!c->busy)
            break;
        struct rs_progress progress = c->progress;
        enum rs_checkpoint_kind kind = c->kind;
        struct rs_error error = {0};
        pthread_mutex_unlock(&c->mutex);
        rs_lane_begin(lane, name, progress.steps);
        int code = save_all(c, &progress, kind, &error);
        rs_lane_end(lane);
        if (code < 0)
            rs_run_fail(c->o.run, "checkpoint", &error);
        pthread_mutex_lock(&c->mutex);
        if (code < 0 && c->error.code == 0)
            c->error = error;
        c->busy = false;
        pthread_cond_broadcast(&c->changed);
    }
    pthread_mutex_unlock(&c->mutex);
    return NULL;
}

int rs_checkpointer_create(struct rs_checkpointer **out, const struct rs_checkpointer_options *options,
                           struct rs_error *err)
{
    struct rs_checkpointer *c = rs_calloc(1, sizeof *c);
    if (!c)
        return rs_error_set(err, RS_E_NOMEM, "no memory for the checkpoint stage");
    c->o = *options;
    snprintf(c->image_size, sizeof c->image_size, "%u", options->image_size);
    pthread_mutex_init(&c->mutex, NULL);
    pthread_cond_init(&c->changed, NULL);
    int code = rs_state_create(&c->snapshot, options->graph, err);
    if (code < 0)
        goto fail;
    if (pthread_create(&c->thread, NULL, checkpointer_main, c)) {
        code = rs_error_set(err, RS_E_THREAD, "the checkpoint thread can't be started; check ulimit -u");
        goto fail;
    }
    c->started = true;
    pthread_setname_np(c->thread, "checkpoint");
    *out = c;
    return 0;
fail:
    rs_checkpointer_destroy(c);
    return code;
}

int rs_checkpointer_wait(struct rs_checkpointer *c, struct rs_error *err)
{
    pthread_mutex_lock(&c->mutex);
    while (c->busy)
        pthread_cond_wait(&c->changed, &c->mutex);
    int code = c->error.code;
    if (code < 0 && err)
        *err = c->error;
    pthread_mutex_unlock(&c->mutex);
    return code;
}

int rs_checkpointer_begin(struct rs_checkpointer *c, struct rs_state **snapshot, struct rs_error *err)
{
    RS_TRY(rs_checkpointer_wait(c, err));
    *snapshot = c->snapshot;
    return 0;
}

void rs_checkpointer_commit(struct rs_checkpointer *c, const struct rs_progress *progress,
                            enum rs_checkpoint_kind kind)
{
    pthread_mutex_lock(&c->mutex);
    c->progress = *progress;
    c->kind = kind;
    c->busy = true;
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->mutex);
}

void rs_checkpointer_destroy(struct rs_checkpointer *c)
{
    if (!c)
        return;
    if (c->started) {
        pthread_mutex_lock(&c->mutex);
        c->leave = true;
        pthread_cond_broadcast(&c->changed);
        pthread_mutex_unlock(&c->mutex);
        pthread_join(c->thread, NULL);
    }
    rs_state_destroy(c->snapshot);
    pthread_cond_destroy(&c->changed);
    pthread_mutex_destroy(&c->mutex);
    rs_free(c);
}
