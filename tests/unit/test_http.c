/* The HTTP server over real sockets: what it answers, to whom, and how it ends. */
#include <arpa/inet.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "tests/unit/http_fixture.h"

/* ---- ordinary traffic ---- */

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

static void test_no_such_method_or_path(void **state)
{
	struct fixture *f = *state;
	struct reply r = http_ask(f, REQ("DELETE /hello", ""));
	assert_int_equal(r.status, 405);
	assert_true(str_is(reply_header(&r, "Allow"), "GET, HEAD"));
	reply_release(&r);
	EXPECT(f, REQ("PROPFIND /hello", ""), 405, false);
	EXPECT(f, REQ("GET /nothing", ""), 404, false);
	EXPECT(f, REQ("GET /hello%2Fx", ""), 404, false);
	r = http_ask(f, REQ("OPTIONS /hello", "Origin: https://x\r\nAccess-Control-Request-Method: DELETE\r\n"));
	assert_int_equal(r.status, 204);
	assert_int_equal(reply_header(&r, "Access-Control-Allow-Origin").n, 0);
	reply_release(&r);
}

static void test_etag(void **state)
{
	struct fixture *f = *state;
	struct reply r = http_ask(f, REQ("GET /tagged", ""));
	char again[256];
	assert_int_equal(r.status, 200);
	snprintf(again, sizeof(again), REQ("GET /tagged", "If-None-Match: \"x\", W/%.*s\r\n"), STR_ARG(reply_header(&r, "ETag")));
	reply_release(&r);
	r = http_ask(f, again);
	assert_int_equal(r.status, 304);
	assert_int_equal(r.body.n, 0);
	reply_release(&r);
	r = http_ask(f, REQ("GET /tagged", "If-None-Match: \"other\"\r\n"));
	assert_int_equal(r.status, 200);
	reply_release(&r);
}

static void test_request_id_and_headers(void **state)
{
	struct fixture *f = *state;
	struct reply r = http_ask(f, REQ("GET /hello", "X-Request-Id: abc-1\r\n"));
	assert_true(str_is(reply_header(&r, "X-Request-Id"), "abc-1"));
	reply_release(&r);
	r = http_ask(f, REQ("GET /hello", "X-Request-Id: a b\r\n"));
	assert_int_equal(reply_header(&r, "X-Request-Id").n, 36);
	reply_release(&r);
	r = http_ask(f, REQ("GET /inject?name=x%C3%A4", ""));
	assert_true(str_is(reply_header(&r, "X-Name"), "x\xc3\xa4"));
	assert_int_equal(reply_header(&r, "X-Bad").n, 0);
	assert_int_equal(reply_header(&r, "Set-Cookie").n, 0);
	reply_release(&r);
}

static void test_stack(void **state)
{
	struct reply r = http_ask(*state, REQ("GET /stack", ""));
	assert_true(strtol(r.body.p, NULL, 10) >= 1 << 20);
	reply_release(&r);
}

/* ---- who may what ---- */

static void test_authorization(void **state)
{
	struct fixture *f = *state;
	struct reply r = http_ask(f, REQ("POST /secret", JSON "Content-Length: 2\r\n") "{}");
	assert_int_equal(r.status, 401);
	assert_true(str_is(reply_header(&r, "WWW-Authenticate"), "Bearer realm=\"sluice\""));
	reply_release(&r);
	r = http_ask_as(f, "/secret", "a.b.c");
	assert_int_equal(r.status, 401);
	assert_true(str_starts(reply_header(&r, "WWW-Authenticate"), STR("Bearer realm=\"sluice\", error=\"invalid_token\"")));
	reply_release(&r);
	r = http_ask_as(f, "/secret", f->other_token);
	assert_int_equal(r.status, 403);
	assert_non_null(strstr(r.body.p, "operator"));
	reply_release(&r);
	r = http_ask_as(f, "/secret", f->token);
	assert_int_equal(r.status, 201);
	reply_release(&r);
	http_await_log(f, "\"sub\":\"ann\"");
}

static void test_audit(void **state)
{
	struct fixture *f = *state;
	struct reply r = http_ask_as(f, "/change", f->token);
	assert_int_equal(r.status, 200);
	reply_release(&r);
	http_await_log(f, "\"action\":\"thing.change\"");
	assert_false(http_logged(f, "audit_missing"));
	r = http_ask_as(f, "/forget", f->token);
	reply_release(&r);
	http_await_log(f, "\"event\":\"audit_missing\"");
}

static void test_validation_lists_every_field(void **state)
{
	struct reply r = http_ask(*state, REQ("POST /echo", JSON "Content-Length: 15\r\n") "{\"n\":\"\",\"s\":42}");
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
		struct reply r = http_ask(f, REQ("GET /rated", ""));
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

/* Whose bucket is untouched has two left behind its first request. */
static void assert_has_own_bucket(const struct fixture *f, const char *org, const char *sub)
{
	char token[HTTP_TOKEN_SIZE];
	http_token(f, org, sub, ROLE_OPERATOR, token);
	struct reply r = http_ask_as(f, "/rated", token);
	assert_true(str_is(reply_header(&r, "RateLimit"), "\"default\";r=2;t=1"));
	reply_release(&r);
}

/* A subject is one of an organization, and none is taken for the address of those without a token. */
static void test_rate_limit_is_a_subjects_own(void **state)
{
	struct fixture *f = *state;
	for (int i = 0; i < 3; i++) {
		struct reply r = http_ask_as(f, "/rated", f->token);
		reply_release(&r);
		r = http_ask(f, REQ("GET /rated", ""));
		reply_release(&r);
	}
	assert_has_own_bucket(f, "other", "ann");
	assert_has_own_bucket(f, "acme", "127.0.0.1");
}

static void allow_origin(struct config *c)
{
	static const char *const origins[] = {"https://ui.example"};
	c->cors_origins = (struct config_list){origins, 1};
}

static void test_cors(void **state)
{
	struct fixture *f = *state;
	struct reply r = http_ask(f, REQ("OPTIONS /echo", "Origin: https://ui.example\r\nAccess-Control-Request-Method: POST\r\n"));
	assert_int_equal(r.status, 204);
	assert_true(str_is(reply_header(&r, "Access-Control-Allow-Origin"), "https://ui.example"));
	assert_true(str_is(reply_header(&r, "Access-Control-Allow-Methods"), "POST"));
	reply_release(&r);
	r = http_ask(f, REQ("GET /nothing", "Origin: https://ui.example\r\n"));
	assert_int_equal(r.status, 404);
	assert_true(str_is(reply_header(&r, "Access-Control-Allow-Origin"), "https://ui.example"));
	reply_release(&r);
	r = http_ask(f, REQ("GET /hello", "Origin: https://evil.example\r\n"));
	assert_int_equal(reply_header(&r, "Access-Control-Allow-Origin").n, 0);
	reply_release(&r);
}

/* ---- the process itself ---- */

static void test_readiness(void **state)
{
	struct fixture *f = *state;
	struct reply r = http_ask(f, REQ("GET /readyz?verbose", ""));
	assert_int_equal(r.status, 200);
	assert_string_equal(r.body.p, "{\"status\":\"ok\",\"checks\":[{\"name\":\"part\",\"ok\":true,\"detail\":null}]}");
	reply_release(&r);
	atomic_store(&f->app.broken, true);
	r = http_ask(f, REQ("GET /readyz", ""));
	assert_int_equal(r.status, 503);
	assert_non_null(strstr(r.body.p, "part: the part is gone"));
	reply_release(&r);
	atomic_store(&f->app.broken, false);
	server_drain_begin(f->server);
	r = http_ask(f, REQ("GET /readyz", ""));
	assert_int_equal(r.status, 503);
	assert_non_null(strstr(r.body.p, "shutting-down"));
	reply_release(&r);
}

static void test_problem_pages(void **state)
{
	struct fixture *f = *state;
	struct reply r = http_ask(f, REQ("GET /problems/too-large", ""));
	assert_non_null(strstr(r.body.p, "\"status\":413"));
	reply_release(&r);
	r = http_ask(f, REQ("GET /problems/too-large", "Accept: text/html,*/*\r\n"));
	assert_true(str_is(reply_header(&r, "Content-Type"), "text/html; charset=utf-8"));
	assert_non_null(strstr(r.body.p, "<code>detail</code>"));
	reply_release(&r);
	EXPECT(f, REQ("GET /problems/no-such", ""), 404, false);
}

static void protect_metrics(struct config *c)
{
	c->metrics_auth = true;
}

static void test_metrics_are_protected(void **state)
{
	EXPECT(*state, REQ("GET /metrics", ""), 401, false);
}

/* A request is counted when its answer has been written. */
static void test_metrics_count(void **state)
{
	struct fixture *f = *state;
	int64_t deadline = clock_mono_ms() + CLIENT_MS;
	bool counted = false;
	EXPECT(f, REQ("GET /nothing", ""), 404, false);
	while (!counted && clock_mono_ms() < deadline) {
		struct reply r = http_ask(f, REQ("GET /metrics", ""));
		assert_int_equal(r.status, 200);
		assert_non_null(strstr(r.body.p, "sluice_http_threads{state=\"max\"} 8"));
		counted = strstr(r.body.p, "sluice_http_requests_total{route=\"(none)\",method=\"(any)\",code=\"404\"} 1") != NULL;
		reply_release(&r);
	}
	assert_true(counted);
}

static void become_worker(struct config *c)
{
	c->role = CONFIG_ROLE_WORKER;
}

static void test_role_worker_serves_probes_only(void **state)
{
	EXPECT(*state, REQ("GET /hello", ""), 404, false);
	EXPECT(*state, REQ("GET /readyz", ""), 200, false);
}

/* ---- waiting and stopping ---- */

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
	http_await_held(f, 7);
	http_release(f);
	for (int i = 0; i < 7; i++) {
		struct reply r;
		assert_true(client_read(&c[i], &r, false));
		waiting += strcmp(r.body.p, "true") == 0;
		reply_release(&r);
		client_close(&c[i]);
	}
	assert_int_equal(waiting, 6);
}

static void expect_on(struct client *c, const char *raw, int status, bool close)
{
	struct reply r;
	client_send(c, raw, strlen(raw));
	assert_true(client_read(c, &r, false));
	assert_int_equal(r.status, status);
	assert_int_equal(str_is(reply_header(&r, "Connection"), "close"), close);
	reply_release(&r);
}

/* Does anybody listen there? */
static bool is_open(unsigned port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	bool open = connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0;
	assert_true(open || errno == ECONNREFUSED);
	close(fd);
	return open;
}

static void test_drain(void **state)
{
	struct fixture *f = *state;
	static const char hold[] = REQ("GET /hold", ""), hello[] = REQ("GET /hello", ""), probe[] = REQ("GET /probe", "");
	struct client busy, idle, kept, probing;
	struct reply r;
	client_open(&busy, server_port(f->server));
	client_open(&idle, server_port(f->server));
	client_open(&kept, server_port(f->server));
	client_open(&probing, server_port(f->server));
	expect_on(&kept, hello, 200, false);
	expect_on(&probing, hello, 200, false);
	client_send(&busy, hold, sizeof(hold) - 1);
	http_await_held(f, 1);
	server_drain_begin(f->server);
	EXPECT(f, REQ("GET /hello", ""), 200, true);
	assert_false(server_drain(f->server, clock_mono_ms() + 20));
	assert_false(is_open(server_port(f->server)));
	expect_on(&kept, hello, 503, true);
	expect_on(&probing, probe, 200, true);
	http_release(f);
	assert_true(server_drain(f->server, clock_mono_ms() + CLIENT_MS));
	assert_true(client_read(&busy, &r, false));
	assert_int_equal(r.status, 200);
	reply_release(&r);
	client_close(&busy);
	client_close(&idle);
	client_close(&kept);
	client_close(&probing);
}

/* The faults: a client whose request was on its way when the server stopped was reset, and one that had connected and said nothing held
 * the end up. It has a second and a half. */
static void test_stop_hears_who_is_connected(void **state)
{
	struct fixture *f = *state;
	struct client silent, late;
	struct reply r;
	client_open(&silent, server_port(f->server));
	client_open(&late, server_port(f->server));
	static const char first[] = REQ("GET /hello", "");
	expect_on(&late, first, 200, false);
	server_drain_begin(f->server);
	assert_true(server_drain(f->server, clock_mono_ms() + CLIENT_MS));
	client_send(&late, first, sizeof(first) - 1);
	int64_t began = clock_mono_ms();
	server_stop(f->server);
	f->server = NULL;
	assert_true(clock_mono_ms() - began < CLIENT_MS);
	assert_true(client_read(&late, &r, false));
	assert_int_equal(r.status, 503);
	reply_release(&r);
	client_close(&silent);
	client_close(&late);
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

static void test_port_in_use(void **state)
{
	struct fixture *f = *state;
	struct err err = {0};
	struct config config = f->config;
	struct http_deps deps = f->deps;
	config.port = server_port(f->server);
	deps.config = &config;
	assert_null(server_start(&deps, &err));
	assert_non_null(strstr(err.text, "in use"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_head), TEST(test_no_such_method_or_path),
		TEST(test_etag), TEST(test_request_id_and_headers), TEST(test_stack), TEST(test_authorization), TEST(test_audit),
		TEST(test_validation_lists_every_field), TEST_WITH(test_rate_limit, limit_rate),
		TEST_WITH(test_rate_limit_is_a_subjects_own, limit_rate), TEST_WITH(test_cors, allow_origin),
		TEST(test_readiness), TEST(test_problem_pages),
		TEST_WITH(test_metrics_are_protected, protect_metrics), TEST(test_metrics_count),
		TEST_WITH(test_role_worker_serves_probes_only, become_worker), TEST(test_wait_slots), TEST(test_drain),
		TEST(test_stop_hears_who_is_connected), TEST(test_refuses_other_addresses), TEST(test_port_in_use),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
