/* hd.h: what bodies of kernels are written in: C that gcc and nvcc both compile.
 *
 * How it works: a kernel is a struct of arguments, a function that gives its grid, and one or two phases:
 * functions of arguments, place and the block's shared memory. On the device a block's threads run phase 0,
 * meet, and run phase 1; the tests run the same functions thread by thread on the CPU. bf16 is a parameter
 * that is constant after inlining. Nothing here is contracted to fused multiply-adds unless it says fmaf
 * (nvcc gets -fmad=false), so both give the same bits but for expf and logf.
 *
 * @thread device; host in tests.
 */
#ifndef RS_CUDA_HD_H
#define RS_CUDA_HD_H

#include "layouts.h"
#include <math.h>
#include <stdint.h>
#include <string.h>

#ifdef __CUDACC__
#define RS_HD __host__ __device__ __forceinline__ static
#else
#define RS_HD static inline
#endif

struct rs__grid {
    uint32_t blocks_x, blocks_y, threads;
    uint32_t shared; /* bytes */
};

struct rs__place {
    uint32_t block_x, block_y, thread;
};

/* 16 bytes that go in one access. */
typedef struct {
    uint32_t word[4];
} __attribute__((aligned(16), may_alias)) rs__quad;

RS_HD float rs__from_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

RS_HD uint32_t rs__to_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

/* bf16 in the low half, rounded to nearest even; a NaN stays one. */
RS_HD uint32_t rs__to_bf16(float value)
{
    const uint32_t bits = rs__to_bits(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return bits >> 16 | 0x40u;
    return (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
}

RS_HD float rs__from_bf16(uint16_t half)
{
    return rs__from_bits((uint32_t)half << 16);
}

/* v as it is after a store and a load. */
RS_HD float rs__stored(int bf16, float value)
{
    return bf16 ? rs__from_bits(rs__to_bf16(value) << 16) : value;
}

/* Vector number at of an array: 8 elements. */
RS_HD void rs__load(const void *from, int bf16, uint64_t at, float v[8])
{
    const rs__quad *quads = (const rs__quad *)from;
    if (bf16) {
        const rs__quad q = quads[at];
        for (size_t i = 0; i < 4; i++) {
            v[2 * i] = rs__from_bits(q.word[i] << 16);
            v[2 * i + 1] = rs__from_bits(q.word[i] & 0xffff0000u);
        }
    } else {
        const rs__quad low = quads[2 * at], high = quads[2 * at + 1];
        for (size_t i = 0; i < 4; i++) {
            v[i] = rs__from_bits(low.word[i]);
            v[4 + i] = rs__from_bits(high.word[i]);
        }
    }
}

RS_HD void rs__store(void *to, int bf16, uint64_t at, const float v[8])
{
    rs__quad *quads = (rs__quad *)to;
    if (bf16) {
        rs__quad q;
        for (size_t i = 0; i < 4; i++)
            q.word[i] = rs__to_bf16(v[2 * i]) | rs__to_bf16(v[2 * i + 1]) << 16;
        quads[at] = q;
    } else {
        rs__quad low, high;
        for (size_t i = 0; i < 4; i++) {
            low.word[i] = rs__to_bits(v[i]);
            high.word[i] = rs__to_bits(v[4 + i]);
        }
        quads[2 * at] = low;
        quads[2 * at + 1] = high;
    }
}

/* One element. */
RS_HD float rs__element(const void *from, int bf16, uint64_t at)
{
    return bf16 ? rs__from_bf16(((const uint16_t *)from)[at]) : ((const float *)from)[at];
}

RS_HD uint32_t rs__ceil_div(uint32_t a, uint32_t b)
{
    return (a + b - 1) / b;
}

/* A grid of one thread a vector. */
RS_HD struct rs__grid rs__flat_grid(uint64_t vectors)
{
    struct rs__grid grid;
    grid.blocks_x = (uint32_t)((vectors + 255) / 256);
    grid.blocks_y = 1;
    grid.threads = 256;
    grid.shared = 0;
    return grid;
}

RS_HD uint32_t rs__flat_index(struct rs__place place)
{
    return place.block_x * 256 + place.thread;
}

/* Rows of pixels by lanes of channels: a thread keeps its 8 channels and goes down the rows, so what it knows
 * of the channels stays in registers. */
struct rs__tile {
    uint32_t lanes, rows;   /* of a block: lanes vectors of a row, rows rows at once */
    uint32_t lane_blocks;   /* blocks beside each other */
    uint32_t chunk, chunks; /* rows a block handles, and how many blocks that makes */
};

/* least: rows that a thread handles at least; most: chunks at most. */
RS_HD struct rs__tile rs__make_tile(uint32_t rows, uint32_t cp, uint32_t least, uint32_t most)
{
    struct rs__tile tile;
    const uint32_t vectors = cp / RS__VECTOR;
    tile.lanes = vectors < 32 ? vectors : 32;
    tile.rows = 256 / tile.lanes;
    tile.lane_blocks = rs__ceil_div(vectors, tile.lanes);
    tile.chunk = rs__ceil_div(rows, most);
    if (tile.chunk < tile.rows * least)
        tile.chunk = tile.rows * least;
    tile.chunk = rs__ceil_div(tile.chunk, tile.rows) * tile.rows;
    tile.chunks = rs__ceil_div(rows, tile.chunk);
    return tile;
}

RS_HD struct rs__grid rs__tile_grid(const struct rs__tile *tile, uint32_t shared)
{
    struct rs__grid grid;
    grid.blocks_x = tile->chunks;
    grid.blocks_y = tile->lane_blocks;
    grid.threads = tile->lanes * tile->rows;
    grid.shared = shared;
    return grid;
}

struct rs__spot {        /* of a thread in a tile */
    uint32_t lane, row;  /* within the block */
    uint32_t vector;     /* of the channels; past their end for an idle thread */
    uint32_t begin, end; /* its rows, in steps of the tile's rows */
};

RS_HD struct rs__spot rs__find_spot(const struct rs__tile *tile, struct rs__place place, uint32_t rows)
{
    struct rs__spot spot;
    spot.lane = place.thread % tile->lanes;
    spot.row = place.thread / tile->lanes;
    spot.vector = place.block_y * tile->lanes + spot.lane;
    spot.begin = place.block_x * tile->chunk + spot.row;
    spot.end = (place.block_x + 1) * tile->chunk < rows ? (place.block_x + 1) * tile->chunk : rows;
    return spot;
}

#endif
