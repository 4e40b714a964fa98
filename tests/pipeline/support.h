/* support.h: what the pipeline's tests share: cmocka with the headers it wants, and waiting with an end. */
#ifndef RS_TEST_SUPPORT_H
#define RS_TEST_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* The calling thread, and those that it creates, run on one core from now on: then nobody spins (gate.c),
 * which matters where the clock is a test's and stands still. */
static inline bool to_one_core(void)
{
    cpu_set_t cores, one;
    if (sched_getaffinity(0, sizeof cores, &cores) != 0)
        return false;
    CPU_ZERO(&one);
    for (size_t cpu = 0; cpu < CPU_SETSIZE && !CPU_COUNT(&one); cpu++)
        if (CPU_ISSET(cpu, &cores))
            CPU_SET(cpu, &one);
    return sched_setaffinity(0, sizeof one, &one) == 0;
}

/* Runs fn in a child. True when it aborts and its stderr has all of the wanted words (NULL-terminated list).
 */
static inline bool aborts_saying(void (*fn)(void), const char *const *words)
{
    int pipes[2];
    if (pipe(pipes) != 0)
        return false;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        signal(SIGABRT, SIG_DFL); /* not cmocka's */
        dup2(pipes[1], STDERR_FILENO);
        fn();
        _exit(0);
    }
    close(pipes[1]);
    char text[4096];
    size_t length = 0;
    for (ssize_t n; (n = read(pipes[0], text + length, sizeof text - 1 - length)) > 0;)
        length += (size_t)n;
    text[length] = '\0';
    close(pipes[0]);
    int status = 0;
    if (waitpid(child, &status, 0) != child || !WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT)
        return false;
    for (; *words; words++)
        if (!strstr(text, *words))
            return false;
    return true;
}

#endif
