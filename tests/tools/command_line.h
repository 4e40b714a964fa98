/* command_line.h: command lines as text, for tests of what they mean. A failure fails the test. @thread main.
 */
#ifndef RS_TEST_COMMAND_LINE_H
#define RS_TEST_COMMAND_LINE_H

#include "config.h"

#define LINE_ROOM 1024

/* Reads "train --data x" as a command line. The words live in storage, which must outlive the config;
 * rs_config_destroy frees that. */
const struct rs_config *accepted(char storage[LINE_ROOM], const char *line);
/* The line is refused as wrong usage, with every word of the NULL-ended list in the one-line message. */
#define refused(line, ...) refused_with(line, (const char *const[]){__VA_ARGS__})
void refused_with(const char *line, const char *const *words);

#endif
