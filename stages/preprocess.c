/* preprocess.c: the choice of preprocess.h, and its words for people. */
#include "preprocess.h"

#include "planner.h"
#include "stream.h"

#define STAGES_WITHOUT_NORMALIZE 2u
#define STAGES_DECODE 1u

/* The size that the images of all sources have, or false. */
static bool find_size(struct rs_source *const sources[2], struct rs_source_pixels *out)
{
    bool found = false;
    for (int i = 0; i < 2; i++) {
        struct rs_source_pixels pixels;
        if (!sources[i])
            continue;
        if (!rs_source_uniform(sources[i], &pixels))
            return false;
        if (found &&
            (pixels.width != out->width || pixels.height != out->height || pixels.planar != out->planar))
            return false;
        *out = pixels;
        found = true;
    }
    return found;
}

int rs_preprocess_choose(enum rs_preprocess wish, const struct rs_backend *backend,
                         struct rs_source *const sources[2], uint32_t image_size,
                         struct rs_preprocess_choice *out, struct rs_error *err)
{
    struct rs_source_pixels size;
    bool can = backend->stream && backend->stream->pixels;
    *out = (struct rs_preprocess_choice){.image_stages = RS_IMAGE_STAGES};
    if (wish == RS_PREPROCESS_DEVICE && !can)
        return rs_error_set(
            err, RS_E_USAGE, "--preprocess device: the device %s %s; use --preprocess host or leave it out",
            backend->name, backend->stream ? "takes no pixels" : "computes in the host's memory");
    if (wish == RS_PREPROCESS_HOST || !can)
        return 0;
    if (find_size(sources, &size)) {
        out->image_stages = STAGES_DECODE;
        out->pixels = (struct rs_pixel_format){size.height, size.width, size.planar};
    } else {
        out->image_stages = STAGES_WITHOUT_NORMALIZE;
        out->pixels = (struct rs_pixel_format){image_size, image_size, true};
    }
    return 0;
}

const char *rs_preprocess_text(const struct rs_preprocess_choice *choice)
{
    switch (choice->image_stages) {
    case STAGES_DECODE:
        return "; the device resizes and normalizes";
    case STAGES_WITHOUT_NORMALIZE:
        return "; the device normalizes (it resizes only images that all have one size)";
    default:
        return "";
    }
}
