/* text.h: columns for people: names of any length in a width, UTF-8 kept whole. @thread any. */
#ifndef RS_TEXT_H
#define RS_TEXT_H

#include <stddef.h>

/* Columns that name takes: its characters. */
size_t rs__text_width(const char *name);
/* Writes name into out (size bytes, at least 4 * width + 4), cut to width characters with an ellipsis as the
 * last one, padded with blanks to width; on the left side when right is set. Control characters become '?'.
 * Returns out. */
char *rs__text_fit(const char *name, size_t width, int right, char *out, size_t size);

#endif
