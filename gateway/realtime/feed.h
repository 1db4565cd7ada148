/* What one listener is told: the events of its queues, from where it left off, each once.
 *
 *     feed_open(&f, &options, arena, &err)     joins the hub; from now on nothing is missed
 *     response_stream(r, res, &f.stream)       its functions do the rest, up to leaving the hub
 *
 * While what happened before is read from Redis (on the connection's thread), what happens meanwhile is kept; then it follows. Where something
 * cannot be told any more, because the stream was trimmed, `resync` says so: what the listener knows of that queue may be out of date. */
#ifndef SLUICE_GATEWAY_REALTIME_FEED_H
#define SLUICE_GATEWAY_REALTIME_FEED_H

#include "gateway/http/stream.h"
#include "gateway/realtime/cursor.h"
#include "gateway/realtime/hub.h"

struct feed_options {
	struct hub *hub;
	struct bq *bq;
	const struct bq_queue *const *queues; /* these, and all texts, live as long as the feed */
	size_t n;
	struct str job_id;     /* .p NULL: of all jobs */
	uint32_t types;        /* a bit for each enum event_type; 0: all */
	bool messages;         /* for a WebSocket: each event is a line of JSON */
	struct str last_id;    /* a cursor; .p NULL: from now on */
	bool one_life;         /* of the job that is there when it has joined, not of another that gets its id: takes no cursor */
};

struct feed {
	/* set by feed_open */
	struct feed_options o;
	struct hub_listener listener;
	struct stream_feed stream;
	struct cursor from;      /* where the listener left off; the connection's thread's */
	struct event_id *until; /* what happened before it joined ends here */
	bool resumes, lost;      /* has a cursor; has one that cannot be used */
	/* protected by mu */
	struct lock mu;
	struct stream *out;      /* NULL: what happens is kept */
	struct cursor at;
	struct buf kept, text;
	bool over;               /* the one life */
};

/* 0, or what hub_listen says. After a failure nothing is to be undone. */
int feed_open(struct feed *f, const struct feed_options *o, struct arena *a, int64_t deadline, struct err *err) MUST_CHECK;
/* Of a feed that was opened, when no stream came of it. */
void feed_close(struct feed *f);

#endif
