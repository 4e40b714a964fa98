/* command_eval.c: rstream eval: one pass of weights over a split, as tables. */
#include "commands.h"
#include "evaluation.h"
#include "text.h"
#include "weights_info.h"

#define NAME_WIDTH 16u    /* of a row's name */
#define COLUMN_WIDTH 8u   /* of the matrix */
#define MATRIX_CLASSES 20 /* more don't fit a screen's width */
#define FIT_SIZE 80u

static uint64_t cell(const struct rs_evaluation *e, int32_t label, int32_t predicted)
{
    return e->confusion[(size_t)label * (size_t)e->classes + (size_t)predicted];
}

static void print_classes(const struct rs_evaluation *e)
{
    char name[FIT_SIZE];
    (void)printf("\n%-*s %8s %9s  %s\n", (int)NAME_WIDTH, "class", "images", "accuracy",
                 "most often taken for");
    for (int32_t label = 0; label < e->classes; label++) {
        uint64_t images = 0;
        int32_t worst = -1;
        for (int32_t p = 0; p < e->classes; p++) {
            images += cell(e, label, p);
            if (p != label && cell(e, label, p) > 0 &&
                (worst < 0 || cell(e, label, p) > cell(e, label, worst)))
                worst = p;
        }
        (void)printf("%s %8llu ", rs__text_fit(e->class_names[label], NAME_WIDTH, 0, name, sizeof name),
                     (unsigned long long)images);
        if (images)
            (void)printf("%9.4f", (double)cell(e, label, label) / (double)images);
        else
            (void)printf("%9s", "-");
        if (worst >= 0)
            (void)printf("  %s (%llu)", e->class_names[worst], (unsigned long long)cell(e, label, worst));
        (void)printf("\n");
    }
}

static void print_matrix(const struct rs_evaluation *e)
{
    char name[FIT_SIZE];
    (void)printf("\nConfusion matrix: a row a true class, a column what was predicted\n%*s", (int)NAME_WIDTH,
                 "");
    for (int32_t p = 0; p < e->classes; p++)
        (void)printf(" %s", rs__text_fit(e->class_names[p], COLUMN_WIDTH, 1, name, sizeof name));
    (void)printf("\n");
    for (int32_t label = 0; label < e->classes; label++) {
        (void)printf("%s", rs__text_fit(e->class_names[label], NAME_WIDTH, 0, name, sizeof name));
        for (int32_t p = 0; p < e->classes; p++)
            (void)printf(" %*llu", (int)COLUMN_WIDTH, (unsigned long long)cell(e, label, p));
        (void)printf("\n");
    }
}

int rs_command_eval(const struct rs_config *config, struct rs_error *err)
{
    struct rs_weights_info info;
    RS_TRY(rs__weights_info_read(config->weights, &info, err));
    struct rs_training_options options;
    rs_config_training(config, NULL, &options);
    if (info.image_size && !rs_config_given(config, RS_OPTION_IMAGE_SIZE))
        options.image_size = info.image_size;
    rs__weights_info_free(&info);
    struct rs_evaluation e = {0};
    RS_TRY(rs_evaluation_run(&options, config->weights, &e, err));
    (void)printf("Loss: %.6f, Acc: %.6f, %llu images of %u x %u in %.1f s (%.0f img/s)\n", e.loss, e.accuracy,
                 (unsigned long long)e.samples, options.image_size, options.image_size, e.seconds,
                 e.seconds > 0 ? (double)e.samples / e.seconds : 0.0);
    print_classes(&e);
    if (e.classes <= MATRIX_CLASSES)
        print_matrix(&e);
    else
        (void)printf("\nThe confusion matrix is printed for %d classes at most.\n", MATRIX_CLASSES);
    rs_evaluation_free(&e);
    return RS_OK;
}
