/* synth.c: pixels of the generated data set.
 *
 * How it works: a picture is a grating, a wave between a dark and a light colour of one hue, crossed by a
 * weaker wave of any direction, with a disc of any colour, under noise. The class is the hue (ten, 36 degrees
 * apart), and the wave's direction goes with it (five, each swaying by 13 degrees); brightness, saturation,
 * period and phase mean nothing. All of it is drawn from Philox, keyed by (seed, split, index).
 * Integer arithmetic only, so that every machine and compiler gives the same bytes.
 */
#include "synth_pvt.h"

#include "random.h"

#define SIDE RS__SYNTH_SIDE
#define PLANE ((size_t)SIDE * SIDE)
#define DIRECTIONS 5
#define SWAY 59      /* tangent of 13 degrees, in 256ths */
#define SWAY_ANY 256 /* 45 degrees */
#define VIVID_MIN 16 /* levels that a hue moves a channel by */
#define VIVID_MAX 56
#define STRAY 10     /* levels that a channel strays by */
#define PERIOD_MIN 4 /* pixels */
#define PERIOD_MAX 10

/* 16384 * cos and sin of 0, 36, 72, 108, 144 degrees, rounded. */
static const int32_t cosine[DIRECTIONS] = {16384, 13255, 5063, -5063, -13255};
static const int32_t sine[DIRECTIONS] = {0, 9630, 15582, 15582, 9630};

/* 256 * cos of (36 * label - 120 * channel) degrees, rounded: the channels of a hue, red at 0. */
static const int32_t hues[RS__SYNTH_CLASSES][3] = {
    {256, -128, -128}, {207, 27, -234},  {79, 171, -250},  {-79, 250, -171}, {-207, 234, -27},
    {-256, 128, 128},  {-207, -27, 234}, {-79, -171, 250}, {79, -250, 171},  {207, -234, 27},
};

/* Named so that byte order is label order. */
static const char *const names[RS__SYNTH_CLASSES] = {
    "hue-000", "hue-036", "hue-072", "hue-108", "hue-144",
    "hue-180", "hue-216", "hue-252", "hue-288", "hue-324",
};

struct grating {
    int32_t step_x, step_y, phase; /* 65536 a period */
};

struct picture {
    struct grating strong, weak;
    int32_t weak_share;        /* of the strong wave's height, in 256ths */
    int32_t dark[3], light[3]; /* colours at the strong wave's trough and crest, 0..255 */
    int32_t disc_x, disc_y, disc_radius2, disc[3];
    int32_t noise; /* amplitude */
};

const char *rs__synth_class_name(int32_t label)
{
    return names[label];
}

/* Uniform in low..high, both included; the bias of the multiplication is below 2^-23 for ranges of a byte. */
static int32_t between(struct rs_random *random, int32_t low, int32_t high)
{
    uint32_t span = (uint32_t)(high - low) + 1;
    return low + (int32_t)((uint64_t)rs_random_u32(random) * span >> 32);
}

/* A wave along (cosine, sine) of that direction, swayed by a tangent of up to sway / 256. */
static void draw_grating(struct rs_random *random, int32_t direction, int32_t sway, struct grating *out)
{
    int32_t tangent = between(random, -sway, sway);
    int32_t x = cosine[direction] - sine[direction] * tangent / 256;
    int32_t y = sine[direction] + cosine[direction] * tangent / 256;
    /* In sixteenths of a pixel; 65536 * 16 / 16384 = 64. */
    int32_t period = between(random, PERIOD_MIN * 16, PERIOD_MAX * 16);
    out->step_x = x * 64 / period;
    out->step_y = y * 64 / period;
    out->phase = between(random, 0, 65535);
}

/* A colour of the label's hue. */
static void draw_colour(struct rs_random *random, int32_t label, int32_t brightness, int32_t colour[3])
{
    int32_t vivid = between(random, VIVID_MIN, VIVID_MAX);
    for (int c = 0; c < 3; c++)
        colour[c] = brightness + hues[label][c] * vivid / 256 + between(random, -STRAY, STRAY);
}

static void draw_picture(struct rs_random *random, int32_t label, struct picture *out)
{
    draw_grating(random, label % DIRECTIONS, SWAY, &out->strong);
    draw_grating(random, between(random, 0, DIRECTIONS - 1), SWAY_ANY, &out->weak);
    out->weak_share = between(random, 0, 180);
    int32_t middle = between(random, 80, 175), swing = between(random, 8, 40);
    draw_colour(random, label, middle - swing, out->dark);
    draw_colour(random, label, middle + swing, out->light);
    out->disc_x = between(random, 0, SIDE - 1);
    out->disc_y = between(random, 0, SIDE - 1);
    int32_t radius = between(random, 3, 12);
    out->disc_radius2 = radius * radius;
    for (int c = 0; c < 3; c++)
        out->disc[c] = between(random, 0, 255);
    out->noise = between(random, 20, 80);
}

/* A smooth wave from two parabolas: 0..256 for a phase of 65536 a period. */
static int32_t wave(int32_t phase)
{
    int32_t t = phase & 32767;                                   /* half a period */
    int32_t bow = (int32_t)((int64_t)t * (32768 - t) / 2097152); /* 0..128..0 */
    return phase & 32768 ? 128 - bow : 128 + bow;
}

static int32_t wave_at(const struct grating *grating, int32_t x, int32_t y)
{
    return wave(x * grating->step_x + y * grating->step_y + grating->phase);
}

static uint8_t clip(int32_t value)
{
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

/* One pixel: a byte in each of three planes. */
static void draw_pixel(struct rs_random *random, const struct picture *picture, int32_t x, int32_t y,
                       uint8_t *pixel)
{
    int32_t dx = x - picture->disc_x, dy = y - picture->disc_y;
    int inside = dx * dx + dy * dy <= picture->disc_radius2;
    int32_t level = wave_at(&picture->strong, x, y);
    level += (wave_at(&picture->weak, x, y) - 128) * picture->weak_share / 256;
    uint32_t word = rs_random_u32(random);
    for (int c = 0; c < 3; c++) {
        int32_t dark = picture->dark[c], light = picture->light[c];
        int32_t value = inside ? picture->disc[c] : dark + (light - dark) * level / 256;
        int32_t grain = (int32_t)(word >> (10 * c) & 1023) - 512; /* ten bits a channel */
        pixel[PLANE * (size_t)c] = clip(value + grain * picture->noise / 512);
    }
}

int32_t rs_synth_sample(uint64_t seed, int test, uint64_t index, uint8_t *chw)
{
    struct rs_random random;
    struct picture picture;
    /* In turn, so that every batch and every prefix of the data is balanced. */
    int32_t label = (int32_t)(index % RS__SYNTH_CLASSES);
    rs_random_init(&random, seed, test ? RS__SYNTH_STREAM + 1 : RS__SYNTH_STREAM, index);
    draw_picture(&random, label, &picture);
    for (int32_t p = 0; p < SIDE * SIDE; p++)
        draw_pixel(&random, &picture, p % SIDE, p / SIDE, chw + p);
    return label;
}
