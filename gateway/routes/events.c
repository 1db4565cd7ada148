/* Events as they happen. */
#include "gateway/http/route.h"
#include "gateway/realtime/feed.h"
#include "gateway/routes/access.h"
#include "gateway/routes/handlers.h"

#define QUEUES_MAX 256

/* What is asked for, read from the query. */
struct wish {
	const struct bq_queue **queues;
	size_t n;
	struct str job_id; /* .p NULL: all */
	uint32_t types;    /* 0: all */
};

static int no_memory(struct request *r, struct response *res)
{
	response_problem(r, res, PROBLEM_INTERNAL, "There was not enough memory for the request.");
	return ERR_NOMEM;
}

static int invalid(struct request *r, struct response *res, const char *what)
{
	response_problem(r, res, PROBLEM_VALIDATION, "%s", what);
	return ERR_INVALID;
}

/* ---- the query: 0, else the response is written ---- */

static bool has_queue(const struct wish *w, struct str name)
{
	for (size_t i = 0; i < w->n; i++)
		if (str_eq(w->queues[i]->name, name))
			return true;
	return false;
}

static int read_types(struct request *r, struct response *res, struct wish *w)
{
	struct str rest = request_query(r, "types");

	while (rest.p && rest.n) {
		enum event_type t = event_type_of(str_trim(str_cut(&rest, ',')));
		if (t == EVENT_TYPE_COUNT)
			return invalid(r, res, "types: there is no such event; /openapi.json lists them.");
		w->types |= 1u << t;
	}
	return 0;
}

static int read_job(struct request *r, struct response *res, struct str job, struct wish *w)
{
	struct queue_ref q;
	struct str name = str_cut(&job, '/');

	if (!job.p || !job.n)
		return invalid(r, res, "job: queue/jobId is asked for.");
	if (queue_ref_or_reply(r, res, name, &q) < 0)
		return ERR_NOT_FOUND;
	w->queues[w->n++] = q.queue;
	w->job_id = job;
	return 0;
}

static int read_queues(struct request *r, struct response *res, struct str names, struct wish *w)
{
	while (names.p && names.n) {
		struct str name = str_trim(str_cut(&names, ','));
		struct queue_ref q;

		if (has_queue(w, name))
			continue;
		if (w->n == QUEUES_MAX)
			return invalid(r, res, "queue: too many of them.");
		if (queue_ref_or_reply(r, res, name, &q) < 0)
			return ERR_NOT_FOUND;
		w->queues[w->n++] = q.queue;
	}
	return 0;
}

static int take_declared(struct request *r, struct response *res, struct wish *w)
{
	const struct declarations *d = app_services(r->app)->queues;
	size_t n = d->count;

	if (n > QUEUES_MAX)
		return invalid(r, res, "queue: there are too many queues to follow all; name some.");
	for (size_t i = 0; i < n; i++)
		w->queues[w->n++] = &d->items[i]->queue;
	return 0;
}

static int read_wish(struct request *r, struct response *res, struct wish *w)
{
	struct str queues = request_query(r, "queue"), job = request_query(r, "job");

	*w = (struct wish){.queues = arena_array(r->arena, QUEUES_MAX, sizeof(struct bq_queue *))};
	if (!w->queues)
		return no_memory(r, res);
	if (queues.p && job.p)
		return invalid(r, res, "either queue or job is asked for, not both.");
	if (read_types(r, res, w) < 0)
		return ERR_INVALID;
	if (job.p)
		return read_job(r, res, job, w);
	int rc = read_queues(r, res, queues, w);
	return rc == 0 && w->n == 0 ? take_declared(r, res, w) : rc;
}

/* ---- the feed ---- */

static bool sees_all(const struct request *r)
{
	return r->who.roles & ROLES_EVERY_ORG;
}

/* Is it the caller's job? Asked behind joining, so that nothing is missed and nothing of another job of that id is told. */
static int check_own(struct request *r, struct feed *f, struct err *err)
{
	const struct bq_queue *q = f->o.wish.queues[0];
	struct bq_job job;

	int rc = bq_status(f->o.bq, q, f->o.wish.job_id, false, r->arena, &job, r->deadline_mono_ms, err);
	if (rc == 0 && !may_see(r, &job))
		rc = no_such_job(q, f->o.wish.job_id, err);
	return rc;
}

static struct str last_id(const struct request *r)
{
	struct str header = request_header(r, "Last-Event-ID");

	return header.p ? header : request_query(r, "lastEventId");
}

static int open_feed(struct request *r, struct response *res, const struct wish *w, bool messages, struct feed *f)
{
	const struct services *s = app_services(r->app);
	struct feed_options o = {.views = s->views, .bq = s->bq, .last_id = last_id(r),
				 .wish = {.queues = w->queues, .n = w->n, .job_id = w->job_id, .types = w->types,
					  .messages = messages, .one_life = !sees_all(r)}};
	struct err err = {0};

	int rc = feed_open(f, &o, r, &err);
	if (rc == 0 && o.wish.one_life) {
		rc = check_own(r, f, &err);
		if (rc < 0)
			feed_close(f);
	}
	if (rc < 0)
		response_error(r, res, &err);
	return rc;
}

/* NULL: the response is written. */
static struct feed *feed_or_reply(struct request *r, struct response *res, bool messages)
{
	struct wish w;
	struct feed *f = arena_alloc(r->arena, sizeof(*f));

	if (!f)
		(void)no_memory(r, res);
	else if (read_wish(r, res, &w) < 0)
		return NULL;
	else if (!sees_all(r) && !w.job_id.p)
		response_problem(r, res, PROBLEM_FORBIDDEN, "Producers follow one job: ?job=queue/jobId.");
	else if (!request_wait_begin(r))
		response_problem(r, res, PROBLEM_OVERLOADED, "As many requests wait for events as may.");
	else if (open_feed(r, res, &w, messages, f) == 0)
		return f;
	return NULL;
}

void events_stream(struct request *r, struct response *res)
{
	struct feed *f = feed_or_reply(r, res, false);

	if (f)
		response_stream(r, res, &f->stream);
}

void events_websocket(struct request *r, struct response *res)
{
	struct feed *f = feed_or_reply(r, res, true);

	if (f)
		response_websocket(r, res, &f->stream);
}
