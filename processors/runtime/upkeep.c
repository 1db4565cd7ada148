/* Upkeep: what a BullMQ worker does for its queue besides running jobs, by one thread for every declared queue.
 *
 * Each duty is a row: what it does, and when it is due next. Locks come first: they are what others act on. */
#include <stdlib.h>

#include "lib/redis/rmux.h"
#include "processors/runtime/private.h"

#define TICK_MAX_MS 500        /* and so: how late a delayed job of another process may be noticed */
#define STALLED_MARGIN_MS 5    /* the throttle key of the last check must have expired */
#define CANCEL_INTERVAL_MS 1000
#define TRIM_INTERVAL_MS 10000
#define TRIM_STEPS 5           /* of <= 1000 jobs */
#define PRESENCE_INTERVAL_MS 5000
#define PRESENCE_TIMEOUT_MS 500
#define AFTER_FAILURE_MS 1000

static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

void upkeep_hint(struct runtime *rt, int64_t due_wall_ms)
{
	lock_take(&rt->mu);
	if (!rt->promote_hint_wall_ms || due_wall_ms < rt->promote_hint_wall_ms) {
		rt->promote_hint_wall_ms = due_wall_ms;
		cond_broadcast(&rt->upkeep_wake);
	}
	lock_give(&rt->mu);
}

/* ---- locks ---- */

struct held {
	struct str *ids, *tokens;
	int64_t *timestamps;
	bool *flags; /* what Redis says of each */
	size_t n;
};

/* A copy of what runs: the workers go on while Redis is asked. */
static bool list_running(struct rqueue *q, struct arena *a, struct held *h)
{
	lock_take(&q->rt->mu);
	unsigned max = q->n_workers;
	lock_give(&q->rt->mu);
	*h = (struct held){.ids = arena_array(a, max, sizeof(*h->ids)),
			   .tokens = arena_array(a, max, sizeof(*h->tokens)),
			   .timestamps = arena_array(a, max, sizeof(*h->timestamps)),
			   .flags = arena_array(a, max, sizeof(*h->flags))};
	if (!h->ids || !h->tokens || !h->timestamps || !h->flags)
		return false;
	lock_take(&q->rt->mu);
	for (const struct worker *w = q->workers; w && h->n < max; w = w->sibling) {
		const struct job_context *ctx = &w->ctx;
		if (!ctx->running)
			continue;
		h->ids[h->n] = arena_dup(a, ctx->id);
		h->tokens[h->n] = arena_dup(a, str_from(ctx->token));
		h->timestamps[h->n] = ctx->job.timestamp;
		if (h->ids[h->n].p && h->tokens[h->n].p)
			h->n++;
	}
	lock_give(&q->rt->mu);
	return h->n > 0;
}

/* Tells the worker that holds the job by this token to stop, if it still does: jobs that were taken together have one token. */
static bool stop_holder(struct rqueue *q, struct str id, struct str token, enum cancel why)
{
	bool found = false;

	lock_take(&q->rt->mu);
	for (struct worker *w = q->workers; w; w = w->sibling) {
		struct job_context *ctx = &w->ctx;
		if (!ctx->running || !str_eq(ctx->id, id) || !str_eq(str_from(ctx->token), token))
			continue;
		context_cancel(ctx, why);
		found = true;
	}
	lock_give(&q->rt->mu);
	return found;
}

static void lock_is_lost(struct rqueue *q, struct str id, struct str token)
{
	struct runtime *rt = q->rt;

	if (!stop_holder(q, id, token, CANCEL_LOCK_LOST))
		return;
	tallies_add(rt->tallies, q->decl->name, q->decl, TALLY_LOCKS_LOST, 1);
	LOG(rt->env.log, LOG_WARN, "lock_lost", log_str("queue", q->decl->name), log_str("jobId", id));
}

/* Takes expired locks again where nobody has the job; the others are lost. 0, or the connection's failure. */
static int relock(struct rqueue *q, struct held *h)
{
	struct err err = {0};
	int rc = bq_relock(q->rt->bq, &q->decl->queue, h->ids, h->tokens, h->n, q->decl->terms->lock_ms, h->flags, runtime_deadline(q->rt), &err);

	for (size_t i = 0; rc == 0 && i < h->n; i++)
		if (!h->flags[i])
			lock_is_lost(q, h->ids[i], h->tokens[i]);
	return rc;
}

static int renew(struct rqueue *q, struct arena *a, bool after_outage)
{
	struct held h, gone = {0};
	struct err err = {0};

	if (!q->runs || !list_running(q, a, &h))
		return 0;
	if (after_outage)
		return relock(q, &h);
	int rc = bq_extend_locks(q->rt->bq, &q->decl->queue, h.ids, h.tokens, h.n, q->decl->terms->lock_ms, h.flags, runtime_deadline(q->rt), &err);
	if (rc < 0)
		return rc;
	gone = (struct held){.ids = h.ids, .tokens = h.tokens, .flags = h.flags};
	for (size_t i = 0; i < h.n; i++)
		if (h.flags[i]) {
			gone.ids[gone.n] = h.ids[i];
			gone.tokens[gone.n++] = h.tokens[i];
		}
	return gone.n ? relock(q, &gone) : 0;
}

/* ---- what was taken by calls whose answers never came: it is nobody's, until its locks have run out ---- */

static void unheard_free(struct unheard *u)
{
	bq_queue_release(&u->queue);
	free(u);
}

void upkeep_release(struct runtime *rt)
{
	for (struct unheard *u = rt->unheard, *next; u; u = next) {
		next = u->next;
		unheard_free(u);
	}
}

static void push_unheard(struct runtime *rt, struct unheard *u)
{
	lock_take(&rt->mu);
	bool room = rt->n_unheard < UNHEARD_MAX;
	if (room) {
		u->next = rt->unheard;
		rt->unheard = u;
		rt->n_unheard++;
	}
	lock_give(&rt->mu);
	if (!room)
		unheard_free(u);
}

static struct unheard *pop_unheard(struct runtime *rt)
{
	lock_take(&rt->mu);
	struct unheard *u = rt->unheard;
	if (u) {
		rt->unheard = u->next;
		rt->n_unheard--;
	}
	lock_give(&rt->mu);
	return u;
}

void runtime_unheard(struct runtime *rt, const struct bq_queue *q, const char *token)
{
	struct unheard *u = calloc(1, sizeof(*u));

	if (!u || bq_queue_init(&u->queue, q->prefix, q->name, NULL) < 0) {
		free(u);
		return;
	}
	u->queue.outbox = q->outbox;
	snprintf(u->token, sizeof(u->token), "%s", token);
	push_unheard(rt, u);
}

static bool is_away(int rc)
{
	return rc == ERR_UNAVAILABLE || rc == ERR_TIMEOUT || rc == ERR_UNKNOWN_OUTCOME;
}

/* To the front of the queue, in their order. False: Redis is away. */
static bool give_back(struct runtime *rt, const struct unheard *u, struct arena *a)
{
	struct bq_hold *holds = NULL;
	size_t n = 0;
	struct err err = {0};
	int rc = bq_held_under(rt->bq, &u->queue, str_from(u->token), a, &holds, &n, runtime_deadline(rt), &err);

	if (rc < 0 && !is_away(rc))
		LOG(rt->env.log, LOG_WARN, "unheard_not_found", log_str("queue", u->queue.name), log_err(&err));
	for (size_t i = 0; rc == 0 && i < n; i++) {
		const struct bq_job job = {.id = holds[i].id};
		int how = bq_release(rt->bq, &u->queue, &job, holds[i].token, runtime_deadline(rt), &err);
		LOG(rt->env.log, LOG_WARN, "job_taken_unheard", log_str("queue", u->queue.name), log_str("jobId", job.id),
		    log_strz("error", how < 0 ? err.text : NULL));
		if (is_away(how)) /* another failure is this job's */
			rc = how;
	}
	return !is_away(rc);
}

/* For one call at a time, between the duties; the last one first, so that what earlier ones took stands before it. When it is due again. */
static int64_t give_back_unheard(struct runtime *rt, struct arena *a)
{
	if (rt->unheard_mono_ms > clock_mono_ms())
		return rt->unheard_mono_ms;
	struct unheard *u = pop_unheard(rt);
	if (!u)
		return clock_mono_ms() + TICK_MAX_MS;
	if (give_back(rt, u, a)) {
		unheard_free(u);
	} else {
		push_unheard(rt, u);
		rt->unheard_mono_ms = clock_mono_ms() + AFTER_FAILURE_MS;
	}
	arena_reset(a);
	return rt->unheard_mono_ms;
}

/* ---- the duties: each returns 0 and the ms until it is due again, or a failure ---- */

typedef int duty_fn(struct rqueue *q, struct arena *a, int64_t *again_ms);

static int duty_locks(struct rqueue *q, struct arena *a, int64_t *again_ms)
{
	*again_ms = q->decl->terms->lock_ms / 2;
	return renew(q, a, false);
}

/* Somebody else's process may have been told to cancel what runs here. */
static int duty_cancel(struct rqueue *q, struct arena *a, int64_t *again_ms)
{
	struct held h;
	struct err err = {0};

	*again_ms = CANCEL_INTERVAL_MS;
	if (!q->runs || !list_running(q, a, &h))
		return 0;
	int rc = bq_cancel_asked(q->rt->bq, &q->decl->queue, h.ids, h.timestamps, h.n, h.flags, runtime_deadline(q->rt), &err);
	for (size_t i = 0; rc == 0 && i < h.n; i++)
		if (h.flags[i])
			stop_holder(q, h.ids[i], h.tokens[i], CANCEL_ASKED);
	return rc;
}

static int duty_promote(struct rqueue *q, struct arena *a UNUSED, int64_t *again_ms)
{
	int64_t promoted = 0, next = 0;
	struct err err = {0};
	int rc = bq_promote_due(q->rt->bq, &q->decl->queue, &promoted, &next, runtime_deadline(q->rt), &err);

	*again_ms = next > 0 ? earlier(TICK_MAX_MS, next - clock_wall_ms()) : TICK_MAX_MS;
	return rc;
}

static int duty_stalled(struct rqueue *q, struct arena *a, int64_t *again_ms)
{
	struct runtime *rt = q->rt;
	struct str *ids = NULL;
	size_t n = 0;
	struct err err = {0};

	const struct queue_terms *t = q->decl->terms;
	*again_ms = t->stalled_interval_ms + STALLED_MARGIN_MS;
	int rc = bq_stalled_check(rt->bq, &q->decl->queue, t->stalled_interval_ms, t->max_stalled, a, &ids, &n,
				  runtime_deadline(rt), &err);
	for (size_t i = 0; rc == 0 && i < n; i++)
		LOG(rt->env.log, LOG_WARN, "job_stalled", log_str("queue", q->decl->name), log_str("jobId", ids[i]));
	if (rc == 0 && n) {
		tallies_add(rt->tallies, q->decl->name, q->decl, TALLY_STALLED, (double)n);
		tallies_add(rt->tallies, q->decl->name, q->decl, TALLY_ATTEMPT_STALLED, (double)n);
	}
	return rc;
}

/* An idle queue must not keep old jobs for ever: what is too old goes, whether or not another job finishes. The count is
 * kept by each finish; on a timer it would undo what a client asked for its own jobs. */
static int duty_trim(struct rqueue *q, struct arena *a UNUSED, int64_t *again_ms)
{
	const struct queue_terms *t = q->decl->terms;
	const struct {
		enum bq_state set;
		const struct bq_keep *keep;
	} sets[] = {{BQ_COMPLETED, &t->defaults.remove_on_complete}, {BQ_FAILED, &t->defaults.remove_on_fail}};
	struct err err = {0};
	int rc = 0;

	*again_ms = TRIM_INTERVAL_MS;
	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(sets); i++) {
		struct bq_keep by_age = *sets[i].keep;
		int64_t removed = 1;
		if (!by_age.set || by_age.age_s < 0)
			continue;
		by_age.count = -1;
		for (int step = 0; rc == 0 && removed > 0 && step < TRIM_STEPS; step++)
			rc = bq_trim_finished(q->rt->bq, &q->decl->queue, sets[i].set, &by_age, &removed, runtime_deadline(q->rt), &err);
	}
	return rc;
}

static const struct duty {
	size_t due_offset; /* of the rqueue's int64_t that says when (mono ms) */
	duty_fn *fn;
} DUTIES[] = {
	{offsetof(struct rqueue, locks_mono_ms), duty_locks},
	{offsetof(struct rqueue, cancel_mono_ms), duty_cancel},
	{offsetof(struct rqueue, promote_mono_ms), duty_promote},
	{offsetof(struct rqueue, stalled_mono_ms), duty_stalled},
	{offsetof(struct rqueue, trim_mono_ms), duty_trim},
};

static int64_t *due_of(struct rqueue *q, const struct duty *d)
{
	return (int64_t *)(void *)((char *)q + d->due_offset);
}

/* ---- presence ---- */

static void show_presence(struct rqueue *q)
{
	struct rreplies replies;
	struct rcmd ping = RCMD_INIT;
	struct err err = {0};
	int64_t deadline = clock_mono_ms() + PRESENCE_TIMEOUT_MS;

	if (!rconn_is_open(q->presence)) {
		if (rconn_open(q->presence, deadline, &err) < 0)
			LOG(q->rt->env.log, LOG_DEBUG, "presence_failed", log_str("queue", q->decl->name), log_err(&err));
		return;
	}
	rcmd_begin(&ping, 1);
	rcmd_argz(&ping, "PING");
	if (rconn_command(q->presence, &ping, deadline, &replies, &err) == 0)
		rreplies_release(&replies);
	rcmd_release(&ping);
}

static void show_all_presences(struct runtime *rt)
{
	for (size_t i = 0; i < rt->n_queues; i++)
		if (rt->queues[i].presence)
			show_presence(&rt->queues[i]);
}

/* ---- one round ---- */

/* Looks for jobs where a pause is over; the next such moment. */
static int64_t look_for_jobs(struct runtime *rt, int64_t now)
{
	int64_t next = now + TICK_MAX_MS;

	for (size_t i = 0; i < rt->n_queues; i++) {
		struct rqueue *q = &rt->queues[i];
		lock_take(&rt->mu);
		bool due = q->next_look_mono_ms && q->next_look_mono_ms <= now;
		if (due)
			q->next_look_mono_ms = 0;
		else if (q->next_look_mono_ms)
			next = earlier(next, q->next_look_mono_ms);
		lock_give(&rt->mu);
		if (due)
			exchange_look(q);
	}
	return next;
}

/* Cancels jobs past their deadline; the next such moment. */
static int64_t look_at_workers(struct runtime *rt, int64_t now)
{
	int64_t next = now + TICK_MAX_MS;

	lock_take(&rt->mu);
	for (size_t i = 0; i < rt->n_queues; i++) {
		struct rqueue *q = &rt->queues[i];
		for (struct worker *w = q->workers; w; w = w->sibling) {
			struct job_context *ctx = &w->ctx;
			if (ctx->running && ctx->deadline_mono_ms <= now)
				context_cancel(ctx, CANCEL_TIMEOUT);
			else if (ctx->running)
				next = earlier(next, ctx->deadline_mono_ms);
		}
	}
	lock_give(&rt->mu);
	return next;
}

/* What this thread was woken for. Of a delayed job that is due nothing but the time is known: every queue's promotion is looked at then. */
static void heed_news(struct runtime *rt, int64_t now)
{
	int64_t in_ms = TICK_MAX_MS;

	lock_take(&rt->mu);
	rt->terms_changed = false;
	if (rt->promote_hint_wall_ms) {
		in_ms = rt->promote_hint_wall_ms - clock_wall_ms();
		rt->promote_hint_wall_ms = 0;
	}
	lock_give(&rt->mu);
	for (size_t i = 0; i < rt->n_queues; i++)
		rt->queues[i].promote_mono_ms = earlier(rt->queues[i].promote_mono_ms, now + (in_ms > 0 ? in_ms : 0));
}

/* What was due by other terms may be due sooner by those in force. */
static void heed_terms(struct rqueue *q, int64_t now)
{
	const struct queue_terms *t = q->decl->terms;

	q->locks_mono_ms = earlier(q->locks_mono_ms, now + t->lock_ms / 2);
	q->stalled_mono_ms = earlier(q->stalled_mono_ms, now + t->stalled_interval_ms + STALLED_MARGIN_MS);
}

/* The connection has broken, or is a new one: what comes first then is not the next duty. */
static bool is_interrupted(const struct runtime *rt)
{
	return atomic_load(&rt->stopping) || atomic_load(&rt->relock_due) || !rmux_is_up(bq_mux(rt->bq));
}

static int64_t do_duties(struct runtime *rt, struct arena *a)
{
	int64_t next = clock_mono_ms() + TICK_MAX_MS;

	for (size_t i = 0; i < rt->n_queues; i++) {
		heed_terms(&rt->queues[i], clock_mono_ms());
		for (size_t d = 0; d < ARRAY_LEN(DUTIES); d++) {
			if (is_interrupted(rt))
				return clock_mono_ms();
			int64_t *due = due_of(&rt->queues[i], &DUTIES[d]), now = clock_mono_ms(), again = 0;
			if (*due <= now) {
				int rc = DUTIES[d].fn(&rt->queues[i], a, &again);
				*due = clock_mono_ms() + (rc < 0 ? AFTER_FAILURE_MS : again > 0 ? again : 1);
				arena_reset(a);
			}
			next = earlier(next, *due);
		}
	}
	return earlier(next, give_back_unheard(rt, a));
}

/* Redis is back: first our locks, before anybody's stalled check; then everything that may have waited. */
static void after_outage(struct runtime *rt, struct arena *a)
{
	int64_t now = clock_mono_ms();

	for (size_t i = 0; i < rt->n_queues; i++) {
		struct rqueue *q = &rt->queues[i];
		if (renew(q, a, true) < 0)
			q->locks_mono_ms = now;
		arena_reset(a);
		q->promote_mono_ms = now;
		if (q->runs)
			exchange_look(q);
	}
}

void upkeep_main(void *arg)
{
	struct runtime *rt = arg;
	struct arena scratch;
	int64_t presence_due = 0;

	arena_init(&scratch, 0);
	while (!atomic_load(&rt->stopping)) {
		if (atomic_exchange(&rt->relock_due, false)) {
			after_outage(rt, &scratch);
			presence_due = 0;
		}
		int64_t now = clock_mono_ms();
		heed_news(rt, now);
		int64_t next = earlier(look_for_jobs(rt, now), look_at_workers(rt, now));
		next = earlier(next, rmux_is_up(bq_mux(rt->bq)) ? do_duties(rt, &scratch) : now + TICK_MAX_MS);
		if (clock_mono_ms() >= presence_due && rmux_is_up(bq_mux(rt->bq))) {
			show_all_presences(rt);
			presence_due = clock_mono_ms() + PRESENCE_INTERVAL_MS;
		}
		lock_take(&rt->mu);
		if (!atomic_load(&rt->stopping) && !atomic_load(&rt->relock_due) && !rt->promote_hint_wall_ms && !rt->terms_changed)
			cond_wait_until(&rt->upkeep_wake, &rt->mu, next);
		lock_give(&rt->mu);
	}
	arena_release(&scratch);
}
