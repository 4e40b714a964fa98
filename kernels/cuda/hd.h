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

/* Before a loop whose arrays are to stay in registers. */
#ifdef __CUDA_ARCH__
#define RS_UNROLL _Pragma("unroll")
#else
#define RS_UNROLL
#endif

/* 16 bytes that go in one access. */
typedef struct {
    uint32_t word[4];
} __attribute__((aligned(16), may_alias)) rs__quad;

/* Division of numbers below 2^31 by one that the host knows: a multiplication and a shift, where the device's
 * own takes some twenty instructions. Exact: the multiplier exceeds 2^(31 + shift) / by by at most 1, and
 * 2^shift >= by (Granlund, Montgomery: Division by invariant integers using multiplication, 1994). */
struct rs__divisor {
    uint32_t by, multiplier, shift;
};

RS_HD struct rs__divisor rs__make_divisor(uint32_t by)
{
    struct rs__divisor d = {1, 0x80000001u, 0};
    if (by <= 1) /* or 0, of an empty shape, which divides nothing */
        return d;
    d.by = by;
    while (d.shift < 31 && (uint32_t)1 << d.shift < by)
        d.shift++;
    d.multiplier = (uint32_t)(((uint64_t)1 << (31 + d.shift)) / by + 1);
    return d;
}

RS_HD uint32_t rs__quotient(uint32_t number, const struct rs__divisor *d)
{
    return (uint32_t)((uint64_t)number * d->multiplier >> 31 >> d->shift);
}

/* Replaces *number by its quotient and returns the remainder. */
RS_HD uint32_t rs__divide(uint32_t *number, const struct rs__divisor *d)
{
    const uint32_t whole = *number;
    *number = rs__quotient(whole, d);
    return whole - *number * d->by;
}

/* Rows of pixels by lanes of channels: a thread keeps its 8 channels and goes down the rows, so what it knows
 * of the channels stays in registers. */
struct rs__tile {
    uint32_t lanes, rows;   /* of a block: lanes vectors of a row, rows rows at once */
    uint32_t lane_blocks;   /* blocks beside each other */
    uint32_t chunk, chunks; /* rows a block handles, and how many blocks that makes */
    struct rs__divisor by_lanes;
};

struct rs__grid { /* made on the host; a kernel's threads see it too */
    uint32_t blocks_x, blocks_y, threads;
    uint32_t shared;      /* bytes */
    struct rs__tile tile; /* where the kernel goes by rows and lanes */
};

struct rs__place {
    uint32_t block_x, block_y, thread;
    const struct rs__grid *grid;
};

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

/* 8 elements as they lie in memory: bf16 fill low alone. Fetched first and unpacked later, several of them
 * are under way at once. */
struct rs__raw {
    rs__quad low, high;
};

/* Vector number at of an array: 8 elements. */
RS_HD void rs__fetch(const void *from, int bf16, uint64_t at, struct rs__raw *raw)
{
    const rs__quad *quads = (const rs__quad *)from;
    raw->low = quads[bf16 ? at : 2 * at];
    if (!bf16)
        raw->high = quads[2 * at + 1];
}

RS_HD void rs__unpack(const struct rs__raw *raw, int bf16, float v[8])
{
    for (size_t i = 0; i < 4; i++) {
        if (bf16) {
            v[2 * i] = rs__from_bits(raw->low.word[i] << 16);
            v[2 * i + 1] = rs__from_bits(raw->low.word[i] & 0xffff0000u);
        } else {
            v[i] = rs__from_bits(raw->low.word[i]);
            v[4 + i] = rs__from_bits(raw->high.word[i]);
        }
    }
}

/* v += what was fetched. */
RS_HD void rs__add(const struct rs__raw *raw, int bf16, float v[8])
{
    float other[8];
    rs__unpack(raw, bf16, other);
    for (int i = 0; i < 8; i++)
        v[i] += other[i];
}

RS_HD void rs__load(const void *from, int bf16, uint64_t at, float v[8])
{
    struct rs__raw raw;
    rs__fetch(from, bf16, at, &raw);
    rs__unpack(&raw, bf16, v);
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

/* Vector number at of an array becomes what was fetched. */
RS_HD void rs__put(void *to, int bf16, uint64_t at, const struct rs__raw *raw)
{
    rs__quad *quads = (rs__quad *)to;
    quads[bf16 ? at : 2 * at] = raw->low;
    if (!bf16)
        quads[2 * at + 1] = raw->high;
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
    struct rs__grid grid = {(uint32_t)((vectors + 255) / 256), 1, 256, 0, {0, 0, 0, 0, 0, {0, 0, 0}}};
    return grid;
}

RS_HD uint32_t rs__flat_index(struct rs__place place)
{
    return place.block_x * 256 + place.thread;
}

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
    tile.by_lanes = rs__make_divisor(tile.lanes);
    return tile;
}

RS_HD struct rs__grid rs__tile_grid(const struct rs__tile *tile, uint32_t shared)
{
    struct rs__grid grid = {tile->chunks, tile->lane_blocks, tile->lanes * tile->rows, shared, *tile};
    return grid;
}

struct rs__spot {        /* of a thread in a tile */
    uint32_t lane, row;  /* within the block */
    uint32_t vector;     /* of the channels; past their end for an idle thread */
    uint32_t begin, end; /* its rows, in steps of the tile's rows */
};

RS_HD struct rs__spot rs__find_spot(struct rs__place place, uint32_t rows)
{
    const struct rs__tile *tile = &place.grid->tile;
    struct rs__spot spot;
    spot.row = place.thread;
    spot.lane = rs__divide(&spot.row, &tile->by_lanes);
    spot.vector = place.block_y * tile->lanes + spot.lane;
    spot.begin = place.block_x * tile->chunk + spot.row;
    spot.end = (place.block_x + 1) * tile->chunk < rows ? (place.block_x + 1) * tile->chunk : rows;
    return spot;
}

#endif
