/* run_files.h: what a run's folder holds, read back and compared.
 *
 * How it works: the fake device moves two weights, which tell its steps apart, and the rest of a checkpoint
 * is zeros: only its header and those weights are read. Lines of metrics.jsonl are compared without what
 * depends on time.
 *
 * Owner: files that are read are freed with run_files_free. @thread main. Everything asserts on failure.
 */
#ifndef RUN_FILES_H
#define RUN_FILES_H

#include "progress.h"
#include "run_fixture.h"

#define LINES_MAX 64

struct saved_file {
    bool there;
    float weights[2];
    int64_t steps; /* of the optimizer; resume file only */
    float moment;  /* resume file only */
    char *classes; /* metadata, and so on */
    char *image_size;
    char *config;   /* resume file only, else NULL */
    char *progress; /* resume file only, else NULL */
};

struct run_files {
    struct saved_file best, last, resume;
    struct rs_progress progress; /* of resume */
    char *lines[LINES_MAX];      /* of metrics.jsonl, as they are */
    char *plain[LINES_MAX];      /* without times and what follows from them */
    uint32_t line_count;
};

void run_files_read(struct run_files *files, const char *dir);
void run_files_free(struct run_files *files);

/* The same weights, metadata, progress and lines. */
void assert_same_files(const struct run_files *a, const struct run_files *b);
/* The lines of steps and epochs that the progress counts are there, once and in order; progress and epoch
 * lines are the sums of their steps' lines. */
void assert_whole(const struct run_files *files);
/* The weights after that many steps. */
void assert_weights(const struct saved_file *file, const struct run_result *run, uint64_t steps);

/* All files of a folder: contents and sizes. A number that differs when anything does. */
uint64_t folder_hash(const char *dir);

#endif
