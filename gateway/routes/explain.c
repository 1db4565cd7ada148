/* Why jobs do not run: reads what gateway/explain.h judges. */
#include "gateway/explain.h"

#include "gateway/realtime/lessees.h"
#include "gateway/routes/handlers.h"
#include "gateway/routes/queues.h"
#include "lib/base/clock.h"

#define UNLOCKED_LOOKED_AT 200

/* What is the same for a queue and its jobs. The picture of the watch must be given back. */
static const struct watch_view *read_queue(struct request *r, const struct queue_ref *q, struct explained *e, struct err *err)
{
	const struct services *s = app_services(r->app);
	struct bq_facts *facts = arena_zalloc(r->arena, sizeof(*facts));

	if (!facts) {
		err_set(err, ERR_NOMEM, "out of memory");
		return NULL;
	}
	*e = (struct explained){.queue = q->queue->name, .decl = q->decl, .facts = facts, .now_ms = clock_wall_ms()};
	if (queue_facts(r, q, facts, err) < 0)
		return NULL;
	const struct watch_view *v = watch_look(s->watch, WATCH_STEP_MS, r->deadline_mono_ms, err);
	if (v)
		e->watched = watch_view_find(v, q->queue->name);
	e->http_workers = (int64_t)lessees_count(s->lessees, q->queue->name);
	return v;
}

static void write_answer(struct response *res, const struct explained *e)
{
	struct jwrite w = response_json(res, 200);

	jw_open(&w, '{');
	jw_kstr(&w, "queue", e->queue);
	if (e->job) {
		jw_kstr(&w, "jobId", e->job->id);
		jw_kstrz(&w, "state", bq_state_word(e->job->state));
		write_optional(&w, "ahead", e->standing->ahead);
		write_optional(&w, "etaMs", explain_eta_ms(e));
	}
	jw_key(&w, "findings");
	explain_write(&w, e);
	jw_close(&w, '}');
}

void queues_explain(struct request *r, struct response *res)
{
	const struct services *s = app_services(r->app);
	struct queue_ref q;
	struct explained e;
	struct err err = {0};

	if (queue_ref_or_reply(r, res, r->params[0], &q) < 0)
		return;
	const struct watch_view *v = read_queue(r, &q, &e, &err);
	if (!v || bq_count_unlocked(s->bq, q.queue, UNLOCKED_LOOKED_AT, &e.unlocked, r->deadline_mono_ms, &err) < 0)
		response_error(r, res, &err);
	else
		write_answer(res, &e);
	if (v)
		watch_done(s->watch, v);
}

void jobs_explain(struct request *r, struct response *res)
{
	const struct services *s = app_services(r->app);
	struct str id = r->params[1];
	struct queue_ref q;
	struct explained e;
	struct bq_job job;
	struct bq_standing standing;
	struct err err = {0};

	if (queue_ref_or_reply(r, res, r->params[0], &q) < 0)
		return;
	const struct watch_view *v = read_queue(r, &q, &e, &err);
	if (!v || bq_status(s->bq, q.queue, id, false, r->arena, &job, r->deadline_mono_ms, &err) < 0 ||
	    bq_standing(s->bq, q.queue, id, true, r->arena, &standing, r->deadline_mono_ms, &err) < 0) {
		response_error(r, res, &err);
	} else {
		e.job = &job;
		e.standing = &standing;
		write_answer(res, &e);
	}
	if (v)
		watch_done(s->watch, v);
}
