/* scene.h: a temporary folder with a generated data set, for tests of the pipeline. */
#ifndef SCENE_H
#define SCENE_H

#include "synth.h"
#include "training.h"

struct scene {
    char root[256]; /* removed by scene_end */
    char data[300];
};

/* Asserts on failure. */
void scene_begin(struct scene *scene, enum rs_synth_format format, uint32_t train, uint32_t test);
void scene_end(struct scene *scene);
/* Options for rs_feed_run over the scene: batch 16, one epoch, image size 96. */
struct rs_training_options scene_options(const struct scene *scene);

#endif
