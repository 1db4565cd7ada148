/* What the hub is. Private to hub.c, hub_wait.c and hub_listen.c. */
#ifndef SLUICE_GATEWAY_REALTIME_HUB_STATE_H
#define SLUICE_GATEWAY_REALTIME_HUB_STATE_H

#include <stdatomic.h>

#include "gateway/realtime/hub.h"
#include "gateway/realtime/portion.h"
#include "lib/base/table.h"
#include "lib/redis/rblock.h"

/* A listener's place in a queue's stream. */
struct hub_place {
	struct hub_stream *stream;   /* NULL: it has none */
	struct hub_listener *listener;
	size_t index;
	struct hub_place *prev, *next;
};

/* A stream that somebody waits on or listens to; it goes with the last of them. */
struct hub_stream {
	struct str key, queue;        /* of its own */
	struct event_id last;        /* read up to here */
	bool read;                   /* in the present call */
	struct hub_wait *waiters;
	struct hub_place *places;
};

struct hub_doubt;

struct hub {
	/* set before start */
	struct bq *bq;
	struct rblock block;
	struct thread thread;
	_Atomic bool stopping;
	/* the thread's */
	struct event_reader reader;
	struct portion portion;
	struct arena arena;          /* of the doubts */
	struct hub_doubt *doubts;    /* told to Redis with the present call */
	size_t n_doubts;
	/* protected by mu */
	struct lock mu;
	struct cond needed;    /* the first stream has come */
	struct table streams;  /* by key */
};

/* Where the streams of those queues end, in one round trip. */
int hub_ends(struct hub *h, const struct bq_queue *const *queues, size_t n, struct event_id *of, int64_t deadline, struct err *err) MUST_CHECK;
/* The stream that somebody watches already, or NULL. mu is held. */
struct hub_stream *hub_stream_known(const struct hub *h, const struct bq_queue *q);
/* The stream, a new one that is read from `end` on when there is none; NULL without memory. mu is held. */
struct hub_stream *hub_stream_of(struct hub *h, const struct bq_queue *q, struct event_id end);
/* Forgets it when nobody needs it any more. mu is held. */
void hub_stream_left(struct hub *h, struct hub_stream *s);

#endif
