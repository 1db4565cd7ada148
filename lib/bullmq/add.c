#include <stdlib.h>

#include "lib/base/clock.h"
#include "lib/base/panic.h"
#include "lib/base/parker.h"
#include "lib/bullmq/add_wire.h"

/* ---- many of one caller ---- */

/* One call of the script for the n jobs, at most BQ_ADD_PER_CALL, that stand in jobs[] at the places todo[]. */
static void put_jobs(struct rcmd *cmd, const struct bq_queue *q, const struct bq_add *jobs, const size_t *todo, size_t n)
{
	struct str records[BQ_ADD_PER_CALL];
	struct bq_add_text texts[BQ_ADD_PER_CALL];
	struct bq_add_call call = {.texts = texts, .n = n, .records = records};
	struct rcmd args = RCMD_INIT;

	for (size_t i = 0; i < n; i++) {
		const struct bq_add *job = &jobs[todo[i]];

		texts[i] = bq_add_encode(&args, q, job);
		if (job->idem_key.p)
			records[call.n_records++] = job->idem_key;
	}
	bq_add_place(texts, n, &args);
	bq_add_command(cmd, q, &call);
	cmd->wire.failed = cmd->wire.failed || args.wire.failed;
	rcmd_release(&args);
}

/* The jobs of a caller that may go: those at the n places todo[] of jobs[]. */
struct bq_adding {
	const struct bq_queue *queue;
	const struct bq_add *jobs;
	size_t *todo, n;
	struct arena *arena;
	struct bq_add_result *results;
	struct parker parker; /* of one that was begun: until it is woken, all of this is the other thread's */
	int rc;               /* the connection's failure */
	struct err err;
};

static int prepare(struct bq_adding *add, size_t n, struct err *err)
{
	add->todo = arena_array(add->arena, n, sizeof(*add->todo));
	if (!add->todo && n > 0)
		return err_set(err, ERR_NOMEM, "no memory for %zu jobs", n);
	for (size_t i = 0; i < n; i++) {
		struct bq_add_result *result = &add->results[i];
		*result = (struct bq_add_result){0};
		result->rc = bq_add_check(&add->jobs[i], &result->err);
		if (result->rc == 0)
			add->todo[add->n++] = i;
	}
	return 0;
}

static void encode(const struct bq_adding *add, struct rcmd *cmd)
{
	for (size_t from = 0; from < add->n; from += BQ_ADD_PER_CALL)
		put_jobs(cmd, add->queue, add->jobs, add->todo + from, add->n - from < BQ_ADD_PER_CALL ? add->n - from : BQ_ADD_PER_CALL);
}

static void read_results(struct bq_adding *add, const struct rreplies *replies)
{
	for (size_t i = 0; i < add->n; i++) {
		const redisReply *call = replies->items[i / BQ_ADD_PER_CALL];
		struct bq_add_result *result = &add->results[add->todo[i]];

		result->rc = rreply_error(call, &result->err);
		if (result->rc == 0)
			result->rc = bq_add_read(rreply_at(call, i % BQ_ADD_PER_CALL), add->arena, &result->added, &result->err);
	}
}

int bq_add_many(struct bq *bq, const struct bq_queue *q, const struct bq_add *jobs, size_t n, struct arena *a,
		struct bq_add_result *results, int64_t deadline, struct err *err)
{
	struct bq_adding add = {.queue = q, .jobs = jobs, .arena = a, .results = results};
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;
	int rc = prepare(&add, n, err);

	if (rc < 0 || add.n == 0)
		return rc;
	encode(&add, &cmd);
	rc = bq_call(bq, &cmd, deadline, &replies, err);
	if (rc < 0)
		return rc;
	read_results(&add, &replies);
	rreplies_release(&replies);
	return 0;
}

/* On the multiplexer's thread. */
static void on_added(void *arg, int rc, const struct rreplies *replies, const struct err *err)
{
	struct bq_adding *add = arg;

	add->rc = rc < 0 ? err_set(&add->err, rc, "%s", err->text) : 0;
	if (rc == 0)
		read_results(add, replies);
	parker_wake(&add->parker);
}

struct bq_adding *bq_add_many_begin(struct bq *bq, const struct bq_queue *q, const struct bq_add *jobs, size_t n, struct arena *a,
				    struct bq_add_result *results, int64_t deadline, struct err *err)
{
	struct bq_adding *add = arena_zalloc(a, sizeof(*add));
	struct rcmd cmd = RCMD_INIT;

	if (!add) {
		err_set(err, ERR_NOMEM, "no memory for %zu jobs", n);
		return NULL;
	}
	*add = (struct bq_adding){.queue = q, .jobs = jobs, .arena = a, .results = results};
	if (prepare(add, n, err) < 0)
		return NULL;
	encode(add, &cmd);
	if (cmd.wire.failed) {
		err_set(err, ERR_NOMEM, "no memory for %zu jobs", n);
		add = NULL;
	} else if (add->n > 0) {
		rmux_send(bq->mux, &cmd, deadline, on_added, add);
	} else {
		parker_wake(&add->parker);
	}
	rcmd_release(&cmd);
	return add;
}

int bq_add_many_end(struct bq_adding *add, struct err *err)
{
	(void)parker_wait_until(&add->parker, PARKER_FOREVER);
	return add->rc < 0 ? err_set(err, add->rc, "%s", add->err.text) : 0;
}

/* ---- one each of many callers ----
 * While a call for a queue is under way, the adds that arrive for it gather in the queue's lane; the thread that has the
 * reply sends them all in the next call. An idle lane sends at once: nobody waits for company. */
struct waiter {
	const struct bq_queue *queue;
	const struct bq_add *job;
	struct rcmd args;
	struct bq_add_text text; /* in args */
	struct arena *arena;
	int64_t deadline;
	bq_added_fn *done;
	void *arg;
	struct waiter *next;     /* protected by bq->mu while it is gathered */
	struct bq_add_result result;
};

struct bq_lane {
	struct bq *bq;
	struct waiter *gathered, **end; /* protected by bq->mu; in the order of arrival */
	struct waiter *flight;          /* the call under way: owned by whoever sends or has the reply; NULL under mu: idle */
};

static void on_reply(void *arg, int rc, const struct rreplies *replies, const struct err *err);

static void fail(struct waiter *w, int code, const char *why)
{
	w->result.rc = err_set(&w->result.err, code, "%s", why);
}

static void append(struct waiter ***end, struct waiter *w)
{
	w->next = NULL;
	**end = w;
	*end = &w->next;
}

/* Moves what has gathered into the flight, and what is too late for it to *late; mu is held, the flight is over. */
static void board(struct bq_lane *lane, struct waiter **late)
{
	struct waiter **last = &lane->flight;
	int64_t now = clock_mono_ms();
	size_t n = 0;

	lane->flight = NULL;
	while (lane->gathered && n < BQ_ADD_PER_CALL) {
		struct waiter *w = lane->gathered;

		lane->gathered = w->next;
		if (w->deadline <= now) {
			append(&late, w);
		} else {
			append(&last, w);
			n++;
		}
	}
	if (!lane->gathered)
		lane->end = &lane->gathered;
}

static void send_flight(struct bq_lane *lane)
{
	struct str records[BQ_ADD_PER_CALL];
	struct bq_add_text texts[BQ_ADD_PER_CALL];
	struct bq_add_call call = {.texts = texts, .records = records};
	struct rcmd cmd = RCMD_INIT;
	int64_t deadline = 0;

	bug_on(!lane->flight);
	for (const struct waiter *w = lane->flight; w; w = w->next) {
		texts[call.n++] = w->text;
		if (w->job->idem_key.p)
			records[call.n_records++] = w->job->idem_key;
		deadline = w->deadline > deadline ? w->deadline : deadline;
	}
	bq_add_command(&cmd, lane->flight->queue, &call);
	rmux_send(lane->bq->mux, &cmd, deadline, on_reply, lane);
	rcmd_release(&cmd);
}

static void settle(struct waiter *w, size_t place, int rc, const struct rreplies *replies, const struct err *err)
{
	struct bq_add_result *result = &w->result;

	if (rc < 0) {
		fail(w, rc, err->text);
		return;
	}
	result->rc = rreply_error(replies->items[0], &result->err);
	if (result->rc == 0)
		result->rc = bq_add_read(rreply_at(replies->items[0], place), w->arena, &result->added, &result->err);
}

static void tell(struct waiter *w)
{
	for (struct waiter *next; w; w = next) {
		next = w->next;
		rcmd_release(&w->args);
		w->done(w->arg, w->result.rc, &w->result.added, &w->result.err); /* it may be gone from here on */
	}
}

/* On the multiplexer's thread. The next flight starts before this one's callers are told: Redis is not kept waiting. */
static void on_reply(void *arg, int rc, const struct rreplies *replies, const struct err *err)
{
	struct bq_lane *lane = arg;
	struct waiter *landed = lane->flight, *late = NULL;
	size_t place = 0;
	bool more;

	for (struct waiter *w = landed; w; w = w->next)
		settle(w, place++, rc, replies, err);
	lock_take(&lane->bq->mu);
	board(lane, &late);
	more = lane->flight != NULL;
	lock_give(&lane->bq->mu);
	if (more)
		send_flight(lane);
	tell(landed);
	for (struct waiter *w = late; w; w = w->next)
		fail(w, ERR_TIMEOUT, "the deadline passed before the job was sent");
	tell(late);
}

/* The queue's lane, made at its first add; mu is held. */
static struct bq_lane *lane_of(struct bq *bq, const struct bq_queue *q)
{
	struct bq_lane *lane = table_get(&bq->lanes, q->keys[BQ_KEY_BASE]);

	if (lane)
		return lane;
	lane = calloc(1, sizeof(*lane));
	if (!lane)
		return NULL;
	lane->bq = bq;
	lane->end = &lane->gathered;
	if (table_put(&bq->lanes, q->keys[BQ_KEY_BASE], lane) < 0) {
		free(lane);
		return NULL;
	}
	return lane;
}

/* Stands in the lane and starts it if it is idle: then the flight is this one add, and the caller is to read its reply where *reads. */
static int line_up(struct bq *bq, struct waiter *w, bool *reads)
{
	bool idle = false;

	lock_take(&bq->mu);
	struct bq_lane *lane = lane_of(bq, w->queue);
	if (lane && !lane->flight) {
		bug_on(lane->gathered);
		lane->flight = w;
		idle = true;
	} else if (lane) {
		*lane->end = w;
		lane->end = &w->next;
	}
	lock_give(&bq->mu);
	if (idle) {
		*reads = rmux_read_begin(bq->mux);
		send_flight(lane);
	}
	return lane ? 0 : ERR_NOMEM;
}

#define ARGS_ROOM 512 /* what the arguments of most jobs take beside their data */

static int send_one(struct bq *bq, struct waiter *w, bool *reads, struct err *err)
{
	int rc = bq_add_check(w->job, err);

	if (rc < 0)
		return rc;
	buf_reserve(&w->args.wire, w->job->data.n + ARGS_ROOM);
	w->text = bq_add_encode(&w->args, w->queue, w->job);
	bq_add_place(&w->text, 1, &w->args);
	rc = w->args.wire.failed ? ERR_NOMEM : line_up(bq, w, reads);
	return rc < 0 ? err_set(err, rc, "no memory for a job") : 0;
}

void bq_add_send(struct bq *bq, const struct bq_queue *q, const struct bq_add *job, struct arena *a, int64_t deadline, bq_added_fn *done,
		 void *arg, struct parker *awaited)
{
	struct waiter *w = arena_alloc(a, sizeof(*w));
	struct err err = {0};
	bool reads = false;

	if (!w) {
		done(arg, err_set(&err, ERR_NOMEM, "no memory for a job"), NULL, &err);
		return;
	}
	*w = (struct waiter){.queue = q, .job = job, .args = RCMD_IN(a), .arena = a, .deadline = deadline, .done = done, .arg = arg};
	int rc = send_one(bq, w, &reads, &err);
	if (rc < 0) {
		rcmd_release(&w->args);
		done(arg, rc, NULL, &err);
	}
	if (reads)
		rmux_read(bq->mux, awaited); /* w may be gone by now */
}

/* A caller that sleeps. */
struct sleeper {
	struct parker parker;
	int rc;
	struct bq_added *added;
	struct err *err;
};

static void wake(void *arg, int rc, const struct bq_added *added, const struct err *err)
{
	struct sleeper *s = arg;

	s->rc = rc < 0 ? err_set(s->err, rc, "%s", err->text) : 0;
	if (rc == 0)
		*s->added = *added;
	parker_wake(&s->parker);
}

int bq_add(struct bq *bq, const struct bq_queue *q, const struct bq_add *job, struct arena *a, struct bq_added *out, int64_t deadline,
	   struct err *err)
{
	struct sleeper s = {.added = out, .err = err};

	bq_add_send(bq, q, job, a, deadline, wake, &s, &s.parker);
	(void)parker_wait_until(&s.parker, PARKER_FOREVER);
	return s.rc;
}

void bq_lanes_release(struct bq *bq)
{
	for (struct table_iter it = {0}; table_next(&bq->lanes, &it);)
		free(it.value);
	table_release(&bq->lanes);
	lock_release(&bq->mu);
}
