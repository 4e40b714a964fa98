/* gate.c: see gate.h.
 *
 * Two words: epoch, which every notify moves on, and parked, how many threads are in, or on their way into,
 * the kernel. Why no wake-up is lost:
 *
 * The thing is done before the notify's increment of epoch (release). A waiter whose key (acquire) has that
 * increment sees the thing when it looks again. So let the key be older. While the waiter spins, it sees the
 * increment and returns.
 *
 * Parking is the pattern of Dekker, each side writes one word and reads the other: the waiter increments
 * parked, then reads epoch (itself, and the kernel once more under its lock); the notifier increments epoch,
 * then reads parked. All four are seq_cst, so in their single order either the waiter's read comes after the
 * notifier's increment, and it doesn't park, or the notifier's read comes after the waiter's increment, and
 * it calls futex_wake. The kernel compares epoch with the key and queues the waiter as one step, so a wake
 * can't fall in between. Each notify wakes one more parked thread, so as many as there are things to take are
 * awake or on their way.
 *
 * They are accesses, not fences, because ThreadSanitizer understands accesses only. On x86 the increments are
 * locked instructions either way and the loads plain ones.
 *
 * Spinning: on two cores of a virtual machine one way through a channel takes 2 us while other work keeps the
 * cores awake and 14 to 29 us when they sleep (bench_ring). 4 us are enough to meet a partner that is at
 * work, and little beside a step of the trainer, which needs the core more. Each gate keeps a budget: halved
 * when a spin was in vain, doubled when it was not. With one core it is 0.
 */
#include "gate.h"
#include "alloc.h"
#include "clock.h"
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SPIN_MAX_NS 4000u
#define SPIN_MIN_NS 250u
#define PAUSES_PER_LOOK                                                                                      \
    8 /* so that the spinner doesn't pull the epoch's line out of the notifier's hands                       \
       */

struct rs_gate {
    /* set once; the gate has a cache line of its own */
    alignas(64) struct rs_run *run;
    /* Shared, a hint: nanoseconds to spin. Relaxed, pairs with itself: a lost update costs microseconds. */
    atomic_uint spin_ns;

    /* Shared; the word that the kernel compares. Incremented by rs_gate_notify and at the run's stop, pairs
     * with the loads in rs_gate_prepare and rs_gate_wait. Only 2^32 notifies between a key and its parking
     * would fool a wait. */
    atomic_uint epoch;
    /* Shared: threads in rs_gate_wait that may be in the kernel. The increment there pairs with the load in
     * rs_gate_notify, see above. */
    atomic_uint parked;
};

static long futex(atomic_uint *word, int operation, unsigned value)
{
    return syscall(SYS_futex, word, operation | FUTEX_PRIVATE_FLAG, value, NULL, NULL, 0);
}

/* The run's waker. The run's stop was stored before (release), so the increment carries it to every later
 * key, and no one parks with an older one. */
static void open_for_good(void *arg)
{
    struct rs_gate *gate = arg;
    atomic_fetch_add_explicit(&gate->epoch, 1, memory_order_seq_cst);
    futex(&gate->epoch, FUTEX_WAKE, INT_MAX);
}

static bool several_cores(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) != 0 || CPU_COUNT(&set) > 1;
}

int rs_gate_create(struct rs_gate **out, struct rs_run *run, struct rs_error *err)
{
    struct rs_gate *gate = rs_calloc(1, sizeof *gate);
    if (!gate)
        return rs_error_set(err, RS_E_NOMEM, "no memory for a gate");
    gate->run = run;
    atomic_init(&gate->epoch, 0);
    atomic_init(&gate->parked, 0);
    atomic_init(&gate->spin_ns, several_cores() ? SPIN_MIN_NS : 0);
    rs_run_add_waker(run, open_for_good, gate);
    *out = gate;
    return 0;
}

void rs_gate_destroy(struct rs_gate *gate)
{
    if (!gate)
        return;
    rs_run_remove_waker(gate->run, open_for_good, gate);
    rs_free(gate);
}

uint32_t rs_gate_prepare(const struct rs_gate *gate)
{
    /* pairs with the increments in rs_gate_notify and open_for_good */
    return atomic_load_explicit(&gate->epoch, memory_order_acquire);
}

static void pause_briefly(void)
{
    for (int i = 0; i < PAUSES_PER_LOOK; i++) {
#if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
#elif defined(__aarch64__)
        __asm__ volatile("yield");
#endif
    }
}

/* Looks at epoch for the gate's budget of time. True once it has moved on. */
static bool spin(struct rs_gate *gate, uint32_t key)
{
    unsigned budget = atomic_load_explicit(&gate->spin_ns, memory_order_relaxed);
    if (!budget)
        return false;
    bool found = false;
    uint64_t until = rs_now_ns() + budget;
    do {
        pause_briefly();
        found = atomic_load_explicit(&gate->epoch, memory_order_acquire) != key;
    } while (!found && rs_now_ns() < until);
    unsigned next = found ? budget * 2 : budget / 2;
    next = next > SPIN_MAX_NS ? SPIN_MAX_NS : next < SPIN_MIN_NS ? SPIN_MIN_NS : next;
    if (next != budget)
        atomic_store_explicit(&gate->spin_ns, next, memory_order_relaxed);
    return found;
}

void rs_gate_wait(struct rs_gate *gate, uint32_t key)
{
    if (rs_run_stopped(gate->run) || spin(gate, key))
        return;
    atomic_fetch_add_explicit(&gate->parked, 1, memory_order_seq_cst);
    /* EAGAIN (epoch has moved on) and EINTR (a signal) both mean: look again */
    while (atomic_load_explicit(&gate->epoch, memory_order_seq_cst) == key)
        futex(&gate->epoch, FUTEX_WAIT, key);
    atomic_fetch_sub_explicit(&gate->parked, 1, memory_order_relaxed);
}

void rs_gate_notify(struct rs_gate *gate)
{
    atomic_fetch_add_explicit(&gate->epoch, 1, memory_order_seq_cst);
    if (atomic_load_explicit(&gate->parked, memory_order_seq_cst))
        futex(&gate->epoch, FUTEX_WAKE, 1);
}

uint32_t rs_gate_parked(const struct rs_gate *gate)
{
    return atomic_load_explicit(&gate->parked, memory_order_relaxed);
}
