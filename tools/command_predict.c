/* command_predict.c: rstream predict: files through codec, resize, normalize and an evaluation step, one at a
 * time.
 *
 * How it works: the same code that prepares training batches prepares each image, so a picture gives the same
 * numbers here as there. A file that can't be read is reported and skipped; the command fails at the end.
 */
#include "backend.h"
#include "checkpoint.h"
#include "codec.h"
#include "commands.h"
#include "device.h"
#include "image.h"
#include "resnet.h"
#include "weights_info.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_BYTES_MAX (INT64_C(1) << 31)

struct predictor {
    struct rs_chosen_device device;
    struct rs_graph *graph;
    struct rs_state *state;
    struct rs_plan *plan;
    struct rs_decoder *decoder;
    struct rs_resizer *resizer;
    struct rs_source *source; /* names the classes, if the weights don't */
    struct rs_weights_info info;
    struct rs_buffer bytes, storage;
    uint8_t *pixels;      /* 3,S,S */
    void *tensor;         /* 1,3,S,S in the plan's element type */
    float *probabilities; /* classes */
    uint32_t size;
};

static void close_predictor(struct predictor *p)
{
    free(p->probabilities);
    rs_free(p->pixels);
    rs_buffer_free(&p->bytes);
    rs_buffer_free(&p->storage);
    rs_source_destroy(p->source);
    rs_resizer_destroy(p->resizer);
    rs_decoder_destroy(p->decoder);
    if (p->tensor)
        p->device.backend->host_free(p->device.device, p->tensor);
    if (p->plan)
        p->device.backend->destroy(p->plan);
    rs_chosen_device_close(&p->device);
    rs_state_destroy(p->state);
    rs_graph_destroy(p->graph);
    rs__weights_info_free(&p->info);
}

static int open_names(struct predictor *p, const struct rs_config *config, struct rs_error *err)
{
    if (!config->data)
        return RS_OK;
    RS_TRY(rs_source_open(&p->source, config->data, RS_SPLIT_TRAIN, err));
    if (rs_source_classes(p->source) != p->info.classes)
        return rs_error_set(err, RS_E_SHAPE,
                            "%s has %d classes and %s tells %d apart: name the folder that the "
                            "weights were trained on",
                            config->data, rs_source_classes(p->source), config->weights, p->info.classes);
    return RS_OK;
}

static int open_network(struct predictor *p, const struct rs_config *config, struct rs_error *err)
{
    const struct rs_device_options device = rs_config_device_options(config);
    RS_TRY(rs_resnet_build(&p->graph, (int32_t)p->size, p->info.classes, err));
    RS_TRY(rs_state_create(&p->state, p->graph, err));
    RS_TRY(rs_checkpoint_load(config->weights, p->state, 0, err));
    RS_TRY(rs_chosen_device_open(&p->device, NULL, rs_config_device(config), &device, err));
    const struct rs_plan_options options = {.precision = (enum rs_precision)config->precision,
                                            .beta1 = 0.9,
                                            .beta2 = 0.999,
                                            .eps = 1e-8,
                                            .eval_batches = {1}};
    RS_TRY(p->device.backend->compile(p->device.device, p->graph, &options, &p->plan, err));
    return p->device.backend->load(p->plan, p->state, err);
}

static int open_predictor(struct predictor *p, const struct rs_config *config, struct rs_error *err)
{
    RS_TRY(rs__weights_info_read(config->weights, &p->info, err));
    p->size = (uint32_t)config->image_size;
    if (p->info.image_size && !rs_config_given(config, RS_OPTION_IMAGE_SIZE))
        p->size = p->info.image_size;
    RS_TRY(open_names(p, config, err));
    RS_TRY(open_network(p, config, err));
    RS_TRY(rs_decoder_create(&p->decoder, config->max_pixels, p->info.classes, err));
    RS_TRY(rs_resizer_create(&p->resizer, err));
    size_t values = (size_t)3 * p->size * p->size;
    p->pixels = rs_alloc(values);
    p->tensor = p->device.backend->host_alloc(p->device.device, values * sizeof(float));
    p->probabilities = calloc((size_t)p->info.classes, sizeof(float));
    if (!p->pixels || !p->tensor || !p->probabilities)
        return rs_error_set(err, RS_E_NOMEM, "out of memory for an image of %u x %u", p->size, p->size);
    return RS_OK;
}

/* The whole file into p->bytes. */
static int read_file(struct predictor *p, const char *path, size_t *length, struct rs_error *err)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return rs_error_set_errno(err, errno, "%s can't be opened", path);
    struct stat about;
    int code = RS_OK;
    if (fstat(fileno(file), &about) != 0)
        code = rs_error_set_errno(err, errno, "%s can't be read", path);
    else if (!S_ISREG(about.st_mode))
        code = rs_error_set(err, RS_E_UNSUPPORTED, "%s is no file: name PNG or JPEG files", path);
    else if (about.st_size > FILE_BYTES_MAX)
        code = rs_error_set(err, RS_E_LIMIT, "%s is larger than 2 GiB", path);
    if (code == RS_OK)
        code = rs_buffer_reserve(&p->bytes, (size_t)about.st_size + 1, err);
    if (code == RS_OK) {
        *length = fread(p->bytes.data, 1, (size_t)about.st_size + 1, file);
        if (ferror(file))
            code = rs_error_set_errno(err, errno, "%s can't be read", path);
        else if (*length != (size_t)about.st_size)
            code = rs_error_set(err, RS_E_CORRUPT,
                                "%s had %lld bytes when it was opened, and %s%zu when it was read; it has "
                                "changed, try again",
                                path, (long long)about.st_size,
                                *length > (size_t)about.st_size ? "at least " : "", *length);
    }
    (void)fclose(file);
    return code;
}

static int prepare(struct predictor *p, const char *path, struct rs_error *err)
{
    size_t length = 0;
    struct rs_sample_ref ref = {.path = path, .label = 0};
    struct rs_pixels image;
    int32_t label = 0;
    RS_TRY(read_file(p, path, &length, err));
    ref.length = length;
    RS_TRY(rs_codec_recognise(p->bytes.data, length, path, &ref.codec, err));
    RS_TRY(rs_decoder_run(p->decoder, &ref, p->bytes.data, length, &p->storage, &image, &label, err));
    const struct rs_resize_source from = {image.data, image.width, image.height, image.planar};
    RS_TRY(rs_resizer_run(p->resizer, &from, p->size, p->size, p->pixels, err));
    size_t values = (size_t)3 * p->size * p->size;
    if (p->device.backend->input_element(p->plan) == RS_ELEMENT_BF16)
        rs_normalize_bf16(p->pixels, p->tensor, values);
    else
        rs_normalize_f32(p->pixels, p->tensor, values);
    return RS_OK;
}

static void print_class(const struct predictor *p, int32_t class)
{
    if (p->source)
        (void)printf("%s", rs_source_class_name(p->source, class));
    else if (p->info.names)
        (void)printf("%s", p->info.names[class]);
    else
        (void)printf("%d", class);
}

/* Takes the likeliest class out, top times; a tie goes to the first class. */
static void print_top(struct predictor *p, const char *path, uint64_t top)
{
    (void)printf("%s:", path);
    for (uint64_t i = 0; i < top && i < (uint64_t)p->info.classes; i++) {
        int32_t best = 0;
        for (int32_t c = 1; c < p->info.classes; c++)
            best = p->probabilities[c] > p->probabilities[best] ? c : best;
        (void)printf("%s", i ? ", " : " ");
        print_class(p, best);
        (void)printf(" %.4f", (double)p->probabilities[best]);
        p->probabilities[best] = -1;
    }
    (void)printf("\n");
}

static int predict_one(struct predictor *p, const char *path, uint64_t top, struct rs_error *err)
{
    RS_TRY(prepare(p, path, err));
    int32_t label = 0;
    const struct rs_batch_input input = {.tensor = p->tensor, .labels = &label, .count = 1};
    struct rs_step_result result = {.probabilities = p->probabilities};
    RS_TRY(p->device.backend->eval_step(p->plan, &input, &result, err));
    print_top(p, path, top);
    return RS_OK;
}

int rs_command_predict(const struct rs_config *config, struct rs_error *err)
{
    struct predictor p = {0};
    int code = open_predictor(&p, config, err);
    int failed = 0, first = RS_OK;
    if (code == RS_OK)
        rs_chosen_device_note(&p.device);
    for (int i = 0; code == RS_OK && i < config->operand_count; i++) {
        struct rs_error why = {0};
        int result = predict_one(&p, config->operands[i], config->top, &why);
        if (result == RS_OK)
            continue;
        (void)fflush(stdout); /* both streams in the order of the images */
        (void)fprintf(stderr, "rstream predict: %s\n", why.message);
        first = failed++ ? first : result;
    }
    close_predictor(&p);
    if (code == RS_OK && failed)
        code = rs_error_set(err, first, "%d of %d images failed", failed, config->operand_count);
    return code;
}
