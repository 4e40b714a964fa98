/* weights_info.h: what a weights file says about the network that it belongs to.
 * Owner: the caller frees the names. @thread main. */
#ifndef RS_WEIGHTS_INFO_H
#define RS_WEIGHTS_INFO_H

#include "errors.h"
#include <stdint.h>

struct rs_weights_info {
    int32_t classes;
    uint32_t image_size; /* 0: the file doesn't say (it comes from PyTorch) */
    char **names;        /* classes strings, or NULL: the file doesn't say */
};

/* Errors: those of the checkpoint's reader; RS_E_CORRUPT where names or size make no sense. */
int rs__weights_info_read(const char *path, struct rs_weights_info *out, struct rs_error *err);
void rs__weights_info_free(struct rs_weights_info *info);

/* Splits newline-separated names into count strings, each of its own. RS_E_CORRUPT when there are more or
 * fewer. */
int rs__names_split(const char *text, int32_t count, const char *path, char ***names, struct rs_error *err);
void rs__names_free(char **names, int32_t count);

#endif
