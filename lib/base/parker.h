/* One thread sleeps until one other thread says "go on", once, without an allocation and without a mutex; without a system call when nobody
 * sleeps yet.
 *
 *     struct parker p = {0};                    on the sleeper's stack
 *     give &p to the other thread
 *     parker_wait_until(&p, deadline)           true: woken; false: the deadline (clock_mono_ms) has passed
 *     other thread: parker_wake(&p)             its last use of p
 *     parker_close(&p)                          before p is given away once more; a parker may begin open (PARKER_OPEN)
 *
 * The sleeper may return and its stack may be gone while the other is still inside parker_wake: the kernel takes the
 * address there only as a name, so the worst is a spurious wake-up of somebody else, which every futex user allows for. */
#ifndef SLUICE_BASE_PARKER_H
#define SLUICE_BASE_PARKER_H

#include <errno.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PARKER_FOREVER INT64_MAX

enum { PARKER_SHUT, PARKER_SLEEPER, PARKER_WOKEN };

struct parker {
	_Atomic uint32_t word;
};
#define PARKER_OPEN ((struct parker){PARKER_WOKEN})

static inline bool parker_is_open(struct parker *p)
{
	return atomic_load_explicit(&p->word, memory_order_acquire) == PARKER_WOKEN;
}

static inline void parker_close(struct parker *p)
{
	atomic_store_explicit(&p->word, PARKER_SHUT, memory_order_relaxed);
}

static inline bool parker_wait_until(struct parker *p, int64_t deadline_mono_ms)
{
	int64_t ms = deadline_mono_ms < 0 ? 0 : deadline_mono_ms; /* the kernel refuses a negative time */
	struct timespec ts = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
	const struct timespec *until = deadline_mono_ms == PARKER_FOREVER ? NULL : &ts;
	uint32_t shut = PARKER_SHUT;
	atomic_compare_exchange_strong(&p->word, &shut, PARKER_SLEEPER);
	while (!parker_is_open(p)) {
		long rc = syscall(SYS_futex, &p->word, FUTEX_WAIT_BITSET_PRIVATE, PARKER_SLEEPER, until, NULL, FUTEX_BITSET_MATCH_ANY);
		if (rc < 0 && errno == ETIMEDOUT)
			return parker_is_open(p);
	}
	return true;
}

static inline void parker_wake(struct parker *p)
{
	_Atomic uint32_t *word = &p->word;
	if (atomic_exchange(word, PARKER_WOKEN) == PARKER_SLEEPER)
		syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

#endif
