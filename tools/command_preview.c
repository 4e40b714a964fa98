/* command_preview.c: rstream preview: what the network sees.
 *
 * How it works: the loader's half of the pipeline runs over the training split in index order; each batch is
 * written beside the .npy file as it comes and put on the contact sheet. Files for people are renamed when
 * they are whole, and not synced: one that a crash takes is made again. The consumer runs on its own thread,
 * and what it writes is read after rs_feed_run has ended that thread.
 */
#include "commands.h"
#include "feed.h"
#include "npy.h"
#include "png_writer.h"
#include "sheet.h"
#include "source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BATCH 64u
#define PATH_BYTES 4096
#define NAMED_MAX 16u /* images whose class is printed */

struct preview {
    uint32_t count, size;
    const char *npy_path;
    char npy_beside[PATH_BYTES]; /* its name until it is whole */
    FILE *npy;
    struct rs_sheet sheet; /* rgb NULL: none is wanted */
    uint32_t seen;
    int32_t labels[NAMED_MAX];
    double sum;
    float least, most;
};

static int take(void *arg, const struct rs_feed_batch *batch, struct rs_error *err)
{
    struct preview *p = arg;
    uint32_t count = batch->count < p->count - p->seen ? batch->count : p->count - p->seen;
    size_t image = (size_t)3 * p->size * p->size;
    if (p->npy && fwrite(batch->tensor, sizeof(float) * image, count, p->npy) != count)
        return rs_error_set_errno(err, errno, "%s can't be written", p->npy_path);
    for (uint32_t i = 0; i < count; i++) {
        const float *chw = batch->tensor + i * image;
        if (p->sheet.rgb)
            rs__sheet_put(&p->sheet, p->seen + i, chw);
        if (p->seen + i < NAMED_MAX)
            p->labels[p->seen + i] = batch->labels[i];
        for (size_t k = 0; k < image; k++) {
            p->sum += (double)chw[k];
            p->least = chw[k] < p->least ? chw[k] : p->least;
            p->most = chw[k] > p->most ? chw[k] : p->most;
        }
    }
    p->seen += count;
    return RS_OK;
}

static int open_npy(struct preview *p, struct rs_error *err)
{
    if (!p->npy_path)
        return RS_OK;
    char header[RS_NPY_HEADER_MAX];
    size_t length = rs__npy_header((uint64_t[4]){p->count, 3, p->size, p->size}, header);
    if ((size_t)snprintf(p->npy_beside, sizeof p->npy_beside, "%s.%ld.partial", p->npy_path,
                         (long)getpid()) >= sizeof p->npy_beside)
        return rs_error_set(err, RS_E_LIMIT, "the path %.200s… is too long", p->npy_path);
    p->npy = fopen(p->npy_beside, "wbe");
    if (!p->npy)
        return rs_error_set_errno(err, errno, "%s can't be opened for writing", p->npy_path);
    if (fwrite(header, 1, length, p->npy) != length)
        return rs_error_set_errno(err, errno, "%s can't be written", p->npy_path);
    return RS_OK;
}

/* Only a whole tensor gets its name. */
static int close_npy(struct preview *p, int code, struct rs_error *err)
{
    if (!p->npy)
        return code;
    if (fclose(p->npy) != 0 && code == RS_OK)
        code = rs_error_set_errno(err, errno, "%s can't be written", p->npy_path);
    if (code == RS_OK && rename(p->npy_beside, p->npy_path) != 0)
        code = rs_error_set_errno(err, errno, "%s can't be written", p->npy_path);
    if (code < 0)
        (void)unlink(p->npy_beside);
    return code;
}

static void print_result(const struct preview *p, const struct rs_source *source,
                         const struct rs_config *config)
{
    double values = (double)p->seen * 3 * p->size * p->size;
    (void)printf("%u x 3 x %u x %u float32 of %llu training images (%s), %d classes; least %.6f, most %.6f, "
                 "mean %.6f\n",
                 p->seen, p->size, p->size, (unsigned long long)rs_source_count(source),
                 rs_source_kind(source), rs_source_classes(source), (double)p->least, (double)p->most,
                 p->sum / values);
    (void)printf("Classes of the first images:");
    for (uint32_t i = 0; i < p->seen && i < NAMED_MAX; i++)
        (void)printf("%s %s", i ? "," : "", rs_source_class_name(source, p->labels[i]));
    (void)printf("\n");
    if (config->npy)
        (void)printf("Wrote %s\n", config->npy);
    if (config->png)
        (void)printf("Wrote %s (%u x %u tiles)\n", config->png, p->sheet.columns, p->sheet.rows);
}

static int feed(struct preview *p, const struct rs_config *config, struct rs_error *err)
{
    struct rs_training_options options;
    rs_config_training(config, NULL, &options);
    options.batch_size = BATCH;
    options.shuffle = false;
    options.epochs = 1;
    options.max_steps = (p->count + BATCH - 1) / BATCH;
    return rs_feed_run(&options, take, p, err);
}

int rs_command_preview(const struct rs_config *config, struct rs_error *err)
{
    struct rs_source *source = NULL;
    RS_TRY(rs_source_open(&source, config->data, RS_SPLIT_TRAIN, err));
    uint64_t there = rs_source_count(source);
    struct preview p = {.count = (uint32_t)(config->count < there ? config->count : there),
                        .size = (uint32_t)config->image_size,
                        .npy_path = config->npy,
                        .least = 1,
                        .most = -1};
    int code = config->png ? rs__sheet_create(&p.sheet, p.count, p.size, err) : RS_OK;
    if (code == RS_OK)
        code = open_npy(&p, err);
    if (code == RS_OK)
        code = feed(&p, config, err);
    code = close_npy(&p, code, err);
    if (code == RS_OK && config->png)
        code = rs_png_write(config->png, p.sheet.rgb, p.sheet.width, p.sheet.height, err);
    if (code == RS_OK)
        print_result(&p, source, config);
    rs__sheet_free(&p.sheet);
    rs_source_destroy(source);
    return code;
}
