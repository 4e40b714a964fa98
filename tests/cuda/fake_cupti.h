/* fake_cupti.h: a libcupti for tests: what the test launches comes back as activity records, in buffers.
 *
 * How it works: the library refuses what CUPTI's manual rules out or what would spoil records: kinds that are
 * enabled before the clock or twice. Records of the device are handed out before the calls that caused them.
 *
 * Owner: the library, opened by name; its state is found with dlsym. @thread one.
 */
#ifndef RS_TEST_FAKE_CUPTI_H
#define RS_TEST_FAKE_CUPTI_H

#include <stdint.h>

struct fake_cupti {
    int fail_enable;                    /* 1: kinds can't be enabled */
    int buffers_refused;                /* asked for, and none was given */
    int kinds, calls;                   /* enabled now */
    int wrong;                          /* calls in an order that isn't allowed */
    void (*launch)(const char *kernel); /* a kernel, or NULL: a copy to the device */
    void (*work)(int how_much);         /* that no call of ours started */
    void (*request)(void);              /* takes a buffer and keeps it until the flush */
};

typedef struct fake_cupti *(*fake_cupti_fn)(void); /* "fake_cupti" */

#endif
