#include "gateway/routes/creation.h"

#include "gateway/http/route.h"
#include "gateway/http/server.h"
#include "lib/base/digest.h"
#include "lib/config/config.h"
#include "processors/runtime/tally.h"

#define IDEMPOTENCY_KEY_MAX 255

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

/* ---- what is asked for ---- */

bool creation_fits(const struct request *r, const char *name, const struct jdoc *doc, uint32_t node, struct str prefix,
		   struct schema_report *report)
{
	const struct schema *schema = r->deps->schema(r->deps->schemas, name);

	return schema_check(schema, doc, node, prefix, report) == 0;
}

bool creation_read_options(struct request *r, const struct jdoc *doc, uint32_t node, struct str prefix, struct bq_opts *out,
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

bool creation_payload_fits(const struct declaration *decl, const struct jdoc *doc, uint32_t data, struct str prefix,
			   struct schema_report *report)
{
	const struct queue_terms *t = decl ? decl->terms : NULL;

	if (t && t->payload)
		return schema_check(t->payload, doc, data, prefix, report) == 0;
	if (decl && jdoc_type(doc, data) != J_OBJECT) {
		schema_report_add(report, prefix, "must be an object");
		return false;
	}
	return true;
}

struct bq_add creation_job(const struct declaration *decl, struct str name, struct str data)
{
	return (struct bq_add){.name = name,
			       .data = data,
			       .idem_key = STR_NONE,
			       .idem_fingerprint = STR_NONE,
			       .max_waiting = decl ? decl->terms->max_waiting : 0};
}

/* Made for each item of an array, whether or not something is wrong with it. */
static struct str pointer_into(const struct request *r, struct str prefix, struct str member)
{
	return arena_join(r->arena, (struct str[]){prefix, member}, 2);
}

bool creation_read_item(struct request *r, const struct declaration *decl, const struct jdoc *doc, uint32_t node, struct str prefix,
			struct bq_add *job, struct schema_report *report)
{
	uint32_t name = jdoc_get(doc, node, "name"), data = jdoc_get(doc, node, "data"), opts = jdoc_get(doc, node, "opts");
	struct str data_at = pointer_into(r, prefix, STR("/data"));
	bool ok = true;

	*job = creation_job(decl, jdoc_string(doc, name, r->arena), data == JDOC_NONE ? STR("{}") : jdoc_raw(doc, data));
	if (!job->name.p && decl)
		job->name = decl->terms->job_name;
	if (!job->name.p) {
		schema_report_add(report, prefix, "name is needed: the queue is not declared");
		ok = false;
	}
	if (data == JDOC_NONE && decl && decl->terms->payload) {
		schema_report_add(report, data_at, "is needed");
		ok = false;
	} else if (data != JDOC_NONE && !creation_payload_fits(decl, doc, data, data_at, report)) {
		ok = false;
	}
	if (opts == JDOC_NONE)
		creation_usual_options(r, decl, &job->opts);
	else if (creation_read_options(r, doc, opts, pointer_into(r, prefix, STR("/opts")), &job->opts, report))
		creation_options(r, decl, &job->opts);
	else
		ok = false;
	return ok;
}

/* Who submitted the job is written by us alone. */
static void set_submitter(struct request *r, struct bq_opts *o)
{
	o->org = str_from(r->who.org);
	o->sub = str_from(r->who.sub);
	if (o->dedup_id.p)
		o->dedup_id = str_from(arena_printf(r->arena, "%s:%.*s", r->who.org, STR_ARG(o->dedup_id)));
}

void creation_options(struct request *r, const struct declaration *decl, struct bq_opts *o)
{
	if (decl)
		bq_opts_merge(o, &decl->terms->complete);
	else
		bq_opts_merge(o, &app_services(r->app)->queues->defaults);
	set_submitter(r, o);
}

void creation_usual_options(struct request *r, const struct declaration *decl, struct bq_opts *o)
{
	*o = decl ? decl->terms->complete : app_services(r->app)->queues->defaults;
	set_submitter(r, o);
}

bool creation_key_or_reply(struct request *r, struct response *res, struct str *out)
{
	struct str key = request_header(r, "Idempotency-Key");

	*out = STR_NONE;
	if (!key.p)
		return true;
	key = str_trim(key);
	if (key.n >= 2 && key.p[0] == '"' && key.p[key.n - 1] == '"')
		key = str_sub(key, 1, key.n - 2);
	if (key.n < 1 || key.n > IDEMPOTENCY_KEY_MAX) {
		response_problem(r, res, PROBLEM_BAD_REQUEST, "Idempotency-Key must have 1 to %d characters", IDEMPOTENCY_KEY_MAX);
		return false;
	}
	*out = key;
	return true;
}

struct idempotency creation_idempotency(struct request *r, const struct bq_queue *q, struct str key, struct str body, size_t index)
{
	struct idempotency idem = {.key = STR_NONE, .fingerprint = STR_NONE};
	unsigned char sum[SHA256_BYTES];
	char hex[SHA256_HEX_SIZE];

	if (!key.p)
		return idem;
	struct str position = str_from(index ? arena_printf(r->arena, "%zu", index) : "");
	digest_sha256_parts((struct str[]){str_from(r->who.org), str_from(r->route->id), key, position}, 4, sum);
	digest_hex(sum, SHA256_BYTES, hex);
	idem.key = str_from(arena_printf(r->arena, "%.*sidem:%s", STR_ARG(q->keys[BQ_KEY_BASE]), hex));
	digest_sha256_parts((struct str[]){body, r->query}, 2, sum);
	digest_hex(sum, SHA256_BYTES, hex);
	idem.fingerprint = arena_dup(r->arena, str_from(hex));
	idem.ttl_ms = app_services(r->app)->config->idempotency_ttl_s * 1000;
	return idem;
}

void creation_set_key(struct bq_add *job, struct idempotency idem)
{
	job->idem_key = idem.key;
	job->idem_fingerprint = idem.fingerprint;
	job->idem_ttl_ms = idem.ttl_ms;
}

void creation_refused(struct request *r, struct response *res, const struct err *err)
{
	tallies_refused(app_services(r->app)->tallies, err);
	response_error(r, res, err);
}

void creation_add_problem(struct jwrite *w, struct response *item)
{
	jw_kraw(w, "problem", buf_str(&item->body));
	buf_release(&item->body);
	buf_release(&item->headers);
}
