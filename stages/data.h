/* data.h: the sources of a run: what it trains on and what it validates on.
 * Owner: the caller closes it. @thread main. */
#ifndef RS_DATA_H
#define RS_DATA_H

#include "slot.h"
#include "source.h"

struct rs_data {
    struct rs_source *sources[2]; /* by enum rs_phase; valid may be NULL */
};

/* valid_dir NULL: the validation split inside dir, if there is one. Both must have the same classes. Errors
 * as rs_source_open. */
int rs_data_open(struct rs_data *out, const char *dir, const char *valid_dir, struct rs_error *err);
void rs_data_close(struct rs_data *data); /* of a zeroed one: nothing */

#endif
