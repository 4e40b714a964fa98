/* support.c: see support.h. */
#include "support.h"
#include "checkpoint.h"
#include "resnet.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARGS_MAX 64
#define LINE_MAX_LENGTH 4096

const char *in(const char *folder, const char *name)
{
    static char paths[8][LINE_MAX_LENGTH];
    static unsigned next;
    char *path = paths[next++ % 8];
    snprintf(path, LINE_MAX_LENGTH, "%s/%s", folder, name);
    return path;
}

size_t read_bytes(const char *path, char *bytes, size_t count)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t got = fread(bytes, 1, count, file);
    fclose(file);
    return got;
}

/* Nothing but exec after fork: sanitizers' runtimes hold locks. */
static void become(char **args, const char *out, const char *err)
{
    int out_fd = open(out, O_WRONLY | O_CREAT | O_TRUNC, 0600),
        err_fd = open(err, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (out_fd >= 0 && err_fd >= 0 && dup2(out_fd, 1) >= 0 && dup2(err_fd, 2) >= 0)
        execv(RSTREAM_BINARY, args);
    _exit(127);
}

int start_rstream(const char *folder, const char *line)
{
    char text[LINE_MAX_LENGTH], out[LINE_MAX_LENGTH], err[LINE_MAX_LENGTH];
    char *args[ARGS_MAX] = {"rstream"}, *rest = text;
    int count = 1;
    snprintf(text, sizeof text, "%s", line);
    snprintf(out, sizeof out, "%s/out.txt", folder);
    snprintf(err, sizeof err, "%s/err.txt", folder);
    for (char *word; (word = strsep(&rest, " "));) {
        if (*word && count < ARGS_MAX - 1)
            args[count++] = word;
    }
    pid_t process = fork();
    if (process == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* it must not outlive a test that is killed */
        become(args, out, err);
    }
    assert_true(process > 0);
    return process;
}

int wait_rstream(int process)
{
    int status = 0;
    assert_int_equal(waitpid(process, &status, 0), process);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void run_rstream(struct outcome *outcome, const char *folder, const char *format, ...)
{
    char line[LINE_MAX_LENGTH];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    outcome->exit_code = wait_rstream(start_rstream(folder, line));
    snprintf(line, sizeof line, "%s/out.txt", folder);
    outcome->out[read_bytes(line, outcome->out, TEXT_MAX - 1)] = '\0';
    snprintf(line, sizeof line, "%s/err.txt", folder);
    outcome->err[read_bytes(line, outcome->err, TEXT_MAX - 1)] = '\0';
}

void write_weights(const char *path, const char *classes, const char *config)
{
    struct rs_error err = {0};
    struct rs_graph *graph = NULL;
    struct rs_state *state = NULL;
    assert_int_equal(rs_resnet_build(&graph, 75, 10, &err), 0);
    assert_int_equal(rs_state_create(&state, graph, &err), 0);
    rs_state_init(state, 0);
    struct rs_metadata metadata[3];
    int count = 0;
    metadata[count++] = (struct rs_metadata){"image_size", "75"};
    if (classes)
        metadata[count++] = (struct rs_metadata){"classes", classes};
    if (config)
        metadata[count++] = (struct rs_metadata){"config", config};
    if (rs_checkpoint_save(path, state, config != NULL, metadata, count, &err) != 0)
        fail_msg("%s", err.message);
    rs_state_destroy(state);
    rs_graph_destroy(graph);
}
