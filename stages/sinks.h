/* sinks.h: the metrics sinks: RUN_DIR/metrics.jsonl, and the console.
 * Owner: the metrics stage once added. @thread create: main; the rest: loop. */
#ifndef RS_SINKS_H
#define RS_SINKS_H

#include "metrics.h"
#include <stdio.h>

/* One JSON object per line, appended to path and flushed: a checkpoint never counts a step without its line.
 */
extern const struct rs_metrics_sink_ops rs_sink_jsonl;
int rs_sink_jsonl_create(void **out, const char *path, struct rs_error *err);
/* Before a run goes on: drops the lines of steps after `steps` and of epochs from `epoch` on, which the run
 * will write again, and lines that are not whole. A missing file is not an error. After an error the file is
 * unchanged. */
int rs_sink_jsonl_rewind(const char *path, uint64_t steps, uint32_t epoch, struct rs_error *err);

/* The notebook's line and the verdict, each epoch; with terminal, a progress line that rewrites itself. */
extern const struct rs_metrics_sink_ops rs_sink_console;
int rs_sink_console_create(void **out, FILE *file, bool terminal, uint32_t epochs, struct rs_error *err);

#endif
