#include "lib/base/lock.h"

#include <errno.h>
#include <signal.h>

#include "lib/base/err.h"
#include "lib/base/panic.h"

#define must(call) \
	do { \
		int rc_ = (call); \
		if (__builtin_expect(rc_ != 0, 0)) \
			panic("%s: error %d", #call, rc_); \
	} while (0)

void lock_init(struct lock *l)
{
	must(pthread_mutex_init(&l->mu, NULL));
}

void lock_release(struct lock *l)
{
	must(pthread_mutex_destroy(&l->mu));
}

void lock_take(struct lock *l)
{
	must(pthread_mutex_lock(&l->mu));
}

void lock_give(struct lock *l)
{
	must(pthread_mutex_unlock(&l->mu));
}

void cond_init(struct cond *c)
{
	pthread_condattr_t attr;
	must(pthread_condattr_init(&attr));
	must(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC));
	must(pthread_cond_init(&c->cv, &attr));
	must(pthread_condattr_destroy(&attr));
}

void cond_release(struct cond *c)
{
	must(pthread_cond_destroy(&c->cv));
}

void cond_signal(struct cond *c)
{
	must(pthread_cond_signal(&c->cv));
}

void cond_broadcast(struct cond *c)
{
	must(pthread_cond_broadcast(&c->cv));
}

void cond_wait(struct cond *c, struct lock *l)
{
	must(pthread_cond_wait(&c->cv, &l->mu));
}

bool cond_wait_until(struct cond *c, struct lock *l, int64_t deadline_mono_ms)
{
	int64_t ms = deadline_mono_ms > 0 ? deadline_mono_ms : 0;
	struct timespec until = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
	int rc = pthread_cond_timedwait(&c->cv, &l->mu, &until);
	if (rc != 0 && rc != ETIMEDOUT)
		panic("pthread_cond_timedwait: error %d", rc);
	return rc == 0;
}

struct start {
	thread_fn *fn;
	void *arg;
	char name[16];
};

static void *enter(void *arg)
{
	struct start s = *(struct start *)arg;
	free(arg);
	(void)pthread_setname_np(pthread_self(), s.name);
	s.fn(s.arg);
	return NULL;
}

/* The signals of a fault stay open, so that whoever handles them (a sanitizer, a debugger) still sees them. */
static void fill_blocked(sigset_t *set)
{
	static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS};
	(void)sigfillset(set);
	for (size_t i = 0; i < ARRAY_LEN(faults); i++)
		(void)sigdelset(set, faults[i]);
}

int thread_start(struct thread *t, const char *name, thread_fn *fn, void *arg)
{
	struct start *s = malloc(sizeof(*s));
	if (!s)
		return ERR_NOMEM;
	s->fn = fn;
	s->arg = arg;
	(void)snprintf(s->name, sizeof(s->name), "%s", name);

	pthread_attr_t attr;
	sigset_t blocked, before;
	fill_blocked(&blocked);
	must(pthread_attr_init(&attr));
	must(pthread_attr_setstacksize(&attr, THREAD_STACK_BYTES));
	must(pthread_sigmask(SIG_BLOCK, &blocked, &before)); /* a new thread inherits the mask */
	int rc = pthread_create(&t->id, &attr, enter, s);
	must(pthread_sigmask(SIG_SETMASK, &before, NULL));
	must(pthread_attr_destroy(&attr));
	t->running = rc == 0;
	if (rc == 0)
		return 0;
	free(s);
	return ERR_NOMEM;
}

void thread_join(struct thread *t)
{
	if (!t->running)
		return;
	must(pthread_join(t->id, NULL));
	t->running = false;
}
