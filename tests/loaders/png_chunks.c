/* png_chunks.c: see png_chunks.h. */
#include "png_chunks.h"

#define SIGNATURE_LENGTH 8
#define CHUNK_OVERHEAD 12 /* length, type, CRC */

uint32_t png_chunks_crc(const uint8_t *bytes, size_t length)
{
    uint32_t value = 0xFFFFFFFFu;
    for (size_t i = 0; i < length; i++) {
        value ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            value = value >> 1 ^ (value & 1 ? 0xEDB88320u : 0);
    }
    return ~value;
}

uint32_t png_chunks_get(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

void png_chunks_put(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (24 - 8 * i));
}

void png_chunks_repair(uint8_t *png, size_t length)
{
    for (size_t at = SIGNATURE_LENGTH; at + CHUNK_OVERHEAD <= length;) {
        size_t body = png_chunks_get(png + at);
        if (body > length - at - CHUNK_OVERHEAD)
            return;
        png_chunks_put(png + at + 8 + body, png_chunks_crc(png + at + 4, body + 4));
        at += CHUNK_OVERHEAD + body;
    }
}
