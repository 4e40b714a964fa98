/* log.c: see log.h. */
#include "log.h"
#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_BYTES 1024 /* an error's message with its stage and this prefix fits */

/* Pairs with itself, relaxed: a line more or less while the level changes harms nobody. */
static atomic_int level_now = RS_LOG_INFO;

void rs_log_set_level(enum rs_log_level level)
{
    atomic_store_explicit(&level_now, (int)level, memory_order_relaxed);
}

static const char *prefix_of(enum rs_log_level level)
{
    switch (level) {
    case RS_LOG_ERROR:
        return "rstream: error: ";
    case RS_LOG_WARN:
        return "rstream: warning: ";
    case RS_LOG_DEBUG:
        return "rstream: debug: ";
    case RS_LOG_INFO:
    default:
        return "rstream: ";
    }
}

void rs_log(enum rs_log_level level, const char *format, ...)
{
    if ((int)level > atomic_load_explicit(&level_now, memory_order_relaxed))
        return;
    char line[LINE_MAX_BYTES];
    size_t length = (size_t)snprintf(line, sizeof line, "%s", prefix_of(level));
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line + length, sizeof line - length, format, args);
    va_end(args);
    if (n > 0)
        length = length + (size_t)n < sizeof line - 1 ? length + (size_t)n : sizeof line - 2;
    line[length++] = '\n';
    /* one write, so that lines of several threads don't mix; where stderr is gone there is nobody to tell */
    while (write(STDERR_FILENO, line, length) < 0 && errno == EINTR)
        ;
}
