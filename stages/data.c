/* data.c: the train and the valid source of a run, and whether they fit each other. */
#include "data.h"

static int open_valid(struct rs_data *d, const char *dir, const char *valid_dir, struct rs_error *err)
{
    if (valid_dir)
        return rs_source_open(&d->sources[RS_PHASE_VALID], valid_dir, RS_SPLIT_ALL_OF_IT, err);
    int code = rs_source_open(&d->sources[RS_PHASE_VALID], dir, RS_SPLIT_VALID, err);
    return code == RS_E_NO_SPLIT ? 0 : code;
}

int rs_data_open(struct rs_data *d, const char *dir, const char *valid_dir, struct rs_error *err)
{
    *d = (struct rs_data){0};
    RS_TRY(rs_source_open(&d->sources[RS_PHASE_TRAIN], dir, RS_SPLIT_TRAIN, err));
    RS_TRY(open_valid(d, dir, valid_dir, err));
    if (!d->sources[RS_PHASE_VALID])
        return 0;
    return rs_source_same_classes(d->sources[RS_PHASE_TRAIN], d->sources[RS_PHASE_VALID], err);
}

void rs_data_close(struct rs_data *d)
{
    rs_source_destroy(d->sources[0]);
    rs_source_destroy(d->sources[1]);
    *d = (struct rs_data){0};
}
