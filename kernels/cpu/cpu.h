/* cpu.h: the CPU backend: convolutions and matrix products by oneDNN, everything else by own SIMD kernels.
 *
 * How it works: a graph is compiled, for each batch size, into a program: a list of operations over tensors
 * in oneDNN's blocked layout (nChw16c, nChw8c without AVX-512). Batch norm, the ReLU behind it, the sum of a
 * residual block and its ReLU are one operation. Weights live once, as fp32 masters in the layout that their
 * gradients come in. See kernels/backend.h for the interface; one thread at a time runs a plan's steps.
 *
 * bf16: activations and weight copies are bf16, masters, statistics and gradients of parameters fp32. On
 * cores with AVX512_BF16 whose dot product is slower than their fp32 FMA (Intel's without AMX) the same
 * values are held in 32 bits and convolved in fp32 (RS_CPU_BF16_WIDE): the rounding is the same, the step
 * faster.
 *
 * Same bits: for the same thread count, library and machine type, from run to run.
 */
#ifndef RS_CPU_H
#define RS_CPU_H

#include "backend.h"

extern const struct rs_backend rs_backend_cpu;

enum rs_cpu_bf16 { RS_CPU_BF16_AUTO, RS_CPU_BF16_NATIVE, RS_CPU_BF16_WIDE };

/* For tests and measurements: how plans that are compiled from now on compute bf16.
 * @thread the device's owner */
void rs_cpu_set_bf16(struct rs_device *device, enum rs_cpu_bf16 how);

#endif
