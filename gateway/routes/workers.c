/* What a worker says about a job that it has leased. The token is the proof: whoever has it holds the job, and nobody else does. */
#include "gateway/http/audit.h"
#include "gateway/routes/access.h"
#include "gateway/routes/handlers.h"
#include "lib/base/clock.h"
#include "lib/metrics/metrics.h"

#define PROOF_MS 60000 /* a completion that was answered with 504 may be repeated so long */

/* One telling, while it is answered. */
struct telling {
	struct request *r;
	struct response *res;
	const struct services *s;
	struct queue_ref q;
	struct bq_worker as;
	struct str id, token;
	struct bq_job job;      /* when it was read */
	enum bq_state state;    /* what the job is in afterwards */
	bool cancel;
};

static uint32_t member(const struct telling *t, const char *name)
{
	return jdoc_get(&t->r->json, JDOC_ROOT, name);
}

static bool begin_or_reply(struct telling *t, struct request *r, struct response *res)
{
	*t = (struct telling){.r = r, .res = res, .s = app_services(r->app), .id = r->params[1], .state = BQ_ACTIVE};
	if (queue_ref_or_reply(r, res, r->params[0], &t->q) < 0)
		return false;
	t->as = t->q.decl ? declaration_worker(t->q.decl, STR_NONE) : (struct bq_worker){.lock_ms = DECLARATION_LOCK_MS};
	t->as.proof_ms = PROOF_MS;
	t->token = jdoc_string(&r->json, member(t, "token"), r->arena);
	return true;
}

/* A job that is gone, finished or set aside is no longer held under the token, like one that somebody else has. */
static void refuse(struct telling *t, const struct err *err)
{
	if (err->code == ERR_LOCK_LOST || err->code == ERR_NOT_FOUND || err->code == ERR_BROKEN)
		response_problem(t->r, t->res, PROBLEM_LOCK_LOST, "%s", err->text);
	else
		response_error(t->r, t->res, err);
}

/* expires_wall_ms < 0: the job is not held any more. */
static void answer(struct telling *t, int64_t expires_wall_ms)
{
	struct jwrite w = response_json(t->res, 200);

	jw_open(&w, '{');
	write_time(&w, "lockExpiresAt", expires_wall_ms);
	jw_kbool(&w, "cancel", t->cancel);
	jw_kstrz(&w, "state", bq_state_word(t->state));
	jw_close(&w, '}');
}

/* One thing that a worker may say. */
typedef int tell_fn(struct telling *t, struct err *err);

static void tell(struct request *r, struct response *res, tell_fn *what)
{
	struct telling t;
	struct err err = {0};

	if (!begin_or_reply(&t, r, res))
		return;
	int64_t expires = clock_wall_ms() + t.as.lock_ms;
	if (what(&t, &err) < 0)
		refuse(&t, &err);
	else
		answer(&t, t.state == BQ_ACTIVE ? expires : -1);
}

/* ---- while it is held ---- */

static int heartbeat(struct telling *t, struct err *err)
{
	return bq_heartbeat(t->s->bq, t->q.queue, t->id, t->token, t->as.lock_ms, &t->cancel, t->r->deadline_mono_ms, err);
}

static int progress(struct telling *t, struct err *err)
{
	int rc = heartbeat(t, err);

	return rc < 0 ? rc : bq_progress(t->s->bq, t->q.queue, t->id, jdoc_raw(&t->r->json, member(t, "progress")), t->r->deadline_mono_ms, err);
}

static int read_job(struct telling *t, bool with_payload, struct err *err)
{
	return bq_status(t->s->bq, t->q.queue, t->id, with_payload, t->r->arena, &t->job, t->r->deadline_mono_ms, err);
}

static int add_log(struct telling *t, struct err *err)
{
	int rc = heartbeat(t, err);

	if (rc == 0)
		rc = read_job(t, false, err);
	if (rc < 0)
		return rc;
	return bq_log_add(t->s->bq, t->q.queue, t->id, jdoc_string(&t->r->json, member(t, "line"), t->r->arena), t->job.opts.keep_logs, NULL,
			  t->r->deadline_mono_ms, err);
}

/* ---- its end ---- */

static const struct ending {
	const char *action, *attempt;
	const char *outcome; /* of sluice_jobs_finished_total; NULL: not finished */
} COMPLETED = {"job.complete", "completed", "completed"}, FAILED = {"job.fail", "failed", "failed"}, RETRIED = {"job.fail", "retried", NULL},
  CANCELLED = {"job.fail", "failed", "cancelled"}, RELEASED = {"job.release", "released", NULL};

static void note_audit(const struct telling *t, const struct ending *e, enum bq_state before)
{
	struct request *r = t->r;
	const char *target = arena_printf(r->arena, "%.*s/%.*s", STR_ARG(t->q.queue->name), STR_ARG(t->id));
	const char *was = arena_printf(r->arena, "{\"state\":\"%s\"}", bq_state_word(before));
	const char *is = arena_printf(r->arena, "{\"state\":\"%s\"}", bq_state_word(t->state));

	audit_note(r, e->action, str_from(target), str_from(was), str_from(is));
}

static void note(const struct telling *t, const struct ending *e)
{
	struct str queue = t->q.queue->name;

	note_audit(t, e, BQ_ACTIVE);
	metrics_add(t->s->metrics, M_JOB_ATTEMPTS, 1, (struct str[]){queue, str_from(e->attempt)});
	if (e->outcome)
		metrics_add(t->s->metrics, M_JOBS_FINISHED, 1, (struct str[]){queue, str_from(e->outcome)});
}

/* After a completion that was refused, with rc: 0 when it repeats the one that has completed the job. */
static int repeated(struct telling *t, int rc)
{
	struct err ignored = {0};
	bool yes = false;

	if (rc != ERR_LOCK_LOST && rc != ERR_NOT_FOUND && rc != ERR_WRONG_STATE)
		return rc;
	if (bq_completed_by(t->s->bq, t->q.queue, t->id, t->token, &yes, t->r->deadline_mono_ms, &ignored) < 0 || !yes)
		return rc;
	t->state = BQ_COMPLETED;
	note_audit(t, &COMPLETED, BQ_COMPLETED);
	return 0;
}

static int complete(struct telling *t, struct err *err)
{
	uint32_t value = member(t, "returnvalue");
	int rc = read_job(t, false, err);

	if (rc == 0)
		rc = bq_complete(t->s->bq, t->q.queue, &t->as, &t->job, t->token, value == JDOC_NONE ? STR("null") : jdoc_raw(&t->r->json, value),
				 t->r->deadline_mono_ms, err);
	if (rc < 0)
		return repeated(t, rc);
	t->state = BQ_COMPLETED;
	note(t, &COMPLETED);
	return 0;
}

static int end_failed(struct telling *t, const struct bq_failure *failure, struct err *err)
{
	static const struct {
		enum bq_state state;
		const struct ending *ending;
	} rows[] = {
		[BQ_FAILED_FINAL] = {BQ_FAILED, &FAILED},
		[BQ_FAILED_DELAYED] = {BQ_DELAYED, &RETRIED},
		[BQ_FAILED_RETRIED] = {BQ_WAITING, &RETRIED},
	};
	enum bq_failed how;
	int rc = bq_fail(t->s->bq, t->q.queue, &t->as, &t->job, t->token, failure, &how, t->r->deadline_mono_ms, err);

	if (rc < 0)
		return rc;
	t->state = rows[how].state;
	note(t, t->cancel ? &CANCELLED : rows[how].ending);
	return 0;
}

/* Reads the job, and whether it was to be cancelled: then it ends so, whatever else its worker says. */
static int read_wish(struct telling *t, struct err *err)
{
	int rc = read_job(t, true, err);

	if (rc < 0)
		return rc;
	return bq_cancel_asked(t->s->bq, t->q.queue, &t->id, &t->job.timestamp, 1, &t->cancel, t->r->deadline_mono_ms, err);
}

static int end_cancelled(struct telling *t, struct err *err)
{
	const struct bq_failure failure = {
		.reason = STR("CANCELLED: the job was cancelled"), .trace = STR_NONE, .permanent = true, .retry_after_ms = -1};
	struct err ignored = {0};
	int rc = end_failed(t, &failure, err);

	if (rc == 0 && bq_cancel_forget(t->s->bq, t->q.queue, t->id, t->r->deadline_mono_ms, &ignored) < 0)
		return 0; /* it expires by itself */
	return rc;
}

static int fail(struct telling *t, struct err *err)
{
	const struct jdoc *told = &t->r->json;
	uint32_t retry = member(t, "retry");
	struct bq_failure failure = {.reason = jdoc_string(told, member(t, "reason"), t->r->arena),
				     .trace = STR_NONE,
				     .permanent = retry != JDOC_NONE && jdoc_type(told, retry) == J_FALSE,
				     .retry_after_ms = -1};
	if (jdoc_int(told, member(t, "retryAfterMs"), &failure.retry_after_ms) < 0)
		failure.retry_after_ms = -1;
	int rc = read_wish(t, err);

	if (rc < 0)
		return rc;
	return t->cancel ? end_cancelled(t, err) : end_failed(t, &failure, err);
}

static int release(struct telling *t, struct err *err)
{
	int rc = read_wish(t, err);

	if (rc == 0 && t->cancel)
		return end_cancelled(t, err);
	if (rc == 0)
		rc = bq_release(t->s->bq, t->q.queue, &t->job, t->token, t->r->deadline_mono_ms, err);
	if (rc == 0) {
		t->state = t->job.priority > 0 ? BQ_PRIORITIZED : BQ_WAITING;
		note(t, &RELEASED);
	}
	return rc;
}

/* ---- the routes ---- */

void workers_heartbeat(struct request *r, struct response *res)
{
	tell(r, res, heartbeat);
}

void workers_progress(struct request *r, struct response *res)
{
	tell(r, res, progress);
}

void workers_log(struct request *r, struct response *res)
{
	tell(r, res, add_log);
}

void workers_complete(struct request *r, struct response *res)
{
	tell(r, res, complete);
}

void workers_fail(struct request *r, struct response *res)
{
	tell(r, res, fail);
}

void workers_release(struct request *r, struct response *res)
{
	tell(r, res, release);
}
