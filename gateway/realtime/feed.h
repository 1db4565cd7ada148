/* What one listener is told: the events of its queues, from where it left off, each once.
 *
 *     feed_open(&f, &options, r, &err)         joins the hub; from now on nothing is missed
 *     response_stream(r, res, &f.stream)       its functions do the rest, up to leaving the hub
 *
 * While what happened before is read from Redis (on the connection's thread), what happens meanwhile is kept; then it follows, as all are told
 * that listen to the same (view.h). Where something cannot be told any more, because the stream was trimmed, `resync` says so: what the
 * listener knows of that queue may be out of date. */
#ifndef SLUICE_GATEWAY_REALTIME_FEED_H
#define SLUICE_GATEWAY_REALTIME_FEED_H

#include "gateway/realtime/view.h"

struct feed_options {
	struct views *views;
	struct bq *bq;
	struct view_wish wish; /* its queues and texts live as long as the feed. One life takes no cursor */
	struct str last_id;    /* a cursor; .p NULL: from now on */
};

/* Set by feed_open; then the connection's thread's. */
struct feed {
	struct feed_options o;
	struct stream_feed stream;
	struct view_member member;
	struct cursor from;    /* where the listener left off, and then how much of the past it was told */
	bool resumes, lost;    /* has a cursor; has one that cannot be used */
};

/* 0, or what hub_listen says. After a failure nothing is to be undone. */
int feed_open(struct feed *f, const struct feed_options *o, const struct request *r, struct err *err) MUST_CHECK;
/* Of a feed that was opened, when no stream came of it. */
void feed_close(struct feed *f);

#endif
