/* png_writer.h: an RGB picture as a PNG file, through libpng. @thread any. */
#ifndef RS_PNG_WRITER_H
#define RS_PNG_WRITER_H

#include "errors.h"
#include <stdint.h>

/* rgb: height rows of width interleaved RGB bytes. Written beside and renamed, so never half a file; not
 * synced, for a picture that a crash takes is made again. Errors name the path. */
int rs_png_write(const char *path, const uint8_t *rgb, uint32_t width, uint32_t height, struct rs_error *err);

#endif
