/* Queues as their watchers see them: all of them, one, its course, its workers, its length for an autoscaler. */
#include "gateway/routes/queues.h"

#include <math.h>

#include "gateway/limiting.h"
#include "gateway/realtime/lessees.h"
#include "gateway/routes/handlers.h"
#include "lib/base/clock.h"
#include "lib/schema/schema.h"

/* ---- what several routes write ---- */

enum bq_state state_of_word(struct str word)
{
	for (unsigned i = 0; i < BQ_STATE_COUNT; i++)
		if (str_is(word, bq_state_word((enum bq_state)i)))
			return (enum bq_state)i;
	return BQ_STATE_UNKNOWN;
}

void write_rate(struct jwrite *w, const char *key, double rate)
{
	jw_key(w, key);
	if (rate < 0)
		jw_null(w);
	else
		jw_double(w, round(rate * 100) / 100);
}

void write_optional(struct jwrite *w, const char *key, int64_t v)
{
	jw_key(w, key);
	if (v < 0)
		jw_null(w);
	else
		jw_int(w, v);
}

void write_declaration(struct jwrite *w, const char *key, const struct declaration *d)
{
	jw_key(w, key);
	if (!d) {
		jw_null(w);
		return;
	}
	const struct queue_terms *t = d->terms;
	jw_open(w, '{');
	jw_kstr(w, "name", d->name);
	jw_kstr(w, "jobName", t->job_name);
	jw_kstr(w, "processor", d->processor_name);
	jw_kint(w, "concurrency", t->concurrency);
	jw_key(w, "options");
	bq_opts_write(w, &t->defaults);
	jw_kint(w, "lockDuration", t->lock_ms);
	jw_kint(w, "stalledInterval", t->stalled_interval_ms);
	jw_kint(w, "maxStalledCount", t->max_stalled);
	jw_kint(w, "timeout", t->timeout_ms);
	jw_kint(w, "maxWaiting", t->max_waiting);
	jw_kraw(w, "payload", t->payload ? schema_text(t->payload) : STR("null"));
	jw_close(w, '}');
}

static void write_pause(struct jwrite *w, const struct bq_facts *f)
{
	bool paused = f->counts.paused;

	jw_kbool(w, "paused", paused);
	jw_kstr(w, "pausedReason", paused ? f->pause.reason : STR_NONE);
	jw_kstr(w, "pausedBy", paused ? f->pause.by : STR_NONE);
	write_time(w, "pausedSince", paused ? f->pause.since_ms : -1);
}

static void write_rates(struct jwrite *w, const struct watch_rates *rates)
{
	jw_key(w, "rates");
	jw_open(w, '{');
	write_rate(w, "in", rates->in);
	write_rate(w, "out", rates->out);
	write_rate(w, "failed", rates->failed);
	jw_close(w, '}');
}

static int64_t age_of(int64_t since_ms, int64_t now)
{
	return since_ms < 0 ? -1 : now > since_ms ? now - since_ms : 0;
}

/* What the list and the detail have in common. `q` tells of rates and workers, `f` of the rest. */
static void write_summary(const struct services *s, struct jwrite *w, struct str name, const struct declaration *decl, const struct bq_facts *f,
			  const struct watch_queue *q)
{
	static const struct watch_rates unknown = {-1, -1, -1};

	jw_kstr(w, "name", name);
	jw_kbool(w, "declared", decl != NULL);
	jw_kstr(w, "processor", decl ? decl->processor_name : STR_NONE);
	write_pause(w, f);
	jw_key(w, "counts");
	jw_open(w, '{');
	write_counts(w, &f->counts);
	jw_close(w, '}');
	write_rates(w, q ? &q->rates : &unknown);
	write_optional(w, "oldestWaitingAgeMs", age_of(f->next_since_ms, clock_wall_ms()));
	jw_kbool(w, "rateLimited", is_limited(f, decl));
	jw_key(w, "workers");
	jw_open(w, '{');
	jw_kint(w, "own", q ? q->sluice_workers : 0);
	jw_kint(w, "http", (int64_t)lessees_count(s->lessees, name));
	write_optional(w, "bullmq", q ? q->bullmq_workers : -1);
	jw_close(w, '}');
}

/* ---- all queues ---- */

void queues_list(struct request *r, struct response *res)
{
	const struct services *s = app_services(r->app);
	struct err err = {0};
	const struct watch_view *v = watch_look(s->watch, WATCH_FRESH_MS, r->deadline_mono_ms, &err);

	if (!v) {
		response_error(r, res, &err);
		return;
	}
	struct jwrite w = response_json(res, 200);
	jw_open(&w, '{');
	jw_key(&w, "items");
	jw_open(&w, '[');
	for (size_t i = 0; i < v->n; i++) {
		const struct watch_queue *q = &v->items[i];
		jw_open(&w, '{');
		write_summary(s, &w, q->name, q->decl, &q->facts, q);
		jw_close(&w, '}');
	}
	jw_close(&w, ']');
	jw_kbool(&w, "complete", v->complete);
	jw_kint(&w, "at", v->wall_ms);
	jw_close(&w, '}');
	watch_done(s->watch, v);
}

/* ---- one queue ---- */

static void write_limiter(struct jwrite *w, const struct bq_facts *f, const struct declaration *decl)
{
	struct bq_limiter l = limiter_in_force(f, decl);

	jw_key(w, "limiter");
	if (l.max <= 0 && !is_limited(f, decl)) {
		jw_null(w);
		return;
	}
	jw_open(w, '{');
	write_optional(w, "max", l.max > 0 ? l.max : -1);
	write_optional(w, "duration", l.max > 0 ? l.duration_ms : -1);
	jw_kbool(w, "limited", is_limited(f, decl));
	write_optional(w, "endsInMs", f->limit_ends_ms > 0 ? f->limit_ends_ms : -1);
	jw_close(w, '}');
}

static void write_detail(const struct services *s, struct response *res, const struct queue_ref *q, const struct bq_facts *f,
			 const struct watch_queue *watched)
{
	struct jwrite w = response_json(res, 200);

	jw_open(&w, '{');
	write_summary(s, &w, q->queue->name, q->decl, f, watched);
	write_optional(&w, "concurrency", f->concurrency);
	write_limiter(&w, f, q->decl);
	jw_kint(&w, "delayedDue", f->due);
	write_time(&w, "nextDelayedAt", f->next_delayed_ms);
	jw_kint(&w, "added", f->added);
	jw_kint(&w, "leftByV5", f->left_by_v5);
	jw_kstr(&w, "version", f->version);
	write_declaration(&w, "declaration", q->decl);
	jw_close(&w, '}');
}

int queue_facts(struct request *r, const struct queue_ref *q, struct bq_facts *f, struct err *err)
{
	return bq_facts(app_services(r->app)->bq, &q->queue, 1, r->arena, f, r->deadline_mono_ms, err);
}

/* The facts are fresh; rates and workers may be as old as a step of the watch. */
void queues_detail(struct request *r, struct response *res)
{
	const struct services *s = app_services(r->app);
	struct queue_ref q;
	struct bq_facts f;
	struct err err = {0};

	if (queue_ref_or_reply(r, res, r->params[0], &q) < 0)
		return;
	const struct watch_view *v = watch_look(s->watch, WATCH_STEP_MS, r->deadline_mono_ms, &err);
	if (!v || queue_facts(r, &q, &f, &err) < 0)
		response_error(r, res, &err);
	else
		write_detail(s, res, &q, &f, watch_view_find(v, q.queue->name));
	if (v)
		watch_done(s->watch, v);
}

/* ---- its course ---- */

static void write_points(struct jwrite *w, const char *key, int64_t interval_ms, const struct watch_point *points, size_t n)
{
	jw_key(w, key);
	jw_open(w, '{');
	jw_kint(w, "intervalMs", interval_ms);
	jw_key(w, "points");
	jw_open(w, '[');
	for (size_t i = 0; i < n; i++) {
		jw_open(w, '{');
		jw_kint(w, "at", points[i].wall_ms);
		write_rate(w, "in", points[i].rates.in);
		write_rate(w, "out", points[i].rates.out);
		write_rate(w, "failedRate", points[i].rates.failed);
		jw_kint(w, "waiting", points[i].waiting);
		jw_kint(w, "active", points[i].active);
		jw_kint(w, "delayed", points[i].delayed);
		jw_kint(w, "failed", points[i].failed);
		jw_close(w, '}');
	}
	jw_close(w, ']');
	jw_close(w, '}');
}

void queues_metrics(struct request *r, struct response *res)
{
	const struct services *s = app_services(r->app);
	struct watch_series *series = arena_zalloc(r->arena, sizeof(*series));
	struct queue_ref q;

	if (!series) {
		response_problem(r, res, PROBLEM_INTERNAL, "out of memory");
		return;
	}
	if (queue_ref_or_reply(r, res, r->params[0], &q) < 0)
		return;
	(void)watch_series(s->watch, q.queue->name, series); /* not watched yet: no points */
	struct jwrite w = response_json(res, 200);
	jw_open(&w, '{');
	jw_kstr(&w, "queue", q.queue->name);
	write_points(&w, "fine", WATCH_STEP_MS, series->fine, series->n_fine);
	write_points(&w, "coarse", WATCH_MINUTE_MS, series->coarse, series->n_coarse);
	jw_close(&w, '}');
}

/* ---- its length ---- */

void queues_scale(struct request *r, struct response *res)
{
	struct queue_ref q;
	struct bq_facts f;
	struct err err = {0};

	if (queue_ref_or_reply(r, res, r->params[0], &q) < 0)
		return;
	if (queue_facts(r, &q, &f, &err) < 0) {
		response_error(r, res, &err);
	} else {
		const int64_t *n = f.counts.n;
		int64_t waiting = n[BQ_WAITING] + n[BQ_PRIORITIZED];
		struct jwrite w = response_json(res, 200);
		jw_open(&w, '{');
		jw_kstr(&w, "queue", q.queue->name);
		jw_kint(&w, "waiting", waiting);
		jw_kint(&w, "active", n[BQ_ACTIVE]);
		jw_kint(&w, "delayed", n[BQ_DELAYED]);
		jw_kint(&w, "backlog", waiting + n[BQ_ACTIVE] + f.due);
		jw_close(&w, '}');
	}
}
