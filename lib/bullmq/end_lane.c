/* Endings of many callers in one call: while a call for a queue is under way, those that arrive for it gather in the queue's lane, and
 * the thread that has the reply sends them in the next. An idle lane sends at once: nobody waits for company. */
#include <stdlib.h>

#include "lib/base/panic.h"
#include "lib/base/parker.h"
#include "lib/bullmq/bq_impl.h"
#include "lib/bullmq/ends.h"

/* A caller that sleeps, on its stack. */
struct ender {
	const struct bq_queue *queue;
	const struct bq_worker *worker;
	struct bq_end_job *const *ends;
	size_t n;
	struct parker parker;
	struct ender *next; /* protected by bq->mu while it is gathered */
	bool sent;          /* protected by bq->mu */
	int64_t deadline;
	int rc;             /* of the call; 0: the endings have their own */
	struct err err;
};

struct bq_end_lane {
	struct bq *bq;
	struct ender *gathered, **end; /* protected by bq->mu; in the order of arrival */
	struct ender *flight;          /* the call under way: owned by whoever sends or has the reply; NULL under mu: idle */
};

static void on_reply(void *arg, int rc, const struct rreplies *replies, const struct err *err);

/* What a call says of its worker, and an ending depends on. */
static bool go_together(const struct bq_worker *a, const struct bq_worker *b)
{
	return a->metrics_points == b->metrics_points && a->proof_ms == b->proof_ms;
}

/* Moves what has gathered into the flight, as far as there is room; mu is held, the flight is over. */
static void board(struct bq_end_lane *lane)
{
	struct ender **last = &lane->gathered;
	size_t room = BQ_WORK_PER_CALL;

	while (*last && (*last)->n <= room && go_together((*last)->worker, lane->gathered->worker)) {
		room -= (*last)->n;
		(*last)->sent = true;
		last = &(*last)->next;
	}
	lane->flight = lane->gathered;
	lane->gathered = *last;
	if (!lane->gathered)
		lane->end = &lane->gathered;
	if (lane->flight)
		*last = NULL;
}

static void send_flight(struct bq_end_lane *lane)
{
	const struct bq_end_args *endings[BQ_WORK_PER_CALL];
	const struct ender *first = lane->flight;
	struct bq_work work = {.token_stem = STR(""), .endings = endings};
	struct rcmd cmd = RCMD_INIT;
	int64_t deadline = 0;

	bug_on(!first);
	work.queue = first->queue;
	work.worker = first->worker;
	for (const struct ender *e = first; e; e = e->next) {
		for (size_t i = 0; i < e->n; i++)
			endings[work.n_endings++] = &e->ends[i]->args_;
		deadline = e->deadline > deadline ? e->deadline : deadline;
	}
	bq_work_command(&cmd, &work);
	rmux_send(lane->bq->mux, &cmd, deadline, on_reply, lane);
	rcmd_release(&cmd);
}

static void settle(struct ender *landed, int rc, const struct rreplies *replies, const struct err *err)
{
	struct bq_work_answer answer;
	struct err unread = {0};
	size_t place = 0;

	if (rc == 0) {
		rc = bq_work_read(replies->items[0], &answer, &unread);
		err = &unread;
	}
	for (struct ender *e = landed; e; e = e->next) {
		e->rc = rc < 0 ? err_set(&e->err, rc, "%s", err->text) : 0;
		for (size_t i = 0; rc == 0 && i < e->n; i++)
			e->ends[i]->err.code = bq_work_ended(&answer, place++, &e->ends[i]->err);
	}
}

/* On the multiplexer's thread. The next flight starts before this one's callers are woken: Redis is not kept waiting. */
static void on_reply(void *arg, int rc, const struct rreplies *replies, const struct err *err)
{
	struct bq_end_lane *lane = arg;
	struct ender *landed = lane->flight, *next;
	bool more;

	settle(landed, rc, replies, err);
	lock_take(&lane->bq->mu);
	board(lane);
	more = lane->flight != NULL;
	lock_give(&lane->bq->mu);
	if (more)
		send_flight(lane);
	for (; landed; landed = next) {
		next = landed->next;
		parker_wake(&landed->parker); /* its stack may be gone from here on */
	}
}

/* The queue's lane, made at its first ending; mu is held. */
static struct bq_end_lane *lane_of(struct bq *bq, const struct bq_queue *q)
{
	struct bq_end_lane *lane = table_get(&bq->end_lanes, q->keys[BQ_KEY_BASE]);

	if (lane)
		return lane;
	lane = calloc(1, sizeof(*lane));
	if (!lane)
		return NULL;
	lane->bq = bq;
	lane->end = &lane->gathered;
	if (table_put(&bq->end_lanes, q->keys[BQ_KEY_BASE], lane) < 0) {
		free(lane);
		return NULL;
	}
	return lane;
}

/* Stands in the lane and starts it if it is idle. */
static struct bq_end_lane *line_up(struct bq *bq, struct ender *e)
{
	struct bq_end_lane *lane;
	bool idle = false;

	lock_take(&bq->mu);
	lane = lane_of(bq, e->queue);
	if (lane) {
		*lane->end = e;
		lane->end = &e->next;
		idle = !lane->flight;
		if (idle)
			board(lane);
	}
	lock_give(&bq->mu);
	if (idle)
		send_flight(lane);
	return lane;
}

/* The deadline has passed: true when it was not sent, and will not be. */
static bool step_out(struct bq_end_lane *lane, struct ender *e)
{
	struct ender **at = &lane->gathered;
	bool mine;

	lock_take(&lane->bq->mu);
	mine = !e->sent;
	while (mine && *at != e)
		at = &(*at)->next;
	if (mine) {
		*at = e->next;
		if (lane->end == &e->next)
			lane->end = at;
	}
	lock_give(&lane->bq->mu);
	return mine;
}

static bool are_whole(struct bq_end_job *const *ends, size_t n)
{
	size_t i = 0;

	while (i < n && !ends[i]->args_.wire.wire.failed)
		i++;
	return i == n;
}

int bq_end_with_others(struct bq *bq, const struct bq_queue *q, const struct bq_worker *w, struct bq_end_job *const *ends, size_t n,
		       int64_t deadline, struct err *err)
{
	struct ender e = {.queue = q, .worker = w, .ends = ends, .n = n, .deadline = deadline};
	struct bq_end_lane *lane;

	bug_on(n == 0 || n > BQ_WORK_PER_CALL);
	if (!are_whole(ends, n) || !(lane = line_up(bq, &e)))
		return err_set(err, ERR_NOMEM, "no memory to tell how a job ended");
	if (!parker_wait_until(&e.parker, deadline)) {
		if (step_out(lane, &e))
			return err_set(err, ERR_TIMEOUT, "the deadline passed before the job's end was sent");
		(void)parker_wait_until(&e.parker, PARKER_FOREVER);
	}
	return e.rc < 0 ? err_set(err, e.rc, "%s", e.err.text) : 0;
}

void bq_end_lanes_release(struct bq *bq)
{
	for (struct table_iter it = {0}; table_next(&bq->end_lanes, &it);)
		free(it.value);
	table_release(&bq->end_lanes);
}
