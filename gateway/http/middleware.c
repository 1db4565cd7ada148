/* What stands between a request that may be trusted and its handler, step by step, all of it from the route's row. */
#include "gateway/http/lines.h"
#include "gateway/http/server_state.h"
#include "gateway/http/session.h"
#include "lib/base/clock.h"
#include "lib/config/config.h"
#include "lib/log/log.h"

#define HANDLER_MS 30000 /* what a handler may spend after the body has arrived */

/* true: go on; false: the response is complete. */
typedef bool step_fn(struct request *r, struct response *res);

void middleware_rejected(struct server *s, const char *reason)
{
	struct str labels[] = {str_from(reason)};
	metrics_add(s->deps.metrics, M_HTTP_REJECTED, 1, labels);
}

static bool rejected(const struct request *r, const char *reason)
{
	middleware_rejected(r->x_->worker->server, reason);
	return false;
}

/* ---- route ----------------------------------------------------------------------------------------------------------- */

static bool answer_options(const struct request *r, struct response *res)
{
	if (!cors_apply(r, res)) {
		response_headerf(res, "Allow", "%s", r->x_->allow);
		res->status = 204;
	}
	return false;
}

static bool serves_only_probes(const struct request *r)
{
	return r->deps->config->role == CONFIG_ROLE_WORKER || atomic_load(&r->x_->worker->server->phase) == SERVER_REFUSING;
}

static bool is_for_page(const struct request *r)
{
	return r->deps->page && str_is(r->method, "GET") && !serves_only_probes(r);
}

static bool step_route(struct request *r, struct response *res)
{
	struct server *s = r->x_->worker->server;
	const struct route *route = NULL;
	bool options = str_is(r->method, "OPTIONS");
	enum route_match m = route_find(&s->router, r->method, r->path, r->arena, &route, r->params, r->x_->allow, sizeof(r->x_->allow));
	if (m == ROUTE_NO_METHOD && options)
		return answer_options(r, res);
	if (atomic_load(&s->phase) == SERVER_REFUSING && !(route && route->flags & ROUTE_PROBE)) {
		response_problem(r, res, PROBLEM_DRAINING, NULL);
		return rejected(r, "draining");
	}
	if (m == ROUTE_NO_PATH && is_for_page(r) && r->deps->page(r, res))
		return false;
	if (m == ROUTE_FOUND && serves_only_probes(r) && !(route->flags & ROUTE_PROBE))
		m = ROUTE_NO_PATH;
	if (m == ROUTE_NO_METHOD) {
		response_problem(r, res, PROBLEM_METHOD_NOT_ALLOWED, "This path takes %s.", r->x_->allow);
		response_headerf(res, "Allow", "%s", r->x_->allow);
		return false;
	}
	if (m == ROUTE_FOUND && route->flags & ROUTE_DEV && !r->deps->config->dev_login) {
		response_problem(r, res, PROBLEM_NOT_FOUND, "This path exists with DEV_LOGIN=1 only; `sluice token` prints a token.");
		return false;
	}
	if (m != ROUTE_FOUND) {
		response_problem(r, res, m == ROUTE_BAD_PATH ? PROBLEM_BAD_REQUEST : PROBLEM_NOT_FOUND, "There is no such path.");
		return false;
	}
	r->route = route;
	r->x_->route_state = &s->routes[route - r->deps->routes->rows];
	return true;
}

/* ---- who ------------------------------------------------------------------------------------------------------------- */

static bool is_public(const struct request *r)
{
	if (r->route->flags & ROUTE_METRICS)
		return !r->deps->config->metrics_auth;
	return r->route->roles == ROUTE_PUBLIC;
}

static bool refuse_token(struct request *r, struct response *res, const char *reason, const char *why)
{
	struct str labels[] = {str_from(reason)};
	metrics_add(r->deps->metrics, M_AUTH_FAILURES, 1, labels);
	response_problem(r, res, PROBLEM_UNAUTHORIZED, "%s", why);
	if (strcmp(reason, "missing") == 0 || strpbrk(why, "\"\\"))
		response_header(res, "WWW-Authenticate", STR("Bearer realm=\"sluice\""));
	else
		response_headerf(res, "WWW-Authenticate", "Bearer realm=\"sluice\", error=\"invalid_token\", error_description=\"%s\"", why);
	return rejected(r, "auth");
}

static bool step_authenticate(struct request *r, struct response *res)
{
	struct err err = {0};
	struct str token = session_token(r);
	if (is_public(r))
		return true;
	if (!token.p)
		return refuse_token(r, res, "missing", "The Authorization header has no bearer token.");
	if (!session_is_ours(r)) {
		response_problem(r, res, PROBLEM_FORBIDDEN, "A session may be used by the pages of this server only.");
		return rejected(r, "origin");
	}
	if (auth_verify(r->deps->auth, token, &r->who, &err) == 0)
		return true;
	if (err.code == ERR_DENIED)
		return refuse_token(r, res, "invalid", err.text);
	response_error(r, res, &err);
	return false;
}

static bool step_authorize(struct request *r, struct response *res)
{
	struct buf words = BUF_INIT;
	if (is_public(r) || (r->who.roles & r->route->roles))
		return true;
	for (unsigned i = 0; i < ROLE_COUNT; i++) {
		if (r->route->roles & (1u << i)) {
			buf_addz(&words, words.n ? ", " : "");
			buf_addz(&words, role_word(i));
		}
	}
	response_problem(r, res, PROBLEM_FORBIDDEN, "This operation needs one of the roles %s.", buf_str(&words).p);
	buf_release(&words);
	return rejected(r, "role");
}

/* ---- how often ------------------------------------------------------------------------------------------------------- */

static bool step_rate(struct request *r, struct response *res)
{
	struct ratelimit *l = r->x_->worker->server->rate;
	if (!l || r->route->rate == RATE_NONE)
		return true;
	char caller[AUTH_ORG_MAX + 1 + AUTH_SUB_MAX + 1]; /* without a token there is no org */
	snprintf(caller, sizeof(caller), "%s\n%.*s", r->who.org, STR_ARG(r->who.sub[0] ? str_from(r->who.sub) : r->client_ip));
	struct rate_answer a = ratelimit_take(l, str_from(caller), clock_mono_ms());
	if (!a.allowed)
		response_problem(r, res, PROBLEM_RATE_LIMITED, "%lld requests a second are allowed.", (long long)a.limit);
	response_headerf(res, "RateLimit-Policy", "\"default\";q=%lld;w=1", (long long)a.limit);
	response_headerf(res, "RateLimit", "\"default\";r=%lld;t=1", (long long)a.remaining);
	if (a.allowed)
		return true;
	response_headerf(res, "Retry-After", "%lld", (long long)(a.wait_ms + 999) / 1000);
	return rejected(r, "ratelimit");
}

/* ---- what ------------------------------------------------------------------------------------------------------------ */

static bool step_media_type(struct request *r, struct response *res)
{
	struct str coding = request_header(r, "Content-Encoding");
	struct str type = request_header(r, "Content-Type");
	if (r->route->body == BODY_NONE)
		return true;
	if (coding.p && !str_ieq(coding, STR("identity"))) {
		response_problem(r, res, PROBLEM_UNSUPPORTED_MEDIA, "No Content-Encoding is taken.");
		return rejected(r, "media");
	}
	struct str media = str_trim(str_cut(&type, ';'));
	r->by_line = r->route->flags & ROUTE_LINES && str_ieq(media, STR("application/x-ndjson"));
	if (r->route->body != BODY_JSON || r->by_line || str_ieq(media, STR("application/json")))
		return true;
	response_problem(r, res, PROBLEM_UNSUPPORTED_MEDIA, "The Content-Type must be application/json%s.",
			 r->route->flags & ROUTE_LINES ? " or application/x-ndjson" : "");
	return rejected(r, "media");
}

static bool refuse_body(struct request *r, struct response *res, const struct err *err)
{
	static const struct {
		int code;
		enum problem problem;
		const char *reason;
	} table[] = {
		{ERR_LIMIT, PROBLEM_TOO_LARGE, "size"},
		{ERR_TIMEOUT, PROBLEM_TIMEOUT, "slow"},
		{ERR_PROTOCOL, PROBLEM_BAD_REQUEST, "framing"},
		{ERR_NOMEM, PROBLEM_INTERNAL, "memory"},
		{ERR_FULL, PROBLEM_OVERLOADED, "overload"},
	};
	for (unsigned i = 0; i < ARRAY_LEN(table); i++) {
		if (table[i].code != err->code)
			continue;
		response_problem(r, res, table[i].problem, "%s", err->text);
		res->close = true;
		return rejected(r, table[i].reason);
	}
	response_error(r, res, err);
	res->close = true;
	return false;
}

static void release_buf(void *b)
{
	buf_release(b);
}

#define CHUNKED_STEP ((size_t)16 << 10)

/* Is the whole body read before the handler runs? */
static bool takes_json(const struct request *r)
{
	return r->route->body == BODY_JSON && !r->by_line;
}

/* Reads the whole body into memory of the request; of an announced length no more is reserved than may be taken. One that comes in chunks may
 * outgrow its memory, so that is not the arena's. */
static int read_body(struct request *r, struct err *err)
{
	int64_t length = request_content_length(r), got = 1;
	bool known = length >= 0 && length <= exchange_body_limit(r);
	struct buf *b = arena_alloc(r->arena, sizeof(*b));
	if (b)
		*b = known ? BUF_IN(r->arena) : BUF_INIT;
	if (!b || (!known && arena_defer(r->arena, release_buf, b) < 0))
		return err_set(err, ERR_NOMEM, "no memory for the body");
	while (got > 0) {
		size_t step = known ? (size_t)length - b->n : CHUNKED_STEP;
		buf_reserve(b, step + 1);
		if (b->failed)
			return err_set(err, ERR_NOMEM, "no memory for the body");
		got = step ? request_read(r, b->p + b->n, step, err) : 0;
		if (got > 0)
			b->n += (size_t)got;
	}
	b->p[b->n] = '\0';
	r->body = buf_str(b);
	return (int)got;
}

/* Whoever sends a body slowly holds a thread, and where no token is asked for anybody may: those hold so many at most. A share for each
 * address would be of no use behind a proxy, and would not stop who has many. */
#define PUBLIC_BODIES 16

static int read_public_body(struct request *r, struct err *err)
{
	_Atomic int *reading = &r->x_->worker->server->public_bodies;
	int rc = ERR_FULL;
	if (atomic_fetch_add(reading, 1) < PUBLIC_BODIES)
		rc = read_body(r, err);
	else
		err_set(err, rc, "Too many bodies are arriving without a token.");
	atomic_fetch_sub(reading, 1);
	return rc;
}

static bool step_body(struct request *r, struct response *res)
{
	struct err err = {0};
	int rc = 0;
	if (r->by_line)
		rc = lines_begin(r, &err);
	else if (takes_json(r))
		rc = is_public(r) ? read_public_body(r, &err) : read_body(r, &err);
	if (rc < 0)
		return refuse_body(r, res, &err);
	r->deadline_mono_ms = clock_mono_ms() + HANDLER_MS;
	return true;
}

static bool step_scan(struct request *r, struct response *res)
{
	struct jdoc_fault fault = {0};
	if (!takes_json(r))
		return true;
	int rc = jdoc_parse(&r->json, r->arena, r->body, &JDOC_LIMITS, &fault);
	if (rc == 0)
		return true;
	if (rc == ERR_NOMEM)
		response_problem(r, res, PROBLEM_INTERNAL, "There was not enough memory for the request.");
	else
		response_problem(r, res, PROBLEM_INVALID_JSON, "At byte %u: %s.", fault.offset, fault.reason);
	return rejected(r, "json");
}

static bool step_schema(struct request *r, struct response *res)
{
	const struct schema *schema = r->x_->route_state->schema;
	struct schema_report report = {.arena = r->arena};
	if (!schema || r->by_line || schema_check(schema, &r->json, JDOC_ROOT, STR(""), &report) == 0)
		return true;
	response_invalid(r, res, &report);
	return rejected(r, "schema");
}

static bool step_handle(struct request *r, struct response *res)
{
	r->route->handler(r, res);
	return false;
}

void middleware_run(struct request *r, struct response *res)
{
	static step_fn *const steps[] = {step_route,	  step_authenticate, step_authorize, step_rate, step_media_type,
					 step_body, step_scan,	 step_schema,	    step_handle};
	for (unsigned i = 0; i < ARRAY_LEN(steps); i++)
		if (!steps[i](r, res))
			break;
}

/* ---- afterwards ------------------------------------------------------------------------------------------------------ */

static struct series *requests_series(const struct request *r, struct route_state *state, int status)
{
	struct series *_Atomic *slot = &state->requests[status - STATUS_FIRST];
	struct series *known = atomic_load_explicit(slot, memory_order_acquire);
	if (known)
		return known;
	char code[16];
	snprintf(code, sizeof(code), "%d", status);
	const char *route = state->route ? state->route->pattern : "(none)";
	const char *method = state->route ? state->route->method : "(any)";
	struct str labels[] = {str_from(route), str_from(method), str_from(code)};
	known = metrics_series(r->deps->metrics, M_HTTP_REQUESTS, labels);
	atomic_store_explicit(slot, known, memory_order_release);
	return known;
}

static void observe_sizes(const struct request *r, const struct response *res)
{
	const struct exchange *x = r->x_;
	const struct server *s = x->worker->server;
	if (x->body_read >= 0)
		series_observe(s->request_bytes, (double)x->body_read);
	if (x->way != ANSWER_STREAMED && x->way != ANSWER_UPGRADED)
		series_observe(s->response_bytes, response_has_body(r, res) ? (double)res->body.n + (double)res->file_bytes : 0);
}

void middleware_finish(struct request *r, const struct response *res)
{
	struct server *s = r->x_->worker->server;
	struct route_state *state = r->x_->route_state ? r->x_->route_state : &s->routes[r->deps->routes->count];
	int64_t us = clock_mono_us() - r->x_->started_us;
	if (res->status >= STATUS_FIRST && res->status <= STATUS_LAST) {
		series_add(requests_series(r, state, res->status), 1);
		series_observe(state->seconds, (double)us / 1e6);
		observe_sizes(r, res);
	}
	if (r->route && r->route->flags & ROUTE_QUIET)
		return;
	LOG(r->deps->log, LOG_INFO, "http_request", log_str("method", r->head_only ? STR("HEAD") : r->method),
	    log_strz("route", r->route ? r->route->pattern : NULL), log_str("path", r->path), log_int("status", res->status), log_int("ms", us / 1000),
	    log_strz("requestId", r->id), log_str("sub", r->who.sub[0] ? str_from(r->who.sub) : STR_NONE),
	    log_str("org", r->who.org[0] ? str_from(r->who.org) : STR_NONE), log_str("ip", r->client_ip));
}
