/* errors.h: every failure of the project as a code and one sentence.
 *
 * How it works: a function that can fail returns int: 0, a negative RS_E_ code, or a positive flow value
 * (RS_AGAIN, RS_END), which is no failure. Its last parameter is a struct rs_error that the caller owns
 * (NULL if the caller doesn't want the sentence); the function that finds the failure fills it once, with
 * file, offset or line and the remedy. Callers forward with RS_TRY. Codes of libraries (errno, libuv,
 * libpng, oneDNN) are turned into ours where the library is called and go no further.
 *
 * Owner: the caller owns the struct rs_error. @thread any.
 */
#ifndef RS_ERRORS_H
#define RS_ERRORS_H

#include <stdarg.h>
#include <stddef.h>

/* name, value, sentence */
#define RS_ERROR_TABLE(X)                                                                                    \
    X(RS_E_NOMEM, -1, "out of memory")                                                                       \
    X(RS_E_IO, -2, "input or output failed")                                                                 \
    X(RS_E_NOT_FOUND, -3, "not found")                                                                       \
    X(RS_E_PERMISSION, -4, "permission denied")                                                              \
    X(RS_E_NO_SPACE, -5, "no space left on the device")                                                      \
    X(RS_E_CORRUPT, -6, "corrupt data")                                                                      \
    X(RS_E_UNSUPPORTED, -7, "not supported")                                                                 \
    X(RS_E_LIMIT, -8, "beyond a limit")                                                                      \
    X(RS_E_SHAPE, -9, "shapes do not match")                                                                 \
    X(RS_E_USAGE, -10, "wrong usage")                                                                        \
    X(RS_E_CANCELLED, -11, "cancelled")                                                                      \
    X(RS_E_BACKEND, -12, "the compute library failed")                                                       \
    X(RS_E_DEVICE, -13, "the device can't be used")                                                          \
    X(RS_E_NOT_FINITE, -14, "a value is not finite")                                                         \
    X(RS_E_THREAD, -15, "a thread could not be started")                                                     \
    X(RS_E_NO_SPLIT, -16, "the data has no such split")

enum rs_error_code {
#define RS_ERROR_ENUM(name, value, text) name = value,
    RS_ERROR_TABLE(RS_ERROR_ENUM)
#undef RS_ERROR_ENUM
        RS_OK = 0,
    RS_AGAIN = 1, /* flow: nothing there now, come again */
    RS_END = 2,   /* flow: the stream is over */
};

struct rs_error {
    int code;          /* RS_OK or RS_E_ */
    char message[512]; /* one sentence without newline: what, where (file, offset), remedy */
};

/* Name of a code, "RS_E_IO"; "unknown" for anything else. @thread any */
const char *rs_error_name(int code);
/* General sentence of a code. @thread any */
const char *rs_error_text(int code);

/* Fills err (may be NULL) with code and the formatted sentence; returns code. @thread any */
int rs_error_set(struct rs_error *err, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same from an errno: picks the code (ENOENT: RS_E_NOT_FOUND, EACCES and EPERM: RS_E_PERMISSION,
 * ENOSPC and EDQUOT: RS_E_NO_SPACE, ENOMEM: RS_E_NOMEM, else RS_E_IO), appends strerror to the sentence. */
int rs_error_set_errno(struct rs_error *err, int errnum, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Forwards a failure (a negative value); flow values and 0 go on. */
#define RS_TRY(expr)                                                                                         \
    do {                                                                                                     \
        int rs_try_code_ = (expr);                                                                           \
        if (rs_try_code_ < 0)                                                                                \
            return rs_try_code_;                                                                             \
    } while (0)

/* A programmer's mistake, never bad input: prints the place and aborts, in release builds too. */
#define RS_ASSERT(cond)                                                                                      \
    do {                                                                                                     \
        if (!(cond))                                                                                         \
            rs_assert_failed(#cond, __FILE__, __LINE__);                                                     \
    } while (0)
void rs_assert_failed(const char *condition, const char *file, int line) __attribute__((noreturn, cold));

#endif
