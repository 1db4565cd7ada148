#include "gateway/routes/access.h"

#include "gateway/http/route.h"
#include "lib/json/jdoc.h"

static void release_queue(void *q)
{
	bq_queue_release(q);
}

/* 1, 0 when Redis knows no such queue, or a failure. */
static int find_undeclared(struct request *r, struct str name, struct queue_ref *out, struct err *err)
{
	const struct services *s = app_services(r->app);
	struct bq_queue *own = arena_alloc(r->arena, sizeof(*own));

	if (!own)
		return err_set(err, ERR_NOMEM, "out of memory");
	if (!bq_queue_name_ok(name) || bq_queue_init(own, str_from(s->prefix), name, err) < 0)
		return 0;
	if (arena_defer(r->arena, release_queue, own) < 0)
		return err_set(err, ERR_NOMEM, "out of memory");
	out->queue = own;
	return bq_queue_exists(s->bq, own, r->deadline_mono_ms, err);
}

int queue_ref_or_reply(struct request *r, struct response *res, struct str name, struct queue_ref *out)
{
	const struct services *s = app_services(r->app);
	struct err err = {0};

	*out = (struct queue_ref){.decl = declarations_find(s->queues, name)};
	if (out->decl) {
		out->queue = &out->decl->queue;
		return 0;
	}
	int exists = find_undeclared(r, name, out, &err);
	if (exists > 0)
		return 0;
	if (exists < 0)
		response_error(r, res, &err);
	else
		response_problem(r, res, PROBLEM_QUEUE_UNKNOWN, "there is no queue \"%.*s\"", STR_ARG(name));
	return ERR_NOT_FOUND;
}

struct str job_owner(const struct bq_job *job)
{
	return job->opts.org.p ? job->opts.org : STR("default");
}

#define LEASE_PREFIX "lease:"

struct str lease_name(struct request *r, struct str worker_id)
{
	return str_from(arena_printf(r->arena, LEASE_PREFIX "%.*s:%s:%s", STR_ARG(worker_id), r->who.org, r->who.sub));
}

/* Neither a worker's id nor an organization has a colon. */
static bool holds(const struct request *r, const struct bq_job *job)
{
	struct str rest = job->processed_by;

	if (job->state != BQ_ACTIVE || !str_starts(rest, STR(LEASE_PREFIX)))
		return false;
	str_cut(&rest, ':');
	str_cut(&rest, ':');
	struct str org = str_cut(&rest, ':');
	return str_is(org, r->who.org) && rest.p && str_is(rest, r->who.sub);
}

bool may_reach_org(const struct request *r, struct str org)
{
	return (r->who.roles & r->route->roles & ROLES_EVERY_ORG) || str_is(org, r->who.org);
}

bool may_see(const struct request *r, const struct bq_job *job)
{
	if ((r->who.roles & READERS) && may_reach_org(r, job_owner(job)))
		return true;
	return (r->who.roles & ROLE_WORKER) && holds(r, job);
}

int no_such_job(const struct bq_queue *q, struct str id, struct err *err)
{
	return err_set(err, ERR_NOT_FOUND, "there is no job %.*s in the queue %.*s", STR_ARG(id), STR_ARG(q->name));
}

static bool is_unreserved(char c)
{
	static const bool yes[256] = {
		['0' ... '9'] = true, ['A' ... 'Z'] = true, ['a' ... 'z'] = true, ['-'] = true, ['.'] = true, ['_'] = true, ['~'] = true,
	};
	return yes[(unsigned char)c];
}

/* Job ids of other clients may hold any byte: whatever is not unreserved (RFC 3986 2.3) is escaped. */
static void add_escaped(struct buf *b, struct str s)
{
	for (size_t i = 0, plain; i < s.n; i += plain) {
		for (plain = 0; i + plain < s.n && is_unreserved(s.p[i + plain]); plain++)
			;
		buf_adds(b, str_sub(s, i, plain));
		if (i + plain < s.n)
			buf_addf(b, "%%%02X", (unsigned)(unsigned char)s.p[i + plain++]);
	}
}

struct str status_url(struct request *r, struct str queue, struct str id)
{
	struct buf b = BUF_IN(r->arena);

	buf_addz(&b, "/api/jobs/status/");
	add_escaped(&b, queue);
	buf_addc(&b, '/');
	add_escaped(&b, id);
	return b.failed ? STR("") : buf_str(&b);
}

void write_json_or_string(struct request *r, struct jwrite *w, const char *key, struct str text)
{
	struct jdoc doc;
	struct jdoc_fault fault;

	jw_key(w, key);
	if (!text.p)
		jw_null(w);
	else if (jdoc_parse(&doc, r->arena, text, &JDOC_LIMITS, &fault) == 0)
		jw_raw(w, text);
	else
		jw_str(w, text);
}

void write_time(struct jwrite *w, const char *key, int64_t ms)
{
	jw_key(w, key);
	if (ms < 0)
		jw_null(w);
	else
		jw_int(w, ms);
}

static void write_parent(struct jwrite *w, const struct bq_job *job)
{
	jw_key(w, "parent");
	if (!job->parent_id.p) {
		jw_null(w);
		return;
	}
	jw_open(w, '{');
	jw_kstr(w, "id", job->parent_id);
	jw_kstr(w, "queue", job->parent_queue);
	jw_close(w, '}');
}

static void write_stacktrace(struct request *r, struct jwrite *w, struct str trace)
{
	struct jdoc doc;
	struct jdoc_fault fault;
	bool usable = trace.p && jdoc_parse(&doc, r->arena, trace, &JDOC_LIMITS, &fault) == 0 && jdoc_type(&doc, JDOC_ROOT) == J_ARRAY;

	jw_kraw(w, "stacktrace", usable ? trace : STR("[]"));
}

static void write_fields(struct request *r, struct jwrite *w, struct str queue, const struct bq_job *job, bool with_payload, const char *source)
{
	jw_kstr(w, "id", job->id);
	jw_kstr(w, "queue", queue);
	jw_kstr(w, "name", job->name);
	jw_kstrz(w, "state", bq_state_word(job->state));
	write_json_or_string(r, w, "data", with_payload ? job->data : STR_NONE);
	jw_key(w, "opts");
	bq_opts_write(w, &job->opts);
	write_json_or_string(r, w, "progress", job->progress);
	write_json_or_string(r, w, "returnvalue", with_payload ? job->returnvalue : STR_NONE);
	jw_kstr(w, "failedReason", job->failed_reason);
	write_stacktrace(r, w, job->stacktrace);
	jw_kint(w, "attemptsMade", job->attempts_made);
	jw_kint(w, "attempts", job->opts.attempts > 1 ? job->opts.attempts : 1);
	write_time(w, "timestamp", job->timestamp);
	write_time(w, "processedOn", job->processed_on);
	write_time(w, "finishedOn", job->finished_on);
	jw_kint(w, "delay", job->delay);
	jw_kint(w, "priority", job->priority);
	write_parent(w, job);
	jw_kstr(w, "org", job_owner(job));
	jw_kstr(w, "submittedBy", job->opts.sub);
	jw_kstrz(w, "source", source);
}

void write_job_fields(struct request *r, struct jwrite *w, struct str queue, const struct bq_job *job, bool with_payload)
{
	write_fields(r, w, queue, job, with_payload, "redis");
}

void write_archived_job_fields(struct request *r, struct jwrite *w, struct str queue, const struct bq_job *job, bool with_payload)
{
	write_fields(r, w, queue, job, with_payload, "archive");
}

void write_archived_job(struct request *r, struct jwrite *w, struct str queue, const struct bq_job *job, bool with_payload)
{
	jw_open(w, '{');
	write_archived_job_fields(r, w, queue, job, with_payload);
	jw_close(w, '}');
}

void write_job(struct request *r, struct jwrite *w, struct str queue, const struct bq_job *job, bool with_payload)
{
	jw_open(w, '{');
	write_job_fields(r, w, queue, job, with_payload);
	jw_close(w, '}');
}

/* "delayed" with "prioritized" before "waiting-children", as BullMQ's getJobCounts has them; `paused` is a flag of the queue. */
void write_counts(struct jwrite *w, const struct bq_counts *c)
{
	for (unsigned i = 0; i < BQ_STATE_COUNT; i++)
		jw_kint(w, bq_state_word((enum bq_state)i), c->n[i]);
	jw_kbool(w, "paused", c->paused);
}

struct str body_text(const struct request *r, const char *name)
{
	return jdoc_string(&r->json, jdoc_get(&r->json, JDOC_ROOT, name), r->arena);
}

int64_t body_number(const struct request *r, const char *name, int64_t otherwise)
{
	int64_t v;

	return jdoc_int(&r->json, jdoc_get(&r->json, JDOC_ROOT, name), &v) == 0 ? v : otherwise;
}

bool body_flag(const struct request *r, const char *name)
{
	return jdoc_type(&r->json, jdoc_get(&r->json, JDOC_ROOT, name)) == J_TRUE;
}
