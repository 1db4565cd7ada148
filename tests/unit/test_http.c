/* The HTTP server over real sockets: what it accepts, what it refuses and how it ends. */
#include <arpa/inet.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "tests/unit/http_fixture.h"

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
		{400, "GET hello HTTP/1.1\r\nHost: h\r\n\r\n"},
		{501, "GET http://other/hello HTTP/1.2\r\nHost: h\r\n\r\n"},
		{400, "GET * HTTP/1.1\r\nHost: h\r\n\r\n"},
		{400, "GET /hello\r\nHost: h\r\n\r\n"},
		{400, REQ("GET /hello", "Bad Name: x\r\n")},
	};
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		char raw[1024];
		int n = snprintf(raw, sizeof(raw), "%s%s", cases[i].raw, second);
		http_expect(f, raw, (size_t)n, cases[i].status, true);
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
	http_expect(f, many.p, many.n, 431, true);
	buf_addz(&long_one, "GET /hello HTTP/1.1\r\nHost: h\r\nX: ");
	for (int i = 0; i < 20000; i++)
		buf_addc(&long_one, 'a');
	buf_addz(&long_one, "\r\n\r\n");
	http_expect(f, long_one.p, long_one.n, 431, true);
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
	http_expect(f, b.p, b.n, 413, true);
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

static void expect_status(struct client *c, int status)
{
	struct reply r;
	assert_true(client_read(c, &r, false));
	assert_int_equal(r.status, status);
	reply_release(&r);
}

/* More than what civetweb waits for input at a time. */
static void be_patient(struct config *c)
{
	c->request_timeout_ms = 10000;
	c->keep_alive_ms = 2500;
}

/* However a later request of a connection arrives, none of its bytes is lost, and none is taken for another's. */
static void test_later_requests_in_pieces(void **state)
{
	struct fixture *f = *state;
	static const char get[] = REQ("GET /hello", ""), post[] = REQ("POST /echo", JSON "Content-Length: 7\r\nExpect: 100-continue\r\n");
	static const char body_and_next[] = "{\"n\":1}" REQ("GET /hello", "");
	struct buf large = BUF_INIT;
	struct client c;
	struct reply r;
	client_open(&c, server_port(f->server));
	for (int round = 0; round < 3; round++) {
		client_send(&c, get, sizeof(get) - 1);
		expect_status(&c, 200);
		client_send(&c, post, sizeof(post) - 1);
		assert_true(client_read(&c, &r, true));
		assert_int_equal(r.status, 100);
		reply_release(&r);
		client_send(&c, body_and_next, sizeof(body_and_next) - 1);
		expect_status(&c, 201);
		expect_status(&c, 200);
		buf_addz(&large, "GET /hello HTTP/1.1\r\nHost: h\r\nX-Padding: ");
		for (int i = 0; i < 2000 * (round + 1); i++)
			buf_addc(&large, 'x');
		buf_addz(&large, "\r\n\r\n");
		buf_addz(&large, get);
		client_send(&c, large.p, large.n);
		expect_status(&c, 200);
		expect_status(&c, 200);
		buf_clear(&large);
	}
	buf_release(&large);
	int64_t silent = clock_mono_ms();
	assert_true(client_at_end(&c));
	assert_true(clock_mono_ms() - silent >= f->config.keep_alive_ms - 100);
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
 * the end up for two seconds. */
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
	assert_true(clock_mono_ms() - began < 1500);
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
		TEST(test_malformed), TEST(test_head_too_large), TEST(test_bodies), TEST(test_chunked_over_the_limit), TEST(test_trickle_is_cut),
		TEST(test_expect_continue), TEST(test_keep_alive_and_pipelining), TEST_WITH(test_later_requests_in_pieces, be_patient), TEST(test_http10), TEST(test_head), TEST(test_no_such_method_or_path),
		TEST(test_etag), TEST(test_request_id_and_headers), TEST(test_stack), TEST(test_authorization), TEST(test_audit),
		TEST(test_validation_lists_every_field), TEST_WITH(test_rate_limit, limit_rate), TEST_WITH(test_cors, allow_origin),
		TEST(test_readiness), TEST(test_problem_pages),
		TEST_WITH(test_metrics_are_protected, protect_metrics), TEST(test_metrics_count),
		TEST_WITH(test_role_worker_serves_probes_only, become_worker), TEST(test_wait_slots), TEST(test_drain), TEST(test_stop_hears_who_is_connected), TEST(test_refuses_other_addresses), TEST(test_port_in_use),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
