/* How requests may arrive at the HTTP server, over real sockets: in pieces, behind one another, wrong, or never in full. */
#include <poll.h>
#include <sys/socket.h>

#include "lib/base/clock.h"
#include "tests/unit/http_fixture.h"

static void expect_status(struct client *c, int status)
{
	struct reply r;
	assert_true(client_read(c, &r, status == 100)); /* which has a head only */
	assert_int_equal(r.status, status);
	reply_release(&r);
}

/* A new connection, on which this has been sent. */
static void open_with(const struct fixture *f, struct client *c, const char *bytes, size_t n)
{
	client_open(c, server_port(f->server));
	client_send(c, bytes, n);
}

/* More than what civetweb waits for input at a time. */
static void keep_alive_briefly(struct config *c)
{
	c->keep_alive_ms = 2500;
}

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

static void be_hurried(struct config *c)
{
	c->request_timeout_ms = 1000;
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
	EXPECT(f, REQ("POST /echo", JSON "Content-Length: 0\r\n"), 400, false);
	EXPECT(f, REQ("POST /echo", JSON "Content-Length: 8\r\n") "{\"n\":1,}", 400, false);
	EXPECT(f, REQ("POST /echo", JSON "Content-Length: 9\r\n") "{\"n\":1.5}", 400, false);
	EXPECT(f, REQ("POST /echo", "Content-Type: text/plain\r\nContent-Length: 7\r\n") "{\"n\":1}", 415, false);
	EXPECT(f, REQ("POST /echo", "Content-Length: 7\r\n") "{\"n\":1}", 415, false);
	EXPECT(f, REQ("POST /echo", JSON "Content-Encoding: gzip\r\nContent-Length: 7\r\n") "{\"n\":1}", 415, false);
	EXPECT(f, REQ("PUT /stream", "Content-Length: 5\r\n") "abcde", 200, false);
}

static void test_a_chunk_without_end(void **state)
{
	struct fixture *f = *state;
	static const char endless[] = REQ("POST /echo", JSON "Transfer-Encoding: chunked\r\n") "8000000000000000\r\n{\"n\":1}";
	struct client c;
	open_with(f, &c, endless, sizeof(endless) - 1);
	assert_int_equal(shutdown(c.fd, SHUT_WR), 0); /* nobody waits for the rest */
	expect_status(&c, 400);
	assert_true(client_at_end(&c));
	client_close(&c);
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
	open_with(f, &c, head, sizeof(head) - 1);
	struct pollfd answer = {.fd = c.fd, .events = POLLIN};
	int64_t deadline = clock_mono_ms() + CLIENT_MS;
	while (poll(&answer, 1, 50) == 0 && clock_mono_ms() < deadline)
		client_send(&c, " ", 1); /* the fault itself */
	expect_status(&c, 408);
	client_close(&c);
}

static void test_expect_continue(void **state)
{
	struct fixture *f = *state;
	static const char head[] = REQ("POST /echo", JSON "Content-Length: 7\r\nExpect: 100-continue\r\n");
	struct client c;
	open_with(f, &c, head, sizeof(head) - 1);
	expect_status(&c, 100);
	client_send(&c, "{\"n\":1}", 7);
	expect_status(&c, 201);
	client_close(&c);
	/* A refusal comes instead of the 100: the body is not asked for. */
	EXPECT(f, REQ("POST /secret", JSON "Content-Length: 7\r\nExpect: 100-continue\r\n"), 401, true);
	EXPECT(f, REQ("POST /echo", JSON "Content-Length: 100001\r\nExpect: 100-continue\r\n"), 413, true);
}

#define MOMENT_MS 500

/* What a client still sends when its body has been refused is taken for a moment. It was reset when a part of it had been read ahead. */
static void test_refused_body_is_not_reset(void **state)
{
	struct fixture *f = *state;
	static const char head[] = REQ("POST /echo", JSON "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n"), wrong[] = "zz\r\n{\"n\":1}\r\n";
	int64_t deadline = clock_mono_ms() + CLIENT_MS, asked;
	bool reset;
	do { /* again, when the client was held up until the moment had gone by */
		struct client c;
		open_with(f, &c, head, sizeof(head) - 1);
		expect_status(&c, 100);
		asked = clock_mono_ms();
		client_send(&c, wrong, sizeof(wrong) - 1);
		expect_status(&c, 400);
		struct pollfd end = {.fd = c.fd};
		client_send(&c, wrong, sizeof(wrong) - 1);
		asked = clock_mono_ms() - asked;
		reset = poll(&end, 1, 100) != 0;
		client_close(&c);
	} while (reset && asked >= MOMENT_MS && clock_mono_ms() < deadline);
	assert_false(reset);
}

#define STEADY_MS 4000

static void be_steady(struct config *c)
{
	c->request_timeout_ms = STEADY_MS;
}

/* Silence does not add to the time that a body may take. */
static void test_a_body_that_stops_late_is_cut_in_time(void **state)
{
	struct fixture *f = *state;
	static const char head[] = REQ("POST /echo", JSON "Content-Length: 1000\r\n");
	struct client c;
	open_with(f, &c, head, sizeof(head) - 1);
	int64_t started = clock_mono_ms();
	while (clock_mono_ms() - started < STEADY_MS - 100) {
		client_send(&c, " ", 1);
		clock_sleep_ms(100); /* the fault itself */
	}
	expect_status(&c, 408);
	assert_true(clock_mono_ms() - started < 2 * STEADY_MS - 500); /* it was nearly twice as long */
	client_close(&c);
}

/* Nor is the rest of a body that has been answered waited for, for longer than a moment. */
static void test_a_rest_that_never_comes(void **state)
{
	struct fixture *f = *state;
	static const char head[] = REQ("POST /secret", JSON "Content-Length: 1000\r\n") "{";
	struct client c;
	open_with(f, &c, head, sizeof(head) - 1);
	expect_status(&c, 401);
	int64_t answered = clock_mono_ms();
	assert_true(client_at_end(&c));
	assert_true(clock_mono_ms() - answered < f->config.request_timeout_ms - 1000);
	client_close(&c);
}

/* ---- one connection ---- */

static void test_keep_alive_and_pipelining(void **state)
{
	struct fixture *f = *state;
	static const char three[] = REQ("POST /echo", JSON "Content-Length: 7\r\n") "{\"n\":1}" REQ("GET /hello?q=a%20b", "")
		REQ("POST /secret", JSON "Content-Length: 2\r\n") "{}" REQ("GET /hello", "Connection: close\r\n");
	static const int statuses[] = {201, 200, 401, 200};
	struct client c;
	struct reply r;
	open_with(f, &c, three, sizeof(three) - 1);
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

/* However a later request of a connection arrives, none of its bytes is lost, and none is taken for another's. */
static void test_later_requests_in_pieces(void **state)
{
	struct fixture *f = *state;
	static const char get[] = REQ("GET /hello", ""), post[] = REQ("POST /echo", JSON "Content-Length: 7\r\nExpect: 100-continue\r\n");
	static const char body_and_next[] = "{\"n\":1}" REQ("GET /hello", "");
	struct buf large = BUF_INIT;
	struct client c;
	int64_t asked = 0;
	client_open(&c, server_port(f->server));
	for (int round = 0; round < 3; round++) {
		client_send(&c, get, sizeof(get) - 1);
		expect_status(&c, 200);
		client_send(&c, post, sizeof(post) - 1);
		expect_status(&c, 100);
		client_send(&c, body_and_next, sizeof(body_and_next) - 1);
		expect_status(&c, 201);
		expect_status(&c, 200);
		buf_addz(&large, "GET /hello HTTP/1.1\r\nHost: h\r\nX-Padding: ");
		for (int i = 0; i < 2000 * (round + 1); i++)
			buf_addc(&large, 'x');
		buf_addz(&large, "\r\n\r\n");
		buf_addz(&large, get);
		asked = clock_mono_ms();
		client_send(&c, large.p, large.n);
		expect_status(&c, 200);
		expect_status(&c, 200);
		buf_clear(&large);
	}
	buf_release(&large);
	assert_true(client_at_end(&c));
	assert_true(clock_mono_ms() - asked >= f->config.keep_alive_ms - 100);
	client_close(&c);
}

static void test_http10(void **state)
{
	struct fixture *f = *state;
	EXPECT(f, "GET /hello HTTP/1.0\r\n\r\n", 200, true);
	EXPECT(f, "GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 200, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_malformed), TEST(test_head_too_large), TEST_WITH(test_bodies, be_hurried), TEST(test_a_chunk_without_end),
		TEST(test_chunked_over_the_limit), TEST_WITH(test_trickle_is_cut, be_hurried), TEST(test_expect_continue), TEST(test_refused_body_is_not_reset),
		TEST_WITH(test_a_body_that_stops_late_is_cut_in_time, be_steady), TEST(test_a_rest_that_never_comes),
		TEST(test_keep_alive_and_pipelining), TEST_WITH(test_later_requests_in_pieces, keep_alive_briefly), TEST(test_http10),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
