/* make_seeds.c: writes the seeds of the fuzz targets, all made by the product or by the tests' helpers.
 *
 * usage: make_seeds FOLDER
 *
 * Run it when a format changes. Seeds that a fuzzer found keep their bytes: they are not made here.
 */
#include "checkpoint.h"
#include "config.h"
#include "png_chunks.h"
#include "progress.h"
#include "sinks.h"
#include "small_state.h"
#include "support.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WIDTH 9
#define HEIGHT 7
#define RECORD 3073

static void put_text(const char *folder, const char *name, const char *text)
{
    support_write(text, strlen(text), "%s/%s", folder, name);
}

/* A whole file, and its first half. */
static void put_image(const char *folder, const char *kind, const char *name, struct blob image)
{
    support_write(image.data, image.length, "%s/%s/good-%s", folder, kind, name);
    support_write(image.data, image.length / 2, "%s/%s/bad-%s-cut", folder, kind, name);
    free(image.data);
}

static void images(const char *folder)
{
    put_image(folder, "png", "rgb", support_make_png(SUPPORT_PNG_RGB, WIDTH, HEIGHT));
    put_image(folder, "png", "palette-interlaced",
              support_make_png(SUPPORT_PNG_PALETTE_INTERLACED, WIDTH, HEIGHT));
    put_image(folder, "png", "grey-alpha-16", support_make_png(SUPPORT_PNG_GREY_ALPHA_16, WIDTH, HEIGHT));
    put_image(folder, "jpeg", "baseline", support_make_jpeg(SUPPORT_JPEG_BASELINE, WIDTH, HEIGHT));
    put_image(folder, "jpeg", "progressive", support_make_jpeg(SUPPORT_JPEG_PROGRESSIVE, WIDTH, HEIGHT));
    put_image(folder, "jpeg", "grey", support_make_jpeg(SUPPORT_JPEG_GREY, WIDTH, HEIGHT));
    put_image(folder, "jpeg", "cmyk", support_make_jpeg(SUPPORT_JPEG_CMYK, WIDTH, HEIGHT));
    put_image(folder, "jpeg", "optimized", support_make_jpeg(SUPPORT_JPEG_OPTIMIZED, WIDTH, HEIGHT));
    put_image(folder, "jpeg", "restarts", support_make_jpeg(SUPPORT_JPEG_RESTARTS, WIDTH, HEIGHT));
    struct blob jpeg = support_make_jpeg(SUPPORT_JPEG_BASELINE, WIDTH, HEIGHT);
    struct blob without = support_without(jpeg, 0xC4); /* as in motion JPEG: libjpeg has standard ones */
    support_write(without.data, without.length, "%s/jpeg/good-no-huffman-tables", folder);
    free(without.data);
    without = support_without(jpeg, 0xDB);
    support_write(without.data, without.length, "%s/jpeg/bad-no-quantization-tables", folder);
    free(without.data);
    static const uint8_t size[4] = {1, 0, 1, 1}; /* 257x256, a row more than the target allows */
    uint8_t *frame = memmem(jpeg.data, jpeg.length, "\xFF\xC0", 2);
    memcpy(frame + 5, size, sizeof size);
    support_write(jpeg.data, jpeg.length, "%s/jpeg/bad-large", folder);
    free(jpeg.data);
}

static void broken_pngs(const char *folder)
{
    struct blob png = support_make_png(SUPPORT_PNG_RGB, WIDTH, HEIGHT);
    png.data[png.length - 1] ^= 1; /* of the end chunk */
    support_write(png.data, png.length, "%s/png/bad-crc", folder);
    png.data[png.length - 1] ^= 1;
    png_chunks_put(png.data + 16, 257);
    png_chunks_put(png.data + 20, 256);
    png_chunks_repair(png.data, png.length);
    support_write(png.data, png.length, "%s/png/bad-large", folder);
    free(png.data);
}

/* Two bytes that the target reads (fuzz_cifar.c), then a record or names. */
static void cifar(const char *folder)
{
    uint8_t bytes[2 + RECORD + 1] = {0, 10, 3};
    for (size_t i = 3; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)i;
    support_write(bytes, 2 + RECORD, "%s/cifar/good-10", folder);
    support_write(bytes, 1 + RECORD, "%s/cifar/bad-10-short", folder);
    bytes[1] = 3;
    support_write(bytes, 2 + RECORD, "%s/cifar/bad-10-label", folder);
    bytes[0] = 1, bytes[1] = 100;
    support_write(bytes, sizeof bytes, "%s/cifar/good-100", folder);
    put_text(folder, "cifar/good-names-10", "\2acat\r\ndog\n\nbird\n");
    put_text(folder, "cifar/good-names-100", "\3acat\ndog");
    put_text(folder, "cifar/bad-names-one", "\2acat\n");
}

static const struct rs_metadata metadata[] = {{"classes", "cat\ndog\nbird"}, {"image_size", "2"}};
static const struct rs_metadata two_names[] = {{"classes", "cat\ndog"}};

static void put_weights(const char *folder, const char *name, const struct small_state *state, int optimizer,
                        const struct rs_metadata *with, int count)
{
    assert_int_equal(rs_checkpoint_save(state->path, state->state, optimizer, with, count, NULL), 0);
    struct blob file = support_read("%s", state->path);
    support_write(file.data, file.length, "%s/safetensors/%s", folder, name);
    if (strncmp(name, "good-", 5) == 0)
        support_write(file.data, file.length - 1, "%s/safetensors/bad-%s-cut", folder, name + 5);
    free(file.data);
}

/* A header as it is, with data bytes of zeros behind it. */
static void put_header(const char *folder, const char *name, const char *header, size_t data)
{
    uint8_t file[256] = {(uint8_t)strlen(header)};
    snprintf((char *)file + 8, sizeof file - 8, "%s", header);
    support_write(file, 8 + strlen(header) + data, "%s/safetensors/%s", folder, name);
}

static void safetensors(const char *folder)
{
    void *fixture = NULL;
    small_state_set_up(&fixture);
    struct small_state *state = fixture;
    put_weights(folder, "good-weights", state, 0, metadata, 2);
    put_weights(folder, "good-plain", state, 0, NULL, 0);
    put_weights(folder, "good-resume", state, 1, metadata, 2);
    put_weights(folder, "good-two-names", state, 0, two_names, 1);
    state->state->batches_tracked[0] = -1;
    put_weights(folder, "bad-counter", state, 0, NULL, 0);
    small_state_tear_down(&fixture);
    put_header(folder, "bad-empty", "{}", 0);
    put_header(folder, "bad-no-classes",
               "{\"classifier.weight\":{\"dtype\":\"F32\",\"shape\":[0,2],\"data_offsets\":[0,0]}}", 0);
    put_header(folder, "bad-data-left", "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 2);
    put_header(folder, "bad-gap", "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}", 2);
    put_header(folder, "bad-end", "{\"a\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]}}", 2);
    put_header(folder, "bad-shape", "{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,3]}}", 3);
}

static void config(const char *folder)
{
    struct rs_config config;
    char *text = NULL;
    rs_config_defaults(&config, RS_COMMAND_TRAIN);
    assert_int_equal(rs_config_json(&config, &text, NULL), 0);
    put_text(folder, "config/good-defaults", text);
    free(text);
    config.data = "no such folder";
    config.max_steps = 12;
    config.optimizer = RS_OPTIMIZER_SGD;
    config.lr = 0.0123456f;
    config.shuffle = false;
    assert_int_equal(rs_config_set(&config, RS_OPTION_DEVICE, "cuda:1", false, NULL), 0);
    assert_int_equal(rs_config_json(&config, &text, NULL), 0);
    put_text(folder, "config/good-others", text);
    free(text);
    put_text(folder, "config/good-empty", "{}");
    put_text(folder, "config/bad-type", "{\"epochs\":true}");
    put_text(folder, "config/bad-range", "{\"epochs\":-1}");
    put_text(folder, "config/bad-array", "[]");
}

static void put_progress(const char *folder, const char *name, const struct rs_progress *progress)
{
    char *text = rs_progress_print(progress);
    put_text(folder, name, text);
    free(text);
}

static void progress(const char *folder)
{
    struct rs_progress p = {.train_count = 50000, .valid_count = 10000, .best_accuracy = -1};
    put_progress(folder, "progress/good-start", &p);
    p = (struct rs_progress){
        .epoch = 4000000000u,
        .epoch_steps = 3,
        .steps = (1ull << 53) - 1,
        .validated = true,
        .train = {.loss_sum = 0.1 + 0.2, .correct = 7, .samples = 9, .batch_loss_sum = 1.0 / 3, .batches = 2},
        .train_seconds = 12345.678901234567,
        .train_wait_seconds = 1e-300,
    };
    put_progress(folder, "progress/good-middle", &p);
    put_text(folder, "progress/bad-missing", "{\"epoch\":1}");
    put_text(folder, "progress/bad-text", "epoch 1");
}

/* What a run of two epochs writes, behind the two bytes that the target reads (fuzz_metrics.c): step and
 * epoch. */
static void metrics(const char *folder)
{
    char path[] = "/tmp/rstream-seeds-XXXXXX";
    void *sink = NULL;
    close(mkstemp(path));
    assert_int_equal(rs_sink_jsonl_create(&sink, path, NULL), 0);
    for (uint32_t step = 1; step <= 4; step++) {
        struct rs_report report = {
            .kind = RS_REPORT_STEP, .step = step, .epoch = (step - 1) / 2, .images = 8, .loss = 1.25};
        struct rs_progress p = {
            .steps = step, .train = {.loss_sum = 9, .samples = 16, .batches = 2}, .train_seconds = 2};
        struct rs_epoch_summary epoch = {
            .progress = &p, .epoch = report.epoch, .verdict = {.stage = "train"}};
        rs_sink_jsonl.batch(sink, &report, NULL);
        if (step % 2 == 0)
            rs_sink_jsonl.epoch(sink, &epoch, NULL);
    }
    rs_sink_jsonl.destroy(sink);
    struct blob file = support_read("%s", path);
    char *text = malloc(file.length + 2);
    memcpy(text + 2, file.data, file.length);
    text[0] = 4, text[1] = 2;
    support_write(text, file.length + 2, "%s/metrics/good-all", folder);
    support_write(text, file.length + 1, "%s/metrics/bad-newline-cut", folder);
    support_write(text, file.length - 7, "%s/metrics/bad-line-cut", folder);
    text[0] = 3, text[1] = 1;
    support_write(text, file.length + 2, "%s/metrics/bad-rewound", folder);
    free(text);
    free(file.data);
    unlink(path);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: make_seeds FOLDER\n");
        return 2;
    }
    images(argv[1]);
    broken_pngs(argv[1]);
    cifar(argv[1]);
    safetensors(argv[1]);
    config(argv[1]);
    progress(argv[1]);
    metrics(argv[1]);
    return 0;
}
