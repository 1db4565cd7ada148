/* Where a queue's workers hand in how their jobs ended and get the next ones, in groups.
 *
 * One call is under way at a time. What ends meanwhile gathers and goes into the next call, which the thread that has the answer
 * sends; whoever finds no call under way sends at once, so nobody waits for company. A call takes as many jobs as there are
 * workers free: those whose jobs it ends, and those that are idle. Only workers that got something are woken. */
#include "processors/runtime/private.h"

#define LOOK_AGAIN_MS 1000

/* ---- sending ---- */

/* Makes the next call of what has gathered; false when there is nothing to say. mu is held, no other call is under way. */
static bool board(struct rqueue *q)
{
	bool draining = atomic_load(&q->rt->draining);
	struct worker **last = &q->ended;

	if (draining)
		q->look = false;
	q->calling = q->ended || (q->look && q->n_idle);
	if (!q->calling)
		return false;
	for (size_t n = 0; *last && n < BQ_WORK_PER_CALL; n++)
		last = &(*last)->beside;
	q->told = q->ended;
	q->ended = *last;
	*last = NULL;
	if (!q->ended)
		q->ended_end = &q->ended;
	q->told_frees = !draining;
	q->told_idle = draining ? 0 : q->n_idle < BQ_WORK_PER_CALL ? q->n_idle : BQ_WORK_PER_CALL;
	q->look = q->look && !q->told_idle;
	return true;
}

static void on_answer(void *arg, int rc, const struct rreplies *replies, const struct err *err);

/* After board(), without mu. */
static void send(struct rqueue *q)
{
	const struct bq_end_args *endings[BQ_WORK_PER_CALL];
	struct rcmd cmd = RCMD_INIT;
	char stem[BQ_TOKEN_SIZE]; /* the script puts a number behind it for each job */
	struct bq_work work = {
		.queue = &q->decl->queue, .worker = &q->as_worker, .free = q->told_idle, .frees = q->told_frees, .endings = endings};

	bq_token(stem);
	work.token_stem = str_from(stem);
	for (const struct worker *w = q->told; w; w = w->beside)
		endings[work.n_endings++] = &w->ending;
	bq_work_command(&cmd, &work);
	rmux_send(bq_mux(q->rt->bq), &cmd, runtime_deadline(q->rt), on_answer, q);
	rcmd_release(&cmd);
}

/* ---- the answer ---- */

static void give(struct rqueue *q, struct worker *w, const struct bq_work_answer *answer, size_t i)
{
	struct str token = STR_NONE;
	struct err err = {0};

	arena_reset(&w->next_arena);
	if (bq_work_taken(answer, i, &w->next_arena, &w->next, &token, &err) < 0 || token.n >= BQ_TOKEN_SIZE) {
		LOG(q->rt->env.log, LOG_ERROR, "take_failed", log_str("queue", q->decl->name), log_err(&err));
		return;
	}
	snprintf(w->next_token, sizeof(w->next_token), "%.*s", STR_ARG(token));
	w->has_next = true;
}

/* Takes up to n idle workers out of their list. */
static struct worker *call_idle(struct rqueue *q, size_t n)
{
	struct worker *first, **last = &q->idle;

	lock_take(&q->rt->mu);
	for (; *last && n > 0; n--, q->n_idle--)
		last = &(*last)->beside;
	first = last == &q->idle ? NULL : q->idle;
	if (first) {
		q->idle = *last;
		*last = NULL;
	}
	lock_give(&q->rt->mu);
	return first;
}

/* Jobs go to the workers that have just ended theirs, who are woken anyhow, then to those called from among the idle. */
static void hand_out(struct rqueue *q, struct worker *told, struct worker *called, const struct bq_work_answer *answer)
{
	size_t i = 0;

	for (struct worker *w = told; w && i < answer->n_taken; w = w->beside)
		if (w->rc == 0)
			give(q, w, answer, i++);
	for (struct worker *w = called; w && i < answer->n_taken; w = w->beside)
		give(q, w, answer, i++);
}

/* Why fewer jobs came than workers are free, and when to ask again. */
static void heed(struct rqueue *q, const struct bq_work_answer *answer)
{
	if (answer->trouble.n) {
		LOG(q->rt->env.log, LOG_WARN, "take_failed", log_str("queue", q->decl->name), log_str("error", answer->trouble));
		exchange_look_at(q, clock_mono_ms() + LOOK_AGAIN_MS);
	}
	if (answer->nothing.limited_ms > 0)
		exchange_look_at(q, clock_mono_ms() + answer->nothing.limited_ms);
	if (answer->nothing.next_delayed_ms > 0)
		upkeep_hint(q->rt, answer->nothing.next_delayed_ms);
}

static void call_failed(struct rqueue *q, int rc, const struct err *why)
{
	for (struct worker *w = q->told; w; w = w->beside)
		w->rc = err_set(&w->err, rc, "%s", why->text);
	if (rc != ERR_UNAVAILABLE && rc != ERR_STOPPING)
		LOG(q->rt->env.log, LOG_WARN, "take_failed", log_str("queue", q->decl->name), log_err(why));
	if (q->told_idle)
		exchange_look_at(q, clock_mono_ms() + LOOK_AGAIN_MS);
}

/* How the endings turned out; the idle workers for whom there are jobs. */
static struct worker *settle(struct rqueue *q, const struct bq_work_answer *answer)
{
	size_t i = 0, provided = 0;

	for (struct worker *w = q->told; w; w = w->beside) {
		w->rc = bq_work_ended(answer, i++, &w->err);
		w->looked = w->rc == 0 && q->told_frees;
		provided += w->rc == 0;
	}
	heed(q, answer);
	return answer->n_taken > provided ? call_idle(q, answer->n_taken - provided) : NULL;
}

static void wake(struct worker *list)
{
	struct worker *next;

	for (struct worker *w = list; w; w = next) {
		next = w->beside;
		parker_wake(&w->parker); /* it goes on, and may wait again */
	}
}

static struct worker *take_all_idle(struct rqueue *q)
{
	struct worker *all = q->idle;

	q->idle = NULL;
	q->n_idle = 0;
	return all;
}

/* The next call starts before the jobs are read and anybody is woken: Redis is not kept waiting. */
static struct worker *go_on(struct rqueue *q)
{
	struct runtime *rt = q->rt;
	struct worker *dismissed = NULL;

	lock_take(&rt->mu);
	bool more = board(q);
	if (q->look && !q->n_idle) { /* of the news that made us look, nobody can make use */
		q->look = false;
		watcher_put_back(q);
	}
	if (atomic_load(&rt->draining) && !(more && q->told_idle))
		dismissed = take_all_idle(q);
	lock_give(&rt->mu);
	if (more)
		send(q);
	return dismissed;
}

/* On the multiplexer's thread. */
static void on_answer(void *arg, int rc, const struct rreplies *replies, const struct err *err)
{
	struct rqueue *q = arg;
	struct worker *told = q->told, *called = NULL, *dismissed;
	struct bq_work_answer answer = {0};
	struct err unread = {0};

	if (rc == 0) {
		rc = bq_work_read(replies->items[0], &answer, &unread);
		err = &unread;
	}
	if (rc < 0)
		call_failed(q, rc, err);
	else
		called = settle(q, &answer);
	dismissed = go_on(q);
	hand_out(q, told, called, &answer);
	wake(told);
	wake(called);
	wake(dismissed);
}

/* ---- the workers' side ---- */

int exchange_end(struct worker *w, const struct bq_ending *e, enum bq_failed *how, struct err *err)
{
	struct rqueue *q = w->q;
	bool start;

	bq_end_encode(&w->ending, &q->as_worker, &w->ctx.job, e, how);
	if (w->ending.wire.wire.failed)
		return err_set(err, ERR_NOMEM, "no memory to tell how a job ended");
	w->parker = (struct parker){0};
	lock_take(&q->rt->mu);
	w->beside = NULL;
	*q->ended_end = w;
	q->ended_end = &w->beside;
	start = !q->calling && board(q);
	lock_give(&q->rt->mu);
	if (start)
		send(q);
	(void)parker_wait_until(&w->parker, PARKER_FOREVER);
	return w->rc < 0 ? err_set(err, w->rc, "%s", w->err.text) : 0;
}

/* Stands in the list of the idle; false when the runtime is draining. */
static bool stand_idle(struct worker *w, bool look)
{
	struct rqueue *q = w->q;
	struct runtime *rt = q->rt;
	bool start = false, stays;

	w->parker = (struct parker){0};
	lock_take(&rt->mu);
	stays = !atomic_load(&rt->draining);
	if (stays) {
		w->beside = q->idle;
		q->idle = w;
		q->n_idle++;
		q->look = q->look || look;
		if (!q->watched)
			watcher_refresh(rt);
		start = !q->calling && board(q);
	}
	lock_give(&rt->mu);
	if (start)
		send(q);
	return stays;
}

bool exchange_take(struct worker *w, bool look)
{
	while (!w->has_next) {
		if (!stand_idle(w, look))
			return false;
		(void)parker_wait_until(&w->parker, PARKER_FOREVER);
		look = false;
	}
	return true;
}

bool exchange_look(struct rqueue *q)
{
	struct runtime *rt = q->rt;
	bool any, start = false;

	lock_take(&rt->mu);
	any = q->n_idle > 0;
	q->look = q->look || any;
	start = any && !q->calling && board(q);
	lock_give(&rt->mu);
	if (start)
		send(q);
	return any;
}

void exchange_look_at(struct rqueue *q, int64_t mono_ms)
{
	struct runtime *rt = q->rt;

	lock_take(&rt->mu);
	if (!q->next_look_mono_ms || mono_ms < q->next_look_mono_ms)
		q->next_look_mono_ms = mono_ms;
	cond_signal(&rt->upkeep_wake);
	lock_give(&rt->mu);
}

void exchange_dismiss(struct rqueue *q)
{
	if (!q->calling)
		wake(take_all_idle(q));
}
