/* What an operator does to one job: retry, promote, remove, change. */
#include "gateway/http/audit.h"
#include "gateway/routes/creation.h"
#include "gateway/routes/handlers.h"
#include "gateway/routes/queues.h"
#include "lib/bullmq/admin.h"
#include "lib/schema/schema.h"

struct acting {
	struct request *r;
	struct response *res;
	const struct services *s;
	struct queue_ref q;
	struct bq_job job; /* as it was */
	int64_t deadline;
};

/* Each does its part: 0, or a failure. */
typedef int act_fn(struct acting *a, struct err *err);

static struct str data_of(const struct request *r)
{
	uint32_t data = r->route->body == BODY_JSON ? jdoc_get(&r->json, JDOC_ROOT, "data") : JDOC_NONE;

	return data == JDOC_NONE ? STR_NONE : jdoc_raw(&r->json, data);
}

/* Other data must be fit for the queue as the first was. */
static bool data_fits_or_reply(struct acting *a)
{
	struct request *r = a->r;
	uint32_t data = r->route->body == BODY_JSON ? jdoc_get(&r->json, JDOC_ROOT, "data") : JDOC_NONE;
	struct schema_report report = {.arena = r->arena};

	if (data == JDOC_NONE || creation_payload_fits(a->q.decl, &r->json, data, STR("/data"), &report))
		return true;
	response_invalid(r, a->res, &report);
	return false;
}

static int refuse_state(const struct acting *a, const char *needed, struct err *err)
{
	return err_set(err, ERR_WRONG_STATE, "the job is %s, not %s", bq_state_word(a->job.state), needed);
}

static int refuse_held(const struct acting *a, struct err *err)
{
	struct str by = a->job.processed_by;

	return err_set(err, ERR_WRONG_STATE, "the job is locked by %s%.*s%s", by.n ? "\"" : "a worker", STR_ARG(by.n ? by : STR("")), by.n ? "\"" : "");
}

static int retry(struct acting *a, struct err *err)
{
	const struct bq_retry how = {
		.state = a->job.state,
		.data = data_of(a->r),
		.reset_attempts = body_flag(a->r, "resetAttempts"),
	};

	if (how.state != BQ_FAILED && how.state != BQ_COMPLETED)
		return a->job.state == BQ_ACTIVE ? refuse_held(a, err) : refuse_state(a, "failed or completed", err);
	return bq_retry_job(a->s->bq, a->q.queue, a->job.id, &how, a->deadline, err);
}

/* The state was looked at just now; it may have changed since, which the scripts notice. */
static int act_on(struct acting *a, enum bq_action action, struct err *err)
{
	int code = 0, rc = bq_act(a->s->bq, a->q.queue, action, a->job.state, &a->job.id, 1, &code, a->deadline, err);

	if (rc < 0 || code == 0)
		return rc;
	return err_set(err, code, "%s", err_sentence(code));
}

static int promote(struct acting *a, struct err *err)
{
	if (a->job.state != BQ_DELAYED)
		return refuse_state(a, "delayed", err);
	int rc = act_on(a, BQ_PROMOTE, err);
	return rc == ERR_WRONG_STATE ? err_set(err, rc, "the job is no longer delayed") : rc;
}

static int remove_job(struct acting *a, struct err *err)
{
	int rc = a->job.state == BQ_ACTIVE ? ERR_LOCK_LOST : act_on(a, BQ_REMOVE, err);

	if (rc == ERR_LOCK_LOST && a->job.state != BQ_ACTIVE)
		return err_set(err, ERR_WRONG_STATE, "the job or one of its children is locked by a worker");
	if (rc == ERR_LOCK_LOST)
		return refuse_held(a, err);
	return rc == ERR_WRONG_STATE ? err_set(err, rc, "the job is the next of its schedule: remove the schedule") : rc;
}

static int edit(struct acting *a, struct err *err)
{
	const struct bq_edit what = {
		.priority = body_number(a->r, "priority", -1),
		.delay_ms = body_number(a->r, "delay", -1),
		.data = data_of(a->r),
	};

	if (a->job.state == BQ_ACTIVE)
		return refuse_held(a, err);
	if (what.delay_ms >= 0 && a->job.state != BQ_DELAYED)
		return refuse_state(a, "delayed", err);
	int rc = bq_edit_job(a->s->bq, a->q.queue, a->job.id, &what, a->deadline, err);
	return rc == ERR_LOCK_LOST ? refuse_held(a, err) : rc;
}

/* ---- before and after ---- */

/* Data is the job's own business: the audit says that it was changed, not to what. */
static struct str snapshot(struct request *r, const struct bq_job *job, bool with_data)
{
	struct buf text = BUF_INIT;
	struct jwrite w = jwrite_into(&text);

	jw_open(&w, '{');
	jw_kstrz(&w, "state", bq_state_word(job->state));
	jw_kint(&w, "priority", job->priority);
	jw_kint(&w, "delay", job->delay);
	if (with_data)
		jw_kbool(&w, "dataChanged", true);
	jw_close(&w, '}');
	struct str copy = arena_dup(r->arena, buf_str(&text));
	buf_release(&text);
	return copy;
}

static void answer_removed(struct acting *a)
{
	struct jwrite w = response_json(a->res, 200);

	jw_open(&w, '{');
	jw_kstr(&w, "jobId", a->job.id);
	jw_kstr(&w, "queue", a->q.queue->name);
	jw_kbool(&w, "removed", true);
	jw_close(&w, '}');
}

/* The job as it is now; a worker may have had it in the meantime, and it may be gone already. */
static void answer_changed(struct acting *a, const char *action, struct str target, struct str before)
{
	struct request *r = a->r;
	struct bq_job now;
	struct err err = {0};
	int rc = bq_status(a->s->bq, a->q.queue, a->job.id, false, r->arena, &now, r->deadline_mono_ms, &err);

	audit_note(r, action, target, before, rc == 0 ? snapshot(r, &now, data_of(r).p != NULL) : STR_NONE);
	struct jwrite w = response_json(a->res, 200);
	if (rc == 0)
		write_job(r, &w, a->q.queue->name, &now, false);
	else
		write_job(r, &w, a->q.queue->name, &a->job, false);
}

static void act(struct request *r, struct response *res, const char *action, act_fn *fn, bool removes)
{
	struct acting a = {.r = r, .res = res, .s = app_services(r->app), .deadline = r->deadline_mono_ms};
	struct err err = {0};

	if (queue_ref_or_reply(r, res, r->params[0], &a.q) < 0)
		return;
	int rc = bq_status(a.s->bq, a.q.queue, r->params[1], false, r->arena, &a.job, r->deadline_mono_ms, &err);
	if (rc < 0) {
		response_error(r, res, &err);
	} else if (data_fits_or_reply(&a)) {
		rc = fn(&a, &err);
		struct str target = str_from(arena_printf(r->arena, "%.*s/%.*s", STR_ARG(a.q.queue->name), STR_ARG(a.job.id)));
		struct str before = snapshot(r, &a.job, false);
		if (rc < 0) {
			response_error(r, res, &err);
		} else if (removes) {
			audit_note(r, action, target, before, STR_NONE);
			answer_removed(&a);
		} else {
			answer_changed(&a, action, target, before);
		}
	}
}

void jobs_retry(struct request *r, struct response *res)
{
	act(r, res, "job.retry", retry, false);
}

void jobs_promote(struct request *r, struct response *res)
{
	act(r, res, "job.promote", promote, false);
}

void jobs_remove(struct request *r, struct response *res)
{
	act(r, res, "job.remove", remove_job, true);
}

void jobs_edit(struct request *r, struct response *res)
{
	act(r, res, "job.edit", edit, false);
}
