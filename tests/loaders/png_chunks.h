/* png_chunks.h: the chunks of a PNG file that a test has changed. @thread any. */
#ifndef RS_TEST_PNG_CHUNKS_H
#define RS_TEST_PNG_CHUNKS_H

#include <stddef.h>
#include <stdint.h>

/* The CRC of a chunk's type and body. */
uint32_t png_chunks_crc(const uint8_t *bytes, size_t length);
/* 32-bit numbers, big endian. */
uint32_t png_chunks_get(const uint8_t *at);
void png_chunks_put(uint8_t *at, uint32_t value);
/* Makes the CRCs right again, so that what lies behind them is reached. Ends at a chunk that is cut off. */
void png_chunks_repair(uint8_t *png, size_t length);

#endif
