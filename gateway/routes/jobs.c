/* Creating jobs: the three endpoints of the guide, and the general one. */
#include "gateway/admission.h"
#include "gateway/http/audit.h"
#include "gateway/http/route.h"
#include "gateway/http/server.h"
#include "gateway/routes/access.h"
#include "gateway/routes/creation.h"
#include "gateway/routes/handlers.h"
#include "lib/schema/schema.h"

#define ARRAY_MAX 1000

/* Options that a request may set, and who may. What is not here is refused: parents belong to flows, timestamps to the gateway. */
static const struct {
	const char *name;
	role_set roles;
} SETTABLE[] = {
	{"delay", ROLE_PRODUCER | ROLE_OPERATOR | ROLE_ADMIN},
	{"priority", ROLE_PRODUCER | ROLE_OPERATOR | ROLE_ADMIN},
	{"attempts", ROLE_PRODUCER | ROLE_OPERATOR | ROLE_ADMIN},
	{"backoff", ROLE_PRODUCER | ROLE_OPERATOR | ROLE_ADMIN},
	{"lifo", ROLE_PRODUCER | ROLE_OPERATOR | ROLE_ADMIN},
	{"jobId", ROLE_PRODUCER | ROLE_OPERATOR | ROLE_ADMIN},
	{"deduplication", ROLE_PRODUCER | ROLE_OPERATOR | ROLE_ADMIN},
	{"keepLogs", ROLE_OPERATOR | ROLE_ADMIN},
	{"stackTraceLimit", ROLE_OPERATOR | ROLE_ADMIN},
	{"removeOnComplete", ROLE_OPERATOR | ROLE_ADMIN}, /* they act on the whole set */
	{"removeOnFail", ROLE_OPERATOR | ROLE_ADMIN},
};

/* Options in the query of the creation endpoints, by the JSON type of their value. */
static const struct {
	const char *name;
	bool number;
} IN_QUERY[] = {{"delay", true}, {"priority", true}, {"attempts", true}, {"lifo", true}, {"jobId", false}};

/* Against a schema of schemas.json, for what the route's own schema does not reach. */
static bool fits(const struct request *r, const char *name, const struct jdoc *doc, uint32_t node, struct str prefix,
		 struct schema_report *report)
{
	const struct schema *schema = r->deps->schema(r->deps->schemas, name);

	return schema_check(schema, doc, node, prefix, report) == 0;
}

/* ---- options ---- */

/* Reads an options object; every fault is an issue under `prefix`. */
static bool read_options(struct request *r, const struct jdoc *doc, uint32_t node, struct str prefix, struct bq_opts *out,
			 struct schema_report *report)
{
	struct err err = {0};
	unsigned before = report->count;

	for (uint32_t c = jdoc_first(doc, node); c != JDOC_NONE; c = jdoc_next(doc, node, c)) {
		struct str name = jdoc_key(doc, c, r->arena);
		size_t i = 0;
		while (i < ARRAY_LEN(SETTABLE) && !str_is(name, SETTABLE[i].name))
			i++;
		const char *pointer = arena_printf(r->arena, "%.*s/%.*s", STR_ARG(prefix), STR_ARG(name));
		if (i == ARRAY_LEN(SETTABLE))
			schema_report_add(report, str_from(pointer), "is no option that a request may set");
		else if (!(r->who.roles & SETTABLE[i].roles))
			schema_report_add(report, str_from(pointer), "may be set by the role operator only");
	}
	if (report->count != before)
		return false;
	if (bq_opts_read(out, doc, node, r->arena, true, &err) < 0) {
		schema_report_add(report, prefix, "%s", err.text);
		return false;
	}
	if (out->job_id.p && !bq_job_id_ok(out->job_id)) {
		schema_report_add(report, prefix, "jobId must be 1 to %d characters, no integer, without ':' and none of the queue's own names",
				  BQ_JOB_ID_MAX);
		return false;
	}
	return true;
}

/* The query's options as an object, so that they are read by the same code as a body's. */
static bool read_query_options(struct request *r, struct bq_opts *out, struct schema_report *report)
{
	struct buf text = BUF_INIT;
	struct jwrite w = jwrite_into(&text);
	struct jdoc doc;
	struct jdoc_fault fault;
	uint32_t given = 0;

	jw_open(&w, '{');
	for (size_t i = 0; i < ARRAY_LEN(IN_QUERY); i++) {
		struct str value = request_query(r, IN_QUERY[i].name);
		if (!value.p)
			continue;
		jw_key(&w, IN_QUERY[i].name);
		if (IN_QUERY[i].number)
			jw_raw(&w, value.n ? value : STR("null"));
		else
			jw_str(&w, value);
		given++;
	}
	jw_close(&w, '}');
	struct str copy = arena_dup(r->arena, buf_str(&text));
	buf_release(&text);
	bq_opts_init(out);
	if (!copy.p || jdoc_parse(&doc, r->arena, copy, &JDOC_LIMITS, &fault) < 0 || doc.nodes[JDOC_ROOT].count != given) {
		schema_report_add(report, STR("?"), "delay, priority and attempts must be numbers, lifo true or false");
		return false;
	}
	return fits(r, "job-options", &doc, JDOC_ROOT, STR("?"), report) && read_options(r, &doc, JDOC_ROOT, STR("?"), out, report);
}

/* ---- one job ---- */

static bool payload_is_valid(const struct declaration *decl, const struct jdoc *doc, uint32_t data, struct str prefix, struct schema_report *report)
{
	if (decl && decl->payload)
		return schema_check(decl->payload, doc, data, prefix, report) == 0;
	if (decl && jdoc_type(doc, data) != J_OBJECT) {
		schema_report_add(report, prefix, "must be an object");
		return false;
	}
	return true;
}

static void note_created(struct request *r, const struct bq_queue *q, const struct bq_added *added)
{
	struct buf after = BUF_INIT;
	struct jwrite w = jwrite_into(&after);

	jw_open(&w, '{');
	jw_kstrz(&w, "state", bq_state_word(added->state));
	jw_kbool(&w, "created", added->created);
	jw_close(&w, '}');
	audit_note(r, "job.create", str_from(arena_printf(r->arena, "%.*s/%.*s", STR_ARG(q->name), STR_ARG(added->id))), STR_NONE,
		   buf_str(&after));
	buf_release(&after);
}

static void set_idempotency(struct bq_add *job, struct idempotency idem)
{
	job->idem_key = idem.key;
	job->idem_fingerprint = idem.fingerprint;
	job->idem_ttl_ms = idem.ttl_ms;
}

static void add_one(struct request *r, struct response *res, const struct queue_ref *q, struct bq_add *job, struct str fingerprint)
{
	const struct services *s = app_services(r->app);
	struct bq_added added;
	struct str key;
	struct err err = {0};

	if (!creation_key_or_reply(r, res, &key))
		return;
	set_idempotency(job, creation_idempotency(r, q->queue, key, fingerprint, 0));
	if (admission_check(s->admission, &err) < 0 || bq_add(s->bq, q->queue, job, r->arena, &added, r->deadline_mono_ms, &err) < 0) {
		response_error(r, res, &err);
		return;
	}
	creation_count(s, q->queue, &added);
	note_created(r, q->queue, &added);
	struct str url = status_url(r, q->queue->name, added.id);
	struct jwrite w = response_json(res, added.created ? 201 : 200);
	jw_open(&w, '{');
	jw_kstr(&w, "jobId", added.id);
	jw_kstr(&w, "queue", q->queue->name);
	jw_kstr(&w, "name", job->name);
	jw_kstrz(&w, "state", bq_state_word(added.state));
	jw_kbool(&w, "created", added.created);
	jw_kstr(&w, "statusUrl", url);
	jw_close(&w, '}');
	response_header(res, "Location", url);
	if (added.replayed)
		response_header(res, "Idempotent-Replayed", STR("true"));
}

static struct bq_add new_job(const struct declaration *decl, struct str name, struct str data)
{
	return (struct bq_add){.name = name,
			       .data = data,
			       .idem_key = STR_NONE,
			       .idem_fingerprint = STR_NONE,
			       .max_waiting = decl ? decl->max_waiting : 0};
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
	struct bq_add job = new_job(q.decl, q.decl->job_name, jdoc_raw(&r->json, JDOC_ROOT));
	if (!read_query_options(r, &job.opts, &report)) {
		response_invalid(r, res, &report);
		return;
	}
	creation_options(r, q.decl, &job.opts);
	add_one(r, res, &q, &job, r->body);
}

/* ---- POST /api/queues/{queue}/jobs: one job, or an array ---- */

/* {name, data, opts}: the shape has been checked by a schema; what only the queue knows is checked here. */
static bool read_item(struct request *r, const struct queue_ref *q, uint32_t node, struct str prefix, struct bq_add *job,
		      struct schema_report *report)
{
	uint32_t name = jdoc_get(&r->json, node, "name"), data = jdoc_get(&r->json, node, "data"), opts = jdoc_get(&r->json, node, "opts");
	struct str data_at = str_from(arena_printf(r->arena, "%.*s/data", STR_ARG(prefix)));
	struct str opts_at = str_from(arena_printf(r->arena, "%.*s/opts", STR_ARG(prefix)));
	bool ok = true;

	*job = new_job(q->decl, jdoc_string(&r->json, name, r->arena), data == JDOC_NONE ? STR("{}") : jdoc_raw(&r->json, data));
	if (!job->name.p && q->decl)
		job->name = q->decl->job_name;
	if (!job->name.p) {
		schema_report_add(report, prefix, "name is needed: the queue is not declared");
		ok = false;
	}
	if (data == JDOC_NONE && q->decl && q->decl->payload) {
		schema_report_add(report, data_at, "is needed");
		ok = false;
	} else if (data != JDOC_NONE && !payload_is_valid(q->decl, &r->json, data, data_at, report)) {
		ok = false;
	}
	bq_opts_init(&job->opts);
	if (opts != JDOC_NONE && !read_options(r, &r->json, opts, opts_at, &job->opts, report))
		ok = false;
	if (ok)
		creation_options(r, q->decl, &job->opts);
	return ok;
}

/* A problem as an item of an array's answer: the same members as a problem of its own. */
static void write_item_problem(struct request *r, struct jwrite *w, const struct err *err, const struct schema_report *report)
{
	struct response item = {.file_fd = -1};

	if (report)
		response_invalid(r, &item, report);
	else
		response_error(r, &item, err);
	jw_kraw(w, "problem", buf_str(&item.body));
	buf_release(&item.body);
	buf_release(&item.headers);
}

struct items {
	size_t n;
	struct bq_add *jobs;             /* the good ones, packed */
	size_t *place;                   /* of each item among them, SIZE_MAX for a bad one */
	struct schema_report *reports;
	struct bq_add_result *results;
	size_t n_jobs;
};

static int read_items(struct request *r, const struct queue_ref *q, struct str key, struct items *it)
{
	size_t n = r->json.nodes[JDOC_ROOT].count, i = 0;

	*it = (struct items){.n = n,
			     .jobs = arena_array(r->arena, n + 1, sizeof(*it->jobs)),
			     .place = arena_array(r->arena, n + 1, sizeof(*it->place)),
			     .reports = arena_array(r->arena, n + 1, sizeof(*it->reports)),
			     .results = arena_array(r->arena, n + 1, sizeof(*it->results))};
	if (!it->jobs || !it->place || !it->reports || !it->results)
		return ERR_NOMEM;
	for (uint32_t c = jdoc_first(&r->json, JDOC_ROOT); c != JDOC_NONE; c = jdoc_next(&r->json, JDOC_ROOT, c), i++) {
		struct bq_add *job = &it->jobs[it->n_jobs];
		it->reports[i].arena = r->arena;
		it->place[i] = SIZE_MAX;
		if (!fits(r, "job-add", &r->json, c, STR(""), &it->reports[i]) || !read_item(r, q, c, STR(""), job, &it->reports[i]))
			continue;
		set_idempotency(job, creation_idempotency(r, q->queue, key, jdoc_raw(&r->json, c), i + 1));
		it->place[i] = it->n_jobs++;
	}
	return 0;
}

static void write_items(struct request *r, struct response *res, const struct queue_ref *q, const struct items *it)
{
	const struct services *s = app_services(r->app);
	struct jwrite w = response_json(res, 200);

	jw_open(&w, '{');
	jw_key(&w, "results");
	jw_open(&w, '[');
	for (size_t i = 0; i < it->n; i++) {
		const struct bq_add_result *result = it->place[i] == SIZE_MAX ? NULL : &it->results[it->place[i]];
		jw_open(&w, '{');
		if (result && result->rc == 0) {
			creation_count(s, q->queue, &result->added);
			jw_kstr(&w, "jobId", result->added.id);
			jw_kbool(&w, "created", result->added.created);
		} else {
			write_item_problem(r, &w, result ? &result->err : NULL, result ? NULL : &it->reports[i]);
		}
		jw_close(&w, '}');
	}
	jw_close(&w, ']');
	jw_close(&w, '}');
}

static void note_added(struct request *r, const struct bq_queue *q, const struct items *it)
{
	size_t created = 0;

	for (size_t i = 0; i < it->n_jobs; i++)
		created += it->results[i].rc == 0 && it->results[i].added.created;
	const char *after = arena_printf(r->arena, "{\"items\":%zu,\"created\":%zu}", it->n, created);
	audit_note(r, "job.create", q->name, STR_NONE, str_from(after));
}

static void add_array(struct request *r, struct response *res, const struct queue_ref *q)
{
	const struct services *s = app_services(r->app);
	struct items it = {0};
	struct str key;
	struct err err = {0};

	if (r->json.nodes[JDOC_ROOT].count > ARRAY_MAX) {
		response_problem(r, res, PROBLEM_TOO_LARGE, "at most %d jobs are taken at once", ARRAY_MAX);
		return;
	}
	if (!creation_key_or_reply(r, res, &key))
		return;
	int rc = admission_check(s->admission, &err);
	if (rc == 0 && read_items(r, q, key, &it) < 0)
		rc = err_set(&err, ERR_NOMEM, "out of memory");
	if (rc == 0 && it.n_jobs)
		rc = bq_add_many(s->bq, q->queue, it.jobs, it.n_jobs, r->arena, it.results, r->deadline_mono_ms, &err);
	if (rc < 0) {
		response_error(r, res, &err);
		return;
	}
	note_added(r, q->queue, &it);
	write_items(r, res, q, &it);
}

static void add_single(struct request *r, struct response *res, const struct queue_ref *q)
{
	struct schema_report report = {.arena = r->arena};
	struct bq_add job;

	if (read_item(r, q, JDOC_ROOT, STR(""), &job, &report))
		add_one(r, res, q, &job, r->body);
	else
		response_invalid(r, res, &report);
}

void jobs_add(struct request *r, struct response *res)
{
	struct queue_ref q;

	if (queue_ref_or_reply(r, res, r->params[0], &q) < 0)
		return;
	if (!q.decl && !(r->who.roles & (ROLE_OPERATOR | ROLE_ADMIN)))
		response_problem(r, res, PROBLEM_QUEUE_UNKNOWN, "the queue \"%.*s\" is not declared; an operator may add to it",
				 STR_ARG(r->params[0]));
	else if (jdoc_type(&r->json, JDOC_ROOT) == J_ARRAY)
		add_array(r, res, &q);
	else
		add_single(r, res, &q);
	queue_ref_release(&q);
}
