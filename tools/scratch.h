/* scratch.h: a temporary folder, for what a benchmark writes. Owner: the creator. @thread main. */
#ifndef RS_SCRATCH_H
#define RS_SCRATCH_H

#include "errors.h"

struct rs_scratch {
    char path[256]; /* under $TMPDIR or /tmp */
};

int rs__scratch_create(struct rs_scratch *scratch, struct rs_error *err);
/* Removes the folder with all that is in it; does nothing for a zeroed one. */
void rs__scratch_remove(struct rs_scratch *scratch);

/* Median of count values, which are sorted by it; count is 1 or more. */
double rs__median(double *values, size_t count);

#endif
