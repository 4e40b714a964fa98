/* image.h: pictures in memory, resized and normalized as Pillow and the notebook do it.
 *
 * How it works: rs_resizer_run is Pillow's Image.resize(BILINEAR) bit for bit, up (interpolating) and down
 * (antialiased): a horizontal pass, then a vertical one, each with the triangle filter's weights as 22-bit
 * fixed point, rounded to uint8 between. A pass that changes no size is left out. A resizer keeps the weights
 * of the sizes it met last and its temporary rows, so the same size again computes no weights and allocates
 * nothing. The code path (AVX-512 with or without VBMI and VNNI, AVX2, plain C) is chosen at run time; all
 * give the same bits.
 *
 * Owner: a resizer is one worker's. The caller owns source and destination, which must not overlap.
 * @thread worker.
 */
#ifndef RS_IMAGE_H
#define RS_IMAGE_H

#include "errors.h"
#include <stddef.h>
#include <stdint.h>

/* The longest side of a source or a result, in pixels. */
#define RS_RESIZE_SIDE_MAX 65535u

struct rs_resize_source { /* a view; 3 channels, 8 bits, no padding between rows */
    const uint8_t *data;
    uint32_t width, height;
    int planar; /* three planes (CHW), else interleaved RGB rows (HWC) */
};

struct rs_resizer;
/* Picks the fastest code path that this machine can run. Errors: RS_E_NOMEM. */
int rs_resizer_create(struct rs_resizer **out, struct rs_error *err);
void rs_resizer_destroy(struct rs_resizer *resizer);
/* dst: 3 planes (CHW) of out_height x out_width bytes. Reads no byte outside the source, writes none outside
 * dst. Errors: RS_E_NOMEM, RS_E_LIMIT (a side is 0 or over RS_RESIZE_SIDE_MAX). */
int rs_resizer_run(struct rs_resizer *resizer, const struct rs_resize_source *src, uint32_t out_width,
                   uint32_t out_height, uint8_t *dst, struct rs_error *err);

/* The name of the code path in use: after create the fastest that this machine can run. */
const char *rs_resizer_path(const struct rs_resizer *resizer);
/* The i-th path's name, fastest first ("avx512-vbmi", "avx512", "avx2", "scalar"), or NULL past the end;
 * whether or not this machine can run it. @thread any */
const char *rs_resizer_path_at(uint32_t i);
/* Picks a path by name, for tests and benchmarks. Errors: RS_E_UNSUPPORTED (this machine can't run it, or
 * there is none of that name); the path in use stays. */
int rs_resizer_use(struct rs_resizer *resizer, const char *path, struct rs_error *err);

/* The weights of one direction as plain tables, for a device that resizes by itself to the same bits: output
 * i is 2^21 and the sum over t < count[i] of fixed[i * taps + t] * pixel[first[i] + t], shifted right by 22
 * bits and at most 255. A resize is this along the rows, then along the columns of its uint8 results. */
struct rs_resize_table {
    uint32_t taps, outputs;
    const uint32_t *first, *count; /* [outputs] */
    const uint32_t *fixed;         /* [outputs * taps] */
};
/* From in to out pixels. Errors: RS_E_NOMEM, RS_E_LIMIT (a side is 0 or over RS_RESIZE_SIDE_MAX). @thread any
 */
int rs_resize_table_create(struct rs_resize_table **table, uint32_t in, uint32_t out, struct rs_error *err);
void rs_resize_table_destroy(struct rs_resize_table *table);

/* (x / 255 - 0.5) / 0.5, each step rounded to float32, as NumPy does it; bf16 is that float rounded to
 * nearest even. count elements; src and dst must not overlap; no alignment beyond their types'. @thread any
 */
void rs_normalize_f32(const uint8_t *src, float *dst, size_t count);
void rs_normalize_bf16(const uint8_t *src, uint16_t *dst, size_t count);

#endif
