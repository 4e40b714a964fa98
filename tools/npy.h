/* npy.h: NumPy's file format, version 1.0, for float32 tensors in C order.
 * (numpy.lib.format: magic, version, header length, a Python dict padded to 64 bytes, data.) @thread any. */
#ifndef RS_NPY_H
#define RS_NPY_H

#include <stddef.h>
#include <stdint.h>

#define RS_NPY_HEADER_MAX 192

/* Writes the header of a tensor of four dimensions; returns its length, a multiple of 64. The data behind it
 * is little endian. */
size_t rs__npy_header(const uint64_t dims[4], char header[RS_NPY_HEADER_MAX]);

#endif
