/* run_whole.h: an undisturbed run, and whether a disturbed one comes to the same in the end.
 *
 * Owner: a whole run is freed with run_whole_free, a scene's with run_scene_end. @thread main. Everything
 * asserts on failure.
 */
#ifndef RUN_WHOLE_H
#define RUN_WHOLE_H

#include "run_files.h"

struct run_whole {
    struct run_result result;
    struct run_files files;
};

/* Runs the options undisturbed in their folder, which is removed afterwards. */
void run_whole_make(struct run_whole *whole, const struct rs_training_options *options,
                    struct fake_script script);
void run_whole_free(struct run_whole *whole);
/* The folder holds all that the whole one held. outcome: of the run that ended it. */
void assert_as_whole(const struct run_whole *whole, const char *dir, const struct run_result *last);
/* Goes on with what the folder holds: a resume where it has a resume file, else a new run. Afterwards it is
 * as the whole one, the lines that the resume file counts are the same bytes as before, and the folder is
 * removed. */
void assert_goes_on(const struct run_whole *whole, const struct rs_training_options *options,
                    struct fake_script script);

/* What the tests of a program share: the data, its undisturbed run, and the folder of the run under test. */
struct run_scene {
    struct fixture fixture;
    struct run_whole whole;
    char dir[400];
};

/* In the program's group setup, which then makes the whole run and sets *state to the scene. */
void run_scene_begin(struct run_scene *scene, uint32_t train, uint32_t valid);
/* A test's setup: the run's folder is not there. */
int run_scene_fresh(void **state);
/* The group's teardown. */
int run_scene_end(void **state);

/* RS_SWEEP=full: every case of a sweep; else those that a stride from first meets. */
uint32_t sweep_step(uint32_t stride);

#endif
