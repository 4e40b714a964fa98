/* training.h: a whole run: read, decode, resize, normalize, upload, train, metrics, checkpoint.
 *
 * How it works: rs_training_run opens the data, compiles the network, allocates the slots, lets the planner
 * place the stages on threads and runs the event loop on the calling thread until the last checkpoint lies on
 * the disk. What it prints and writes goes through metrics sinks.
 *
 * Owner: the options are the caller's and stay const. @thread main.
 */
#ifndef RS_TRAINING_H
#define RS_TRAINING_H

#include "backend.h"
#include "errors.h"
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum rs_fuse { RS_FUSE_AUTO, RS_FUSE_NONE };
/* Whether a device with a stream records its step and starts it as a whole; default: it does where it can. */
enum rs_step_graph { RS_STEP_GRAPH_DEFAULT, RS_STEP_GRAPH_ON, RS_STEP_GRAPH_OFF };
/* Where images are resized and normalized. auto: on the device where it can (preprocess.h). */
enum rs_preprocess { RS_PREPROCESS_AUTO, RS_PREPROCESS_HOST, RS_PREPROCESS_DEVICE };

struct rs_training_options {
    const char *data;       /* folder */
    const char *valid_data; /* folder, or NULL: the split inside data; without one there is no validation */
    const char *out;        /* RUN_DIR, or NULL: nothing is written */
    const char *init;       /* safetensors of initial weights, or NULL */
    bool resume;            /* go on from out/resume.safetensors */
    uint32_t epochs;
    uint64_t max_steps; /* 0: no limit */
    uint32_t batch_size, eval_batch_size;
    uint32_t prefetch; /* slots, 1 to 64 */
    uint32_t workers;  /* 0: auto */
    uint32_t threads;  /* compute threads, 0: all cores */
    enum rs_fuse fuse;
    enum rs_preprocess preprocess;
    const char *device;               /* "auto", "cuda", "cpu", "ref" */
    uint32_t ordinal;                 /* which of the cuda devices */
    const struct rs_backend *backend; /* NULL: found by device; tests and embedders bring their own */
    enum rs_precision precision;
    enum rs_step_graph step_graph;
    enum rs_optimizer optimizer;
    float momentum, weight_decay, lr;
    uint64_t seed;
    uint32_t image_size;
    uint64_t max_pixels;
    bool shuffle;
    bool quiet;
    const char *trace;        /* file for a Chrome/Perfetto trace, or NULL */
    FILE *console;            /* epoch lines, verdict, progress; NULL: none */
    bool console_is_terminal; /* a progress line that rewrites itself */
    const char
        *config_json; /* the options as JSON for config.json and the resume file; with out, never NULL */
};

struct rs_training_outcome {
    bool interrupted; /* by SIGINT or SIGTERM; a checkpoint lies in out */
    uint64_t steps;
    uint32_t epochs_done;
    double train_loss, train_accuracy, valid_loss, valid_accuracy; /* of the last finished epoch */
};

int rs_training_run(const struct rs_training_options *options, struct rs_training_outcome *outcome,
                    struct rs_error *err);

#endif
