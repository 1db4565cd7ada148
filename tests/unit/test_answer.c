/* Answers that another thread writes: their order, and the ways in which a connection may end meanwhile. */
#include <sys/socket.h>

#include "gateway/http/server_state.h"
#include "lib/base/clock.h"
#include "tests/unit/http_fixture.h"

#define LARGE ((size_t)16 << 20) /* more than any socket takes at once */

static void ask(struct client *c, const char *raw)
{
	client_send(c, raw, strlen(raw));
}

static void expect(struct client *c, const char *body_starts)
{
	struct reply r;
	assert_true(client_read(c, &r, false));
	assert_int_equal(r.status, 200);
	if (!str_starts(buf_str(&r.body), str_from(body_starts)))
		fail_msg("%.200s instead of %s", r.body.p, body_starts);
	assert_int_equal(reply_header(&r, "Connection").n, 0);
	reply_release(&r);
}

static void expect_last(struct client *c, size_t bytes)
{
	struct reply r;
	assert_true(client_read(c, &r, false));
	assert_int_equal(r.status, 200);
	assert_true(r.body.n >= bytes);
	assert_true(str_is(reply_header(&r, "Connection"), "close"));
	assert_true(client_at_end(c));
	reply_release(&r);
	client_close(c);
}

static void open_and_ask(const struct fixture *f, struct client *c, const char *raw)
{
	client_open(c, server_port(f->server));
	ask(c, raw);
}

static void test_connection_goes_on(void **state)
{
	struct fixture *f = *state;
	struct client c;
	client_open(&c, server_port(f->server));
	for (int i = 0; i < 3; i++) {
		ask(&c, REQ("GET /later?q=a%20b", "X-Tag: one\r\n"));
		http_answer(f, 0);
		expect(&c, "{\"q\":\"a b\",\"tag\":\"one\",\"body\":null}");
		ask(&c, REQ("POST /later", JSON "Content-Length: 7\r\n") "{\"n\":1}");
		http_answer(f, 0);
		expect(&c, "{\"q\":null,\"tag\":null,\"body\":\"{\\\"n\\\":1}\"}");
	}
	client_close(&c);
	http_await_log(f, "\"route\":\"/later\"");
}

/* The next request stands in the receive buffer while the one before is answered. */
static void test_pipelined_are_answered_in_order(void **state)
{
	struct fixture *f = *state;
	struct client c;
	open_and_ask(f, &c, REQ("GET /later?q=1", "X-Tag: first\r\nX-Request-Id: one\r\n") REQ("GET /hello?q=2", "X-Tag: second\r\n")
				    REQ("POST /later?q=3", JSON "X-Tag: third\r\nContent-Length: 7\r\n") "{\"n\":3}" REQ("GET /hello?q=4", ""));
	http_answer(f, 0);
	expect(&c, "{\"q\":\"1\",\"tag\":\"first\"");
	expect(&c, "{\"q\":\"2\"}");
	http_answer(f, 0);
	expect(&c, "{\"q\":\"3\",\"tag\":\"third\",\"body\":\"{\\\"n\\\":3}\"}");
	expect(&c, "{\"q\":\"4\"}");
	client_close(&c);
	http_await_log(f, "\"requestId\":\"one\"");
}

static bool has_come(const struct client *c)
{
	char byte;
	return recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1;
}

/* What is made together is sent at the end, behind its log lines. */
static void test_together(void **state)
{
	struct fixture *f = *state;
	struct client a, b;
	open_and_ask(f, &a, REQ("GET /later?q=a", ""));
	http_await_deferred(f, 1);
	open_and_ask(f, &b, REQ("GET /later?q=b", ""));
	http_await_deferred(f, 2);
	server_answers_begin();
	http_answer(f, 0);
	server_answers_begin();
	http_answer(f, LARGE);
	server_answers_end();
	assert_false(has_come(&a) || has_come(&b));
	server_answers_end();
	expect(&a, "{\"q\":\"a\"");
	expect(&b, "{\"q\":\"b\"");
	client_close(&a);
	client_close(&b);
}

/* What cannot be read behind it gets its own answer, after. */
static void test_malformed_behind_it(void **state)
{
	struct fixture *f = *state;
	struct client c;
	struct reply r;
	open_and_ask(f, &c, REQ("GET /later?q=1", "") "no request\r\n\r\n");
	http_answer(f, 0);
	expect(&c, "{\"q\":\"1\"");
	assert_true(client_read(&c, &r, false));
	assert_int_equal(r.status, 400);
	assert_true(client_at_end(&c));
	reply_release(&r);
	client_close(&c);
}

static void test_ways_that_wait(void **state)
{
	struct fixture *f = *state;
	struct client c;
	struct reply r;
	open_and_ask(f, &c, REQ("GET /later", "Connection: close\r\n"));
	http_answer(f, 0);
	expect_last(&c, 1);
	open_and_ask(f, &c, "GET /later HTTP/1.0\r\n\r\n");
	http_answer(f, 0);
	expect_last(&c, 1);
	open_and_ask(f, &c, REQ("HEAD /later", ""));
	http_answer(f, 0);
	assert_true(client_read(&c, &r, true));
	assert_int_equal(r.status, 200);
	assert_int_equal(reply_header(&r, "Connection").n, 0);
	reply_release(&r);
	client_close(&c);
}

static void test_client_gone(void **state)
{
	struct fixture *f = *state;
	struct client gone, half;
	open_and_ask(f, &gone, REQ("GET /later", ""));
	client_close(&gone);
	http_answer(f, 0);
	/* One that only has nothing more to ask is answered. */
	open_and_ask(f, &half, REQ("GET /later", ""));
	shutdown(half.fd, SHUT_WR);
	http_answer(f, 0);
	struct reply r;
	assert_true(client_read(&half, &r, false));
	assert_int_equal(r.status, 200);
	reply_release(&r);
	assert_true(client_at_end(&half));
	client_close(&half);
	EXPECT(f, REQ("GET /hello", ""), 200, false);
}

static bool is_closing(struct server *s)
{
	bool any = false;
	lock_take(&s->mu);
	for (struct worker *w = s->workers; w; w = w->next)
		any |= atomic_load(&w->closing) && !parker_is_open(&w->answered);
	lock_give(&s->mu);
	return any;
}

static void await_closing(struct server *s)
{
	int64_t deadline = clock_mono_ms() + CLIENT_MS;
	while (!is_closing(s)) {
		assert_true(clock_mono_ms() < deadline);
		clock_sleep_ms(1);
	}
}

static void keep_alive_briefly(struct config *c)
{
	c->keep_alive_ms = 100;
}

/* The connection's time ends while the answer is due: the answer says so. */
static void test_answer_later_than_keep_alive(void **state)
{
	struct fixture *f = *state;
	struct client c;
	open_and_ask(f, &c, REQ("GET /hello", "") REQ("GET /later", "")); /* at once: nobody is late for the second */
	expect(&c, "{");
	await_closing(f->server);
	http_answer(f, 0);
	expect_last(&c, 1);
}

static void keep_alive_for_a_second(struct config *c)
{
	c->keep_alive_ms = 1000;
}

/* The fault: most of the time for the next request had gone by with waiting for this answer, which did not say so; a client that asked again
 * met the close. */
static void test_answer_late_in_keep_alive(void **state)
{
	struct fixture *f = *state;
	struct client c;
	open_and_ask(f, &c, REQ("GET /later", ""));
	clock_sleep_ms(600);
	http_answer(f, 0);
	expect_last(&c, 1);
}

static void keep_alive_long(struct config *c)
{
	c->keep_alive_ms = 10 * CLIENT_MS;
}

/* http_answer comes back although nobody reads, for as many as there are. */
static void test_slow_readers(void **state)
{
	struct fixture *f = *state;
	struct client slow[3], gone, quick;
	for (size_t i = 0; i < ARRAY_LEN(slow); i++) {
		open_and_ask(f, &slow[i], REQ("GET /later?q=slow", ""));
		http_answer(f, LARGE);
	}
	open_and_ask(f, &gone, REQ("GET /later", ""));
	http_answer(f, LARGE);
	open_and_ask(f, &quick, REQ("GET /later?q=quick", ""));
	http_answer(f, 0);
	expect(&quick, "{\"q\":\"quick\"");
	client_close(&quick);
	client_close(&gone);
	for (size_t i = ARRAY_LEN(slow); i-- > 0;) {
		ask(&slow[i], REQ("GET /hello?q=after", ""));
		expect(&slow[i], "{\"q\":\"slow\"");
		expect(&slow[i], "{\"q\":\"after\"");
		client_close(&slow[i]);
	}
}

static void test_drain(void **state)
{
	struct fixture *f = *state;
	struct client before, large, piped;
	open_and_ask(f, &before, REQ("GET /later", ""));
	http_await_deferred(f, 1);
	open_and_ask(f, &large, REQ("GET /later", ""));
	http_await_deferred(f, 2);
	open_and_ask(f, &piped, REQ("GET /later", "") REQ("GET /admin", ""));
	http_await_deferred(f, 3);
	server_drain_begin(f->server);
	assert_false(server_drain(f->server, clock_mono_ms() + 20));
	http_answer(f, 0);
	http_answer(f, LARGE);
	http_answer(f, 0);
	assert_false(server_drain(f->server, clock_mono_ms() + 20)); /* an answer that is being sent counts */
	struct client *all[] = {&before, &large, &piped};
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		expect_last(all[i], 1);
	assert_true(server_drain(f->server, clock_mono_ms() + CLIENT_MS));
	assert_int_equal(atomic_load(&f->app.smuggled), 0); /* what followed the last answer was not looked at */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_connection_goes_on), TEST(test_pipelined_are_answered_in_order), TEST(test_together),
		TEST(test_malformed_behind_it), TEST(test_ways_that_wait),
		TEST(test_client_gone), TEST_WITH(test_answer_later_than_keep_alive, keep_alive_briefly),
		TEST_WITH(test_answer_late_in_keep_alive, keep_alive_for_a_second), TEST_WITH(test_slow_readers, keep_alive_long), TEST(test_drain),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
