/* log.h: lines for people on stderr.
 *
 * How it works: a line goes out in one write, with its level before it and without the caller giving a
 * newline; beyond 1023 bytes it is cut. The level is the project's only mutable global that decides anything
 * (alloc.h counts).
 *
 * @thread any.
 */
#ifndef RS_LOG_H
#define RS_LOG_H

enum rs_log_level { RS_LOG_ERROR, RS_LOG_WARN, RS_LOG_INFO, RS_LOG_DEBUG };

/* Lines above this level are dropped; RS_LOG_INFO at the start. */
void rs_log_set_level(enum rs_log_level level);
void rs_log(enum rs_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
