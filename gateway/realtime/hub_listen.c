/* Those who want every event of their queues. */
#include <stdlib.h>

#include "gateway/realtime/hub_state.h"

static void link_place(struct hub_place *p, struct hub_stream *s)
{
	p->stream = s;
	p->next = s->places;
	if (p->next)
		p->next->prev = p;
	s->places = p;
}

static void unlink_place(struct hub *h, struct hub_place *p)
{
	struct hub_stream *s = p->stream;

	if (!s)
		return;
	*(p->prev ? &p->prev->next : &s->places) = p->next;
	if (p->next)
		p->next->prev = p->prev;
	p->stream = NULL;
	hub_stream_left(h, s);
}

static int join(struct hub *h, struct hub_listener *l, const struct bq_queue *const *queues, const struct event_id *ends)
{
	for (size_t i = 0; i < l->n; i++) {
		struct hub_stream *s = hub_stream_of(h, queues[i], ends[i]);

		if (!s)
			return ERR_NOMEM;
		l->places[i] = (struct hub_place){.listener = l, .index = i};
		link_place(&l->places[i], s);
		l->joined(l->arg, i, s->last, ends[i]);
	}
	return 0;
}

int hub_listen(struct hub *h, struct hub_listener *l, const struct bq_queue *const *queues, size_t n, int64_t deadline, struct err *err)
{
	struct event_id *ends = calloc(n, sizeof(*ends));

	l->places = calloc(n, sizeof(*l->places));
	l->n = n;
	int rc = ends && l->places ? hub_ends(h, queues, n, ends, deadline, err) : err_set(err, ERR_NOMEM, "out of memory");
	if (rc == 0) {
		lock_take(&h->mu);
		rc = join(h, l, queues, ends);
		lock_give(&h->mu);
		if (rc < 0)
			err_set(err, rc, "out of memory");
	}
	free(ends);
	if (rc < 0)
		hub_unlisten(h, l);
	return rc;
}

void hub_unlisten(struct hub *h, struct hub_listener *l)
{
	lock_take(&h->mu);
	for (size_t i = 0; l->places && i < l->n; i++)
		unlink_place(h, &l->places[i]);
	lock_give(&h->mu);
	free(l->places);
	l->places = NULL;
}
