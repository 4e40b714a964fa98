/* reasons.h: why the CUDA runtime finds no device, in a sentence with the remedy.
 *
 * How it works: a pure function of the numbers that the runtime gives, so that a test without a GPU covers
 * every case.
 *
 * @thread any.
 */
#ifndef RS_CUDA_REASONS_H
#define RS_CUDA_REASONS_H

#include <stddef.h>

/* code: of cudaGetDeviceCount, not 0. driver, runtime: of cudaDriverGetVersion and cudaRuntimeGetVersion,
 * 13000 for 13.0; driver is 0 where there is none. words: cudaGetErrorString(code), for the codes that have
 * no sentence of their own. */
void rs__cuda_reason(int code, int driver, int runtime, const char *words, char *text, size_t size);

#endif
