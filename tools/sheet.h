/* sheet.h: a contact sheet: normalized images as tiles of a near-square grid.
 * Owner: the creator. @thread one at a time. */
#ifndef RS_SHEET_H
#define RS_SHEET_H

#include "errors.h"
#include <stdint.h>

#define RS_SHEET_GUTTER 2u /* pixels between tiles, white */

struct rs_sheet {
    uint32_t count, size;   /* tiles, and their side */
    uint32_t columns, rows; /* columns >= rows, as near as it gets */
    uint32_t width, height; /* of the picture */
    uint8_t *rgb;
};

/* Errors: RS_E_NOMEM. */
int rs__sheet_create(struct rs_sheet *sheet, uint32_t count, uint32_t size, struct rs_error *err);
/* chw: 3 planes of size x size, as the network sees them: x * 0.5 + 0.5 is the share of full light. */
void rs__sheet_put(struct rs_sheet *sheet, uint32_t tile, const float *chw);
void rs__sheet_free(struct rs_sheet *sheet);

#endif
