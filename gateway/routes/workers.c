/* What a worker says while it holds jobs that it has leased. */
#include "gateway/routes/handlers.h"
#include "gateway/routes/telling.h"

static int heartbeats(struct telling *t, struct err *err)
{
	struct bq_beat *beats = arena_array(t->r->arena, t->n, sizeof(*beats));
	int rc;

	if (t->n && !beats)
		return err_set(err, ERR_NOMEM, "out of memory");
	for (size_t i = 0; i < t->n; i++) {
		beats[i].id = t->jobs[i]->id;
		beats[i].token = t->jobs[i]->token;
	}
	rc = bq_heartbeats(t->s->bq, t->q.queue, beats, t->n, t->as.lock_ms, t->r->deadline_mono_ms, err);
	for (size_t i = 0; rc == 0 && i < t->n; i++) {
		t->jobs[i]->cancel = beats[i].cancel;
		t->jobs[i]->err = beats[i].err;
	}
	return rc;
}

static int progress(struct telling *t, struct err *err)
{
	const struct told *job = t->jobs[0];
	int rc = heartbeats(t, err);

	if (rc < 0 || job->err.code < 0)
		return rc;
	return bq_progress(t->s->bq, t->q.queue, job->id, jdoc_raw(&t->r->json, told_member(t, job, "progress")), t->r->deadline_mono_ms, err);
}

static int add_log(struct telling *t, struct err *err)
{
	const struct told *job = t->jobs[0];
	struct str line = jdoc_string(&t->r->json, told_member(t, job, "line"), t->r->arena);
	struct bq_job known;
	int rc = heartbeats(t, err);

	if (rc < 0 || job->err.code < 0)
		return rc;
	rc = bq_status(t->s->bq, t->q.queue, job->id, false, t->r->arena, &known, t->r->deadline_mono_ms, err);
	if (rc < 0)
		return rc;
	return bq_log_add(t->s->bq, t->q.queue, job->id, line, known.opts.keep_logs, NULL, t->r->deadline_mono_ms, err);
}

/* ---- the routes ---- */

void workers_heartbeat(struct request *r, struct response *res)
{
	tell_of_one(r, res, heartbeats);
}

static const char *as_held(const struct jdoc *doc, uint32_t node)
{
	(void)doc;
	(void)node;
	return "job-held";
}

void workers_heartbeats(struct request *r, struct response *res)
{
	tell_of_many(r, res, as_held, heartbeats);
}

void workers_progress(struct request *r, struct response *res)
{
	tell_of_one(r, res, progress);
}

void workers_log(struct request *r, struct response *res)
{
	tell_of_one(r, res, add_log);
}
