/* command_line.c: see command_line.h. */
#include "support.h"

#include "command_line.h"

#include <stdio.h>
#include <string.h>

#define ARGS_MAX 64

static int create(const struct rs_config **out, char storage[LINE_ROOM], const char *line,
                  struct rs_error *err)
{
    static char *args[ARGS_MAX];
    int count = 0;
    char *rest = storage;
    assert_true(snprintf(storage, LINE_ROOM, "%s", line) < LINE_ROOM);
    for (char *word; (word = strsep(&rest, " "));) {
        if (*word)
            args[count++] = word;
    }
    args[count] = NULL;
    int command = rs_command_find(args[0]);
    assert_true(command >= 0);
    return rs_config_create(out, (enum rs_command)command, count, args, err);
}

const struct rs_config *accepted(char storage[LINE_ROOM], const char *line)
{
    const struct rs_config *config = NULL;
    struct rs_error err = {0};
    if (create(&config, storage, line, &err) != RS_OK)
        fail_msg("'%s' was refused: %s", line, err.message);
    assert_non_null(config);
    return config;
}

void refused_with(const char *line, const char *const *words)
{
    char storage[LINE_ROOM];
    const struct rs_config *config = NULL;
    struct rs_error err = {0};
    int code = create(&config, storage, line, &err);
    if (code != RS_E_USAGE)
        fail_msg("'%s' gave %s, not a usage error", line, rs_error_name(code));
    assert_null(config);
    for (; *words; words++) {
        if (!strstr(err.message, *words))
            fail_msg("'%s': no '%s' in '%s'", line, *words, err.message);
    }
    assert_null(strchr(err.message, '\n'));
}
