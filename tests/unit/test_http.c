/* The HTTP server over real sockets: what it accepts, what it refuses and how it ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#include "gateway/http/audit.h"
#include "gateway/http/server.h"
#include "lib/base/clock.h"
#include "lib/base/lock.h"
#include "lib/config/config.h"
#include "lib/log/log.h"
#include "lib/metrics/metrics.h"
#include "tests/unit/http_client.h"

#define SECRET "0123456789abcdef0123456789abcdef-test-only"
#define HEAD_MS 400 /* request_timeout_ms: also the grace of a body */

struct app {
	atomic_int smuggled, held;
	struct lock mu;
	struct cond released;
	bool release; /* protected by mu */
};

struct fixture {
	struct config config;
	struct app app;
	struct http_deps deps;
	struct schema *schema;
	struct server *server;
	int log_fd;
	char token[512], other_token[512];
	const char *origins[1];
};

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

static void inject(struct request *r, struct response *res)
{
	response_header(res, "X-Name", request_query(r, "name"));
	response_header(res, "X-Bad", STR("a\r\nSet-Cookie: x"));
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
	ROW("inject", "GET", "/inject", ROUTE_PUBLIC, RATE_NONE, BODY_NONE, NULL, 0, inject),
	ROW("rated", "GET", "/rated", ROUTE_PUBLIC, RATE_READ, BODY_NONE, NULL, 0, hello),
	ROW("probe", "GET", "/probe", ROUTE_PUBLIC, RATE_NONE, BODY_NONE, NULL, ROUTE_PROBE, hello),
};
static const struct route_table table = {rows, ARRAY_LEN(rows)};

static const struct schema *find_schema(const void *schemas, const char *name)
{
	return strcmp(name, "thing") == 0 ? schemas : NULL;
}

/* ---- fixture ---- */

static void make_token(struct fixture *f, const char *sub, role_set roles, char *out, size_t size)
{
	struct principal who = {.org = "acme", .roles = roles};
	struct buf b = BUF_INIT;
	snprintf(who.sub, sizeof(who.sub), "%s", sub);
	assert_int_equal(auth_issue(f->deps.auth, &who, 3600, &b, NULL), 0);
	snprintf(out, size, "%s", b.p);
	buf_release(&b);
}

static int start(void **state)
{
	struct err err = {0};
	struct fixture *f = calloc(1, sizeof(*f));
	f->config = (struct config){.host = "127.0.0.1", .http_threads = 8, .keep_alive_ms = 5000, .request_timeout_ms = HEAD_MS,
				    .max_body_bytes = 100000, .doc_max_bytes = 1 << 20, .role = CONFIG_ROLE_ALL};
	lock_init(&f->app.mu);
	cond_init(&f->app.released);
	f->schema = schema_compile(STR("{\"type\":\"object\",\"required\":[\"n\"],\"properties\":{\"n\":{\"type\":\"integer\"},\"s\":{\"type\":\"string\"}}}"), &err);
	f->log_fd = memfd_create("log", 0);
	f->deps = (struct http_deps){.app = &f->app, .config = &f->config, .log = log_new(f->log_fd, LOG_INFO, LOG_FORMAT_JSON),
				     .metrics = metrics_new(), .auth = auth_new(&(struct auth_options){.secret = STR(SECRET)}, &err),
				     .routes = &table, .schema = find_schema, .schemas = f->schema};
	make_token(f, "ann", ROLE_OPERATOR, f->token, sizeof(f->token));
	make_token(f, "bob", ROLE_PRODUCER, f->other_token, sizeof(f->other_token));
	if (*state) /* a change of settings */
		((void (*)(struct config *))*state)(&f->config);
	f->server = server_start(&f->deps, &err);
	if (!f->server)
		fail_msg("%s", err.text);
	*state = f;
	return 0;
}

static int stop(void **state)
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

static bool logged(const struct fixture *f, const char *text)
{
	static char all[1 << 16];
	ssize_t n = pread(f->log_fd, all, sizeof(all) - 1, 0);
	all[n > 0 ? n : 0] = '\0';
	return strstr(all, text) != NULL;
}

/* A response is written before its log line. */
static void await_log(const struct fixture *f, const char *text)
{
	int64_t deadline = clock_mono_ms() + CLIENT_MS;
	while (!logged(f, text)) {
		if (clock_mono_ms() > deadline)
			fail_msg("never logged: %s", text);
		clock_sleep_ms(1);
	}
}

/* Sends, expects one response with this status, and the connection's end when `closed`. */
static void expect(const struct fixture *f, const char *raw, size_t n, int status, bool closed)
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

#define EXPECT(f, raw, status, closed) expect(f, raw, sizeof(raw) - 1, status, closed)
#define REQ(line, headers) line " HTTP/1.1\r\nHost: h\r\n" headers "\r\n"
#define JSON "Content-Type: application/json\r\n"

/* ---- malformed requests: the right status, the connection closed, nothing else executed ---- */

static void test_malformed(void **state)
{
	struct fixture *f = *state;
	static const char second[] = "GET /admin HTTP/1.1\r\nHost: h\r\n\r\n";
	static const struct {
		int status;
		const char *raw;
	} cases[] = {
		{400, REQ("POST /echo", JSON "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n") "0\r\n\r\n"},
		{400, REQ("POST /echo", JSON "Content-Length: 3\r\nContent-Length: 7\r\n") "{}"},
		{400, REQ("POST /echo", JSON "Content-Length: 3abc\r\n") "{ }"},
		{400, REQ("POST /echo", JSON "Content-Length: +3\r\n") "{ }"},
		{400, REQ("POST /echo", JSON "Content-Length: 3, 3\r\n") "{ }"},
		{400, REQ("POST /echo", JSON "Content-Length: 1e30\r\n") "{ }"},
		{413, REQ("POST /echo", JSON "Content-Length: 99999999999999999999\r\n") "{ }"},
		{413, REQ("POST /echo", JSON "Content-Length: 100001\r\n")},
		{400, REQ("POST /echo", JSON "Transfer-Encoding : chunked\r\n") "0\r\n\r\n"},
		{400, REQ("POST /echo", JSON "Content-Length : 3\r\n") "{ }"},
		{400, REQ("POST /echo", JSON "X: a\r\n folded\r\nContent-Length: 3\r\n") "{ }"},
		{400, REQ("POST /echo", JSON "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n") "0\r\n\r\n"},
		{400, REQ("POST /echo", JSON "Transfer-Encoding: xchunked\r\n") "0\r\n\r\n"},
		{400, "GET /hello HTTP/1.1\nHost: h\n\n"},
		{400, "GET /hello HTTP/1.1\r\nHost: h\nX: y\r\n\r\n"},
		{400, "GET /hello HTTP/1.1\r\n\r\n"},
		{400, REQ("GET /hello", "Host: h\r\n")},
		{400, REQ("GET /hello", "Authorization: a\r\nAuthorization: b\r\n")},
		{400, "\r\n\r\n" REQ("GET /hello", "")},
		{400, REQ("GET /a%00b", "")},
		{400, REQ("GET /a%0d%0aX:y", "")},
		{400, REQ("GET /a/%2e%2e/hello", "")},
		{400, REQ("GET //hello", "")},
		{400, REQ("GET /a%2", "")},
		{400, "GET http://other/hello HTTP/1.1\r\nHost: h\r\n\r\n"},
		{501, "QUERY /hello HTTP/1.1\r\nHost: h\r\n\r\n"},
		{501, "TRACE /hello HTTP/1.1\r\nHost: h\r\n\r\n"},
		{501, "GET /hello HTTP/1.2\r\nHost: h\r\n\r\n"},
		{400, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"},
		{400, "GET /hello\r\nHost: h\r\n\r\n"},
		{400, REQ("GET /hello", "Bad Name: x\r\n")},
	};
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		char raw[1024];
		int n = snprintf(raw, sizeof(raw), "%s%s", cases[i].raw, second);
		expect(f, raw, (size_t)n, cases[i].status, true);
	}
	assert_int_equal(atomic_load(&f->app.smuggled), 0);
	struct client c;
	client_open(&c, server_port(f->server));
	client_send(&c, second, sizeof(second) - 1);
	struct reply r;
	assert_true(client_read(&c, &r, false));
	assert_int_equal(atomic_load(&f->app.smuggled), 1); /* the count does count */
	reply_release(&r);
	client_close(&c);
}

static void test_head_too_large(void **state)
{
	struct fixture *f = *state;
	struct buf many = BUF_INIT, long_one = BUF_INIT;
	buf_addz(&many, "GET /hello HTTP/1.1\r\nHost: h\r\n");
	for (int i = 0; i < 64; i++)
		buf_addf(&many, "X-%d: y\r\n", i);
	buf_addz(&many, "\r\n");
	expect(f, many.p, many.n, 431, true);
	buf_addz(&long_one, "GET /hello HTTP/1.1\r\nHost: h\r\nX: ");
	for (int i = 0; i < 20000; i++)
		buf_addc(&long_one, 'a');
	buf_addz(&long_one, "\r\n\r\n");
	expect(f, long_one.p, long_one.n, 431, true);
	buf_release(&many);
	buf_release(&long_one);
}

/* A body without its full length must never reach a handler. */
static void test_bodies(void **state)
{
	struct fixture *f = *state;
	EXPECT(f, REQ("POST /echo", JSON "Content-Length: 7\r\n") "{\"n\":1}", 201, false);
	EXPECT(f, REQ("POST /echo", JSON "Transfer-Encoding: chunked\r\n") "4\r\n{\"n\"\r\n3\r\n:1}\r\n0\r\n\r\n", 201, true);
	EXPECT(f, REQ("POST /echo", JSON "Transfer-Encoding: chunked\r\n") "7\r\n{\"n\":1}XX0\r\n\r\n", 400, true);
	EXPECT(f, REQ("POST /echo", JSON "Transfer-Encoding: chunked\r\n") "7\n{\"n\":1}\n0\n\n", 400, true);
	EXPECT(f, REQ("POST /echo", JSON "Transfer-Encoding: chunked\r\n") "zz\r\n{\"n\":1}\r\n0\r\n\r\n", 400, true);
	EXPECT(f, REQ("POST /echo", JSON "Content-Length: 8\r\n") "{\"n\":1}", 408, true);
	EXPECT(f, REQ("POST /echo", JSON "Transfer-Encoding: chunked\r\n") "8000000000000000\r\n{\"n\":1}", 400, true);
	EXPECT(f, REQ("POST /echo", JSON "Content-Length: 0\r\n"), 400, false);
	EXPECT(f, REQ("POST /echo", JSON "Content-Length: 8\r\n") "{\"n\":1,}", 400, false);
	EXPECT(f, REQ("POST /echo", JSON "Content-Length: 9\r\n") "{\"n\":1.5}", 400, false);
	EXPECT(f, REQ("POST /echo", "Content-Type: text/plain\r\nContent-Length: 7\r\n") "{\"n\":1}", 415, false);
	EXPECT(f, REQ("POST /echo", "Content-Length: 7\r\n") "{\"n\":1}", 415, false);
	EXPECT(f, REQ("POST /echo", JSON "Content-Encoding: gzip\r\nContent-Length: 7\r\n") "{\"n\":1}", 415, false);
	EXPECT(f, REQ("PUT /stream", "Content-Length: 5\r\n") "abcde", 200, false);
}

static void test_chunked_over_the_limit(void **state)
{
	struct fixture *f = *state;
	struct buf b = BUF_INIT;
	buf_addz(&b, REQ("POST /echo", JSON "Transfer-Encoding: chunked\r\n") "20000\r\n");
	for (int i = 0; i < 0x20000; i++)
		buf_addc(&b, ' ');
	buf_addz(&b, "\r\n0\r\n\r\n");
	expect(f, b.p, b.n, 413, true);
	buf_release(&b);
}

/* One byte every tenth of a second keeps a connection busy, but not for ever. */
static void test_trickle_is_cut(void **state)
{
	struct fixture *f = *state;
	static const char head[] = REQ("POST /echo", JSON "Content-Length: 1000\r\n");
	struct client c;
	struct reply r;
	int64_t started = clock_mono_ms();
	client_open(&c, server_port(f->server));
	client_send(&c, head, sizeof(head) - 1);
	while (clock_mono_ms() - started < 4 * HEAD_MS) {
		client_send(&c, " ", 1);
		clock_sleep_ms(50); /* the fault itself */
	}
	assert_true(client_read(&c, &r, false));
	assert_int_equal(r.status, 408);
	reply_release(&r);
	client_close(&c);
}

static void test_expect_continue(void **state)
{
	struct fixture *f = *state;
	static const char head[] = REQ("POST /echo", JSON "Content-Length: 7\r\nExpect: 100-continue\r\n");
	struct client c;
	struct reply r;
	client_open(&c, server_port(f->server));
	client_send(&c, head, sizeof(head) - 1);
	assert_true(client_read(&c, &r, true));
	assert_int_equal(r.status, 100);
	reply_release(&r);
	client_send(&c, "{\"n\":1}", 7);
	assert_true(client_read(&c, &r, false));
	assert_int_equal(r.status, 201);
	reply_release(&r);
	client_close(&c);
	/* A refusal comes instead of the 100: the body is not asked for. */
	EXPECT(f, REQ("POST /secret", JSON "Content-Length: 7\r\nExpect: 100-continue\r\n"), 401, true);
	EXPECT(f, REQ("POST /echo", JSON "Content-Length: 100001\r\nExpect: 100-continue\r\n"), 413, true);
}

/* ---- ordinary traffic ---- */

static void test_keep_alive_and_pipelining(void **state)
{
	struct fixture *f = *state;
	static const char three[] = REQ("POST /echo", JSON "Content-Length: 7\r\n") "{\"n\":1}" REQ("GET /hello?q=a%20b", "")
		REQ("POST /secret", JSON "Content-Length: 2\r\n") "{}" REQ("GET /hello", "Connection: close\r\n");
	static const int statuses[] = {201, 200, 401, 200};
	struct client c;
	struct reply r;
	client_open(&c, server_port(f->server));
	client_send(&c, three, sizeof(three) - 1);
	for (unsigned i = 0; i < ARRAY_LEN(statuses); i++) {
		assert_true(client_read(&c, &r, false));
		assert_int_equal(r.status, statuses[i]);
		if (i == 1)
			assert_string_equal(r.body.p, "{\"q\":\"a b\"}");
		reply_release(&r);
	}
	assert_true(client_at_end(&c));
	client_close(&c);
}

static void test_http10(void **state)
{
	struct fixture *f = *state;
	EXPECT(f, "GET /hello HTTP/1.0\r\n\r\n", 200, true);
	EXPECT(f, "GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 200, false);
}

static void test_head(void **state)
{
	struct fixture *f = *state;
	static const char two[] = REQ("HEAD /hello", "") REQ("GET /hello", "");
	struct client c;
	struct reply head, get;
	client_open(&c, server_port(f->server));
	client_send(&c, two, sizeof(two) - 1);
	assert_true(client_read(&c, &head, true));
	assert_true(client_read(&c, &get, false));
	assert_int_equal(head.status, 200);
	assert_true(str_eq(reply_header(&head, "Content-Length"), reply_header(&get, "Content-Length")));
	assert_true(str_is(reply_header(&get, "Cache-Control"), "no-store"));
	assert_true(str_is(reply_header(&get, "X-Content-Type-Options"), "nosniff"));
	assert_true(reply_header(&get, "Date").n == 29);
	reply_release(&head);
	reply_release(&get);
	client_close(&c);
}

static struct reply ask(const struct fixture *f, const char *raw)
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

static void test_no_such_method_or_path(void **state)
{
	struct fixture *f = *state;
	struct reply r = ask(f, REQ("DELETE /hello", ""));
	assert_int_equal(r.status, 405);
	assert_true(str_is(reply_header(&r, "Allow"), "GET, HEAD"));
	reply_release(&r);
	EXPECT(f, REQ("PROPFIND /hello", ""), 405, false);
	EXPECT(f, REQ("GET /nothing", ""), 404, false);
	EXPECT(f, REQ("GET /hello%2Fx", ""), 404, false);
	r = ask(f, REQ("OPTIONS /hello", "Origin: https://x\r\nAccess-Control-Request-Method: DELETE\r\n"));
	assert_int_equal(r.status, 204);
	assert_int_equal(reply_header(&r, "Access-Control-Allow-Origin").n, 0);
	reply_release(&r);
}

static void test_etag(void **state)
{
	struct fixture *f = *state;
	struct reply r = ask(f, REQ("GET /tagged", ""));
	char again[256];
	assert_int_equal(r.status, 200);
	snprintf(again, sizeof(again), REQ("GET /tagged", "If-None-Match: \"x\", W/%.*s\r\n"), STR_ARG(reply_header(&r, "ETag")));
	reply_release(&r);
	r = ask(f, again);
	assert_int_equal(r.status, 304);
	assert_int_equal(r.body.n, 0);
	reply_release(&r);
	r = ask(f, REQ("GET /tagged", "If-None-Match: \"other\"\r\n"));
	assert_int_equal(r.status, 200);
	reply_release(&r);
}

static void test_request_id_and_headers(void **state)
{
	struct fixture *f = *state;
	struct reply r = ask(f, REQ("GET /hello", "X-Request-Id: abc-1\r\n"));
	assert_true(str_is(reply_header(&r, "X-Request-Id"), "abc-1"));
	reply_release(&r);
	r = ask(f, REQ("GET /hello", "X-Request-Id: a b\r\n"));
	assert_int_equal(reply_header(&r, "X-Request-Id").n, 36);
	reply_release(&r);
	r = ask(f, REQ("GET /inject?name=x%C3%A4", ""));
	assert_true(str_is(reply_header(&r, "X-Name"), "x\xc3\xa4"));
	assert_int_equal(reply_header(&r, "X-Bad").n, 0);
	assert_int_equal(reply_header(&r, "Set-Cookie").n, 0);
	reply_release(&r);
}

static void test_stack(void **state)
{
	struct reply r = ask(*state, REQ("GET /stack", ""));
	assert_true(strtol(r.body.p, NULL, 10) >= 1 << 20);
	reply_release(&r);
}

/* ---- who may what ---- */

static struct reply ask_as(const struct fixture *f, const char *path, const char *token)
{
	char raw[1024];
	snprintf(raw, sizeof(raw), REQ("POST %s", JSON "Authorization: Bearer %s\r\nContent-Length: 2\r\n") "{}", path, token);
	return ask(f, raw);
}

static void test_authorization(void **state)
{
	struct fixture *f = *state;
	struct reply r = ask(f, REQ("POST /secret", JSON "Content-Length: 2\r\n") "{}");
	assert_int_equal(r.status, 401);
	assert_true(str_is(reply_header(&r, "WWW-Authenticate"), "Bearer realm=\"sluice\""));
	reply_release(&r);
	r = ask_as(f, "/secret", "a.b.c");
	assert_int_equal(r.status, 401);
	assert_true(str_starts(reply_header(&r, "WWW-Authenticate"), STR("Bearer realm=\"sluice\", error=\"invalid_token\"")));
	reply_release(&r);
	r = ask_as(f, "/secret", f->other_token);
	assert_int_equal(r.status, 403);
	assert_non_null(strstr(r.body.p, "operator"));
	reply_release(&r);
	r = ask_as(f, "/secret", f->token);
	assert_int_equal(r.status, 201);
	reply_release(&r);
	await_log(f, "\"sub\":\"ann\"");
}

static void test_audit(void **state)
{
	struct fixture *f = *state;
	struct reply r = ask_as(f, "/change", f->token);
	assert_int_equal(r.status, 200);
	reply_release(&r);
	await_log(f, "\"action\":\"thing.change\"");
	assert_false(logged(f, "audit_missing"));
	r = ask_as(f, "/forget", f->token);
	reply_release(&r);
	await_log(f, "\"event\":\"audit_missing\"");
}

static void test_validation_lists_every_field(void **state)
{
	struct reply r = ask(*state, REQ("POST /echo", JSON "Content-Length: 15\r\n") "{\"n\":\"\",\"s\":42}");
	assert_int_equal(r.status, 400);
	assert_non_null(strstr(r.body.p, "\"pointer\":\"/n\""));
	assert_non_null(strstr(r.body.p, "\"pointer\":\"/s\""));
	reply_release(&r);
}

static void limit_rate(struct config *c)
{
	c->rate_limit_per_s = 3;
}

static void test_rate_limit(void **state)
{
	struct fixture *f = *state;
	int refused = 0;
	for (int i = 0; i < 8; i++) {
		struct reply r = ask(f, REQ("GET /rated", ""));
		assert_true(reply_header(&r, "RateLimit").n > 0);
		if (r.status == 429) {
			assert_true(str_is(reply_header(&r, "Retry-After"), "1"));
			refused++;
		}
		reply_release(&r);
	}
	assert_true(refused > 0);
	EXPECT(f, REQ("GET /hello", ""), 200, false);
}

static void allow_origin(struct config *c)
{
	static const char *const origins[] = {"https://ui.example"};
	c->cors_origins = (struct config_list){origins, 1};
}

static void test_cors(void **state)
{
	struct fixture *f = *state;
	struct reply r = ask(f, REQ("OPTIONS /echo", "Origin: https://ui.example\r\nAccess-Control-Request-Method: POST\r\n"));
	assert_int_equal(r.status, 204);
	assert_true(str_is(reply_header(&r, "Access-Control-Allow-Origin"), "https://ui.example"));
	assert_true(str_is(reply_header(&r, "Access-Control-Allow-Methods"), "POST"));
	reply_release(&r);
	r = ask(f, REQ("GET /nothing", "Origin: https://ui.example\r\n"));
	assert_int_equal(r.status, 404);
	assert_true(str_is(reply_header(&r, "Access-Control-Allow-Origin"), "https://ui.example"));
	reply_release(&r);
	r = ask(f, REQ("GET /hello", "Origin: https://evil.example\r\n"));
	assert_int_equal(reply_header(&r, "Access-Control-Allow-Origin").n, 0);
	reply_release(&r);
}

/* ---- waiting and stopping ---- */

static void release_all(struct fixture *f)
{
	lock_take(&f->app.mu);
	f->app.release = true;
	cond_broadcast(&f->app.released);
	lock_give(&f->app.mu);
}

static void await_held(struct fixture *f, int n)
{
	int64_t deadline = clock_mono_ms() + CLIENT_MS;
	while (atomic_load(&f->app.held) < n) {
		assert_true(clock_mono_ms() < deadline);
		clock_sleep_ms(1);
	}
}

/* Of eight threads six may wait. */
static void test_wait_slots(void **state)
{
	struct fixture *f = *state;
	static const char raw[] = REQ("GET /hold", "");
	struct client c[7];
	int waiting = 0;
	for (int i = 0; i < 7; i++) {
		client_open(&c[i], server_port(f->server));
		client_send(&c[i], raw, sizeof(raw) - 1);
	}
	await_held(f, 7);
	release_all(f);
	for (int i = 0; i < 7; i++) {
		struct reply r;
		assert_true(client_read(&c[i], &r, false));
		waiting += strcmp(r.body.p, "true") == 0;
		reply_release(&r);
		client_close(&c[i]);
	}
	assert_int_equal(waiting, 6);
}

static void test_drain(void **state)
{
	struct fixture *f = *state;
	static const char raw[] = REQ("GET /hold", "");
	struct client busy, idle;
	struct reply r;
	client_open(&busy, server_port(f->server));
	client_open(&idle, server_port(f->server));
	client_send(&busy, raw, sizeof(raw) - 1);
	await_held(f, 1);
	server_drain_begin(f->server);
	EXPECT(f, REQ("GET /hello", ""), 200, true);
	assert_false(server_drain(f->server, clock_mono_ms() + 20));
	EXPECT(f, REQ("GET /hello", ""), 503, true);
	EXPECT(f, REQ("GET /probe", ""), 200, true);
	release_all(f);
	assert_true(server_drain(f->server, clock_mono_ms() + CLIENT_MS));
	assert_true(client_read(&busy, &r, false));
	assert_int_equal(r.status, 200);
	reply_release(&r);
	client_close(&busy);
	client_close(&idle);
}

static void test_refuses_other_addresses(void **state)
{
	struct fixture *f = *state;
	static const char *const hosts[] = {"127.0.0.1:443s,", "[::1]", "127.0.0.1s"};
	for (unsigned i = 0; i < ARRAY_LEN(hosts); i++) {
		struct err err = {0};
		struct config config = f->config;
		struct http_deps deps = f->deps;
		config.host = hosts[i];
		deps.config = &config;
		assert_null(server_start(&deps, &err));
		assert_int_equal(err.code, ERR_INVALID);
	}
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, start, stop)
#define TEST_WITH(fn, change) {#fn, fn, start, stop, (void *)(uintptr_t)(change)}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_malformed), TEST(test_head_too_large), TEST(test_bodies), TEST(test_chunked_over_the_limit), TEST(test_trickle_is_cut),
		TEST(test_expect_continue), TEST(test_keep_alive_and_pipelining), TEST(test_http10), TEST(test_head), TEST(test_no_such_method_or_path),
		TEST(test_etag), TEST(test_request_id_and_headers), TEST(test_stack), TEST(test_authorization), TEST(test_audit),
		TEST(test_validation_lists_every_field), TEST_WITH(test_rate_limit, limit_rate), TEST_WITH(test_cors, allow_origin),
		TEST(test_wait_slots), TEST(test_drain), TEST(test_refuses_other_addresses),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
