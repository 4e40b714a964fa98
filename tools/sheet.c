/* sheet.c: see sheet.h. */
#include "sheet.h"
#include "alloc.h"

#include <string.h>

int rs__sheet_create(struct rs_sheet *sheet, uint32_t count, uint32_t size, struct rs_error *err)
{
    uint32_t columns = 1;
    while (columns * columns < count)
        columns++;
    *sheet = (struct rs_sheet){.count = count, .size = size, .columns = columns};
    sheet->rows = (count + columns - 1) / columns;
    sheet->width = columns * (size + RS_SHEET_GUTTER) - RS_SHEET_GUTTER;
    sheet->height = sheet->rows * (size + RS_SHEET_GUTTER) - RS_SHEET_GUTTER;
    size_t bytes = (size_t)sheet->width * sheet->height * 3;
    sheet->rgb = rs_alloc(bytes);
    if (!sheet->rgb)
        return rs_error_set(err, RS_E_NOMEM, "out of memory for a contact sheet of %u x %u pixels",
                            sheet->width, sheet->height);
    memset(sheet->rgb, 255, bytes);
    return RS_OK;
}

static uint8_t light(float x)
{
    float value = (x * 0.5F + 0.5F) * 255.0F + 0.5F;
    return value <= 0 ? 0 : value >= 255 ? 255 : (uint8_t)value;
}

void rs__sheet_put(struct rs_sheet *sheet, uint32_t tile, const float *chw)
{
    uint32_t left = tile % sheet->columns * (sheet->size + RS_SHEET_GUTTER);
    uint32_t top = tile / sheet->columns * (sheet->size + RS_SHEET_GUTTER);
    size_t plane = (size_t)sheet->size * sheet->size;
    for (uint32_t y = 0; y < sheet->size; y++) {
        uint8_t *row = sheet->rgb + ((size_t)(top + y) * sheet->width + left) * 3;
        const float *from = chw + (size_t)y * sheet->size;
        for (uint32_t x = 0; x < sheet->size; x++) {
            for (uint32_t c = 0; c < 3; c++)
                row[3 * x + c] = light(from[c * plane + x]);
        }
    }
}

void rs__sheet_free(struct rs_sheet *sheet)
{
    rs_free(sheet->rgb);
    sheet->rgb = NULL;
}
