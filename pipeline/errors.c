/* errors.c: see errors.h. */
#include "errors.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *rs_error_name(int code)
{
    switch (code) {
#define RS_ERROR_NAME(name, value, text)                                                                     \
    case value:                                                                                              \
        return #name;
        RS_ERROR_TABLE(RS_ERROR_NAME)
#undef RS_ERROR_NAME
    case RS_OK:
        return "RS_OK";
    case RS_AGAIN:
        return "RS_AGAIN";
    case RS_END:
        return "RS_END";
    default:
        return "unknown";
    }
}

const char *rs_error_text(int code)
{
    switch (code) {
#define RS_ERROR_TEXT(name, value, text)                                                                     \
    case value:                                                                                              \
        return text;
        RS_ERROR_TABLE(RS_ERROR_TEXT)
#undef RS_ERROR_TEXT
    case RS_OK:
        return "no error";
    case RS_AGAIN:
        return "nothing there now";
    case RS_END:
        return "the stream is over";
    default:
        return "unknown error";
    }
}

/* Formats into err->message from position at; returns the length, at most what fits. A newline inside (of a
 * file's name, say) becomes a space, so that a message stays one line. */
static size_t append(struct rs_error *err, size_t at, const char *format, va_list args)
{
    size_t room = sizeof err->message - at;
    int n = vsnprintf(err->message + at, room, format, args);
    if (n < 0) {
        err->message[at] = '\0';
        return at;
    }
    size_t end = (size_t)n < room ? at + (size_t)n : sizeof err->message - 1;
    for (size_t i = at; i < end; i++)
        if (err->message[i] == '\n')
            err->message[i] = ' ';
    return end;
}

int rs_error_set(struct rs_error *err, int code, const char *format, ...)
{
    if (!err)
        return code;
    va_list args;
    va_start(args, format);
    append(err, 0, format, args);
    va_end(args);
    err->code = code;
    return code;
}

static int code_of_errno(int errnum)
{
    switch (errnum) {
    case ENOENT:
        return RS_E_NOT_FOUND;
    case EACCES:
    case EPERM:
        return RS_E_PERMISSION;
    case ENOSPC:
    case EDQUOT:
        return RS_E_NO_SPACE;
    case ENOMEM:
        return RS_E_NOMEM;
    default:
        return RS_E_IO;
    }
}

int rs_error_set_errno(struct rs_error *err, int errnum, const char *format, ...)
{
    int code = code_of_errno(errnum);
    if (!err)
        return code;
    va_list args;
    va_start(args, format);
    size_t end = append(err, 0, format, args);
    va_end(args);
    char text[128];
    snprintf(err->message + end, sizeof err->message - end, ": %s", strerror_r(errnum, text, sizeof text));
    err->code = code;
    return code;
}

void rs_assert_failed(const char *condition, const char *file, int line)
{
    fprintf(stderr, "rstream: a mistake in the program: %s:%d: '%s' does not hold\n", file, line, condition);
    abort();
}
