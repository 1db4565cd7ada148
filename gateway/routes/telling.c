#include "gateway/routes/telling.h"

#include "gateway/routes/creation.h"
#include "lib/base/clock.h"
#include "lib/base/panic.h"

#define PROOF_MS 60000 /* a completion that was answered with 504 may be repeated so long */

uint32_t told_member(const struct telling *t, const struct told *job, const char *name)
{
	return jdoc_get(&t->r->json, job->said, name);
}

/* ---- what is told ---- */

static bool begin_or_reply(struct telling *t, struct request *r, struct response *res, size_t n)
{
	struct err err = {0};

	*t = (struct telling){.r = r, .s = app_services(r->app), .n_listed = n};
	if (queue_ref_or_reply(r, res, r->params[0], &t->q) < 0)
		return false;
	t->as = t->q.decl ? declaration_worker(t->q.decl, STR_NONE) : (struct bq_worker){.lock_ms = DECLARATION_LOCK_MS};
	t->as.proof_ms = PROOF_MS;
	t->listed = arena_array(r->arena, n, sizeof(*t->listed));
	t->jobs = arena_array(r->arena, n, sizeof(*t->jobs));
	if (t->listed && t->jobs)
		return true;
	err_set(&err, ERR_NOMEM, "out of memory");
	response_error(r, res, &err);
	return false;
}

static void take_in(struct telling *t, struct told *job, uint32_t said)
{
	job->said = said;
	job->before = job->state = BQ_ACTIVE;
	job->token = jdoc_string(&t->r->json, told_member(t, job, "token"), t->r->arena);
}

/* What does not fit keeps its id, if it has one, for the answer. */
static void take_in_listed(struct telling *t, told_schema_fn *schema_of)
{
	const struct jdoc *doc = &t->r->json;
	uint32_t list = jdoc_get(doc, JDOC_ROOT, "jobs");
	struct told *job = t->listed;

	for (uint32_t c = jdoc_first(doc, list); c != JDOC_NONE; c = jdoc_next(doc, list, c), job++) {
		job->faults.arena = t->r->arena;
		take_in(t, job, c);
		job->id = jdoc_string(doc, told_member(t, job, "id"), t->r->arena);
		if (creation_fits(t->r, schema_of(doc, c), doc, c, STR(""), &job->faults))
			t->jobs[t->n++] = job;
	}
}

/* ---- the answer ---- */

/* A job that is gone, finished or set aside is no longer held under the token, like one that somebody else has. */
static void refuse(const struct request *r, struct response *res, const struct err *err)
{
	if (err->code == ERR_LOCK_LOST || err->code == ERR_NOT_FOUND || err->code == ERR_BROKEN)
		response_problem(r, res, PROBLEM_LOCK_LOST, "%s", err->text);
	else
		response_error(r, res, err);
}

static void write_told(struct jwrite *w, const struct told *job, int64_t expires_wall_ms)
{
	write_time(w, "lockExpiresAt", job->state == BQ_ACTIVE ? expires_wall_ms : -1);
	jw_kbool(w, "cancel", job->cancel);
	jw_kstrz(w, "state", bq_state_word(job->state));
}

static void answer_one(const struct telling *t, struct response *res, int64_t expires_wall_ms)
{
	if (t->listed->err.code < 0) {
		refuse(t->r, res, &t->listed->err);
		return;
	}
	struct jwrite w = response_json(res, 200);
	jw_open(&w, '{');
	write_told(&w, t->listed, expires_wall_ms);
	jw_close(&w, '}');
}

static void write_result(const struct telling *t, struct jwrite *w, const struct told *job, int64_t expires_wall_ms)
{
	struct response item = {.file_fd = -1};

	jw_open(w, '{');
	jw_kstr(w, "id", job->id);
	if (job->faults.count) {
		response_invalid(t->r, &item, &job->faults);
		creation_add_problem(w, &item);
	} else if (job->err.code < 0) {
		refuse(t->r, &item, &job->err);
		creation_add_problem(w, &item);
	} else {
		write_told(w, job, expires_wall_ms);
	}
	jw_close(w, '}');
}

static void answer_each(const struct telling *t, struct response *res, int64_t expires_wall_ms)
{
	struct jwrite w = response_json(res, 200);

	jw_open(&w, '{');
	jw_key(&w, "results");
	jw_open(&w, '[');
	for (size_t i = 0; i < t->n_listed; i++)
		write_result(t, &w, &t->listed[i], expires_wall_ms);
	jw_close(&w, ']');
	jw_close(&w, '}');
}

static void tell(struct telling *t, struct response *res, tell_fn *what)
{
	int64_t expires = clock_wall_ms() + t->as.lock_ms;
	struct err err = {0};

	if (what(t, &err) < 0)
		refuse(t->r, res, &err);
	else if (t->several)
		answer_each(t, res, expires);
	else
		answer_one(t, res, expires);
}

void tell_of_one(struct request *r, struct response *res, tell_fn *what)
{
	struct telling t;

	if (!begin_or_reply(&t, r, res, 1))
		return;
	take_in(&t, t.listed, JDOC_ROOT);
	t.listed->id = r->params[1];
	t.jobs[t.n++] = t.listed;
	tell(&t, res, what);
}

void tell_of_many(struct request *r, struct response *res, told_schema_fn *schema_of, tell_fn *what)
{
	size_t n = r->json.nodes[jdoc_get(&r->json, JDOC_ROOT, "jobs")].count;
	struct telling t;

	bug_on(n > TELLING_MAX); /* the schema has seen to it */
	if (!begin_or_reply(&t, r, res, n))
		return;
	t.several = true;
	take_in_listed(&t, schema_of);
	tell(&t, res, what);
}
