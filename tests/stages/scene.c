/* scene.c: what tests of stages share: a data set on disk, a run, its options. */
#include "scene.h"

#include "cmocka_all.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void scene_begin(struct scene *s, enum rs_synth_format format, uint32_t train, uint32_t test)
{
    const char *tmp = getenv("TMPDIR");
    struct rs_error err = {0};
    snprintf(s->root, sizeof s->root, "%s/rstream-test-XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(s->root));
    snprintf(s->data, sizeof s->data, "%s/data", s->root);
    struct rs_synth_options o = {.format = format, .seed = 7, .train = train, .test = test};
    if (rs_synth_write(s->data, &o, &err) < 0)
        fail_msg("%s", err.message);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void scene_end(struct scene *s)
{
    nftw(s->root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

struct rs_training_options scene_options(const struct scene *s)
{
    return (struct rs_training_options){.data = s->data,
                                        .epochs = 1,
                                        .batch_size = 16,
                                        .eval_batch_size = 16,
                                        .prefetch = 4,
                                        .workers = 2,
                                        .image_size = 96,
                                        .max_pixels = 1 << 20,
                                        .shuffle = true,
                                        .seed = 3,
                                        .device = "cpu"};
}
