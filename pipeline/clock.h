/* clock.h: monotonic time. @thread any. */
#ifndef RS_CLOCK_H
#define RS_CLOCK_H

#include <stdint.h>

/* Nanoseconds of CLOCK_MONOTONIC. */
uint64_t rs_now_ns(void);

#endif
