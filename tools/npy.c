/* npy.c: see npy.h. */
#include "npy.h"
#include "errors.h"

#include <stdio.h>
#include <string.h>

#define PREAMBLE 10u /* magic, version, 16-bit header length */

size_t rs__npy_header(const uint64_t dims[4], char header[RS_NPY_HEADER_MAX])
{
    static const char preamble[PREAMBLE] = {'\x93', 'N', 'U', 'M', 'P', 'Y', 1, 0};
    int length = snprintf(header + PREAMBLE, RS_NPY_HEADER_MAX - PREAMBLE,
                          "{'descr': '<f4', 'fortran_order': False, 'shape': (%llu, %llu, %llu, %llu), }",
                          (unsigned long long)dims[0], (unsigned long long)dims[1],
                          (unsigned long long)dims[2], (unsigned long long)dims[3]);
    size_t used = PREAMBLE + (size_t)length;
    size_t total = (used + 1 + 63) / 64 * 64; /* a newline ends it */
    RS_ASSERT(length > 0 && total <= RS_NPY_HEADER_MAX);
    size_t text = total - PREAMBLE;
    memcpy(header, preamble, PREAMBLE);
    header[8] = (char)(text & 0xFF);
    header[9] = (char)(text >> 8);
    memset(header + used, ' ', total - used - 1);
    header[total - 1] = '\n';
    return total;
}
