/* fake_cupti.h: a libcupti for tests: what the test launches comes back as activity records, in buffers.
 *
 * How it works: the library refuses what CUPTI's manual rules out or what would spoil records: kinds that are
 * enabled before the clock or twice. Records of the device are handed out before the calls that caused them.
 * A call of the runtime is recorded where its kind is on, unless it was switched off by itself after that, or
 * where it was switched on by itself; but a cause is noted beside it only where the kind is on, as CUPTI
 * 13.0 does it.
 *
 * Owner: the library, opened by name; its state is found with dlsym. @thread one.
 */
#ifndef RS_TEST_FAKE_CUPTI_H
#define RS_TEST_FAKE_CUPTI_H

#include <stdint.h>

struct fake_cupti {
    int fail_enable;                    /* 1: kinds can't be enabled */
    int fail_calls;                     /* 1: single calls can't be switched */
    int fail_push;                      /* 1: causes are refused */
    int no_causes;                      /* 1: and none is noted beside a call */
    int twice;                          /* 1: each cause is noted twice, as if for the driver's call inside */
    int buffers_refused;                /* asked for, and none was given */
    int kinds;                          /* enabled now */
    int calls;                          /* recorded since the last flush */
    int wrong;                          /* calls in an order that isn't allowed */
    void (*launch)(const char *kernel); /* a kernel, or NULL: a copy to the device */
    void (*poll)(void);                 /* calls that start nothing: an event is asked for */
    void (*work)(int how_much);         /* that no call of ours started */
    void (*request)(void);              /* takes a buffer and keeps it until the flush */
};

typedef struct fake_cupti *(*fake_cupti_fn)(void); /* "fake_cupti" */

#endif
