/* text.c: see text.h. */
#include "text.h"

#include <string.h>

static int starts_character(char c)
{
    return ((unsigned char)c & 0xC0u) != 0x80u;
}

size_t rs__text_width(const char *name)
{
    size_t width = 0;
    for (; *name; name++)
        width += (size_t)starts_character(*name);
    return width;
}

char *rs__text_fit(const char *name, size_t width, int right, char *out, size_t size)
{
    static const char ellipsis[] = "\xE2\x80\xA6";
    size_t has = rs__text_width(name), used = 0, taken = 0;
    size_t keep = has <= width ? has : width - 1;
    size_t blanks = has < width ? width - has : 0;
    for (size_t i = 0; right && i < blanks && used + 1 < size; i++)
        out[used++] = ' ';
    for (; *name && used + sizeof ellipsis < size; name++) {
        taken += (size_t)starts_character(*name);
        if (taken > keep)
            break;
        out[used++] = (unsigned char)*name < 32 || *name == 127 ? '?' : *name;
    }
    if (has > width) {
        memcpy(out + used, ellipsis, sizeof ellipsis - 1);
        used += sizeof ellipsis - 1;
    }
    for (size_t i = 0; !right && i < blanks && used + 1 < size; i++)
        out[used++] = ' ';
    out[used] = '\0';
    return out;
}
