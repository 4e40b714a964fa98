/* support.h: what the command's tests share: a temporary folder, a program run with its output caught.
 * @thread main. */
#ifndef RS_TOOLS_SUPPORT_H
#define RS_TOOLS_SUPPORT_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#define TEXT_MAX 65536

struct outcome {
    int exit_code; /* -1: ended by a signal */
    char out[TEXT_MAX], err[TEXT_MAX];
};

/* Runs rstream with a shell-like line of arguments, split at blanks; the program's files lie in folder. */
void run_rstream(struct outcome *outcome, const char *folder, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Starts it without waiting: returns its process. Its standard output goes to folder/out.txt, errors to
 * folder/err.txt. */
int start_rstream(const char *folder, const char *line);
/* Waits for it; the exit code, or -1. */
int wait_rstream(int process);

/* The first count bytes of a file at most; fails the test where there is none. */
size_t read_bytes(const char *path, char *bytes, size_t count);
/* folder/name in a buffer that the eighth call from now overwrites: for an argument, not to keep. */
const char *in(const char *folder, const char *name);

/* A weights file of the default network for 75 x 75 pixels and 10 classes, from seed 0; with the options of a
 * run in it when config isn't NULL, as a resume file has them. */
void write_weights(const char *path, const char *classes, const char *config);

#endif
