#include "gateway/openapi/openapi.h"

#include "gateway/http/problem.h"
#include "lib/json/jwrite.h"

#define REFERENCE "\"#/$defs/"
#define COMPONENTS "#/components/schemas/"

struct writer {
	struct jwrite w;
	const struct route_table *routes;
	const struct schemas *schemas;
	struct arena arena;
	struct err *err;
	int rc; /* the first failure */
};

static void fail(struct writer *o, const struct route *r, const char *what, const char *name)
{
	if (o->rc == 0)
		o->rc = err_set(o->err, ERR_BUG, "route %s: schemas.json has no %s \"%s\"", r->id, what, name);
}

/* Schema text with its references turned to where the schemas stand in this document. */
static void write_schema(struct writer *o, struct str text, struct str inside)
{
	struct buf b = BUF_INIT;
	while (text.n) {
		const char *at = memmem(text.p, text.n, REFERENCE, sizeof(REFERENCE) - 1);
		size_t before = at ? (size_t)(at - text.p) : text.n;
		buf_add(&b, text.p, before);
		text = str_sub(text, before, text.n - before);
		if (!at)
			break;
		buf_addz(&b, "\"" COMPONENTS);
		buf_adds(&b, inside);
		buf_addz(&b, inside.n ? "/$defs/" : "");
		text = str_sub(text, sizeof(REFERENCE) - 1, text.n - (sizeof(REFERENCE) - 1));
	}
	if (b.failed)
		o->w.b->failed = true;
	jw_raw(&o->w, buf_str(&b));
	buf_release(&b);
}

static void write_ref(struct writer *o, const char *section, const char *name)
{
	char ref[160];
	snprintf(ref, sizeof(ref), "#/components/%s/%s", section, name);
	jw_open(&o->w, '{');
	jw_kstrz(&o->w, "$ref", ref);
	jw_close(&o->w, '}');
}

static void write_media(struct writer *o, const char *media, const char *schema)
{
	jw_key(&o->w, media);
	jw_open(&o->w, '{');
	if (schema) {
		jw_key(&o->w, "schema");
		write_ref(o, "schemas", schema);
	}
	jw_close(&o->w, '}');
}

static void write_content(struct writer *o, const char *media, const char *schema)
{
	jw_key(&o->w, "content");
	jw_open(&o->w, '{');
	write_media(o, media, schema);
	jw_close(&o->w, '}');
}

/* A list of strings that schemas.json keeps for an operation: "query", "header", "media", "events" or "lines"; JDOC_NONE when there is none. */
static uint32_t extras(struct writer *o, const struct route *r, const char *kind)
{
	const struct jdoc *d = schemas_document(o->schemas);
	return jdoc_get(d, jdoc_get(d, jdoc_get(d, JDOC_ROOT, "operations"), r->id), kind);
}

/* ---- parameters ---- */

/* `name` is the parameter's key in schemas.json; where two operations mean different things by one name, it has a "name" of its own. */
static void write_parameter(struct writer *o, const struct route *r, struct str name, const char *in)
{
	const struct jdoc *d = schemas_document(o->schemas);
	char key[64];
	snprintf(key, sizeof(key), "%.*s", STR_ARG(name));
	uint32_t p = jdoc_get(d, jdoc_get(d, JDOC_ROOT, "parameters"), key);
	if (p == JDOC_NONE) {
		fail(o, r, "parameter", key);
		return;
	}
	uint32_t shown = jdoc_get(d, p, "name");
	jw_open(&o->w, '{');
	jw_kstr(&o->w, "name", shown == JDOC_NONE ? name : jdoc_string(d, shown, &o->arena));
	jw_kstrz(&o->w, "in", in);
	if (strcmp(in, "path") == 0)
		jw_kbool(&o->w, "required", true);
	uint32_t description = jdoc_get(d, p, "description");
	if (description != JDOC_NONE)
		jw_kraw(&o->w, "description", jdoc_raw(d, description));
	jw_key(&o->w, "schema");
	write_schema(o, jdoc_raw(d, jdoc_get(d, p, "schema")), STR(""));
	jw_close(&o->w, '}');
}

static void write_path_parameters(struct writer *o, const struct route *r)
{
	struct str rest = str_from(r->pattern);
	while (rest.p) {
		struct str segment = str_cut(&rest, '/');
		if (segment.n > 2 && segment.p[0] == '{')
			write_parameter(o, r, str_sub(segment, 1, segment.n - 2), "path");
	}
}

static void write_extra_parameters(struct writer *o, const struct route *r, const char *in)
{
	const struct jdoc *d = schemas_document(o->schemas);
	uint32_t names = extras(o, r, in);
	for (uint32_t n = jdoc_first(d, names); n != JDOC_NONE; n = jdoc_next(d, names, n))
		write_parameter(o, r, jdoc_string(d, n, &o->arena), in);
}

/* ---- responses ---- */

enum trait {
	ANY = 1u,
	AUTHENTICATED = 2u,
	HAS_PARAMS = 4u,
	HAS_BODY = 8u,
	HAS_JSON = 16u,
	HAS_SCHEMA = 32u,
	RATED = 64u,
	CHANGES = 128u,
	WORKS = 256u, /* is more than a look at this process */
	UPGRADES = 512u,
};

/* Which operations may answer with which problem; the rest stands under "default". */
static const unsigned problem_traits[PROBLEM_COUNT] = {
	[PROBLEM_BAD_REQUEST] = ANY,		  [PROBLEM_INVALID_JSON] = HAS_JSON,	      [PROBLEM_VALIDATION] = HAS_SCHEMA,
	[PROBLEM_UNAUTHORIZED] = AUTHENTICATED,	  [PROBLEM_FORBIDDEN] = AUTHENTICATED,	      [PROBLEM_NOT_FOUND] = HAS_PARAMS,
	[PROBLEM_QUEUE_UNKNOWN] = HAS_PARAMS,	  [PROBLEM_TIMEOUT] = HAS_BODY,		      [PROBLEM_CONFLICT] = CHANGES,
	[PROBLEM_LOCK_LOST] = CHANGES,		  [PROBLEM_HELD_ELSEWHERE] = CHANGES,
	[PROBLEM_ID_TAKEN] = CHANGES,		  [PROBLEM_TOO_LARGE] = HAS_BODY,	      [PROBLEM_UNSUPPORTED_MEDIA] = HAS_BODY,
	[PROBLEM_IDEMPOTENCY_MISMATCH] = CHANGES, [PROBLEM_RATE_LIMITED] = RATED,	      [PROBLEM_HEADERS_TOO_LARGE] = ANY,
	[PROBLEM_INTERNAL] = ANY,		  [PROBLEM_REDIS_UNAVAILABLE] = WORKS,	      [PROBLEM_QUEUE_FULL] = CHANGES,
	[PROBLEM_UPGRADE_REQUIRED] = UPGRADES,
	[PROBLEM_DRAINING] = WORKS,		  [PROBLEM_OUTCOME_UNKNOWN] = CHANGES,
};

static unsigned traits_of(const struct route *r)
{
	unsigned t = ANY;
	t |= r->roles ? AUTHENTICATED : 0;
	t |= strchr(r->pattern, '{') ? HAS_PARAMS : 0;
	t |= r->body != BODY_NONE ? HAS_BODY : 0;
	t |= r->body == BODY_JSON ? HAS_JSON : 0;
	t |= r->body_schema ? HAS_SCHEMA : 0;
	t |= r->rate != RATE_NONE ? RATED : 0;
	t |= r->flags & ROUTE_CHANGES ? CHANGES : 0;
	t |= r->flags & ROUTE_PROBE ? 0 : WORKS;
	t |= r->flags & ROUTE_WEBSOCKET ? UPGRADES : 0;
	return t;
}

static void write_problem(struct writer *o, const char *status, const char *description)
{
	jw_key(&o->w, status);
	jw_open(&o->w, '{');
	jw_kstrz(&o->w, "description", description);
	write_content(o, "application/problem+json", "problem");
	jw_close(&o->w, '}');
}

/* Problems with one status share a response: OpenAPI has one for each. */
static void write_problems(struct writer *o, unsigned traits)
{
	for (int status = 400; status < 600; status++) {
		struct buf titles = BUF_INIT;
		for (enum problem p = 0; p < PROBLEM_COUNT; p++) {
			const struct problem_row *row = problem_row(p);
			if (row->status == status && (problem_traits[p] & traits))
				buf_addf(&titles, "%s%s (`%s`)", titles.n ? "; " : "", row->title, row->slug);
		}
		char key[16];
		snprintf(key, sizeof(key), "%d", status);
		if (titles.n)
			write_problem(o, key, titles.p);
		buf_release(&titles);
	}
	write_problem(o, "default", "Any other problem; see /problems/{slug}");
}

static const char *name_at(struct writer *o, uint32_t node)
{
	const char *name = arena_dupz(&o->arena, jdoc_string(schemas_document(o->schemas), node, &o->arena));
	return name ? name : "";
}

/* Of an operation that also takes lines: schemas.json names the schema of a line (LINE_ASKED) and of one of the answer (LINE_ANSWERED). One that only
 * answers with lines has the latter alone. */
enum line_schema { LINE_ASKED, LINE_ANSWERED };

static void write_lines(struct writer *o, const struct route *r, enum line_schema which)
{
	const struct jdoc *d = schemas_document(o->schemas);
	uint32_t list = extras(o, r, "lines"), name = jdoc_first(d, list);
	bool takes = r->flags & ROUTE_LINES;
	if (!takes && (which == LINE_ASKED || list == JDOC_NONE))
		return;
	if (which == LINE_ANSWERED && takes && name != JDOC_NONE)
		name = jdoc_next(d, list, name);
	const char *schema = name == JDOC_NONE ? "" : name_at(o, name);
	if (!schemas_has(o->schemas, schema))
		fail(o, r, "schema", schema);
	write_media(o, "application/x-ndjson", schema);
}

/* Of a stream: schemas.json names the schema of an event's data. */
static void write_events(struct writer *o, const struct route *r)
{
	uint32_t name = jdoc_first(schemas_document(o->schemas), extras(o, r, "events"));
	if (name == JDOC_NONE)
		return;
	const char *schema = name_at(o, name);
	if (!schemas_has(o->schemas, schema))
		fail(o, r, "schema", schema);
	write_media(o, "text/event-stream", schema);
}

static void write_success(struct writer *o, const struct route *r)
{
	const struct jdoc *d = schemas_document(o->schemas);
	uint32_t media = extras(o, r, "media");
	jw_open(&o->w, '{');
	jw_kstrz(&o->w, "description", "Done");
	if (r->response_schema && !schemas_has(o->schemas, r->response_schema))
		fail(o, r, "schema", r->response_schema);
	jw_key(&o->w, "content");
	jw_open(&o->w, '{');
	if (r->response_schema)
		write_media(o, "application/json", r->response_schema);
	write_lines(o, r, LINE_ANSWERED);
	write_events(o, r);
	for (uint32_t m = jdoc_first(d, media); m != JDOC_NONE; m = jdoc_next(d, media, m))
		write_media(o, name_at(o, m), NULL);
	jw_close(&o->w, '}');
	jw_close(&o->w, '}');
}

static void write_responses(struct writer *o, const struct route *r)
{
	jw_key(&o->w, "responses");
	jw_open(&o->w, '{');
	jw_key(&o->w, r->flags & ROUTE_WEBSOCKET ? "101" : "2XX");
	write_success(o, r);
	if (strcmp(r->method, "GET") == 0 && !(r->flags & ROUTE_PROBE)) {
		jw_key(&o->w, "304");
		jw_open(&o->w, '{');
		jw_kstrz(&o->w, "description", "Unchanged since the ETag in If-None-Match");
		jw_close(&o->w, '}');
	}
	write_problems(o, traits_of(r));
	jw_close(&o->w, '}');
}

/* ---- operations ---- */

static void write_security(struct writer *o, const struct route *r)
{
	jw_key(&o->w, "security");
	jw_open(&o->w, '[');
	if (r->roles) {
		jw_open(&o->w, '{');
		jw_key(&o->w, "bearer");
		jw_open(&o->w, '[');
		for (unsigned i = 0; i < ROLE_COUNT; i++)
			if (r->roles & (1u << i))
				jw_strz(&o->w, role_word(i));
		jw_close(&o->w, ']');
		jw_close(&o->w, '}');
	}
	if (r->flags & ROUTE_METRICS) {
		jw_open(&o->w, '{');
		jw_close(&o->w, '}');
	}
	jw_close(&o->w, ']');
}

static void write_request_body(struct writer *o, const struct route *r)
{
	if (r->body == BODY_NONE)
		return;
	if (r->body_schema && !schemas_has(o->schemas, r->body_schema))
		fail(o, r, "schema", r->body_schema);
	jw_key(&o->w, "requestBody");
	jw_open(&o->w, '{');
	jw_kbool(&o->w, "required", true);
	jw_key(&o->w, "content");
	jw_open(&o->w, '{');
	write_media(o, r->body == BODY_JSON ? "application/json" : "*/*", r->body_schema);
	write_lines(o, r, LINE_ASKED);
	jw_close(&o->w, '}');
	jw_close(&o->w, '}');
}

static void write_operation(struct writer *o, const struct route *r)
{
	char method[16] = "";
	for (size_t i = 0; i < sizeof(method) - 1 && r->method[i]; i++)
		method[i] = (char)(r->method[i] | 0x20);
	jw_key(&o->w, method);
	jw_open(&o->w, '{');
	jw_kstrz(&o->w, "operationId", r->id);
	jw_kstrz(&o->w, "summary", r->summary);
	write_security(o, r);
	jw_key(&o->w, "parameters");
	jw_open(&o->w, '[');
	write_path_parameters(o, r);
	write_extra_parameters(o, r, "query");
	write_extra_parameters(o, r, "header");
	jw_close(&o->w, ']');
	write_request_body(o, r);
	write_responses(o, r);
	jw_close(&o->w, '}');
}

static bool is_first_of_path(const struct route_table *t, unsigned i)
{
	for (unsigned k = 0; k < i; k++)
		if (strcmp(t->rows[k].pattern, t->rows[i].pattern) == 0)
			return false;
	return true;
}

static void write_paths(struct writer *o)
{
	const struct route_table *t = o->routes;
	jw_key(&o->w, "paths");
	jw_open(&o->w, '{');
	for (unsigned i = 0; i < t->count; i++) {
		if (!is_first_of_path(t, i))
			continue;
		jw_key(&o->w, t->rows[i].pattern);
		jw_open(&o->w, '{');
		for (unsigned k = i; k < t->count; k++)
			if (strcmp(t->rows[k].pattern, t->rows[i].pattern) == 0)
				write_operation(o, &t->rows[k]);
		jw_close(&o->w, '}');
	}
	jw_close(&o->w, '}');
}

/* ---- the rest ---- */

static void write_info(struct writer *o, const char *version)
{
	jw_key(&o->w, "info");
	jw_open(&o->w, '{');
	jw_kstrz(&o->w, "title", "Sluice");
	jw_kstrz(&o->w, "version", version);
	jw_kstrz(&o->w, "summary", "A job-queue gateway for BullMQ queues on Redis.");
	jw_key(&o->w, "license");
	jw_open(&o->w, '{');
	jw_kstrz(&o->w, "name", "MIT");
	jw_kstrz(&o->w, "identifier", "MIT");
	jw_close(&o->w, '}');
	jw_close(&o->w, '}');
	jw_key(&o->w, "servers");
	jw_open(&o->w, '[');
	jw_open(&o->w, '{');
	jw_kstrz(&o->w, "url", "/");
	jw_close(&o->w, '}');
	jw_close(&o->w, ']');
}

static void write_schemas(struct writer *o)
{
	const struct jdoc *d = schemas_document(o->schemas);
	uint32_t all = jdoc_get(d, JDOC_ROOT, "schemas");
	struct str name;
	const struct schema *added;
	jw_key(&o->w, "schemas");
	jw_open(&o->w, '{');
	for (uint32_t c = jdoc_first(d, all); c != JDOC_NONE; c = jdoc_next(d, all, c)) {
		jw_keys(&o->w, jdoc_key(d, c, &o->arena));
		write_schema(o, jdoc_raw(d, c), STR(""));
	}
	for (unsigned i = 0; (added = schemas_added(o->schemas, i, &name)); i++) {
		jw_keys(&o->w, name);
		write_schema(o, schema_text(added), name);
	}
	jw_close(&o->w, '}');
}

static void write_components(struct writer *o)
{
	struct buf roles = BUF_INIT;
	jw_key(&o->w, "components");
	jw_open(&o->w, '{');
	write_schemas(o);
	jw_key(&o->w, "securitySchemes");
	jw_open(&o->w, '{');
	jw_key(&o->w, "bearer");
	jw_open(&o->w, '{');
	jw_kstrz(&o->w, "type", "http");
	jw_kstrz(&o->w, "scheme", "bearer");
	jw_kstrz(&o->w, "bearerFormat", "JWT");
	jw_kstrz(&o->w, "description", "Claims: sub, roles, org, exp. An operation lists the roles of which one is needed.");
	jw_close(&o->w, '}');
	jw_close(&o->w, '}');
	jw_close(&o->w, '}');
	role_dump(&roles);
	jw_kraw(&o->w, "x-roles", buf_str(&roles));
	buf_release(&roles);
}

int openapi_write(const struct route_table *routes, const struct schemas *schemas, const char *version, struct buf *out, struct err *err)
{
	struct writer o = {.w = jwrite_into(out), .routes = routes, .schemas = schemas, .err = err};
	arena_init(&o.arena, 0);
	jw_open(&o.w, '{');
	jw_kstrz(&o.w, "openapi", "3.1.0");
	write_info(&o, version);
	write_paths(&o);
	write_components(&o);
	jw_close(&o.w, '}');
	arena_release(&o.arena);
	if (o.rc == 0 && out->failed)
		return err_set(err, ERR_NOMEM, "no memory for the OpenAPI document");
	return o.rc;
}
