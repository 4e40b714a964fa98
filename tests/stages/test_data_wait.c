/* test_data_wait.c: the times in metrics.jsonl, of a whole run on a clock of the test's.
 *
 * With one slot everything happens in turn: a batch comes, the step works, the slot goes back. The clock
 * stands still but for what passes while the train stage waits for a batch, and in its steps. So every number
 * is known.
 */
#include "fake_backend.h"
#include "gate.h"
#include "scene.h"
#include "train.h"

#include "../pipeline/support.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdatomic.h>

#define SECOND UINT64_C(1000000000)
#define FETCH_NS SECOND
#define STEP_NS (SECOND / 2)
#define EVAL_NS (SECOND / 4)

/* Shared: the clock's add pairs with its load, the flag's store with its exchange. */
static atomic_uint_fast64_t clock_ns = SECOND;
static atomic_bool train_waits;
static _Thread_local bool is_train;

uint64_t __wrap_rs_now_ns(void);
void __real_rs_train_enter(void *self, struct rs_lane *lane);
void __wrap_rs_train_enter(void *self, struct rs_lane *lane);
void __real_rs_gate_wait(struct rs_gate *gate, uint32_t key);
void __wrap_rs_gate_wait(struct rs_gate *gate, uint32_t key);
void __real_rs_channel_publish(struct rs_channel *channel, uint64_t seq, uint32_t value);
void __wrap_rs_channel_publish(struct rs_channel *channel, uint64_t seq, uint32_t value);

uint64_t __wrap_rs_now_ns(void)
{
    return atomic_load(&clock_ns);
}

void __wrap_rs_train_enter(void *self, struct rs_lane *lane)
{
    is_train = true;
    __real_rs_train_enter(self, lane);
}

void __wrap_rs_gate_wait(struct rs_gate *gate, uint32_t key)
{
    if (is_train)
        atomic_store(&train_waits, true);
    __real_rs_gate_wait(gate, key);
}

/* A batch comes when the train stage has waited so long for it. */
void __wrap_rs_channel_publish(struct rs_channel *channel, uint64_t seq, uint32_t value)
{
    while (!atomic_exchange(&train_waits, false)) /* one wait, one batch */
        sched_yield();
    atomic_fetch_add(&clock_ns, FETCH_NS);
    __real_rs_channel_publish(channel, seq, value);
}

static int slow_train(struct rs_plan *plan, const struct rs_batch_input *input, float lr,
                      struct rs_step_result *result, struct rs_error *err)
{
    atomic_fetch_add(&clock_ns, STEP_NS);
    return fake_sync.train_step(plan, input, lr, result, err);
}

static int slow_eval(struct rs_plan *plan, const struct rs_batch_input *input, struct rs_step_result *result,
                     struct rs_error *err)
{
    atomic_fetch_add(&clock_ns, EVAL_NS);
    return fake_sync.eval_step(plan, input, result, err);
}

static void expect(const cJSON *object, const char *name, double wanted)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    assert_true(cJSON_IsNumber(item));
    if (fabs(item->valuedouble - wanted) > 1e-6)
        fail_msg("%s is %g, not %g", name, item->valuedouble, wanted);
}

/* 90 images in 6 train batches, 20 in 2 validation batches. */
static void check_epoch(const cJSON *line, int epoch)
{
    const cJSON *stages = cJSON_GetObjectItemCaseSensitive(line, "stages");
    const cJSON *train = cJSON_GetObjectItemCaseSensitive(stages, "train");
    const cJSON *read = cJSON_GetObjectItemCaseSensitive(stages, "read");
    expect(line, "epoch", epoch);
    expect(line, "train_seconds", 6 * 1.5);
    expect(line, "seconds", 6 * 1.5 + 2 * 1.25);
    /* the very first wait is the filling of the pipeline */
    expect(line, "data_wait_seconds", epoch ? 6 : 5);
    expect(line, "images_per_second", 90 / 9.0);
    expect(train, "batches", 8);
    expect(train, "samples", 110);
    expect(train, "threads", 1);
    expect(train, "busy_seconds", 6 * 0.5 + 2 * 0.25);
    expect(train, "wait_input_seconds", 8);
    expect(train, "wait_slot_seconds", 0);
    expect(read, "wait_input_seconds", 0);
}

static void test_times_of_a_run(void **state)
{
    (void)state;
    struct scene s;
    char out[300], path[320], text[8192];
    struct rs_error err = {0};
    struct rs_training_outcome outcome;
    struct fake_script script = {0};
    struct rs_backend slow = fake_sync;
    slow.train_step = slow_train;
    slow.eval_step = slow_eval;
    scene_begin(&s, RS_SYNTH_CIFAR10, 90, 20);
    struct rs_training_options o = scene_options(&s);
    snprintf(out, sizeof out, "%s/run", s.root);
    snprintf(path, sizeof path, "%s/metrics.jsonl", out);
    o.backend = &slow;
    o.device = "fake";
    o.out = out;
    o.epochs = 2;
    o.prefetch = 1;
    o.workers = 1;
    o.lr = 0.25f;
    o.config_json = "{}";
    fake_set_script(&script);
    if (rs_training_run(&o, &outcome, &err) < 0)
        fail_msg("%s", err.message);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    int steps = 0, epochs = 0;
    while (fgets(text, sizeof text, file)) {
        cJSON *line = cJSON_Parse(text);
        const char *event = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(line, "event"));
        assert_non_null(event);
        if (strcmp(event, "step") == 0) {
            expect(line, "step", ++steps);
            expect(line, "seconds", 1.5);
            expect(line, "data_wait_seconds", 1);
        } else if (strcmp(event, "epoch") == 0) {
            check_epoch(line, epochs++);
        }
        cJSON_Delete(line);
    }
    fclose(file);
    assert_int_equal(steps, 12);
    assert_int_equal(epochs, 2);
    scene_end(&s);
}

static int set_up(void **state)
{
    (void)state;
    return !to_one_core();
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_times_of_a_run)};
    return cmocka_run_group_tests(tests, set_up, NULL);
}
