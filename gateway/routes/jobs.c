/* Creating jobs: the three endpoints of the guide, and the general one. */
#include "gateway/admission.h"
#include "gateway/http/audit.h"
#include "gateway/http/route.h"
#include "gateway/http/uri.h"
#include "gateway/routes/access.h"
#include "gateway/routes/creation.h"
#include "gateway/routes/handlers.h"
#include "gateway/routes/jobs_array.h"
#include "gateway/routes/jobs_lines.h"
#include "lib/schema/schema.h"
#include "processors/runtime/tally.h"

/* Options in the query of the creation endpoints; the value of some is JSON as it stands there. */
static const struct {
	const char *name;
	bool bare;
} IN_QUERY[] = {{"delay", true}, {"priority", true}, {"attempts", true}, {"lifo", true}, {"jobId", false}};

static bool is_bare(struct str name)
{
	for (size_t i = 0; i < ARRAY_LEN(IN_QUERY); i++)
		if (IN_QUERY[i].bare && str_is(name, IN_QUERY[i].name))
			return true;
	return false;
}

/* The query's options as an object, so that they are read by the same code as a body's, which refuses what is no option. */
static bool read_query_options(struct request *r, struct bq_opts *out, struct schema_report *report)
{
	struct buf text = BUF_INIT;
	struct jwrite w = jwrite_into(&text);
	struct jdoc doc;
	struct jdoc_fault fault;
	struct str rest = r->query, name, value;
	uint32_t given = 0;

	jw_open(&w, '{');
	for (; uri_query_next(r->arena, &rest, &name, &value); given++) {
		jw_keys(&w, name.p ? name : STR(""));
		if (is_bare(name))
			jw_raw(&w, value.n ? value : STR("null"));
		else
			jw_str(&w, value.p ? value : STR(""));
	}
	jw_close(&w, '}');
	struct str copy = arena_dup(r->arena, buf_str(&text));
	buf_release(&text);
	if (!copy.p || jdoc_parse(&doc, r->arena, copy, &JDOC_LIMITS, &fault) < 0 || doc.nodes[JDOC_ROOT].count != given) {
		schema_report_add(report, STR("?"), "delay, priority and attempts must be numbers, lifo true or false, each given once");
		return false;
	}
	return creation_fits(r, "job-options", &doc, JDOC_ROOT, STR("?"), report) && creation_read_options(r, &doc, JDOC_ROOT, STR("?"), out, report);
}

/* ---- one job ---- */

static void note_created(struct request *r, const struct bq_queue *q, const struct bq_added *added)
{
	const struct str target[] = {q->name, STR("/"), added->id};
	const struct str after[] = {STR("{\"state\":\""), str_from(bq_state_word(added->state)), STR("\",\"created\":"),
				    added->created ? STR("true}") : STR("false}")};

	audit_note(r, "job.create", arena_join(r->arena, target, ARRAY_LEN(target)), STR_NONE, arena_join(r->arena, after, ARRAY_LEN(after)));
}

/* One job on its way to Redis, with all that its answer needs. */
struct creation {
	struct request *r;
	struct response *res;
	struct queue_ref q;
	struct bq_add job;
};

static void answer_created(const struct creation *c, const struct bq_added *added)
{
	struct request *r = c->r;
	struct str url = status_url(r, c->q.queue->name, added->id);

	tallies_created(app_services(r->app)->tallies, c->q.queue->name, c->q.decl, added, c->job.data.n);
	note_created(r, c->q.queue, added);
	struct jwrite w = response_json(c->res, added->created ? 201 : 200);
	jw_open(&w, '{');
	jw_kstr(&w, "jobId", added->id);
	jw_kstr(&w, "queue", c->q.queue->name);
	jw_kstr(&w, "name", c->job.name);
	jw_kstrz(&w, "state", bq_state_word(added->state));
	jw_kbool(&w, "created", added->created);
	jw_kstr(&w, "statusUrl", url);
	jw_close(&w, '}');
	response_header(c->res, "Location", url);
	if (added->replayed)
		response_header(c->res, "Idempotent-Replayed", STR("true"));
}

static void on_added(void *arg, int rc, const struct bq_added *added, const struct err *err)
{
	const struct creation *c = arg;

	if (rc < 0)
		creation_refused(c->r, c->res, err);
	else
		answer_created(c, added);
	response_ready(c->r, c->res);
}

static void add_one(struct request *r, struct response *res, const struct queue_ref *q, const struct bq_add *job, struct str fingerprint)
{
	const struct services *s = app_services(r->app);
	struct creation *c = arena_alloc(r->arena, sizeof(*c));
	struct str key;
	struct err err = {0};

	if (!creation_key_or_reply(r, res, &key))
		return;
	int rc = c ? admission_check(s->admission, &err) : err_set(&err, ERR_NOMEM, "out of memory");
	if (rc < 0) {
		response_error(r, res, &err);
		return;
	}
	*c = (struct creation){.r = r, .res = res, .q = *q, .job = *job};
	creation_set_key(&c->job, creation_idempotency(r, q->queue, key, fingerprint, 0));
	struct parker *answered = response_defer(r);
	bq_add_send(s->bq, q->queue, &c->job, r->arena, r->deadline_mono_ms, on_added, c, answered);
}

/* The path's last segment is the queue: POST /api/jobs/document-processing. Its payload schema is the route's body schema. */
void jobs_create(struct request *r, struct response *res)
{
	const struct services *s = app_services(r->app);
	struct queue_ref q = {.decl = declarations_find(s->queues, str_from(strrchr(r->route->pattern, '/') + 1))};
	struct schema_report report = {.arena = r->arena};

	if (!q.decl) {
		response_problem(r, res, PROBLEM_QUEUE_UNKNOWN, NULL);
		return;
	}
	q.queue = &q.decl->queue;
	struct bq_add job = creation_job(q.decl, q.decl->terms->job_name, jdoc_raw(&r->json, JDOC_ROOT));
	if (r->query.n == 0) {
		creation_usual_options(r, q.decl, &job.opts);
	} else if (read_query_options(r, &job.opts, &report)) {
		creation_options(r, q.decl, &job.opts);
	} else {
		response_invalid(r, res, &report);
		return;
	}
	add_one(r, res, &q, &job, r->body);
}

/* ---- POST /api/queues/{queue}/jobs: one job, an array, or lines ---- */

static void add_single(struct request *r, struct response *res, const struct queue_ref *q)
{
	struct schema_report report = {.arena = r->arena};
	struct bq_add job;

	if (creation_read_item(r, q->decl, &r->json, JDOC_ROOT, STR(""), &job, &report))
		add_one(r, res, q, &job, r->body);
	else
		response_invalid(r, res, &report);
}

void jobs_add(struct request *r, struct response *res)
{
	struct queue_ref q;

	if (queue_ref_or_reply(r, res, r->params[0], &q) < 0)
		return;
	if (r->query.n)
		response_problem(r, res, PROBLEM_VALIDATION, "there are no parameters here: a job's options stand in the body, in \"opts\"");
	else if (!q.decl && !(r->who.roles & (ROLE_OPERATOR | ROLE_ADMIN)))
		response_problem(r, res, PROBLEM_QUEUE_UNKNOWN, "the queue \"%.*s\" is not declared; an operator may add to it",
				 STR_ARG(r->params[0]));
	else if (r->by_line)
		jobs_add_lines(r, res, &q);
	else if (jdoc_type(&r->json, JDOC_ROOT) == J_ARRAY)
		jobs_add_array(r, res, &q);
	else
		add_single(r, res, &q);
}
