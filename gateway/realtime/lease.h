/* The lease hub: requests that wait for a job of some queue, all on one Redis connection. One job wakes one of them.
 *
 *     struct lease_wait w;
 *     if (lease_wait_begin(hub, &w, &queue, &err) == 0) {
 *         while (lease_wait_sleep(hub, &w, until) && !took_one())     look now: a job may be there
 *             ;
 *         lease_wait_end(hub, &w);                                     a wake-up that was not used goes to the next, or back to Redis
 *     }
 *
 * The hub waits for BullMQ's markers of the queues that somebody waits for (lib/bullmq/marker.h) and gives each to the one who has waited
 * longest; the markers go on in a chain, since taking a job sets the next. Every few seconds one of each queue looks without a marker. */
#ifndef SLUICE_GATEWAY_REALTIME_LEASE_H
#define SLUICE_GATEWAY_REALTIME_LEASE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/lock.h"
#include "lib/bullmq/bq.h"
#include "lib/redis/raddr.h"

struct lease_hub;
struct lease_queue;
struct log;

struct lease_hub *lease_hub_new(struct bq *bq, const struct raddr *redis, struct log *log, struct err *err);
int lease_hub_start(struct lease_hub *h, struct err *err) MUST_CHECK;
void lease_hub_close(struct lease_hub *h); /* wakes every sleeper; nobody waits any more. Any thread, more than once */
void lease_hub_stop(struct lease_hub *h);  /* close, and the end of its thread */
void lease_hub_free(struct lease_hub *h);

enum lease_state {
	LEASE_LOOKING, /* it is on its own */
	LEASE_ASLEEP,
	LEASE_WOKEN,   /* a marker was given to it, and it has not looked yet */
};

/* One waiting request; lives on its stack between begin and end. */
struct lease_wait {
	struct lease_queue *queue;
	struct cond cond;
	enum lease_state state;
	struct lease_wait *prev, *next;
};

/* 0 or ERR_NOMEM. */
int lease_wait_begin(struct lease_hub *h, struct lease_wait *w, const struct bq_queue *q, struct err *err) MUST_CHECK;
/* true: look for a job now; false: the deadline has passed, or the hub is closed. */
bool lease_wait_sleep(struct lease_hub *h, struct lease_wait *w, int64_t until_mono_ms) MUST_CHECK;
/* It looked and found nothing, but somebody of this queue should look at that time (a rate limit ends, a delayed job is due). */
void lease_wait_later(struct lease_hub *h, struct lease_wait *w, int64_t at_mono_ms);
void lease_wait_end(struct lease_hub *h, struct lease_wait *w);

#endif
