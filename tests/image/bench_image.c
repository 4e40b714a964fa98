/* bench_image.c: images a second and microseconds an image of each code path, on one thread; no CTest test.
 *
 * Usage: bench_image [repeats]. Each line is the median of the repeats. bench_pillow.py prints the same cases
 * for Pillow: run both in turn, in one sitting. Cases with "+ normalize" copy the source out of a large set
 * first, as a loader does, and write float32 to a batch of 64. Normalization takes the machine's fastest path
 * in every line.
 */
#include "image.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BATCH 64
#define REPEATS_MAX 101
#define SAMPLES 4096 /* the set's, 12 MB of 32 x 32 */

enum finish { FINISH_NONE, FINISH_F32, FINISH_BF16 };

struct bench_case {
    const char *name;
    uint32_t width, height;
    int planar;
    uint32_t side;
    enum finish finish;
    int images; /* a repeat's */
};

static const struct bench_case cases[] = {
    {"32x32 planar to 96x96", 32, 32, 1, 96, FINISH_NONE, 4096},
    {"32x32 planar to 96x96 + normalize float32", 32, 32, 1, 96, FINISH_F32, 4096},
    {"32x32 planar to 96x96 + normalize bf16", 32, 32, 1, 96, FINISH_BF16, 4096},
    {"32x32 interleaved to 96x96", 32, 32, 0, 96, FINISH_NONE, 4096},
    {"500x375 interleaved to 96x96", 500, 375, 0, 96, FINISH_NONE, 128},
    {"500x375 interleaved to 224x224", 500, 375, 0, 224, FINISH_NONE, 128},
    {"2000x1500 interleaved to 224x224", 2000, 1500, 0, 224, FINISH_NONE, 8},
    {"64x64 interleaved to 96x96", 64, 64, 0, 96, FINISH_NONE, 2048},
};

struct buffers {
    uint8_t *set, *sample, *small;
    void *batch;
};

/* The thread's own processor time: what another process takes meanwhile isn't counted. */
static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void die(const struct rs_error *err)
{
    fprintf(stderr, "bench_image: %s\n", err->message);
    exit(1);
}

static void *need(size_t size)
{
    void *block = malloc(size);
    if (block == NULL) {
        fprintf(stderr, "bench_image: no memory for %zu bytes\n", size);
        exit(1);
    }
    memset(block, 77, size);
    return block;
}

static void run_images(const struct bench_case *c, struct rs_resizer *resizer, const struct buffers *b)
{
    struct rs_error err;
    size_t source = (size_t)c->width * c->height * 3, pixels = (size_t)c->side * c->side * 3;
    size_t samples = c->finish == FINISH_NONE ? 1 : SAMPLES;
    for (int i = 0; i < c->images; i++) {
        struct rs_resize_source src = {b->set, c->width, c->height, c->planar};
        if (c->finish != FINISH_NONE) {
            memcpy(b->sample, b->set + (size_t)i % samples * source, source);
            src.data = b->sample;
        }
        if (rs_resizer_run(resizer, &src, c->side, c->side, b->small, &err) != 0)
            die(&err);
        if (c->finish == FINISH_F32)
            rs_normalize_f32(b->small, (float *)b->batch + (size_t)i % BATCH * pixels, pixels);
        if (c->finish == FINISH_BF16)
            rs_normalize_bf16(b->small, (uint16_t *)b->batch + (size_t)i % BATCH * pixels, pixels);
    }
}

static void bench(const struct bench_case *c, const char *path, int repeats)
{
    struct rs_error err;
    struct rs_resizer *resizer;
    double seconds[REPEATS_MAX];
    size_t source = (size_t)c->width * c->height * 3, pixels = (size_t)c->side * c->side * 3;
    size_t samples = c->finish == FINISH_NONE ? 1 : SAMPLES;
    if (rs_resizer_create(&resizer, &err) != 0)
        die(&err);
    if (rs_resizer_use(resizer, path, &err) != 0) {
        printf("%-44s %-12s not on this machine\n", c->name, path);
        rs_resizer_destroy(resizer);
        return;
    }
    struct buffers b = {need(source * samples), need(source), need(pixels),
                        need(BATCH * pixels * sizeof(float))};
    for (size_t i = 0; i < source * samples; i++)
        b.set[i] = (uint8_t)(i * 2654435761u >> 13);
    for (int r = 0; r < repeats; r++) {
        double begin = now();
        run_images(c, resizer, &b);
        seconds[r] = (now() - begin) / c->images;
    }
    qsort(seconds, (size_t)repeats, sizeof *seconds, ascending);
    double median = seconds[repeats / 2];
    printf("%-44s %-12s %10.2f us %10.0f img/s (%.2f to %.2f us)\n", c->name, path, median * 1e6, 1 / median,
           seconds[0] * 1e6, seconds[repeats - 1] * 1e6);
    free(b.set);
    free(b.sample);
    free(b.small);
    free(b.batch);
    rs_resizer_destroy(resizer);
}

int main(int argc, char **argv)
{
    int repeats = argc > 1 ? atoi(argv[1]) : 9;
    if (repeats < 1 || repeats > REPEATS_MAX) {
        fprintf(stderr, "usage: bench_image [repeats, 1 to %d]\n", REPEATS_MAX);
        return 2;
    }
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
        for (uint32_t i = 0; rs_resizer_path_at(i) != NULL; i++)
            bench(&cases[c], rs_resizer_path_at(i), repeats);
    return 0;
}
