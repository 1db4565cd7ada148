#include "gateway/realtime/lease.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "lib/base/clock.h"
#include "lib/base/table.h"
#include "lib/bullmq/marker.h"
#include "lib/redis/rblock.h"

#define PUT_BACK_TIMEOUT_MS 2000

static const struct rblock_kind KIND = {"sluice:leases", "zset"};

/* A queue that somebody waits for; it goes with its last waiter. */
struct lease_queue {
	struct str marker;           /* the key, of its own */
	struct lease_wait *waiters, *last; /* who waits longest stands first */
	bool watched;                /* in the present set of the blocking call */
	int64_t look_mono_ms;        /* somebody should look then; 0: no such time is known */
	int64_t due_wall_ms;         /* the popped marker that said so; 0: none. Given back when nobody is left */
	struct lease_queue *prev, *next;
};

struct lease_hub {
	/* set before start */
	struct bq *bq;
	struct rblock block;
	struct thread thread;
	_Atomic bool closed, stopping;
	/* the thread's own */
	int64_t look_mono_ms;        /* one of each queue looks then, marker or not, as BullMQ's workers do */
	/* protected by mu */
	struct lock mu;
	struct cond needed;          /* a queue has come, or the end */
	struct table by_marker;      /* struct lease_queue */
	struct lease_queue *queues, *last_queue; /* who was served goes to the end */
};

struct lease_hub *lease_hub_new(struct bq *bq, const struct raddr *redis, struct log *log, struct err *err)
{
	struct lease_hub *h = calloc(1, sizeof(*h));

	if (!h) {
		err_set(err, ERR_NOMEM, "out of memory");
		return NULL;
	}
	h->bq = bq;
	lock_init(&h->mu);
	cond_init(&h->needed);
	table_init(&h->by_marker);
	if (rblock_init(&h->block, redis, &KIND, bq_mux(bq), log, err) < 0) {
		lease_hub_free(h);
		return NULL;
	}
	return h;
}

void lease_hub_free(struct lease_hub *h)
{
	if (!h)
		return;
	rblock_release(&h->block);
	table_release(&h->by_marker);
	cond_release(&h->needed);
	lock_release(&h->mu);
	free(h);
}

/* ---- lists: mu is held ---- */

static void append_queue(struct lease_hub *h, struct lease_queue *q)
{
	q->prev = h->last_queue;
	q->next = NULL;
	*(h->last_queue ? &h->last_queue->next : &h->queues) = q;
	h->last_queue = q;
}

static void unlink_queue(struct lease_hub *h, struct lease_queue *q)
{
	*(q->prev ? &q->prev->next : &h->queues) = q->next;
	*(q->next ? &q->next->prev : &h->last_queue) = q->prev;
}

static void append_waiter(struct lease_queue *q, struct lease_wait *w)
{
	w->prev = q->last;
	w->next = NULL;
	*(q->last ? &q->last->next : &q->waiters) = w;
	q->last = w;
}

static void unlink_waiter(struct lease_queue *q, struct lease_wait *w)
{
	*(w->prev ? &w->prev->next : &q->waiters) = w->next;
	*(w->next ? &w->next->prev : &q->last) = w->prev;
}

/* ---- waking: mu is held ---- */

static struct lease_wait *first_asleep(const struct lease_queue *q)
{
	struct lease_wait *w = q->waiters;

	while (w && w->state != LEASE_ASLEEP)
		w = w->next;
	return w;
}

/* Who has waited longest looks; false when nobody sleeps. */
static bool wake_one(struct lease_queue *q)
{
	struct lease_wait *w = first_asleep(q);

	if (!w)
		return false;
	w->state = LEASE_WOKEN;
	cond_signal(&w->cond);
	return true;
}

static void put_back(struct lease_hub *h, const struct lease_queue *q, int64_t due_wall_ms)
{
	const struct bq_marker marker = {q->marker, due_wall_ms};

	bq_marker_put_back(h->bq, &marker, clock_mono_ms() + PUT_BACK_TIMEOUT_MS);
}

static bool look_at(struct lease_queue *q, int64_t mono_ms)
{
	bool sooner = !q->look_mono_ms || mono_ms < q->look_mono_ms;

	if (sooner)
		q->look_mono_ms = mono_ms;
	return sooner;
}

/* Wakes one of each queue whose time has come; when the next one comes. */
static int64_t wake_due(struct lease_hub *h, int64_t now)
{
	bool everywhere = h->look_mono_ms <= now;

	if (everywhere)
		h->look_mono_ms = now + RBLOCK_MS;
	int64_t next = h->look_mono_ms;
	for (struct lease_queue *q = h->queues; q; q = q->next) {
		bool due = q->look_mono_ms && q->look_mono_ms <= now;
		if (due) {
			q->look_mono_ms = 0;
			q->due_wall_ms = 0;
		}
		if (due || everywhere)
			wake_one(q);
		if (q->look_mono_ms && q->look_mono_ms < next)
			next = q->look_mono_ms;
	}
	return next;
}

/* ---- the thread ---- */

/* Begins the wait for the markers of every queue in which somebody sleeps: how long it may take, 0 when there is none. */
static int64_t choose(struct lease_hub *h, struct rcmd *cmd)
{
	size_t n = 0;
	int64_t now = clock_mono_ms();

	rcmd_clear(cmd);
	lock_take(&h->mu);
	rblock_choose(&h->block);
	int64_t until = wake_due(h, now);
	for (struct lease_queue *q = h->queues; q; q = q->next) {
		q->watched = first_asleep(q) != NULL && rblock_takes(&h->block, q->marker);
		n += q->watched;
	}
	if (n) {
		bq_marker_wait(cmd, n);
		for (const struct lease_queue *q = h->queues; q; q = q->next)
			if (q->watched)
				rcmd_arg(cmd, q->marker);
		bq_marker_wait_end(cmd, until - now);
	}
	lock_give(&h->mu);
	return n ? until - now : 0;
}

static void use_marker(struct lease_hub *h, const struct bq_marker *marker)
{
	lock_take(&h->mu);
	struct lease_queue *q = table_get(&h->by_marker, marker->key);
	if (!q) {
		bq_marker_put_back(h->bq, marker, clock_mono_ms() + PUT_BACK_TIMEOUT_MS);
	} else if (marker->due_wall_ms) {
		q->due_wall_ms = marker->due_wall_ms;
		look_at(q, clock_mono_ms() + marker->due_wall_ms - clock_wall_ms());
	} else if (!wake_one(q)) {
		put_back(h, q, 0);
	}
	if (q) {
		unlink_queue(h, q);
		append_queue(h, q);
	}
	lock_give(&h->mu);
}

static void watch(struct lease_hub *h, const struct rcmd *cmd, int64_t block_ms)
{
	struct rreplies replies;
	struct bq_marker marker;

	if (!rblock_call(&h->block, cmd, block_ms, &replies))
		return;
	if (bq_marker_read(replies.items[0], &marker))
		use_marker(h, &marker);
	rreplies_release(&replies);
}

static bool ensure_open(struct lease_hub *h)
{
	bool anew;

	if (!rblock_open(&h->block, &anew))
		return false;
	if (anew)
		h->look_mono_ms = 0; /* markers may have come and gone meanwhile */
	return true;
}

/* Nobody sleeps. */
static void pause_until_needed(struct lease_hub *h)
{
	lock_take(&h->mu);
	if (!rblock_is_stale(&h->block) && !atomic_load(&h->stopping))
		cond_wait_until(&h->needed, &h->mu, clock_mono_ms() + RBLOCK_MS);
	lock_give(&h->mu);
}

static bool anybody_waits(struct lease_hub *h)
{
	lock_take(&h->mu);
	bool any = h->queues != NULL;
	lock_give(&h->mu);
	return any;
}

static void hub_main(void *arg)
{
	struct lease_hub *h = arg;
	struct rcmd cmd = RCMD_INIT;

	while (!atomic_load(&h->stopping)) {
		if (anybody_waits(h) && !ensure_open(h))
			continue;
		int64_t block_ms = choose(h, &cmd);
		if (block_ms > 0)
			watch(h, &cmd, block_ms);
		else
			pause_until_needed(h);
	}
	rcmd_release(&cmd);
	rblock_close(&h->block);
}

int lease_hub_start(struct lease_hub *h, struct err *err)
{
	if (thread_start(&h->thread, "leases", hub_main, h) < 0)
		return err_set(err, ERR_NOMEM, "the lease hub's thread cannot be started");
	return 0;
}

void lease_hub_close(struct lease_hub *h)
{
	lock_take(&h->mu);
	atomic_store(&h->closed, true);
	for (struct lease_queue *q = h->queues; q; q = q->next)
		for (struct lease_wait *w = q->waiters; w; w = w->next)
			cond_signal(&w->cond);
	lock_give(&h->mu);
}

void lease_hub_stop(struct lease_hub *h)
{
	lease_hub_close(h);
	lock_take(&h->mu);
	atomic_store(&h->stopping, true);
	cond_broadcast(&h->needed);
	lock_give(&h->mu);
	rblock_wake(&h->block);
	thread_join(&h->thread);
}

/* ---- waiting ---- */

static struct lease_queue *add_queue(struct lease_hub *h, struct str marker)
{
	struct lease_queue *q = calloc(1, sizeof(*q) + marker.n);

	if (!q)
		return NULL;
	q->marker = (struct str){memcpy(q + 1, marker.p, marker.n), marker.n};
	if (table_put(&h->by_marker, q->marker, q) < 0) {
		free(q);
		return NULL;
	}
	append_queue(h, q);
	return q;
}

/* Somebody sleeps in a queue that the blocking call has not got. */
static void want(struct lease_hub *h, const struct lease_queue *q)
{
	if (q->watched)
		return;
	cond_signal(&h->needed);
	rblock_refresh(&h->block);
}

int lease_wait_begin(struct lease_hub *h, struct lease_wait *w, const struct bq_queue *q, struct err *err)
{
	struct str marker = q->keys[BQ_KEY_MARKER];

	*w = (struct lease_wait){0};
	lock_take(&h->mu);
	w->queue = table_get(&h->by_marker, marker);
	if (!w->queue)
		w->queue = add_queue(h, marker);
	if (w->queue) {
		cond_init(&w->cond);
		append_waiter(w->queue, w);
	}
	lock_give(&h->mu);
	return w->queue ? 0 : err_set(err, ERR_NOMEM, "out of memory");
}

bool lease_wait_sleep(struct lease_hub *h, struct lease_wait *w, int64_t until_mono_ms)
{
	lock_take(&h->mu);
	if (w->state != LEASE_WOKEN) /* it may have been woken since it slept last */
		w->state = LEASE_ASLEEP;
	want(h, w->queue);
	while (w->state == LEASE_ASLEEP && !atomic_load(&h->closed) && cond_wait_until(&w->cond, &h->mu, until_mono_ms))
		;
	bool look = w->state == LEASE_WOKEN && !atomic_load(&h->closed);
	if (look)
		w->state = LEASE_LOOKING;
	lock_give(&h->mu);
	return look;
}

void lease_wait_later(struct lease_hub *h, struct lease_wait *w, int64_t at_mono_ms)
{
	lock_take(&h->mu);
	if (look_at(w->queue, at_mono_ms))
		rblock_refresh(&h->block); /* the blocking call may last longer */
	lock_give(&h->mu);
}

void lease_wait_end(struct lease_hub *h, struct lease_wait *w)
{
	struct lease_queue *q = w->queue;

	lock_take(&h->mu);
	unlink_waiter(q, w);
	if (w->state == LEASE_WOKEN && !wake_one(q))
		put_back(h, q, 0);
	if (!q->waiters) {
		if (q->due_wall_ms)
			put_back(h, q, q->due_wall_ms);
		table_remove(&h->by_marker, q->marker);
		unlink_queue(h, q);
		free(q);
	}
	lock_give(&h->mu);
	cond_release(&w->cond);
}
