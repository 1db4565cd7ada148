#include "lib/redis/rmaster.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/lock.h"

struct rmaster {
	/* set before use */
	char name[RMASTER_NAME_SIZE];
	/* any thread */
	_Atomic uint64_t number; /* 0: nobody has told; written under mu */
	/* protected by mu */
	struct lock mu;
	struct cond asked, told;
	struct rmaster_place place;
	struct err trouble; /* why nobody has told */
	bool doubt, woken;
};

struct rmaster *rmaster_new(const char *name)
{
	struct rmaster *m = calloc(1, sizeof(*m));
	if (!m)
		return NULL;
	snprintf(m->name, sizeof(m->name), "%s", name);
	err_set(&m->trouble, ERR_UNAVAILABLE, "no sentinel has been asked yet");
	lock_init(&m->mu);
	cond_init(&m->asked);
	cond_init(&m->told);
	return m;
}

void rmaster_free(struct rmaster *m)
{
	if (!m)
		return;
	cond_release(&m->asked);
	cond_release(&m->told);
	lock_release(&m->mu);
	free(m);
}

const char *rmaster_name(const struct rmaster *m)
{
	return m->name;
}

int rmaster_where(struct rmaster *m, struct rmaster_place *out, struct err *err)
{
	int rc = 0;
	lock_take(&m->mu);
	m->doubt = true;
	cond_signal(&m->asked);
	if (m->place.number)
		*out = m->place;
	else
		rc = err_set(err, ERR_UNAVAILABLE, "%s", m->trouble.text);
	lock_give(&m->mu);
	return rc;
}

int rmaster_await(struct rmaster *m, int64_t deadline_mono_ms, struct err *err)
{
	bool in_time = true;
	lock_take(&m->mu);
	while (!m->place.number && in_time)
		in_time = cond_wait_until(&m->told, &m->mu, deadline_mono_ms);
	int rc = m->place.number ? 0 : err_set(err, ERR_UNAVAILABLE, "%s", m->trouble.text);
	lock_give(&m->mu);
	return rc;
}

bool rmaster_has_moved(const struct rmaster *m, uint64_t number)
{
	return atomic_load_explicit(&m->number, memory_order_relaxed) != number;
}

bool rmaster_tell(struct rmaster *m, const char *host, int port)
{
	lock_take(&m->mu);
	bool other = m->place.port != port || strcmp(m->place.host, host) != 0;
	if (other) {
		snprintf(m->place.host, sizeof(m->place.host), "%s", host);
		m->place.port = port;
		m->place.number++;
		atomic_store(&m->number, m->place.number);
		cond_broadcast(&m->told);
	}
	lock_give(&m->mu);
	return other;
}

void rmaster_tell_trouble(struct rmaster *m, const struct err *why)
{
	lock_take(&m->mu);
	m->trouble = *why;
	lock_give(&m->mu);
}

bool rmaster_await_doubt(struct rmaster *m, int64_t deadline_mono_ms)
{
	bool in_time = true;
	lock_take(&m->mu);
	while (!m->doubt && !m->woken && in_time)
		in_time = cond_wait_until(&m->asked, &m->mu, deadline_mono_ms);
	bool doubt = m->doubt;
	m->doubt = m->woken = false;
	lock_give(&m->mu);
	return doubt;
}

void rmaster_wake(struct rmaster *m)
{
	lock_take(&m->mu);
	m->woken = true;
	cond_signal(&m->asked);
	lock_give(&m->mu);
}
