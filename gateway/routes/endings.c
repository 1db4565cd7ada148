/* How jobs ended that workers have leased: completed, failed, or given back. */
#include "gateway/http/audit.h"
#include "gateway/routes/handlers.h"
#include "gateway/routes/telling.h"
#include "lib/bullmq/ends.h"
#include "processors/runtime/tally.h"

struct ending {
	const char *action;
	enum tally attempt, finished;
};
static const struct ending COMPLETED = {"job.complete", TALLY_ATTEMPT_COMPLETED, TALLY_FINISHED_COMPLETED},
			   FAILED = {"job.fail", TALLY_ATTEMPT_FAILED, TALLY_FINISHED_FAILED},
			   RETRIED = {"job.fail", TALLY_ATTEMPT_RETRIED, TALLY_NONE},
			   CANCELLED = {"job.fail", TALLY_ATTEMPT_FAILED, TALLY_FINISHED_CANCELLED},
			   RELEASED = {"job.release", TALLY_ATTEMPT_RELEASED, TALLY_NONE};

/* What is on its way to Redis; ends[i] is that of the telling's jobs[i]. */
struct endings {
	struct telling *t;
	struct bq_end_job *ends;
	struct bq_failure *failures; /* of those that fail */
};

/* ---- what is told ---- */

static void read_failure(const struct telling *t, const struct told *job, struct bq_failure *f)
{
	const struct jdoc *doc = &t->r->json;
	uint32_t retry = told_member(t, job, "retry");

	*f = (struct bq_failure){.reason = jdoc_string(doc, told_member(t, job, "reason"), t->r->arena),
				 .trace = STR_NONE,
				 .permanent = retry != JDOC_NONE && jdoc_type(doc, retry) == J_FALSE};
	if (jdoc_int(doc, told_member(t, job, "retryAfterMs"), &f->retry_after_ms) < 0)
		f->retry_after_ms = -1;
}

static bool tells_failure(const struct jdoc *doc, uint32_t node)
{
	return jdoc_get(doc, node, "reason") != JDOC_NONE;
}

/* A job that has a reason has failed. */
static void read_finish(const struct telling *t, const struct told *job, struct bq_failure *f, struct bq_ending *out)
{
	out->kind = tells_failure(&t->r->json, job->said) ? BQ_END_FAIL : BQ_END_COMPLETE;
	if (out->kind == BQ_END_COMPLETE) {
		out->value = jdoc_raw(&t->r->json, told_member(t, job, "returnvalue"));
	} else {
		read_failure(t, job, f);
		out->failure = f;
	}
}

static int begin(struct endings *e, struct telling *t, bool give_back, struct err *err)
{
	*e = (struct endings){.t = t,
			      .ends = arena_array(t->r->arena, t->n + 1, sizeof(*e->ends)),
			      .failures = arena_array(t->r->arena, t->n + 1, sizeof(*e->failures))};
	if (!e->ends || !e->failures)
		return err_set(err, ERR_NOMEM, "out of memory");
	for (size_t i = 0; i < t->n; i++) {
		struct bq_end_job *end = &e->ends[i];

		end->id = t->jobs[i]->id;
		end->ending = (struct bq_ending){.kind = BQ_END_RELEASE, .token = t->jobs[i]->token};
		if (!give_back)
			read_finish(t, t->jobs[i], &e->failures[i], &end->ending);
	}
	return 0;
}

/* A job that was to be cancelled ends so, unless it was done before its worker heard of it. */
static void heed_cancelling(struct endings *e)
{
	static const char reason[] = "CANCELLED: the job was cancelled";
	static const struct bq_failure cancelled = {.reason = {reason, sizeof(reason) - 1}, .permanent = true, .retry_after_ms = -1};

	for (size_t i = 0; i < e->t->n; i++)
		if (e->ends[i].cancelled) {
			e->ends[i].ending.kind = BQ_END_FAIL;
			e->ends[i].ending.failure = &cancelled;
		}
}

/* ---- what came of it ---- */

static void conclude(struct told *job, const struct bq_end_job *end)
{
	static const struct {
		enum bq_state state;
		const struct ending *ending;
	} rows[] = {
		[BQ_FAILED_FINAL] = {BQ_FAILED, &FAILED},
		[BQ_FAILED_DELAYED] = {BQ_DELAYED, &RETRIED},
		[BQ_FAILED_RETRIED] = {BQ_WAITING, &RETRIED},
	};

	job->err = end->err;
	job->cancel = end->cancelled;
	if (end->err.code < 0)
		return;
	switch (end->ending.kind) {
	case BQ_END_FAIL:
		job->state = rows[end->how].state;
		job->ending = end->cancelled ? &CANCELLED : rows[end->how].ending;
		break;
	case BQ_END_RELEASE:
		job->state = end->job->priority > 0 ? BQ_PRIORITIZED : BQ_WAITING;
		job->ending = &RELEASED;
		break;
	default:
		job->state = BQ_COMPLETED;
		job->ending = &COMPLETED;
	}
}

static void count(const struct endings *e)
{
	const struct telling *t = e->t;

	for (size_t i = 0; i < t->n; i++) {
		const struct ending *ending = t->jobs[i]->ending;
		if (ending)
			tallies_ended(t->s->tallies, t->q.queue->name, t->q.decl, e->ends[i].job, ending->attempt, ending->finished);
	}
}

static bool may_repeat(const struct bq_end_job *end)
{
	int code = end->err.code;

	return end->ending.kind == BQ_END_COMPLETE && (code == ERR_LOCK_LOST || code == ERR_NOT_FOUND || code == ERR_WRONG_STATE);
}

/* Of a completion that was refused: what the look for the one that it may repeat has told. */
static void conclude_again(struct told *job, bool repeats, const struct err *failure)
{
	if (failure->code < 0)
		job->err = *failure; /* nobody knows */
	if (!repeats)
		return;
	job->err.code = 0;
	job->before = job->state = BQ_COMPLETED;
	job->ending = &COMPLETED;
}

/* Completions that repeat the one which has completed their job are answered as that was. */
static void find_repeated(const struct endings *e)
{
	struct telling *t = e->t;
	struct str ids[TELLING_MAX], tokens[TELLING_MAX];
	struct told *jobs[TELLING_MAX];
	bool yes[TELLING_MAX] = {false};
	struct err err = {0};
	size_t n = 0;

	for (size_t i = 0; i < t->n; i++)
		if (may_repeat(&e->ends[i])) {
			ids[n] = e->ends[i].id;
			tokens[n] = e->ends[i].ending.token;
			jobs[n++] = t->jobs[i];
		}
	if (n == 0)
		return;
	int rc = bq_completed_by(t->s->bq, t->q.queue, ids, tokens, n, yes, t->r->deadline_mono_ms, &err);
	for (size_t i = 0; i < n; i++)
		conclude_again(jobs[i], rc == 0 && yes[i], &err);
}

static void forget_cancelled(const struct endings *e)
{
	struct str ids[TELLING_MAX];
	struct err ignored = {0};
	size_t n = 0;

	for (size_t i = 0; i < e->t->n; i++)
		if (e->ends[i].cancelled && e->ends[i].err.code == 0)
			ids[n++] = e->ends[i].id;
	if (n > 0 && bq_cancel_forget(e->t->s->bq, e->t->q.queue, ids, n, e->t->r->deadline_mono_ms, &ignored) < 0)
		return; /* it expires by itself */
}

/* ---- the audit ---- */

static void audit_one(const struct telling *t, const struct told *job)
{
	struct request *r = t->r;
	const char *target = arena_printf(r->arena, "%.*s/%.*s", STR_ARG(t->q.queue->name), STR_ARG(job->id));
	const char *was = arena_printf(r->arena, "{\"state\":\"%s\"}", bq_state_word(job->before));
	const char *is = arena_printf(r->arena, "{\"state\":\"%s\"}", bq_state_word(job->state));

	if (job->ending)
		audit_note(r, job->ending->action, str_from(target), str_from(was), str_from(is));
}

/* The ids of those that are in that state now; of all that have ended with BQ_STATE_COUNT. */
static void write_ids(struct jwrite *w, const struct telling *t, unsigned state)
{
	jw_open(w, '[');
	for (size_t i = 0; i < t->n; i++)
		if (t->jobs[i]->ending && (state == BQ_STATE_COUNT || (unsigned)t->jobs[i]->state == state))
			jw_str(w, t->jobs[i]->id);
	jw_close(w, ']');
}

/* One line for all. */
static void audit_several(const struct telling *t)
{
	static const enum bq_state states[] = {BQ_COMPLETED, BQ_FAILED, BQ_DELAYED, BQ_WAITING};
	struct buf after = BUF_INIT, all = BUF_INIT;
	struct jwrite w = jwrite_into(&after), ids = jwrite_into(&all);

	jw_open(&w, '{');
	for (size_t i = 0; i < ARRAY_LEN(states); i++) {
		jw_key(&w, bq_state_word(states[i]));
		write_ids(&w, t, states[i]);
	}
	jw_close(&w, '}');
	write_ids(&ids, t, BQ_STATE_COUNT);
	audit_note_jobs(t->r, "job.finish", t->q.queue->name, buf_str(&all), buf_str(&after));
	buf_release(&after);
	buf_release(&all);
}

/* ---- all of it ---- */

static int end_jobs(struct telling *t, bool give_back, struct err *err)
{
	struct endings e;
	int rc = begin(&e, t, give_back, err);

	if (rc == 0)
		rc = bq_ends_read(t->s->bq, t->q.queue, e.ends, t->n, t->r->arena, t->r->deadline_mono_ms, err);
	if (rc < 0)
		return rc;
	heed_cancelling(&e);
	rc = bq_ends_tell(t->s->bq, t->q.queue, &t->as, e.ends, t->n, t->r->deadline_mono_ms, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < t->n; i++)
		conclude(t->jobs[i], &e.ends[i]);
	count(&e);
	find_repeated(&e);
	forget_cancelled(&e);
	if (t->several)
		audit_several(t);
	else
		audit_one(t, t->jobs[0]);
	return 0;
}

static int finish(struct telling *t, struct err *err)
{
	return end_jobs(t, false, err);
}

static int release(struct telling *t, struct err *err)
{
	return end_jobs(t, true, err);
}

/* ---- the routes ---- */

void endings_complete(struct request *r, struct response *res)
{
	tell_of_one(r, res, finish);
}

void endings_fail(struct request *r, struct response *res)
{
	tell_of_one(r, res, finish);
}

void endings_release(struct request *r, struct response *res)
{
	tell_of_one(r, res, release);
}

static const char *as_finished(const struct jdoc *doc, uint32_t node)
{
	return tells_failure(doc, node) ? "job-failed" : "job-done";
}

void endings_finish(struct request *r, struct response *res)
{
	tell_of_many(r, res, as_finished, finish);
}
