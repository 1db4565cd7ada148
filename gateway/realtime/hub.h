/* The event reader: one thread, one Redis connection, one XREAD over the streams that somebody waits on.
 *
 *     struct hub_wait w;
 *     if (hub_wait_begin(hub, &w, &queue, job_id, deadline, &err) == 0) {   notes where the stream stands now
 *         ... read the job's state: nothing that happens from here on is missed ...
 *         hub_wait_sleep(hub, &w, deadline);                               until the job finished, or the deadline
 *         hub_wait_end(hub, &w);
 *     }
 *
 * A trimmed stream or an outage can lose an event: sleepers also wake every HUB_RECHECK_MS and the caller looks again. */
#ifndef SLUICE_GATEWAY_REALTIME_HUB_H
#define SLUICE_GATEWAY_REALTIME_HUB_H

#include <stdbool.h>
#include <stdint.h>

#include "gateway/realtime/event.h"
#include "lib/base/err.h"
#include "lib/base/lock.h"
#include "lib/bullmq/bq.h"
#include "lib/redis/raddr.h"

#define HUB_RECHECK_MS 5000

struct hub;
struct hub_stream;
struct log;

struct hub *hub_new(struct bq *bq, const struct raddr *redis, struct log *log, struct err *err);
int hub_start(struct hub *h, struct err *err) MUST_CHECK;
void hub_stop(struct hub *h); /* wakes every sleeper */
void hub_free(struct hub *h);

/* One waiting request; lives on its stack between begin and end. */
struct hub_wait {
	struct hub_stream *stream;
	struct str job_id;
	struct cond cond;
	bool finished; /* a completed, failed or removed event of the job was seen */
	struct hub_wait *prev, *next;
};

int hub_wait_begin(struct hub *h, struct hub_wait *w, const struct bq_queue *q, struct str job_id, int64_t deadline_mono_ms,
		   struct err *err) MUST_CHECK;
/* true: look again (the job finished, or it is time to recheck); false: the deadline has passed or the hub is stopping. */
bool hub_wait_sleep(struct hub *h, struct hub_wait *w, int64_t deadline_mono_ms) MUST_CHECK;
void hub_wait_end(struct hub *h, struct hub_wait *w);

/* ---- listening to whole queues ----
 *
 *     struct hub_listener l = {.joined = …, .event = …, .gap = …, .arg = me};
 *     if (hub_listen(hub, &l, queues, n, deadline, &err) == 0) {
 *             ...                                  its functions are called until hub_unlisten returns
 *             hub_unlisten(hub, &l);
 *     }
 *
 * They are called with the hub's lock held: they neither block nor call the hub. `index` is the queue's place in the list. */
struct hub_place;

struct hub_listener {
	/* By hub_listen: every entry behind `at` will come; the stream's last was `end`, and the hub may have yet to read up to there. */
	void (*joined)(void *arg, size_t index, struct event_id at, struct event_id end);
	void (*event)(void *arg, size_t index, const struct event *e);
	void (*gap)(void *arg, size_t index);                               /* entries may have been trimmed before they were read */
	void *arg;
	struct hub_place *places; /* the hub's, as n */
	size_t n;
};

int hub_listen(struct hub *h, struct hub_listener *l, const struct bq_queue *const *queues, size_t n, int64_t deadline, struct err *err) MUST_CHECK;
void hub_unlisten(struct hub *h, struct hub_listener *l);

#endif
