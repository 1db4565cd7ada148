/* Where a queue's workers hand in how their jobs ended and get the next ones, in groups.
 *
 * What ends while a call is under way gathers and goes into the next call, which the thread that has the answer sends; whoever finds
 * no call under way sends at once, so nobody waits for company. A call takes as many jobs as there are workers free: those whose jobs
 * it ends, and those that are idle. Only workers that got something are woken.
 *
 * A second call may follow the first before it is answered, as soon as half of the workers have gathered, or so many that it costs
 * little: then Redis works while the answer to the first is read, instead of going to sleep. More would not gather until then, as
 * the others wait for that answer. */
#include "processors/runtime/private.h"

#define LOOK_AGAIN_MS 1000
#define WORTH_A_SECOND_CALL 24 /* endings, however many workers; a call costs Redis as much as two or three of them */

/* ---- sending ---- */

static bool worth_a_second_call(const struct rqueue *q)
{
	return q->n_ended >= WORTH_A_SECOND_CALL || q->n_ended * 2 >= q->concurrency;
}

static bool may_call(const struct rqueue *q, unsigned idle)
{
	if (q->n_calls == 0)
		return q->ended || (q->look && idle);
	return q->n_calls < EXCHANGE_CALLS && worth_a_second_call(q);
}

static unsigned at_most_per_call(unsigned n)
{
	return n < BQ_WORK_PER_CALL ? n : BQ_WORK_PER_CALL;
}

/* Makes the next call of what has gathered; NULL when there is nothing to say, or its time has not come. mu is held. */
static struct exchange_call *board(struct rqueue *q)
{
	bool draining = atomic_load(&q->rt->draining);
	unsigned idle = q->n_idle - q->promised;
	struct worker **last = &q->ended;
	struct exchange_call *c = q->calls;

	if (draining && q->look) { /* somebody elsewhere makes use of the news */
		q->look = false;
		watcher_put_back(q);
	}
	if (!may_call(q, idle))
		return NULL;
	while (c->under_way)
		c++;
	for (unsigned n = at_most_per_call(q->n_ended); n > 0; n--, q->n_ended--)
		last = &(*last)->beside;
	c->told = last == &q->ended ? NULL : q->ended;
	q->ended = *last;
	*last = NULL;
	if (!q->ended)
		q->ended_end = &q->ended;
	c->under_way = true;
	c->told_frees = !draining && q->n_working <= q->concurrency;
	c->told_idle = draining ? 0 : at_most_per_call(idle);
	q->n_calls++;
	q->promised += c->told_idle;
	q->look = q->look && !c->told_idle;
	return c;
}

static void on_answer(void *arg, int rc, const struct rreplies *replies, const struct err *err);

/* After board(), without mu. */
static void send(struct exchange_call *c)
{
	struct rqueue *q = c->q;
	const struct bq_end_args *endings[BQ_WORK_PER_CALL];
	struct rcmd cmd = RCMD_INIT;
	const struct bq_worker as = rqueue_worker(q);
	struct bq_work work = {
		.queue = &q->decl->queue, .worker = &as, .free = c->told_idle, .frees = c->told_frees, .endings = endings};

	bq_token(c->token);
	work.token_stem = str_from(c->token);
	for (const struct worker *w = c->told; w; w = w->beside)
		endings[work.n_endings++] = &w->ending;
	bq_work_command(&cmd, &work);
	rmux_send(bq_mux(q->rt->bq), &cmd, runtime_deadline(q->rt), on_answer, c);
	rcmd_release(&cmd);
}

/* ---- the answer ---- */

static void give(struct rqueue *q, struct worker *w, const struct bq_work_answer *answer, size_t i)
{
	struct str token = STR_NONE;
	struct err err = {0};

	arena_reset(&w->next_arena);
	if (bq_work_taken(answer, i, NULL, &w->next_arena, &w->next, &token, &err) < 0 || token.n >= BQ_TOKEN_SIZE) {
		LOG(q->rt->env.log, LOG_ERROR, "take_failed", log_str("queue", q->decl->name), log_err(&err));
		return;
	}
	snprintf(w->next_token, sizeof(w->next_token), "%.*s", STR_ARG(token));
	w->has_next = true;
}

/* Takes up to n idle workers out of their list; nothing more is promised to them by this call. */
static struct worker *call_idle(struct exchange_call *c, size_t n)
{
	struct rqueue *q = c->q;
	struct worker *first, **last = &q->idle;

	lock_take(&q->rt->mu);
	q->promised -= c->told_idle;
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

static struct worker *call_failed(struct exchange_call *c, int rc, const struct err *why)
{
	struct rqueue *q = c->q;

	for (struct worker *w = c->told; w; w = w->beside)
		w->rc = err_set(&w->err, rc, "%s", why->text);
	if (rc != ERR_UNAVAILABLE && rc != ERR_STOPPING)
		LOG(q->rt->env.log, LOG_WARN, "take_failed", log_str("queue", q->decl->name), log_err(why));
	if (rc == ERR_UNKNOWN_OUTCOME)
		runtime_unheard(q->rt, &q->decl->queue, c->token);
	if (c->told_idle)
		exchange_look_at(q, clock_mono_ms() + LOOK_AGAIN_MS);
	return call_idle(c, 0);
}

/* How the endings turned out; the idle workers for whom there are jobs. */
static struct worker *settle(struct exchange_call *c, const struct bq_work_answer *answer)
{
	size_t i = 0, provided = 0;

	for (struct worker *w = c->told; w; w = w->beside) {
		w->rc = bq_work_ended(answer, i++, &w->err);
		w->looked = w->rc == 0 && c->told_frees;
		provided += w->rc == 0;
	}
	heed(c->q, answer);
	return call_idle(c, answer->n_taken > provided ? answer->n_taken - provided : 0);
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
static struct worker *go_on(struct exchange_call *answered)
{
	struct rqueue *q = answered->q;
	struct runtime *rt = q->rt;
	struct worker *dismissed = NULL;
	struct exchange_call *next;

	lock_take(&rt->mu);
	answered->under_way = false;
	q->n_calls--;
	exchange_resize(q); /* those that were promised to the call could not rest */
	next = board(q);
	if (q->look && !q->n_idle) { /* of the news that made us look, nobody can make use */
		q->look = false;
		watcher_put_back(q);
	}
	if (atomic_load(&rt->draining) && !q->promised)
		dismissed = take_all_idle(q);
	lock_give(&rt->mu);
	if (next)
		send(next);
	return dismissed;
}

/* On the thread that has read the reply: the multiplexer's, or that of a worker in send_and_read. */
static void on_answer(void *arg, int rc, const struct rreplies *replies, const struct err *err)
{
	struct exchange_call *c = arg;
	struct rqueue *q = c->q;
	struct worker *told = c->told, *called, *dismissed;
	struct bq_work_answer answer = {0};
	struct err unread = {0};

	if (rc == 0) {
		rc = bq_work_read(replies->items[0], &answer, &unread);
		err = &unread;
	}
	called = rc < 0 ? call_failed(c, rc, err) : settle(c, &answer);
	dismissed = go_on(c);
	hand_out(q, told, called, &answer);
	wake(told);
	wake(called);
	wake(dismissed);
}

/* ---- the workers' side ---- */

/* By a worker that waits for the answer. */
static void send_and_read(struct exchange_call *call, struct parker *answered)
{
	struct rmux *mux = bq_mux(call->q->rt->bq);
	bool reads = rmux_read_begin(mux);

	send(call);
	if (reads)
		rmux_read(mux, answered);
}

int exchange_end(struct worker *w, const struct bq_ending *e, enum bq_failed *how, struct err *err)
{
	struct rqueue *q = w->q;
	struct exchange_call *call;

	const struct bq_worker as = rqueue_worker(q);
	bq_end_encode(&w->ending, &as, &w->ctx.job, e, how);
	if (w->ending.wire.wire.failed)
		return err_set(err, ERR_NOMEM, "no memory to tell how a job ended");
	w->parker = (struct parker){0};
	lock_take(&q->rt->mu);
	w->beside = NULL;
	*q->ended_end = w;
	q->ended_end = &w->beside;
	q->n_ended++;
	call = board(q);
	lock_give(&q->rt->mu);
	if (call)
		send_and_read(call, &w->parker);
	(void)parker_wait_until(&w->parker, PARKER_FOREVER);
	return w->rc < 0 ? err_set(err, w->rc, "%s", w->err.text) : 0;
}

/* mu is held. */
static void rest(struct rqueue *q, struct worker *w)
{
	w->beside = q->resting;
	w->rested = true;
	q->resting = w;
	q->n_working--;
}

/* Stands in the list of the idle, or of those that rest; false when the runtime is draining. */
static bool stand_idle(struct worker *w, bool look)
{
	struct rqueue *q = w->q;
	struct runtime *rt = q->rt;
	struct exchange_call *call = NULL;
	bool stays;

	w->parker = (struct parker){0};
	lock_take(&rt->mu);
	stays = !atomic_load(&rt->draining);
	if (stays && q->n_working > q->concurrency) {
		rest(q, w);
		if (look) { /* for the others */
			q->look = true;
			call = board(q);
		}
	} else if (stays) {
		w->beside = q->idle;
		q->idle = w;
		q->n_idle++;
		q->look = q->look || look;
		if (!q->watched)
			watcher_refresh(rt);
		call = board(q);
	}
	lock_give(&rt->mu);
	if (call)
		send(call);
	return stays;
}

bool exchange_take(struct worker *w, bool look)
{
	while (!w->has_next) {
		if (!stand_idle(w, look))
			return false;
		(void)parker_wait_until(&w->parker, PARKER_FOREVER);
		look = w->rested; /* jobs may have gathered */
		w->rested = false;
	}
	return true;
}

bool exchange_look(struct rqueue *q)
{
	struct runtime *rt = q->rt;
	struct exchange_call *call;
	bool any;

	lock_take(&rt->mu);
	any = q->n_idle > 0;
	q->look = q->look || any;
	call = any ? board(q) : NULL;
	lock_give(&rt->mu);
	if (call)
		send(call);
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
	struct worker *resting = q->resting;

	if (!q->promised)
		wake(take_all_idle(q));
	q->resting = NULL;
	wake(resting);
}

void exchange_resize(struct rqueue *q)
{
	while (q->n_working > q->concurrency && q->n_idle > q->promised) {
		struct worker *w = q->idle;
		q->idle = w->beside;
		q->n_idle--;
		rest(q, w);
	}
	while (q->n_working < q->concurrency && q->resting) {
		struct worker *w = q->resting;
		q->resting = w->beside;
		q->n_working++;
		w->beside = NULL;
		wake(w);
	}
}
