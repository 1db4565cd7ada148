/* The jobs of a queue as their watchers see them: page by page, one in full, its log. */
#include "gateway/routes/archive.h"
#include "gateway/routes/filters.h"
#include "gateway/routes/handlers.h"
#include "gateway/routes/queues.h"

#define PAGE_DEFAULT 50
#define PAGE_LIMIT 200
#define LOGS_DEFAULT 100

/* "|waiting|active|…" */
#define X(id, word) "|" word
static const char STATE_WORDS[] = BQ_STATES(X);
#undef X

/* ---- a page ---- */

struct listing {
	struct request *r;
	const struct services *s;
	const struct queue_ref *q;
	enum bq_state state;
	bool ascending;
	struct str name;      /* .p NULL: any */
	size_t limit;
	struct bq_cursor at;
	struct bq_place *places;
	size_t n, scanned;
	struct bq_job *jobs;
};

/* Leaves the ids whose job has the name, at most as many as are wanted; then the cursor stands on the last of them. */
static int filter_by_name(struct listing *l, struct err *err)
{
	struct request *r = l->r;
	struct bq_brief *briefs = arena_array(r->arena, l->n + 1, sizeof(*briefs));
	size_t kept = 0;

	if (!briefs)
		return err_set(err, ERR_NOMEM, "out of memory");
	int rc = bq_briefs(l->s->bq, l->q->queue, l->places, l->n, r->arena, briefs, r->deadline_mono_ms, err);
	for (size_t i = 0; rc == 0 && i < l->n; i++) {
		if (!briefs[i].name.p || !str_eq(briefs[i].name, l->name))
			continue;
		if (kept == l->limit) {
			l->at = (struct bq_cursor){.last = l->places[i - 1]};
			l->scanned = i;
			break;
		}
		l->places[kept++] = l->places[i];
	}
	l->n = kept;
	return rc;
}

static int read_listing(struct listing *l, struct err *err)
{
	struct request *r = l->r;
	size_t many = l->name.p ? BQ_PAGE_MAX : l->limit;

	l->places = arena_array(r->arena, many, sizeof(*l->places));
	l->jobs = arena_array(r->arena, l->limit, sizeof(*l->jobs));
	if (!l->places || !l->jobs)
		return err_set(err, ERR_NOMEM, "out of memory");
	int rc = bq_page(l->s->bq, l->q->queue, l->state, l->ascending, &l->at, many, r->arena, l->places, &l->n, r->deadline_mono_ms, err);
	l->scanned = l->n;
	if (rc == 0 && l->name.p)
		rc = filter_by_name(l, err);
	return rc < 0 ? rc : bq_read_jobs(l->s->bq, l->q->queue, l->state, l->places, l->n, r->arena, l->jobs, r->deadline_mono_ms, err);
}

/* One id: looked up, not searched for. */
static int read_by_id(struct listing *l, struct str id, bool any_state, struct err *err)
{
	struct request *r = l->r;

	l->jobs = arena_array(r->arena, 1, sizeof(*l->jobs));
	l->at.done = true;
	l->scanned = 1;
	if (!l->jobs)
		return err_set(err, ERR_NOMEM, "out of memory");
	int rc = bq_status(l->s->bq, l->q->queue, id, false, r->arena, l->jobs, r->deadline_mono_ms, err);
	if (rc == 0)
		l->n = (any_state || l->jobs->state == l->state) && (!l->name.p || str_eq(l->name, l->jobs->name));
	return rc == ERR_NOT_FOUND ? 0 : rc;
}

static void write_listing(const struct listing *l, struct response *res)
{
	struct jwrite w = response_json(res, 200);
	struct buf next = BUF_INIT;

	jw_open(&w, '{');
	jw_key(&w, "items");
	jw_open(&w, '[');
	for (size_t i = 0; i < l->n; i++)
		if (l->jobs[i].state != BQ_STATE_UNKNOWN) /* an id without a job */
			write_job(l->r, &w, l->q->queue->name, &l->jobs[i], false);
	jw_close(&w, ']');
	bq_cursor_write(&next, &l->at);
	jw_kstr(&w, "next", l->at.done ? STR_NONE : buf_str(&next));
	jw_kint(&w, "scanned", (int64_t)l->scanned);
	jw_close(&w, '}');
	buf_release(&next);
}

/* What the query says; false: the response is written. */
static bool read_query(struct listing *l, struct response *res, struct str *id, bool *any_state)
{
	struct request *r = l->r;
	struct str state = STR_NONE, order = STR_NONE, cursor = STR_NONE;
	int64_t limit = PAGE_DEFAULT;
	struct err err = {0};
	const struct query_row rows[] = {
		{.name = "state", .text = &state, .words = STATE_WORDS + 1},
		{.name = "order", .text = &order, .words = "asc|desc"},
		{.name = "cursor", .text = &cursor},
		{.name = "name", .text = &l->name},
		{.name = "id", .text = id},
		{.name = "limit", .number = &limit, .min = 1, .max = PAGE_LIMIT},
	};

	if (!query_read_or_reply(r, res, rows, ARRAY_LEN(rows), NULL))
		return false;
	*any_state = !state.p;
	l->state = state.p ? state_of_word(state) : BQ_WAITING;
	l->ascending = order.p && str_is(order, "asc");
	l->limit = (size_t)limit;
	if (!cursor.p || bq_cursor_read(&l->at, l->state, cursor, &err) == 0)
		return true;
	response_error(r, res, &err);
	return false;
}

void jobs_list(struct request *r, struct response *res)
{
	struct queue_ref q;
	struct listing l = {.r = r, .s = app_services(r->app), .q = &q};
	struct str id = STR_NONE;
	bool any_state;
	struct err err = {0};

	if (!read_query(&l, res, &id, &any_state) || queue_ref_or_reply(r, res, r->params[0], &q) < 0)
		return;
	int rc = id.p ? read_by_id(&l, id, any_state, &err) : read_listing(&l, &err);
	if (rc < 0)
		response_error(r, res, &err);
	else
		write_listing(&l, res);
}

/* ---- one job ---- */

static void write_lock(struct jwrite *w, const struct bq_standing *at)
{
	jw_key(w, "lock");
	if (!at->lock.p) {
		jw_null(w);
		return;
	}
	jw_open(w, '{');
	jw_kbool(w, "sluice", bq_token_is_ours(at->lock));
	write_optional(w, "endsInMs", at->lock_ms > 0 ? at->lock_ms : -1);
	jw_close(w, '}');
}

/* What is shown of one job, and whether it stands in Redis or only in its record. */
struct detail {
	struct bq_job job;
	struct bq_standing at;
	int64_t logs;
	bool archived;
};

static void write_detail(struct request *r, struct response *res, const struct queue_ref *q, const struct detail *d, bool with_payload)
{
	const struct bq_job *job = &d->job;
	struct jwrite w = response_json(res, 200);

	jw_open(&w, '{');
	(d->archived ? write_archived_job_fields : write_job_fields)(r, &w, q->queue->name, job, with_payload);
	jw_kint(&w, "attemptsStarted", job->attempts_started);
	jw_kint(&w, "stalledCount", job->stalled_count);
	jw_kstr(&w, "processedBy", job->processed_by);
	jw_kstr(&w, "deferredFailure", job->deferred_failure);
	jw_kstr(&w, "scheduler", job->repeat_key);
	write_time(&w, "dueAt", d->at.due_ms);
	write_lock(&w, &d->at);
	jw_kint(&w, "pendingChildren", d->at.pending);
	jw_kint(&w, "logs", d->logs);
	jw_close(&w, '}');
}

/* Nobody counts the starts of a job in its record; each attempt that was made had one. */
static int read_archived(struct request *r, const struct queue_ref *q, bool with_payload, struct detail *d, struct err *err)
{
	int rc = archived_job(r, q, r->params[1], with_payload, &d->job, err);

	d->archived = true;
	d->at = (struct bq_standing){.due_ms = -1, .ahead = -1};
	if (rc == 0)
		d->job.attempts_started = d->job.attempts_made;
	return rc;
}

static int read_detail(struct request *r, const struct queue_ref *q, bool with_payload, struct detail *d, struct err *err)
{
	const struct services *s = app_services(r->app);
	struct str id = r->params[1];
	struct bq_logs logs;
	int rc = bq_status(s->bq, q->queue, id, with_payload, r->arena, &d->job, r->deadline_mono_ms, err);

	if (rc == ERR_NOT_FOUND)
		return read_archived(r, q, with_payload, d, err);
	if (rc == 0)
		rc = bq_standing(s->bq, q->queue, id, false, r->arena, &d->at, r->deadline_mono_ms, err);
	if (rc == 0)
		rc = bq_logs(s->bq, q->queue, id, 0, 1, r->arena, &logs, r->deadline_mono_ms, err);
	if (rc == 0)
		d->logs = logs.total;
	return rc;
}

void jobs_detail(struct request *r, struct response *res)
{
	bool with_payload = !str_is(request_query(r, "data"), "0");
	struct queue_ref q;
	struct detail d = {0};
	struct err err = {0};

	if (queue_ref_or_reply(r, res, r->params[0], &q) < 0)
		return;
	if (read_detail(r, &q, with_payload, &d, &err) < 0)
		response_error(r, res, &err);
	else
		write_detail(r, res, &q, &d, with_payload);
}

/* ---- its log ---- */

static int answer_logs(struct request *r, struct response *res, const struct queue_ref *q, int64_t start, int64_t limit, struct err *err)
{
	const struct services *s = app_services(r->app);
	struct bq_job job;
	struct bq_logs logs;
	int rc = bq_status(s->bq, q->queue, r->params[1], false, r->arena, &job, r->deadline_mono_ms, err);

	if (rc == 0)
		rc = bq_logs(s->bq, q->queue, r->params[1], start, (size_t)limit, r->arena, &logs, r->deadline_mono_ms, err);
	if (rc < 0)
		return rc;
	struct jwrite w = response_json(res, 200);
	jw_open(&w, '{');
	jw_key(&w, "lines");
	jw_open(&w, '[');
	for (size_t i = 0; i < logs.n; i++)
		jw_str(&w, logs.lines[i]);
	jw_close(&w, ']');
	jw_kint(&w, "start", start);
	jw_kint(&w, "total", logs.total);
	jw_close(&w, '}');
	return 0;
}

void jobs_logs(struct request *r, struct response *res)
{
	struct queue_ref q;
	struct err err = {0};
	int64_t start = 0, limit = LOGS_DEFAULT;
	const struct query_row rows[] = {
		{.name = "start", .number = &start, .min = 0, .max = INT32_MAX},
		{.name = "limit", .number = &limit, .min = 1, .max = BQ_PAGE_MAX},
	};

	if (!query_read_or_reply(r, res, rows, ARRAY_LEN(rows), NULL) || queue_ref_or_reply(r, res, r->params[0], &q) < 0)
		return;
	if (answer_logs(r, res, &q, start, limit, &err) < 0)
		response_error(r, res, &err);
}
