/* Those who wait for the end of one job. */
#include "gateway/realtime/hub_state.h"
#include "lib/base/clock.h"

/* NULL is no stream. mu is held. */
static bool link_waiter(struct hub_wait *w, struct hub_stream *s)
{
	if (!s)
		return false;
	w->stream = s;
	w->next = s->waiters;
	if (w->next)
		w->next->prev = w;
	s->waiters = w;
	return true;
}

int hub_wait_begin(struct hub *h, struct hub_wait *w, const struct bq_queue *q, struct str job_id, int64_t deadline_mono_ms,
		   struct err *err)
{
	struct event_id end;

	*w = (struct hub_wait){.job_id = job_id};
	cond_init(&w->cond);
	lock_take(&h->mu);
	bool linked = link_waiter(w, hub_stream_known(h, q));
	lock_give(&h->mu);
	int rc = linked ? 0 : hub_ends(h, &q, 1, &end, deadline_mono_ms, err);
	if (rc == 0 && !linked) {
		lock_take(&h->mu);
		if (!link_waiter(w, hub_stream_of(h, q, end)))
			rc = err_set(err, ERR_NOMEM, "out of memory");
		lock_give(&h->mu);
	}
	if (rc < 0)
		cond_release(&w->cond);
	return rc;
}

bool hub_wait_sleep(struct hub *h, struct hub_wait *w, int64_t deadline_mono_ms)
{
	int64_t recheck = clock_mono_ms() + HUB_RECHECK_MS;
	int64_t until = recheck < deadline_mono_ms ? recheck : deadline_mono_ms;

	lock_take(&h->mu);
	while (!w->finished && !atomic_load(&h->stopping) && cond_wait_until(&w->cond, &h->mu, until))
		;
	bool finished = w->finished;
	w->finished = false;
	lock_give(&h->mu);
	return finished || (clock_mono_ms() < deadline_mono_ms && !atomic_load(&h->stopping));
}

void hub_wait_end(struct hub *h, struct hub_wait *w)
{
	struct hub_stream *s = w->stream;

	lock_take(&h->mu);
	if (w->next)
		w->next->prev = w->prev;
	if (w->prev)
		w->prev->next = w->next;
	else
		s->waiters = w->next;
	hub_stream_left(h, s);
	lock_give(&h->mu);
	cond_release(&w->cond);
}
