/* explore_interpose.h: comes before the product's sources that explore.h runs step by step.
 *
 * A memory order is an argument of every atomic access, so it is where the step goes: it is evaluated before
 * the access. A macro's own name in its text is not replaced again.
 */
#ifndef RS_TEST_EXPLORE_INTERPOSE_H
#define RS_TEST_EXPLORE_INTERPOSE_H

#include "clock.h"
#include "explore.h"
#include <stdatomic.h>
#include <unistd.h>

#define memory_order_relaxed (explore_point(), memory_order_relaxed)
#define memory_order_acquire (explore_point(), memory_order_acquire)
#define memory_order_release (explore_point(), memory_order_release)
#define memory_order_acq_rel (explore_point(), memory_order_acq_rel)
#define memory_order_seq_cst (explore_point(), memory_order_seq_cst)

#define syscall explore_syscall
#define rs_now_ns explore_now_ns
#define sched_yield explore_yield
#define nanosleep explore_nanosleep
#define sched_getaffinity explore_getaffinity
#define pthread_mutex_lock explore_lock
#define pthread_mutex_unlock explore_unlock

#endif
