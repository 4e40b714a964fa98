/* random.c: see random.h. */
#include "random.h"
#include "errors.h"

/* Philox 4x32: multipliers and Weyl constants of the paper's table 2 and section 4. */
#define PHILOX_M0 0xD2511F53u
#define PHILOX_M1 0xCD9E8D57u
#define PHILOX_W0 0x9E3779B9u
#define PHILOX_W1 0xBB67AE85u
#define PHILOX_ROUNDS 10

/* Permutations draw from another key than streams, so that a shuffle and an augmentation never share numbers.
 */
#define PERMUTE_KEY 0x7065726Du
/* Four rounds make a strong pseudo-random permutation of a large set (Luby and Rackoff 1988); small sets need
 * more. */
#define FEISTEL_ROUNDS 8

void rs_philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < PHILOX_ROUNDS; round++) {
        uint64_t p0 = (uint64_t)PHILOX_M0 * c0;
        uint64_t p1 = (uint64_t)PHILOX_M1 * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        k0 += PHILOX_W0;
        k1 += PHILOX_W1;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

void rs_random_init(struct rs_random *random, uint64_t seed, uint32_t stream, uint64_t index)
{
    *random = (struct rs_random){
        .key = {(uint32_t)seed, (uint32_t)(seed >> 32)},
        .counter = {0, (uint32_t)index, (uint32_t)(index >> 32), stream},
        .used = 4,
    };
}

uint32_t rs_random_u32(struct rs_random *random)
{
    if (random->used == 4) {
        rs_philox4x32(random->counter, random->key, random->block);
        random->counter[0]++;
        random->used = 0;
    }
    return random->block[random->used++];
}

float rs_random_float(struct rs_random *random)
{
    return (float)(rs_random_u32(random) >> 8) * 0x1p-24f;
}

/* One pass of the Feistel network over pairs of half_bits-bit numbers: a bijection whatever the round
 * function. */
static uint64_t feistel(const uint32_t key[2], uint32_t epoch, unsigned half_bits, uint64_t value)
{
    uint32_t mask = (uint32_t)((UINT64_C(1) << half_bits) - 1);
    uint32_t left = (uint32_t)(value >> half_bits) & mask, right = (uint32_t)value & mask;
    for (uint32_t round = 0; round < FEISTEL_ROUNDS; round++) {
        uint32_t word[4];
        rs_philox4x32((const uint32_t[4]){right, round, epoch, half_bits}, key, word);
        uint32_t next = left ^ (word[0] & mask);
        left = right;
        right = next;
    }
    return (uint64_t)left << half_bits | right;
}

uint64_t rs_permute(uint64_t seed, uint32_t epoch, uint64_t n, uint64_t i)
{
    RS_ASSERT(i < n);
    unsigned half_bits = 0;
    while (half_bits < 32 && UINT64_C(1) << (2 * half_bits) < n)
        half_bits++;
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32) ^ PERMUTE_KEY};
    /* Walking a cycle of a bijection from inside 0..n-1 comes back inside, and no two starts end at one
     * place. */
    do {
        i = feistel(key, epoch, half_bits, i);
    } while (i >= n);
    return i;
}
