/* fault_interrupts.c: Ctrl-C in a step of a training run, of an evaluation, and of a feed. Once: the run ends
 * in order and says so. Twice: the process leaves at once with 130, although the step never ends.
 */
#include "evaluation.h"
#include "fake_backend.h"
#include "feed.h"
#include "scene.h"

#include "cmocka_all.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define INTERRUPTED 130
#define PATIENCE_SECONDS 60

static struct scene scene;
static struct fake_script script;
static struct rs_backend device; /* fake_sync, but for the steps */
static struct rs_error err;
static int interrupts; /* that the second step sends */
static int steps;

/* Of the second step; two interrupts are more than a step that never ends can wait for. */
static void interrupt_here(void)
{
    if (++steps != 2)
        return;
    for (int i = 0; i < interrupts; i++)
        raise(SIGINT);
    while (interrupts > 1)
        pause();
}

static int train_step(struct rs_plan *plan, const struct rs_batch_input *input, float lr,
                      struct rs_step_result *result, struct rs_error *error)
{
    interrupt_here();
    return fake_sync.train_step(plan, input, lr, result, error);
}

static int eval_step(struct rs_plan *plan, const struct rs_batch_input *input, struct rs_step_result *result,
                     struct rs_error *error)
{
    interrupt_here();
    return fake_sync.eval_step(plan, input, result, error);
}

static int take_batch(void *arg, const struct rs_feed_batch *batch, struct rs_error *error)
{
    (void)arg;
    (void)batch;
    (void)error;
    interrupt_here();
    return 0;
}

static struct rs_training_options options(void)
{
    struct rs_training_options o = scene_options(&scene);
    o.backend = &device;
    o.device = "fake";
    o.lr = 0.25f;
    o.config_json = "{}";
    script = (struct fake_script){0};
    fake_set_script(&script);
    err = (struct rs_error){0};
    steps = 0;
    return o;
}

/* 0, or RS_E_CANCELLED where the run was interrupted. */
static int train_in(const char *name)
{
    char folder[300];
    struct rs_training_outcome outcome;
    struct rs_training_options o = options();
    snprintf(folder, sizeof folder, "%s/%s", scene.root, name);
    o.epochs = 100;
    o.out = folder;
    assert_int_equal(rs_training_run(&o, &outcome, &err), 0);
    assert_true(outcome.steps >= 2); /* the step in work is finished */
    return outcome.interrupted ? RS_E_CANCELLED : 0;
}

static int train(void)
{
    return train_in("run");
}

static int train_anew(void)
{
    return train_in("another run");
}

static int train_once_more(void)
{
    return train_in("a third run");
}

static int evaluate(void)
{
    char weights[400];
    struct rs_evaluation evaluation = {0};
    struct rs_training_options o = options();
    snprintf(weights, sizeof weights, "%s/run/last.safetensors", scene.root);
    int code = rs_evaluation_run(&o, weights, &evaluation, &err);
    rs_evaluation_free(&evaluation);
    assert_true(code == 0 || strstr(err.message, "interrupted"));
    return code;
}

static int feed(void)
{
    struct rs_training_options o = options();
    o.epochs = 100;
    int code = rs_feed_run(&o, take_batch, NULL, &err);
    assert_true(code == 0 || strstr(err.message, "interrupted"));
    return code;
}

/* The exit code of a child that runs it with so many interrupts, or -1. */
static int leave(int (*run)(void), int count)
{
    int status = 0;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        alarm(PATIENCE_SECONDS);
        interrupts = count;
        run();
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void check(int (*run)(void))
{
    interrupts = 1;
    assert_int_equal(run(), RS_E_CANCELLED);
    interrupts = 0;
}

static void once(void **state)
{
    (void)state;
    check(train_once_more);
    check(evaluate);
    check(feed);
    assert_int_equal(evaluate(), 0); /* an interrupted run leaves nothing that disturbs the next */
}

/* All runs are in children: this process has no threads yet, and ThreadSanitizer allows none after a fork of
 * one that has. */
static void twice(void **state)
{
    (void)state;
    assert_int_equal(leave(train, 1), 0); /* leaves the file that the evaluation reads */
    assert_int_equal(leave(evaluate, 2), INTERRUPTED);
    assert_int_equal(leave(feed, 2), INTERRUPTED);
    assert_int_equal(leave(train_anew, 2), INTERRUPTED);
}

static int set_up(void **state)
{
    (void)state;
    device = fake_sync;
    device.train_step = train_step;
    device.eval_step = eval_step;
    scene_begin(&scene, RS_SYNTH_CIFAR10, 64, 32);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    scene_end(&scene);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(twice), /* first */
        cmocka_unit_test(once),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
