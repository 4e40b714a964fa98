/* bench_pipeline.c: rstream bench pipeline: the loader alone, from files to float32 batches.
 *
 * How a figure is made: one repeat runs the loader for --steps batches, over as many epochs as that takes,
 * with a consumer that drops them. Images a second are those after the first batch, over the time from the
 * first batch to the last, so opening the data and the first reads don't count, and the batches that were
 * ready by then favour it by --prefetch batches at most. CPU seconds are getrusage's of the whole process
 * over the whole repeat, opening included. Medians over --repeats.
 */
#include "clock.h"
#include "commands.h"
#include "feed.h"
#include "scratch.h"
#include "synth.h"

#include <sys/resource.h>

#define STEPS_AUTO 400u
#define REPEATS_MAX 100u
#define SYNTH_IMAGES 10000u

struct arrivals {
    uint64_t images, first_images; /* all; in the first batch */
    uint64_t first_ns, last_ns;
};

struct figures {
    double rate[REPEATS_MAX], cpu[REPEATS_MAX]; /* img/s; CPU seconds a 1000 images */
};

/* @thread the consumer's */
static int count_batch(void *arg, const struct rs_feed_batch *batch, struct rs_error *err)
{
    (void)err;
    struct arrivals *a = arg;
    a->last_ns = rs_now_ns();
    if (a->images == 0) {
        a->first_ns = a->last_ns;
        a->first_images = batch->count;
    }
    a->images += batch->count;
    return RS_OK;
}

static double cpu_seconds(void)
{
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage); /* can't fail for this process */
    return (double)usage.ru_utime.tv_sec + (double)usage.ru_stime.tv_sec +
           1e-6 * ((double)usage.ru_utime.tv_usec + (double)usage.ru_stime.tv_usec);
}

static int measure(const struct rs_training_options *options, double *rate, double *cpu, struct rs_error *err)
{
    struct arrivals a = {0};
    double before = cpu_seconds();
    RS_TRY(rs_feed_run(options, count_batch, &a, err));
    *cpu = (cpu_seconds() - before) * 1000 / (double)(a.images ? a.images : 1);
    if (a.images == a.first_images || a.last_ns == a.first_ns)
        return rs_error_set(err, RS_E_LIMIT,
                            "one batch is too little to measure a rate: take a larger --steps");
    *rate = (double)(a.images - a.first_images) * 1e9 / (double)(a.last_ns - a.first_ns);
    return RS_OK;
}

static int measure_all(const struct rs_config *config, const char *data, struct figures *figures,
                       struct rs_error *err)
{
    struct rs_training_options options;
    rs_config_training(config, NULL, &options);
    options.data = data;
    options.max_steps = config->steps ? config->steps : STEPS_AUTO;
    options.epochs = UINT32_MAX;
    (void)printf(
        "Loader alone: %s to float32 3 x %u x %u, batch %u, %llu batches, prefetch %u, median of %llu\n",
        data, options.image_size, options.image_size, options.batch_size,
        (unsigned long long)options.max_steps, options.prefetch, (unsigned long long)config->repeats);
    (void)printf("%-5s %12s %26s %16s\n", "fuse", "img/s", "CPU seconds a 1000 images", "img/s a CPU");
    for (int fuse = RS_FUSE_AUTO; fuse <= RS_FUSE_NONE; fuse++) {
        if (rs_config_given(config, RS_OPTION_FUSE) && fuse != (int)config->fuse)
            continue;
        options.fuse = (enum rs_fuse)fuse;
        for (uint64_t i = 0; i < config->repeats; i++)
            RS_TRY(measure(&options, &figures->rate[i], &figures->cpu[i], err));
        double cpu = rs__median(figures->cpu, config->repeats);
        (void)printf("%-5s %12.0f %26.4f %16.0f\n", rs_options[RS_OPTION_FUSE].choices[fuse],
                     rs__median(figures->rate, config->repeats), cpu, cpu > 0 ? 1000 / cpu : 0);
        (void)fflush(stdout);
    }
    return RS_OK;
}

int rs__bench_pipeline(const struct rs_config *config, struct rs_error *err)
{
    struct figures figures;
    if (config->data)
        return measure_all(config, config->data, &figures, err);
    struct rs_scratch scratch = {0};
    RS_TRY(rs__scratch_create(&scratch, err));
    const struct rs_synth_options synth = {.format = RS_SYNTH_CIFAR10, .train = SYNTH_IMAGES, .test = 10};
    int code = rs_synth_write(scratch.path, &synth, err);
    if (code == RS_OK)
        code = measure_all(config, scratch.path, &figures, err);
    rs__scratch_remove(&scratch);
    return code;
}
