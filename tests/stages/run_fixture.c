/* run_fixture.c: see run_fixture.h. */
#include "run_fixture.h"

#include "checkpoint.h"
#include "cmocka_all.h"
#include "resnet.h"
#include "run.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define IMAGE_SIZE 75 /* the least that the network takes */
#define WATCHDOG_S 120

struct shared {
    struct run_result result;
    struct disk_script disk;
};
static struct shared *running; /* in the run's process */

static void write_zero_weights(const char *path)
{
    struct rs_graph *graph;
    struct rs_state *zero;
    struct rs_error err = {0};
    assert_int_equal(rs_resnet_build(&graph, IMAGE_SIZE, 10, &err), 0);
    assert_int_equal(rs_state_create(&zero, graph, &err), 0);
    if (rs_checkpoint_save(path, zero, 0, NULL, 0, &err) < 0)
        fail_msg("%s", err.message);
    rs_state_destroy(zero);
    rs_graph_destroy(graph);
}

void fixture_begin(struct fixture *f, uint32_t train, uint32_t valid)
{
    char path[400];
    scene_begin(&f->scene, RS_SYNTH_CIFAR10, train, valid ? valid : 10);
    snprintf(path, sizeof path, "%s/test_batch.bin", f->scene.data);
    if (!valid)
        assert_int_equal(unlink(path), 0);
    snprintf(f->init, sizeof f->init, "%s/zero.safetensors", f->scene.root);
    write_zero_weights(f->init);
}

void fixture_end(struct fixture *f)
{
    scene_end(&f->scene);
}

struct rs_training_options fixture_options(const struct fixture *f, const struct rs_backend *backend)
{
    struct rs_training_options o = scene_options(&f->scene);
    o.backend = backend;
    o.device = "fake";
    o.epochs = 3;
    o.batch_size = o.eval_batch_size = 8;
    o.image_size = IMAGE_SIZE;
    o.lr = 0.25f;
    o.init = f->init;
    o.config_json = "{\"made\":\"by a test\"}";
    return o;
}

/* The network's arenas in large pages: clearing them is most of a short run's work. */
#define LARGE_PAGE ((size_t)2 << 20)
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    if (size < LARGE_PAGE)
        return __real_aligned_alloc(alignment, size);
    size_t rounded = (size + LARGE_PAGE - 1) / LARGE_PAGE * LARGE_PAGE;
    void *block = __real_aligned_alloc(LARGE_PAGE, rounded);
    if (block)
        (void)madvise(block, rounded, MADV_HUGEPAGE);
    return block;
}

/* A thread that writes metrics and is slow: a checkpoint that doesn't wait for it is renamed meanwhile. */
#define HOLD_MS 500
int __real_fflush(FILE *file);
int __wrap_fflush(FILE *file);

int __wrap_fflush(FILE *file)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    uint64_t after = running ? running->disk.hold_after : 0;
    if (after && atomic_load(&running->result.script.valid_steps) >= after)
        for (int ms = 0; ms < HOLD_MS; ms++)
            nanosleep(&pause, NULL);
    return __real_fflush(file);
}

static atomic_bool cancelled;
void __real_rs_run_cancel(struct rs_run *run);
void __wrap_rs_run_cancel(struct rs_run *run);

void __wrap_rs_run_cancel(struct rs_run *run)
{
    __real_rs_run_cancel(run);
    atomic_store(&cancelled, true);
}

/* The device's thread waits inside the step or batch that sent the signal. */
static void wait_until_cancelled(void)
{
    const struct timespec pause = {.tv_nsec = 100000};
    while (!atomic_load(&cancelled))
        nanosleep(&pause, NULL);
}

_Noreturn static void run_in_child(const struct rs_training_options *options, struct shared *shared)
{
    struct run_result *r = &shared->result;
    struct rs_training_options o = *options;
    if (o.resume)
        o.init = NULL;
    running = shared;
    alarm(WATCHDOG_S);
    r->script.interrupted = wait_until_cancelled;
    fake_set_script(&r->script);
    disk_set_script(&shared->disk);
    r->code = rs_training_run(&o, &r->outcome, &r->err);
    exit(0);
}

struct run_result fixture_run_disk(const struct rs_training_options *options, struct fake_script device,
                                   const struct disk_script *disk)
{
    struct run_result result;
    int status;
    struct shared *shared =
        mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(shared != MAP_FAILED);
    shared->result.script = device;
    shared->disk = *disk;
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        run_in_child(options, shared);
    assert_int_equal(waitpid(child, &status, 0), child);
    result = shared->result;
    result.renames = atomic_load(&shared->disk.calls[DISK_RENAME]);
    result.fsyncs = atomic_load(&shared->disk.calls[DISK_FSYNC]);
    result.killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    munmap(shared, sizeof *shared);
    if (!result.killed && !(WIFEXITED(status) && WEXITSTATUS(status) == 0))
        fail_msg("the run's process ended with status %#x", (unsigned)status);
    return result;
}

struct run_result fixture_run(const struct rs_training_options *options, struct fake_script device)
{
    return fixture_run_disk(options, device, &(struct disk_script){.event = DISK_NOTHING});
}

void assert_done(const struct run_result *r)
{
    if (r->killed)
        fail_msg("the run was killed");
    if (r->code < 0)
        fail_msg("%s", r->err.message);
}

void fixture_dir(const struct fixture *f, char dir[400], const char *name)
{
    snprintf(dir, 400, "%s/%s", f->scene.root, name);
}

void fixture_remove(const char *dir)
{
    char command[500];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    assert_int_equal(system(command), 0);
}

bool has_file(const char *dir, const char *name)
{
    char path[500];
    struct stat st;
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return stat(path, &st) == 0;
}
