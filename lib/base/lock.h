/* Mutex, condition and thread wrappers. An error from pthreads is a bug and ends the process, so nothing here returns
 * one. Conditions wait on the monotonic clock. */
#ifndef SLUICE_BASE_LOCK_H
#define SLUICE_BASE_LOCK_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lock {
	pthread_mutex_t mu;
};

struct cond {
	pthread_cond_t cv;
};

void lock_init(struct lock *l);
void lock_release(struct lock *l);
void lock_take(struct lock *l);
void lock_give(struct lock *l);

void cond_init(struct cond *c);
void cond_release(struct cond *c);
void cond_signal(struct cond *c);
void cond_broadcast(struct cond *c);
void cond_wait(struct cond *c, struct lock *l);
/* false when deadline_mono_ms (clock_mono_ms's scale) has passed; spurious wake-ups return true. */
bool cond_wait_until(struct cond *c, struct lock *l, int64_t deadline_mono_ms);

#define THREAD_STACK_BYTES ((size_t)1 << 20)
typedef void thread_fn(void *arg);

struct thread {
	pthread_t id;
	bool running;
};

/* Starts a thread with THREAD_STACK_BYTES of stack, all signals blocked but those of a fault, and the name (15 bytes)
 * that top and gdb show. 0, else ERR_NOMEM. Join it with thread_join; joining one that never started does nothing. */
int thread_start(struct thread *t, const char *name, thread_fn *fn, void *arg) __attribute__((warn_unused_result));
void thread_join(struct thread *t);

#endif
