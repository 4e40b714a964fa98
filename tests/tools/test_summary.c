/* test_summary.c: every line of rstream summary. The expected text is worked out here from the notebook's
 * list of modules: an output side is floor((side + 2 padding - kernel) / stride) + 1, a convolution has out x
 * in x kernel^2 weights and does 2 of these times its positions. */
#include "support.h"

#include "scratch.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

static struct rs_scratch scratch;
static struct outcome o;

struct walk { /* the modules so far: where the data is, and the totals */
    FILE *to;
    int channels, side;
    int64_t params, flops;
    int norm_channels;
};

static int slide(int side, int kernel, int stride, int padding)
{
    return (side + 2 * padding - kernel) / stride + 1;
}

static void row(struct walk *w, const char *module, const char *member, const char *kind, int64_t params,
                int64_t flops)
{
    char name[64], shape[64];
    snprintf(name, sizeof name, "%s%s%s", module, member[0] ? "." : "", member);
    snprintf(shape, sizeof shape, "%d x %d x %d", w->channels, w->side, w->side);
    fprintf(w->to, "%-18s %-18s %-16s %12lld %10.3f\n", name, kind, shape, (long long)params,
            (double)flops / 1e6);
    w->params += params;
    w->flops += flops;
}

static void convolution(struct walk *w, const char *module, const char *member, int out, int kernel,
                        int stride, int padding, int bias)
{
    char kind[32];
    const int64_t weights = (int64_t)out * w->channels * kernel * kernel;
    w->side = slide(w->side, kernel, stride, padding);
    w->channels = out;
    snprintf(kind, sizeof kind, "conv2d %dx%d/%d", kernel, kernel, stride);
    row(w, module, member, kind, weights + (bias ? out : 0), 2 * weights * w->side * w->side);
}

static void norm(struct walk *w, const char *module, const char *member)
{
    w->norm_channels += w->channels;
    row(w, module, member, "batch norm", (int64_t)2 * w->channels, 0);
}

/* A residual block; the shortcut is a convolution where the shape changes. */
static void residual(struct walk *w, const char *module, int channels, int stride)
{
    const struct walk before = *w;
    convolution(w, module, "conv1", channels, 3, stride, 1, 0);
    norm(w, module, "bn1");
    row(w, module, "relu1", "relu", 0, 0);
    convolution(w, module, "conv2", channels, 3, 1, 1, 0);
    norm(w, module, "bn2");
    row(w, module, "relu2", "relu", 0, 0);
    if (stride == 2) {
        w->channels = before.channels;
        w->side = before.side;
        convolution(w, module, "conv3", channels, 1, 2, 0, 1);
    }
    row(w, module, "add", "add", 0, 0);
    row(w, module, "relu3", "relu", 0, 0);
}

static void write_nodes(struct walk *w, int classes)
{
    row(w, "input", "", "input", 0, 0);
    convolution(w, "block1", "", 64, 7, 2, 0, 1);
    w->side = slide(w->side, 3, 2, 0);
    row(w, "block2.0", "", "max pool 3x3/2", 0, 0);
    residual(w, "block2.1", 64, 1);
    residual(w, "block2.2", 64, 1);
    residual(w, "block3.0", 128, 2);
    residual(w, "block3.1", 128, 1);
    residual(w, "block4.0", 256, 2);
    residual(w, "block4.1", 256, 1);
    residual(w, "block5.0", 512, 2);
    residual(w, "block5.1", 512, 1);
    w->side = slide(w->side, 3, 3, 0);
    row(w, "block5.2", "", "average pool 3x3/3", 0, 0);
    const int64_t inputs = (int64_t)w->channels * w->side * w->side;
    w->channels = classes;
    w->side = 1;
    row(w, "classifier", "", "linear", inputs * classes + classes, 2 * inputs * classes);
    row(w, "loss", "", "cross-entropy", 0, 0);
}

static void expected_summary(char *text, size_t size, int image, int classes)
{
    FILE *to = fmemopen(text, size, "w");
    struct walk w = {.to = to, .channels = 3, .side = image};
    assert_non_null(to);
    const int one = slide(image, 7, 2, 0), two = slide(one, 3, 2, 0), three = slide(two, 3, 2, 1),
              four = slide(three, 3, 2, 1);
    const int five = slide(slide(four, 3, 2, 1), 3, 3, 0);
    fprintf(to,
            "block1 output: 1 x 64 x %d x %d\nblock2 output: 1 x 64 x %d x %d\nblock3 output: 1 x 128 x %d x "
            "%d\n",
            one, one, two, two, three, three);
    fprintf(to, "block4 output: 1 x 256 x %d x %d\nblock5 output: 1 x 512 x %d x %d\noutput: 1 x %d\n\n",
            four, four, five, five, classes);
    fprintf(to, "%-18s %-18s %-16s %12s %10s\n", "name", "operator", "output", "parameters", "MFLOP");
    write_nodes(&w, classes);
    fprintf(to,
            "\nParameters: %lld (%.1f MiB in float32), running statistics: %d\n"
            "Work: %.3f MFLOP forward for one image, about three times that for a training step\n",
            (long long)w.params, (double)w.params * 4 / 1048576, 2 * w.norm_channels, (double)w.flops / 1e6);
    fclose(to);
}

static void test_every_line(void **unused)
{
    (void)unused;
    static const struct {
        const char *options;
        int image, classes;
    } cases[] = {{"", 96, 10},
                 {"--image-size 75 --classes 2", 75, 2},
                 {"--classes 1000", 96, 1000},
                 {"--image-size 224", 224, 10},
                 {"--image-size=200 --classes=7", 200, 7}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        static char expected[TEXT_MAX];
        run_rstream(&o, scratch.path, "summary %s", cases[i].options);
        assert_int_equal(o.exit_code, 0);
        assert_string_equal(o.err, "");
        expected_summary(expected, sizeof expected, cases[i].image, cases[i].classes);
        assert_string_equal(o.out, expected);
    }
}

/* Figures that PyTorch prints for the notebook's network: an anchor for the arithmetic above. */
static void test_known_figures(void **unused)
{
    (void)unused;
    static const char *const lines[] = {
        "block1 output: 1 x 64 x 45 x 45\nblock2 output: 1 x 64 x 22 x 22\nblock3 output: 1 x 128 x 11 x 11\n"
        "block4 output: 1 x 256 x 6 x 6\nblock5 output: 1 x 512 x 1 x 1\noutput: 1 x 10\n",
        "block4.0.conv3     conv2d 1x1/2       256 x 6 x 6             33024      2.359\n",
        "\nParameters: 11180682 (42.7 MiB in float32), running statistics: 7680\nWork: 609.718 MFLOP "
        "forward "};
    run_rstream(&o, scratch.path, "summary");
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        assert_non_null(strstr(o.out, lines[i]));
}

static void test_refusals(void **unused)
{
    (void)unused;
    static const struct {
        const char *options, *message;
    } cases[] = {
        {"--image-size 74", "--image-size 74 is too small for the network: from 75 to 1024 is allowed\n"},
        {"--image-size 1025", "--image-size 1025: a whole number from 8 to 1024 is allowed\n"},
        {"--classes 1", "--classes 1: a whole number from 2 to 100000 is allowed\n"},
        {"photos", "'photos' is too much: see rstream summary --help\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char expected[256];
        run_rstream(&o, scratch.path, "summary %s", cases[i].options);
        snprintf(expected, sizeof expected, "rstream summary: %s", cases[i].message);
        assert_int_equal(o.exit_code, 2);
        assert_string_equal(o.err, expected);
        assert_string_equal(o.out, "");
    }
}

static int set_up(void **unused)
{
    (void)unused;
    return rs__scratch_create(&scratch, NULL);
}

static int tear_down(void **unused)
{
    (void)unused;
    rs__scratch_remove(&scratch);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_line),
        cmocka_unit_test(test_known_figures),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
