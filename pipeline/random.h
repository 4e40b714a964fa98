/* random.h: counter-based random numbers: a value is a function of its key, never of who drew before.
 *
 * How it works: Philox 4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3",
 * SC 2011): 128 bits of counter and 64 of key give 128 random bits. So (seed, epoch, sample) always draws
 * the same, whatever the number of threads. A shuffle is a permutation computed per index (a Feistel network
 * over the next even power of two, walked until the value falls inside), so nothing is stored and a seek is
 * free.
 *
 * @thread any: no state but the caller's.
 */
#ifndef RS_RANDOM_H
#define RS_RANDOM_H

#include <stdint.h>

struct rs_random {
    uint32_t key[2];
    uint32_t counter[4];
    uint32_t block[4];
    uint32_t used; /* of block */
};

/* A stream for (seed, stream, index), e.g. (seed, epoch, sample). */
void rs_random_init(struct rs_random *random, uint64_t seed, uint32_t stream, uint64_t index);
uint32_t rs_random_u32(struct rs_random *random);
/* Uniform in [0, 1), 24 bits. */
float rs_random_float(struct rs_random *random);
/* Philox 4x32-10 itself, for known-answer tests. */
void rs_philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);
/* Position i (0 <= i < n) of the permutation of 0..n-1 that (seed, epoch) names. */
uint64_t rs_permute(uint64_t seed, uint32_t epoch, uint64_t n, uint64_t i);

#endif
