/* Taking jobs over HTTP: what a BullMQ worker does between a marker and its processor, on behalf of a worker in any language. */
#include "gateway/http/audit.h"
#include "gateway/realtime/lease.h"
#include "gateway/realtime/lessees.h"
#include "gateway/routes/access.h"
#include "gateway/routes/handlers.h"
#include "lib/base/clock.h"
#include "lib/log/log.h"
#include "processors/runtime/runtime.h"
#include "processors/runtime/tally.h"

#define TAKE_AT_ONCE 50       /* in one round trip */
#define RECHECK_MS 5000       /* is the client still there? */
#define PUT_OFF_MS 1000       /* a job whose schedule cannot go on just now */
#define MAX_STALLED 3         /* of undeclared queues */
#define STALLED_INTERVAL_MS 30000

/* One request while it is answered. */
struct leasing {
	struct request *r;
	const struct services *s;
	const struct queue_ref *q;
	struct bq_worker as;
	struct str worker_id;
	struct bq_held *held;
	size_t n, max;
	struct bq_taken last; /* what the last attempt said */
};

static void complain(const struct leasing *l, const char *event, struct str job_id, const struct err *err)
{
	LOG(l->s->log, LOG_ERROR, event, log_str("queue", l->q->queue->name), log_str("jobId", job_id), log_err(err));
}

/* Ends a job that must not be worked on; false when that did not succeed. */
static bool fail_at_once(const struct leasing *l, const struct bq_held *held, struct str reason)
{
	const struct bq_failure failure = {.reason = reason, .trace = STR_NONE, .permanent = true, .retry_after_ms = -1};
	enum bq_failed how;
	struct err err = {0};

	if (bq_fail(l->s->bq, l->q->queue, &l->as, &held->job, str_from(held->token), &failure, &how, l->r->deadline_mono_ms, &err) < 0) {
		complain(l, "job_finish_failed", held->job.id, &err);
		return false;
	}
	return true;
}

/* A mark can only be on a job that somebody held before. */
static bool is_cancelled(const struct leasing *l, const struct bq_job *job)
{
	bool asked = false;
	struct err err = {0};

	return job->attempts_started > 1 &&
	       bq_cancel_asked(l->s->bq, l->q->queue, &job->id, &job->timestamp, 1, &asked, l->r->deadline_mono_ms, &err) == 0 && asked;
}

/* The wish is not for later starts of the job. */
static void fail_cancelled(const struct leasing *l, const struct bq_held *held)
{
	struct err ignored = {0};

	if (fail_at_once(l, held, STR("CANCELLED: the job was cancelled")) &&
	    bq_cancel_forget(l->s->bq, l->q->queue, &held->job.id, 1, l->r->deadline_mono_ms, &ignored) < 0)
		return; /* it expires by itself */
}

/* False when the job's successor may yet be made, which has to be before the job runs: its schedule would end with it. */
static bool schedule_next(const struct leasing *l, const struct bq_job *job)
{
	struct err err = {0};
	int64_t missed;
	int rc = bq_schedule_next(l->s->bq, l->q->queue, job, &missed, l->r->deadline_mono_ms, &err);

	if (rc < 0)
		complain(l, "schedule_next_failed", job->id, &err);
	if (rc < 0 && rc != ERR_INVALID && rc != ERR_BROKEN)
		return false;
	tallies_missed(l->s->tallies, l->q->queue->name, job, missed);
	return true;
}

/* It comes again soon, or, where Redis cannot be told, when its lock has run out. */
static void put_off(const struct leasing *l, const struct bq_held *held)
{
	struct err err = {0};

	if (bq_delay(l->s->bq, l->q->queue, &held->job, str_from(held->token), PUT_OFF_MS, l->r->deadline_mono_ms, &err) < 0)
		complain(l, "job_finish_failed", held->job.id, &err);
}

/* What is due for every job that was taken; false when it is not to be handed out. */
static bool prepare(const struct leasing *l, const struct bq_held *held)
{
	const struct bq_job *job = &held->job;

	tallies_taken(l->s->tallies, l->q->queue->name, l->q->decl, job);
	if (job->repeat_key.p && !schedule_next(l, job)) {
		put_off(l, held);
		return false;
	}
	if (job->deferred_failure.p) {
		(void)fail_at_once(l, held, job->deferred_failure);
		return false;
	}
	if (is_cancelled(l, job)) {
		fail_cancelled(l, held);
		return false;
	}
	return true;
}

/* Takes up to n more jobs; how many were taken at all, also those that were not handed out. */
static int take_some(struct leasing *l, size_t n, size_t *taken, struct err *err)
{
	struct bq_held *at = l->held + l->n;
	char token[BQ_TOKEN_SIZE];

	bq_token(token);
	int rc = bq_take_many(l->s->bq, l->q->queue, &l->as, str_from(token), l->r->arena, at, n, taken, &l->last, l->r->deadline_mono_ms, err);
	if (rc == ERR_UNKNOWN_OUTCOME)
		runtime_unheard(l->s->runtime, l->q->queue, token);
	for (size_t i = 0; rc == 0 && i < *taken; i++)
		if (prepare(l, &at[i]))
			l->held[l->n++] = at[i];
	return rc;
}

/* BullMQ's workers recover a declared queue's stalled jobs, and our runtime does; of an undeclared one perhaps nobody but us. */
static void recover_stalled(const struct leasing *l)
{
	struct str *ids;
	size_t n;
	struct err err = {0};

	if (!l->q->decl && bq_stalled_check(l->s->bq, l->q->queue, STALLED_INTERVAL_MS, MAX_STALLED, l->r->arena, &ids, &n,
					    l->r->deadline_mono_ms, &err) < 0)
		LOG(l->s->log, LOG_DEBUG, "stalled_check_failed", log_str("queue", l->q->queue->name), log_err(&err));
}

/* In steps, until nothing more comes. What was taken is kept when a later step fails. */
static int take(struct leasing *l, struct err *err)
{
	size_t want, taken, all = 0;
	struct err why = {0};
	int rc;

	recover_stalled(l);
	do {
		want = l->max - l->n < TAKE_AT_ONCE ? l->max - l->n : TAKE_AT_ONCE;
		rc = take_some(l, want, &taken, &why);
		all += taken;
	} while (rc == 0 && taken == want && l->n < l->max);
	return rc < 0 && all == 0 ? err_set(err, rc, "%s", why.text) : 0;
}

static void look_later(const struct leasing *l, struct lease_wait *w)
{
	int64_t now = clock_mono_ms();

	if (l->last.limited_ms > 0)
		lease_wait_later(l->s->leases, w, now + l->last.limited_ms);
	if (l->last.next_delayed_ms > 0)
		lease_wait_later(l->s->leases, w, now + l->last.next_delayed_ms - clock_wall_ms());
}

static int wait_and_take(struct leasing *l, int64_t until_mono_ms, struct err *err)
{
	struct lease_wait w;
	int rc = lease_wait_begin(l->s->leases, &w, l->q->queue, err);

	if (rc < 0)
		return rc;
	look_later(l, &w);
	while (rc == 0 && l->n == 0 && !request_peer_gone(l->r)) {
		int64_t now = clock_mono_ms(), nap = until_mono_ms < now + RECHECK_MS ? until_mono_ms : now + RECHECK_MS;
		bool look = lease_wait_sleep(l->s->leases, &w, nap);
		if (!look && (clock_mono_ms() < nap || nap == until_mono_ms)) /* the hub is closed, or the time is over */
			break;
		if (look) {
			rc = take(l, err);
			look_later(l, &w);
		}
	}
	lease_wait_end(l->s->leases, &w);
	return rc;
}

/* Nobody is there to hear of the jobs. Each goes to the front: the first one last. */
static void give_back(const struct leasing *l)
{
	struct err err = {0};

	for (size_t i = l->n; i-- > 0;)
		if (bq_release(l->s->bq, l->q->queue, &l->held[i].job, str_from(l->held[i].token), l->r->deadline_mono_ms, &err) < 0)
			complain(l, "job_finish_failed", l->held[i].job.id, &err);
}

static void answer(const struct leasing *l, struct response *res, int64_t expires_wall_ms)
{
	struct jwrite w = response_json(res, 200);

	jw_open(&w, '{');
	jw_key(&w, "jobs");
	jw_open(&w, '[');
	for (size_t i = 0; i < l->n; i++) {
		jw_open(&w, '{');
		write_job_fields(l->r, &w, l->q->queue->name, &l->held[i].job, true);
		jw_kstrz(&w, "token", l->held[i].token);
		jw_kint(&w, "lockExpiresAt", expires_wall_ms);
		jw_close(&w, '}');
	}
	jw_close(&w, ']');
	jw_close(&w, '}');
}

/* One line for each job that leaves the house. */
static void note_leased(const struct leasing *l)
{
	struct buf ids = BUF_INIT;
	struct jwrite w = jwrite_into(&ids);

	jw_open(&w, '{');
	jw_kstr(&w, "holder", l->as.name);
	jw_key(&w, "jobIds");
	jw_open(&w, '[');
	for (size_t i = 0; i < l->n; i++)
		jw_str(&w, l->held[i].job.id);
	jw_close(&w, ']');
	jw_close(&w, '}');
	audit_note(l->r, "job.lease", l->q->queue->name, STR_NONE, buf_str(&ids));
	buf_release(&ids);
}

static int lease(struct leasing *l, struct err *err)
{
	struct request *r = l->r;
	int64_t wait_ms = body_number(r, "wait", 0) * 1000, until = clock_mono_ms() + wait_ms;
	int rc = take(l, err);

	if (rc < 0 || l->n || !wait_ms || !request_wait_begin(r))
		return rc;
	r->deadline_mono_ms += wait_ms;
	rc = wait_and_take(l, until, err);
	request_wait_end(r);
	return rc;
}

/* Before it waits and after, so that a worker that waits is known. */
static void note_lessee(const struct leasing *l)
{
	const struct request *r = l->r;

	lessees_note(l->s->lessees, l->q->queue->name, l->worker_id, str_from(r->who.org), str_from(r->who.sub), l->n);
}

static bool begin(struct leasing *l, struct err *err)
{
	struct request *r = l->r;
	const struct declaration *decl = l->q->decl;

	l->worker_id = jdoc_string(&r->json, jdoc_get(&r->json, JDOC_ROOT, "workerId"), r->arena);
	struct str name = lease_name(r, l->worker_id);

	l->as = decl ? declaration_worker(decl, name) : (struct bq_worker){.name = name, .lock_ms = DECLARATION_LOCK_MS};
	l->max = (size_t)body_number(r, "max", 1);
	l->held = arena_array(r->arena, l->max, sizeof(*l->held));
	if (name.p && l->held) {
		note_lessee(l);
		return true;
	}
	err_set(err, ERR_NOMEM, "out of memory");
	return false;
}

void leases_take(struct request *r, struct response *res)
{
	struct queue_ref q;
	struct leasing l = {.r = r, .s = app_services(r->app), .q = &q};
	struct err err = {0};

	if (request_draining(r)) {
		response_problem(r, res, PROBLEM_DRAINING, NULL);
		return;
	}
	if (queue_ref_or_reply(r, res, r->params[0], &q) < 0)
		return;
	if (!begin(&l, &err) || lease(&l, &err) < 0) {
		response_error(r, res, &err);
	} else {
		if (l.n && request_peer_gone(r)) {
			give_back(&l);
			l.n = 0;
		}
		note_lessee(&l);
		if (l.n)
			note_leased(&l);
		answer(&l, res, clock_wall_ms() + l.as.lock_ms);
	}
}
