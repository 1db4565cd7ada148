#include "tests/unit/http_fixture.h"

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include "gateway/http/audit.h"
#include "gateway/routes/handlers.h"
#include "lib/base/clock.h"
#include "lib/log/log.h"
#include "lib/metrics/metrics.h"

#define SECRET "0123456789abcdef0123456789abcdef-test-only"

/* ---- routes ---- */

static void hello(struct request *r, struct response *res)
{
	struct jwrite w = response_json(res, 200);
	jw_open(&w, '{');
	jw_kstr(&w, "q", request_query(r, "q"));
	jw_close(&w, '}');
}

static void echo(struct request *r, struct response *res)
{
	res->status = 201;
	buf_adds(&res->body, r->body);
}

static void smuggled(struct request *r, struct response *res)
{
	(void)res;
	atomic_fetch_add(&r->app->smuggled, 1);
}

static void stream(struct request *r, struct response *res)
{
	char part[1000];
	int64_t total = 0, got;
	struct err err = {0};
	while ((got = request_read(r, part, sizeof(part), &err)) > 0)
		total += got;
	struct jwrite w = response_json(res, got < 0 ? 400 : 200);
	jw_int(&w, total);
}

static void stack(struct request *r, struct response *res)
{
	pthread_attr_t attr;
	size_t size = 0;
	(void)r;
	if (pthread_getattr_np(pthread_self(), &attr) == 0)
		pthread_attr_getstacksize(&attr, &size);
	pthread_attr_destroy(&attr);
	struct jwrite w = response_json(res, 200);
	jw_int(&w, (int64_t)size);
}

static void tagged(struct request *r, struct response *res)
{
	if (!response_etag(r, res, STR("version 1")))
		buf_addz(&res->body, "{}");
}

static void change(struct request *r, struct response *res)
{
	(void)res;
	audit_note(r, "thing.change", STR("thing/1"), STR("{\"n\":1}"), STR("{\"n\":2}"));
}

static void forget(struct request *r, struct response *res)
{
	(void)r;
	(void)res;
}

static void hold(struct request *r, struct response *res)
{
	struct app *app = r->app;
	struct jwrite w = response_json(res, 200);
	jw_bool(&w, request_wait_begin(r));
	atomic_fetch_add(&app->held, 1);
	lock_take(&app->mu);
	while (!app->release)
		cond_wait(&app->released, &app->mu);
	lock_give(&app->mu);
}

struct deferral {
	struct request *r;
	struct response *res;
	struct deferral *next;
};

static void later(struct request *r, struct response *res)
{
	struct app *app = r->app;
	struct deferral *d = arena_alloc(r->arena, sizeof(*d)), **at = &app->deferred;
	*d = (struct deferral){r, res, NULL};
	(void)response_defer(r);
	lock_take(&app->mu);
	while (*at)
		at = &(*at)->next;
	*at = d;
	app->n_deferred++;
	cond_broadcast(&app->released);
	lock_give(&app->mu);
}

static struct deferral take_deferred(struct app *app)
{
	int64_t deadline = clock_mono_ms() + CLIENT_MS;
	lock_take(&app->mu);
	while (!app->deferred)
		assert_true(cond_wait_until(&app->released, &app->mu, deadline));
	struct deferral d = *app->deferred;
	app->deferred = d.next;
	lock_give(&app->mu);
	return d;
}

void http_await_deferred(struct fixture *f, int n)
{
	int64_t deadline = clock_mono_ms() + CLIENT_MS;
	lock_take(&f->app.mu);
	while (f->app.n_deferred < n)
		assert_true(cond_wait_until(&f->app.released, &f->app.mu, deadline));
	lock_give(&f->app.mu);
}

void http_answer(struct fixture *f, size_t padding)
{
	struct deferral d = take_deferred(&f->app);
	struct jwrite w = response_json(d.res, 200);
	jw_open(&w, '{');
	jw_kstr(&w, "q", request_query(d.r, "q"));
	jw_kstr(&w, "tag", request_header(d.r, "X-Tag"));
	jw_kstr(&w, "body", d.r->body);
	jw_close(&w, '}');
	char *blanks = malloc(padding + 1);
	memset(blanks, ' ', padding);
	buf_add(&d.res->body, blanks, padding);
	free(blanks);
	response_ready(d.r, d.res);
}

static void inject(struct request *r, struct response *res)
{
	response_header(res, "X-Name", request_query(r, "name"));
	response_header(res, "X-Bad", STR("a\r\nSet-Cookie: x"));
}

static int check_part(void *arg, struct err *err)
{
	struct app *app = arg;
	return atomic_load(&app->broken) ? err_set(err, ERR_UNAVAILABLE, "the part is gone") : 0;
}

#define ROW(id, method, path, roles, rate, body, schema, flags, handler) {id, method, path, roles, rate, body, schema, NULL, flags, "", handler}

static const struct route rows[] = {
	ROW("hello", "GET", "/hello", ROUTE_PUBLIC, RATE_NONE, BODY_NONE, NULL, 0, hello),
	ROW("echo", "POST", "/echo", ROUTE_PUBLIC, RATE_NONE, BODY_JSON, "thing", 0, echo),
	ROW("admin", "GET", "/admin", ROUTE_PUBLIC, RATE_NONE, BODY_NONE, NULL, 0, smuggled),
	ROW("stream", "PUT", "/stream", ROUTE_PUBLIC, RATE_NONE, BODY_STREAM, NULL, 0, stream),
	ROW("stack", "GET", "/stack", ROUTE_PUBLIC, RATE_NONE, BODY_NONE, NULL, ROUTE_QUIET, stack),
	ROW("tagged", "GET", "/tagged", ROUTE_PUBLIC, RATE_NONE, BODY_NONE, NULL, 0, tagged),
	ROW("secret", "POST", "/secret", ROLE_OPERATOR, RATE_NONE, BODY_JSON, NULL, 0, echo),
	ROW("change", "POST", "/change", ROLE_OPERATOR, RATE_NONE, BODY_NONE, NULL, ROUTE_CHANGES, change),
	ROW("forget", "POST", "/forget", ROLE_OPERATOR, RATE_NONE, BODY_NONE, NULL, ROUTE_CHANGES, forget),
	ROW("hold", "GET", "/hold", ROUTE_PUBLIC, RATE_NONE, BODY_NONE, NULL, ROUTE_WAITS, hold),
	ROW("later", "GET", "/later", ROUTE_PUBLIC, RATE_NONE, BODY_NONE, NULL, 0, later),
	ROW("post-later", "POST", "/later", ROUTE_PUBLIC, RATE_NONE, BODY_JSON, "thing", 0, later),
	ROW("inject", "GET", "/inject", ROUTE_PUBLIC, RATE_NONE, BODY_NONE, NULL, 0, inject),
	ROW("rated", "GET", "/rated", ROUTE_PUBLIC, RATE_READ, BODY_NONE, NULL, 0, hello),
	ROW("post-rated", "POST", "/rated", ROLE_OPERATOR, RATE_WRITE, BODY_JSON, NULL, 0, echo),
	ROW("ready", "GET", "/readyz", ROUTE_PUBLIC, RATE_NONE, BODY_NONE, NULL, ROUTE_PROBE, meta_ready),
	ROW("problem", "GET", "/problems/{slug}", ROUTE_PUBLIC, RATE_NONE, BODY_NONE, NULL, 0, meta_problem),
	ROW("metrics", "GET", "/metrics", ROLES_EVERY_ORG, RATE_NONE, BODY_NONE, NULL, ROUTE_METRICS | ROUTE_PROBE, meta_metrics),
	ROW("probe", "GET", "/probe", ROUTE_PUBLIC, RATE_NONE, BODY_NONE, NULL, ROUTE_PROBE, hello),
};
static const struct route_table table = {rows, ARRAY_LEN(rows)};

static const struct schema *find_schema(const void *schemas, const char *name)
{
	return strcmp(name, "thing") == 0 ? schemas : NULL;
}

/* ---- fixture ---- */

void http_token(const struct fixture *f, const char *org, const char *sub, role_set roles, char out[HTTP_TOKEN_SIZE])
{
	struct principal who = {.roles = roles};
	struct buf b = BUF_INIT;
	snprintf(who.org, sizeof(who.org), "%s", org);
	snprintf(who.sub, sizeof(who.sub), "%s", sub);
	assert_int_equal(auth_issue(f->deps.auth, &who, 3600, &b, NULL), 0);
	snprintf(out, HTTP_TOKEN_SIZE, "%s", b.p);
	buf_release(&b);
}

int http_start(void **state)
{
	struct err err = {0};
	struct fixture *f = calloc(1, sizeof(*f));
	f->config = (struct config){.host = "127.0.0.1", .http_threads = 8, .keep_alive_ms = 5000, .request_timeout_ms = 10000,
				    .max_body_bytes = 100000, .doc_max_bytes = 1 << 20, .role = CONFIG_ROLE_ALL};
	health_add(&f->health, "part", check_part, &f->app);
	lock_init(&f->app.mu);
	cond_init(&f->app.released);
	f->schema = schema_compile(STR("{\"type\":\"object\",\"required\":[\"n\"],\"properties\":{\"n\":{\"type\":\"integer\"},\"s\":{\"type\":\"string\"}}}"), &err);
	f->log_fd = memfd_create("log", 0);
	f->deps = (struct http_deps){.app = &f->app, .config = &f->config, .log = log_new(f->log_fd, LOG_INFO, LOG_FORMAT_JSON),
				     .metrics = metrics_new(), .auth = auth_new(&(struct auth_options){.secret = STR(SECRET)}, &err),
				     .routes = &table, .schema = find_schema, .schemas = f->schema, .health = &f->health};
	http_token(f, "acme", "ann", ROLE_OPERATOR, f->token);
	http_token(f, "acme", "bob", ROLE_PRODUCER, f->other_token);
	if (*state) /* a change of settings */
		((void (*)(struct config *))*state)(&f->config);
	f->server = server_start(&f->deps, &err);
	if (!f->server)
		fail_msg("%s", err.text);
	*state = f;
	return 0;
}

int http_stop(void **state)
{
	struct fixture *f = *state;
	server_stop(f->server);
	auth_free(f->deps.auth);
	metrics_free(f->deps.metrics);
	log_free(f->deps.log);
	schema_free(f->schema);
	cond_release(&f->app.released);
	lock_release(&f->app.mu);
	close(f->log_fd);
	free(f);
	return 0;
}

bool http_logged(const struct fixture *f, const char *text)
{
	static char all[1 << 16];
	ssize_t n = pread(f->log_fd, all, sizeof(all) - 1, 0);
	all[n > 0 ? n : 0] = '\0';
	return strstr(all, text) != NULL;
}

void http_await_log(const struct fixture *f, const char *text)
{
	int64_t deadline = clock_mono_ms() + CLIENT_MS;
	while (!http_logged(f, text)) {
		if (clock_mono_ms() > deadline)
			fail_msg("never logged: %s", text);
		clock_sleep_ms(1);
	}
}

void http_expect(const struct fixture *f, const char *raw, size_t n, int status, bool closed)
{
	struct client c;
	struct reply r;
	client_open(&c, server_port(f->server));
	client_send(&c, raw, n);
	if (!client_read(&c, &r, false))
		fail_msg("no response to: %.60s", raw);
	if (r.status != status)
		fail_msg("%d instead of %d: %.60s -> %s", r.status, status, raw, r.body.p);
	if (status >= 400) {
		assert_true(str_is(reply_header(&r, "Content-Type"), "application/problem+json"));
		assert_non_null(strstr(r.body.p, "\"code\":"));
	}
	assert_true(reply_header(&r, "X-Request-Id").n > 0);
	if (closed) {
		assert_true(str_is(reply_header(&r, "Connection"), "close"));
		assert_true(client_at_end(&c));
	}
	reply_release(&r);
	client_close(&c);
}

struct reply http_ask(const struct fixture *f, const char *raw)
{
	struct client c;
	struct reply r;
	client_open(&c, server_port(f->server));
	client_send(&c, raw, strlen(raw));
	if (!client_read(&c, &r, false))
		fail_msg("no response to: %s", raw);
	client_close(&c);
	return r;
}

struct reply http_ask_as(const struct fixture *f, const char *path, const char *token)
{
	char raw[1024];
	snprintf(raw, sizeof(raw), REQ("POST %s", JSON "Authorization: Bearer %s\r\nContent-Length: 2\r\n") "{}", path, token);
	return http_ask(f, raw);
}

void http_release(struct fixture *f)
{
	lock_take(&f->app.mu);
	f->app.release = true;
	cond_broadcast(&f->app.released);
	lock_give(&f->app.mu);
}

void http_await_held(struct fixture *f, int n)
{
	int64_t deadline = clock_mono_ms() + CLIENT_MS;
	while (atomic_load(&f->app.held) < n) {
		assert_true(clock_mono_ms() < deadline);
		clock_sleep_ms(1);
	}
}
