/* synth.h: a generated data set of ten learnable classes, for machines without a network and for tests.
 * Pixels are a function of (seed, split, index): same seed, same bytes, on every machine (integer arithmetic
 * only). @thread any. */
#ifndef RS_SYNTH_H
#define RS_SYNTH_H

#include "errors.h"
#include <stdint.h>

enum rs_synth_format { RS_SYNTH_CIFAR10, RS_SYNTH_PNG };

struct rs_synth_options {
    enum rs_synth_format format; /* CIFAR-10's binary layout, or train/ and test/ of PNG files */
    uint64_t seed;
    uint32_t train,
        test; /* samples of each split, 10 or more; RS_SYNTH_CIFAR10 spreads train over five files */
};

/* Writes into dir, which is made if needed and must hold no data set yet: beside, and renamed when all of it
 * is there; not synced, for it can be made again. Errors name the path. */
int rs_synth_write(const char *dir, const struct rs_synth_options *options, struct rs_error *err);
/* One sample: 32x32 RGB in planes (3,072 bytes); returns its label. */
int32_t rs_synth_sample(uint64_t seed, int test, uint64_t index, uint8_t *chw);

#endif
