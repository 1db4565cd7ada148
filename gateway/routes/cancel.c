/* Cancelling: a job that nobody has is removed; who has it is told to stop, where that is possible. */
#include "gateway/http/audit.h"
#include "gateway/routes/access.h"
#include "gateway/routes/handlers.h"
#include "processors/runtime/runtime.h"
#include "processors/runtime/tally.h"

#define WISH_MS ((int64_t)600000) /* how long a wish is remembered, at least */
#define TRIES 3                   /* the job may be taken, or end, between two looks */

struct cancelling {
	struct request *r;
	struct response *res;
	const struct services *s;
	struct queue_ref q;
	struct str id;
	struct bq_job job;
};

static void answer(struct cancelling *c, const char *outcome)
{
	struct request *r = c->r;
	struct str queue = c->q.queue->name;
	const char *before = arena_printf(r->arena, "{\"state\":\"%s\"}", bq_state_word(c->job.state));
	const char *after = arena_printf(r->arena, "{\"outcome\":\"%s\"}", outcome);

	audit_note(r, "job.cancel", str_from(arena_printf(r->arena, "%.*s/%.*s", STR_ARG(queue), STR_ARG(c->id))), str_from(before),
		   str_from(after));
	struct jwrite w = response_json(c->res, 200);
	jw_open(&w, '{');
	jw_kstr(&w, "jobId", c->id);
	jw_kstr(&w, "queue", queue);
	jw_kstrz(&w, "outcome", outcome);
	jw_close(&w, '}');
}

/* Each step: 1 when the request is answered, 0 when the job has changed meanwhile, or a failure. */

static int signal_holder(struct cancelling *c, struct err *err)
{
	struct request *r = c->r;
	int64_t lock_ms = c->q.decl ? c->q.decl->terms->lock_ms : DECLARATION_LOCK_MS;
	struct str token;
	int rc = bq_holder(c->s->bq, c->q.queue, c->id, r->arena, &token, r->deadline_mono_ms, err);

	if (rc < 0 || !token.p)
		return rc;
	if (!bq_token_is_ours(token)) {
		response_problem(r, c->res, PROBLEM_HELD_ELSEWHERE, "A BullMQ worker%s%.*s runs the job; it cannot be told to stop.",
				 c->job.processed_by.n ? " named " : "", STR_ARG(c->job.processed_by));
		return 1;
	}
	rc = bq_cancel_ask(c->s->bq, c->q.queue, &c->job, WISH_MS > 2 * lock_ms ? WISH_MS : 2 * lock_ms, r->deadline_mono_ms, err);
	if (rc < 0)
		return rc;
	runtime_cancel(c->s->runtime, c->q.queue, c->id);
	answer(c, "signalled");
	return 1;
}

static int remove_job(struct cancelling *c, struct err *err)
{
	bool removed = false;
	int rc = bq_remove(c->s->bq, c->q.queue, c->id, &removed, c->r->deadline_mono_ms, err);

	if (rc < 0 || !removed)
		return rc;
	tallies_add(c->s->tallies, c->q.queue->name, c->q.decl, TALLY_FINISHED_CANCELLED, 1);
	answer(c, "removed");
	return 1;
}

static int try_once(struct cancelling *c, struct err *err)
{
	struct request *r = c->r;
	int rc = bq_status(c->s->bq, c->q.queue, c->id, false, r->arena, &c->job, r->deadline_mono_ms, err);

	if (rc < 0)
		return rc;
	if (!may_see(r, &c->job))
		return no_such_job(c->q.queue, c->id, err);
	if (c->job.state == BQ_COMPLETED || c->job.state == BQ_FAILED)
		return err_set(err, ERR_WRONG_STATE, "the job has ended already: it is %s", bq_state_word(c->job.state));
	return c->job.state == BQ_ACTIVE ? signal_holder(c, err) : remove_job(c, err);
}

void jobs_cancel(struct request *r, struct response *res)
{
	struct cancelling c = {.r = r, .res = res, .s = app_services(r->app), .id = r->params[1]};
	struct err err = {0};
	int rc = 0;

	if (queue_ref_or_reply(r, res, r->params[0], &c.q) < 0)
		return;
	for (int i = 0; rc == 0 && i < TRIES; i++)
		rc = try_once(&c, &err);
	if (rc == 0)
		rc = err_set(&err, ERR_WRONG_STATE, "the job or one of its children is being worked on");
	if (rc < 0)
		response_error(r, res, &err);
}
