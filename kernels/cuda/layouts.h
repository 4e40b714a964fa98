/* layouts.h: how values, weights and gradients lie in device memory. The one place that knows.
 *
 * Values (activations and their gradients): N,H,W,Cp in the element type of the precision (float32 or bf16),
 * where Cp is C rounded up to 8. The channels from C to Cp are zero, and every kernel and convolution keeps
 * them zero. So every pixel begins on 16 bytes and all kernels move vectors of 8 elements.
 *
 * The network's input after conversion is such a value, or, where a convolution with stride 2, odd kernel and
 * no padding reads it (the stem), folded: blocks of 2 x 2 pixels become one pixel of 4 C channels, channel
 * (dy * 2 + dx) * C + c; an odd last row or column is filled with zeros. The convolution becomes one of
 * stride 1 with half the kernel, rounded up; the taps that lie beyond the original kernel have weight zero,
 * and their gradient is cleared. A folded pixel has few channels, 16 of an RGB picture, too few for a matrix
 * unit's tiles; so a pixel of the value holds all folded pixels that the kernel sees beside each other, and
 * the convolution's kernel is one column wide: its weights lie in the same order, R,(S,Cp), and Cp of this
 * value is S times 4 C rounded up to 8.
 *
 * Weights: fp32 masters, moments and gradients, each in an arena of the same layout; bf16 shadows of the
 * convolutions' weights in one more. In the arena first all convolutions' weights, K,R,S,Cp with K rounded up
 * to 8 as well; then batch norms' weights, biases (Cp each) and linears' weights (features,H,W,Cp of their
 * input). Every tensor begins on 64 elements. With bf16 the gradients of the convolutions' weights are bf16,
 * in an arena of their own at the same offsets.
 *
 * Running statistics: fp32, Cp each, mean then variance, in the order of the graph's norms.
 *
 * @thread any: no state.
 */
#ifndef RS_CUDA_LAYOUTS_H
#define RS_CUDA_LAYOUTS_H

#include <stdint.h>

#define RS__VECTOR 8u /* elements that a thread moves at once: 16 bytes of bf16, 32 of float32 */

static inline uint32_t rs__padded(uint32_t channels)
{
    return (channels + RS__VECTOR - 1) / RS__VECTOR * RS__VECTOR;
}

struct rs__weight_layout { /* of a parameter; one of rank 1 is K = R = S = 1 */
    uint32_t k, r, s, c;   /* of PyTorch's OIHW */
    uint32_t kp, cp;       /* as stored */
    uint32_t rp, sp;       /* as stored: r and s, or half of them, rounded up, where folded */
    uint32_t folded;       /* 0 or 1 */
    int64_t offset;        /* in elements, into the arenas here */
    int64_t source;        /* in floats, into the state's arena */
};

static inline int64_t rs__weight_elements(const struct rs__weight_layout *l)
{
    return (int64_t)l->kp * l->rp * l->sp * l->cp;
}

/* Where element (k, c, r, s) of PyTorch's tensor lies, counted from the tensor's offset. */
static inline int64_t rs__weight_index(const struct rs__weight_layout *l, uint32_t k, uint32_t c, uint32_t r,
                                       uint32_t s)
{
    if (l->folded) {
        const uint32_t channel = ((r & 1) * 2 + (s & 1)) * l->c + c;
        return (((int64_t)k * l->rp + r / 2) * l->sp + s / 2) * l->cp + channel;
    }
    return (((int64_t)k * l->rp + r) * l->sp + s) * l->cp + c;
}

#endif
