/* fault_threads.c: a thread that can't be started, each one of a run in its turn. The run must end with the
 * reason, and leave no thread and no run behind.
 *
 * The linker sends every pthread_create and pthread_join of the project's own code here (-Wl,--wrap).
 */
#include "evaluation.h"
#include "fake_backend.h"
#include "feed.h"
#include "ring_bench.h"
#include "scene.h"

#include "cmocka_all.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#define FEWEST_THREADS 7 /* of any run here */

static struct scene scene;
static struct fake_script script;
static struct rs_error err;

static atomic_uint asked, started, joined;
static unsigned fail_at; /* the call that fails, from 1; 0: none */
static bool fail_beside; /* the one that fails is the first beside a thread that runs */

typedef void *thread_function(void *);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, thread_function *function,
                          void *arg);
int __real_pthread_join(pthread_t thread, void **result);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, thread_function *function,
                          void *arg);
int __wrap_pthread_join(pthread_t thread, void **result);

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, thread_function *function,
                          void *arg)
{
    if (++asked == fail_at || (fail_beside && started > joined))
        return EAGAIN;
    int code = __real_pthread_create(thread, attributes, function, arg);
    started += code == 0;
    return code;
}

int __wrap_pthread_join(pthread_t thread, void **result)
{
    joined++;
    return __real_pthread_join(thread, result);
}

static struct rs_training_options options(void)
{
    struct rs_training_options o = scene_options(&scene);
    o.backend = &fake_sync;
    o.device = "fake";
    o.fuse = RS_FUSE_NONE;
    o.workers = 6; /* three pools of two threads */
    o.lr = 0.25f;
    o.config_json = "{}";
    return o;
}

static int train(void)
{
    static char out[300];
    struct rs_training_outcome outcome;
    struct rs_training_options o = options();
    snprintf(out, sizeof out, "%s/run", scene.root);
    o.out = out;
    script = (struct fake_script){0};
    fake_set_script(&script);
    return rs_training_run(&o, &outcome, &err);
}

static int evaluate(void)
{
    char weights[300];
    struct rs_evaluation evaluation = {0};
    struct rs_training_options o = options();
    snprintf(weights, sizeof weights, "%s/run/last.safetensors", scene.root);
    script = (struct fake_script){0};
    fake_set_script(&script);
    int code = rs_evaluation_run(&o, weights, &evaluation, &err);
    rs_evaluation_free(&evaluation);
    return code;
}

static int take_batch(void *arg, const struct rs_feed_batch *batch, struct rs_error *error)
{
    (void)arg;
    (void)batch;
    (void)error;
    return 0;
}

static int feed(void)
{
    struct rs_training_options o = options();
    return rs_feed_run(&o, take_batch, NULL, &err);
}

/* Fails each thread of a run, until one has as many as it wants. */
static void fail_each(int (*run)(void))
{
    for (unsigned n = 1;; n++) {
        asked = started = joined = 0;
        fail_at = n;
        err = (struct rs_error){0};
        int code = run();
        assert_int_equal(started, joined);
        if (code == 0) {
            assert_true(asked < n); /* a failure that is ignored would also be a success */
            assert_true(n > FEWEST_THREADS);
            return;
        }
        assert_int_equal(code, RS_E_THREAD);
        assert_int_equal(err.code, RS_E_THREAD);
        assert_true(strstr(err.message, "could not be started") || strstr(err.message, "can't be started"));
        assert_int_equal(asked, n); /* nothing more is begun */
    }
}

/* The last of these runs succeeds in the folder where the others failed. */
static void each_thread_of_a_training_run(void **state)
{
    (void)state;
    fail_each(train);
}

static void each_thread_of_an_evaluation(void **state)
{
    (void)state;
    fail_each(evaluate);
}

static void each_thread_of_a_feed(void **state)
{
    (void)state;
    fail_each(feed);
}

/* Its threads wait until all are there, so one that was started must be let go. */
static void a_thread_of_the_rings_benchmark(void **state)
{
    (void)state;
    FILE *out = fopen("/dev/null", "we");
    assert_non_null(out);
    for (int beside = 0; beside < 2; beside++) {
        asked = started = joined = 0;
        fail_beside = beside;
        fail_at = !beside;
        assert_int_equal(rs_ring_bench_run(out, &err), RS_E_THREAD);
        assert_int_equal(started, joined);
        assert_true(started > 0 || !beside);
    }
    fail_beside = false;
    fclose(out);
}

static int set_up(void **state)
{
    (void)state;
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
        cmocka_unit_test(each_thread_of_a_training_run), /* makes the weights of the next */
        cmocka_unit_test(each_thread_of_an_evaluation),
        cmocka_unit_test(each_thread_of_a_feed),
        cmocka_unit_test(a_thread_of_the_rings_benchmark),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
