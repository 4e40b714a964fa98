/* run_fixture.h: whole runs on scripted devices, each in a process of its own.
 *
 * How it works: a run is forked, so that a script may kill it, its SIGINT reaches it alone, and what it leaks
 * is reported at its exit; what it came to is in memory that both processes share. The test's own process
 * never has a second thread.
 *
 * Owner: the fixture is the test's. @thread main. Everything asserts on failure.
 */
#ifndef RUN_FIXTURE_H
#define RUN_FIXTURE_H

#include "disk_script.h"
#include "fake_backend.h"
#include "scene.h"

struct fixture {
    struct scene scene;
    char init[300]; /* zero weights for --init: quicker than random ones */
};

/* CIFAR-10 files of train and valid images; valid 0: no validation images. */
void fixture_begin(struct fixture *fixture, uint32_t train, uint32_t valid);
void fixture_end(struct fixture *fixture);
/* Three epochs of batches of 8, from zero weights, into no folder. */
struct rs_training_options fixture_options(const struct fixture *fixture, const struct rs_backend *backend);

struct run_result {
    int code; /* of rs_training_run */
    struct rs_error err;
    struct rs_training_outcome outcome;
    struct fake_script script;
    uint32_t renames, fsyncs; /* that matched the disk's script */
    bool killed;              /* by a script; then only script, renames and fsyncs are set */
};

struct run_result fixture_run(const struct rs_training_options *options, struct fake_script device);
struct run_result fixture_run_disk(const struct rs_training_options *options, struct fake_script device,
                                   const struct disk_script *disk);
void assert_done(const struct run_result *result);

/* A folder's path inside the fixture's. */
void fixture_dir(const struct fixture *fixture, char dir[400], const char *name);
void fixture_remove(const char *dir);
bool has_file(const char *dir, const char *name);

#endif
