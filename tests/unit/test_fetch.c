/* Outbound HTTP: what is let out, what comes back, and what every failure says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/clock.h"
#include "lib/fetch/fetch.h"
#include "lib/fetch/guard.h"
#include "lib/fetch/sign.h"
#include "tests/unit/stand_in.h"

#define OK_ANSWER "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"

static bool global(const char *text)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
	if (inet_pton(AF_INET, text, &in.sin_addr) == 1)
		return guard_is_global((struct sockaddr *)&in);
	assert_int_equal(inet_pton(AF_INET6, text, &in6.sin6_addr), 1);
	return guard_is_global((struct sockaddr *)&in6);
}

static void only_global_addresses_are_global(void **state)
{
	static const char *const no[] = {
		"0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.255.255.254",
		"169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.2.1", "192.88.99.1", "192.168.0.1", "198.18.0.1",
		"198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", "::", "::1",
		"::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "::8.8.8.8", "64:ff9b::7f00:1", "64:ff9b::a00:1",
		"64:ff9b:1::808:808", "2002:7f00:1::", "2002:a9fe:a9fe::1", "2001::1", "2001:db8::1", "3fff::1", "fc00::1", "fd00:ec2::254",
		"fe80::1", "fec0::1", "ff02::1", "4000::1", "e000::1", "100::1",
	};
	static const char *const yes[] = {
		"1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.1",
		"172.15.255.255", "172.32.0.0", "192.0.1.1", "198.17.255.255", "198.20.0.0", "223.255.255.255", "2606:4700::1111",
		"2a00:1450::1", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1",
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(no); i++)
		if (global(no[i]))
			fail_msg("%s counts as global", no[i]);
	for (size_t i = 0; i < ARRAY_LEN(yes); i++)
		if (!global(yes[i]))
			fail_msg("%s does not count as global", yes[i]);
	struct sockaddr other = {.sa_family = AF_UNIX};
	assert_false(guard_is_global(&other));
}

static bool lets_through(const char *rule, const char *address, unsigned port)
{
	struct guard g;
	struct err err = {0};
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
	assert_int_equal(guard_init(&g, &rule, 1, &err), 0);
	bool v4 = inet_pton(AF_INET, address, &in.sin_addr) == 1;
	assert_true(v4 || inet_pton(AF_INET6, address, &in6.sin6_addr) == 1);
	bool through = guard_allows(&g, v4 ? (struct sockaddr *)&in : (struct sockaddr *)&in6);
	guard_release(&g);
	return through;
}

static void rules_open_what_they_say(void **state)
{
	(void)state;
	assert_true(lets_through("127.0.0.1", "127.0.0.1", 80));
	assert_false(lets_through("127.0.0.1", "127.0.0.2", 80));
	assert_true(lets_through("127.0.0.1:8080", "127.0.0.1", 8080));
	assert_false(lets_through("127.0.0.1:8080", "127.0.0.1", 8081));
	assert_true(lets_through("127.0.0.1:8080", "::ffff:127.0.0.1", 8080));
	assert_true(lets_through(" 10.0.0.0/8 ", "10.9.8.7", 1));
	assert_false(lets_through("10.0.0.0/9", "10.200.0.1", 1));
	assert_true(lets_through("10.0.0.0/8:443", "10.9.8.7", 443));
	assert_false(lets_through("10.0.0.0/8:443", "10.9.8.7", 80));
	assert_true(lets_through("0.0.0.0/0", "127.0.0.1", 80));
	assert_false(lets_through("0.0.0.0/0", "::1", 80));
	assert_true(lets_through("[::1]:80", "::1", 80));
	assert_true(lets_through("[fd00::]/8", "fd12::1", 80));
	assert_true(lets_through("[::]/0", "fd12::1", 80));
	assert_false(lets_through("[::]/0", "127.0.0.1", 80)); /* IPv4 wants a rule of its own */
	assert_false(lets_through("localhost:80", "127.0.0.1", 80));
}

static void broken_rules_are_refused(void **state)
{
	static const char *const broken[] = {"", ":80", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/8/8", "[::1", "[::1]80", "[::1]/129", "127.0.0.1:0",
		"127.0.0.1:65536", "127.0.0.1:x", "host/8", "a b", "host:", "http://host"};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
		struct guard g;
		struct err err = {0};
		if (guard_init(&g, &broken[i], 1, &err) != ERR_INVALID)
			fail_msg("the rule \"%s\" is accepted", broken[i]);
	}
}

/* ---- over the wire ---- */

struct world {
	struct stand_in server;
	struct fetcher *fetcher;
	char allow[32];
};

static void world_init(struct world *w, const char *answer, bool open)
{
	struct err err = {0};
	memset(w, 0, sizeof(*w));
	stand_in_start(&w->server, answer);
	snprintf(w->allow, sizeof(w->allow), "127.0.0.1:%u", w->server.port);
	const char *rules[] = {w->allow};
	const struct fetcher_options o = {.allow = rules, .n_allow = open};
	w->fetcher = fetcher_new(&o, &err);
	assert_string_equal(err.text, "");
}

static void world_release(struct world *w)
{
	fetcher_free(w->fetcher);
	stand_in_stop(&w->server);
}

static int ask(struct world *w, struct fetch_request rq, const char *url_format, struct fetch_response *rs)
{
	struct err err = {0};
	char url[256];
	snprintf(url, sizeof(url), url_format, w->server.port);
	rq.method = rq.method ? rq.method : "POST";
	rq.url = str_from(url);
	rq.deadline_mono_ms = rq.deadline_mono_ms ? rq.deadline_mono_ms : clock_mono_ms() + 5000;
	rq.cancel_fd = rq.cancel_fd ? rq.cancel_fd : -1;
	int rc = fetch(w->fetcher, &rq, rs, &err);
	assert_true((rc < 0) == (err.text[0] != '\0'));
	return rc;
}

/* Every spelling of an address that must not be reached, most of them of 127.0.0.1 where a server would answer. */
static void no_spelling_gets_past_the_guard(void **state)
{
	static const char *const urls[] = {
		"http://127.0.0.1:%u/", "http://127.1:%u/", "http://127.0.1:%u/", "http://2130706433:%u/", "http://0x7f000001:%u/",
		"http://0x7f.1:%u/", "http://0x7f.0x0.0x0.0x1:%u/", "http://0177.0.0.1:%u/", "http://0177.1:%u/", "http://017700000001:%u/",
		"http://127.0.0.1.:%u/", "http://127.000.000.001:%u/", "http://0:%u/", "http://0.0.0.0:%u/", "http://00000000:%u/",
		"http://0x0:%u/", "http://127.127.127.127:%u/", "http://localhost:%u/", "http://LOCALHOST:%u/", "http://localhost.:%u/",
		"http://LocalHost:%u/a?b#c", "http://[::1]:%u/", "http://[::]:%u/", "http://[0:0:0:0:0:0:0:1]:%u/", "http://[::ffff:127.0.0.1]:%u/",
		"http://[::ffff:7f00:1]:%u/", "http://[0:0:0:0:0:ffff:127.0.0.1]:%u/", "http://[::127.0.0.1]:%u/", "http://[64:ff9b::127.0.0.1]:%u/",
		"http://[2002:7f00:1::]:%u/", "http://[fe80::1]:%u/", "http://[fe80::1%%25lo]:%u/", "http://[fd00:ec2::254]:%u/",
		"http://[ff02::1]:%u/", "http://10.0.0.1:%u/", "http://192.168.1.1:%u/", "http://172.16.0.1:%u/", "http://100.64.0.1:%u/",
		"http://169.254.169.254:%u/latest/meta-data/", "http://0xa9fea9fe:%u/", "http://2852039166:%u/", "http://0251.0376.0251.0376:%u/",
		"http://169.254.43518:%u/", "http://198.18.0.1:%u/", "http://224.0.0.1:%u/", "http://255.255.255.255:%u/", "http://240.0.0.1:%u/",
		"http://user@127.0.0.1:%u/", "http://user:pass@127.0.0.1:%u/", "http://8.8.8.8@127.0.0.1:%u/", "http://8.8.8.8\\@127.0.0.1:%u/",
		"http://127.0.0.1:%u\\@8.8.8.8/", "http://8.8.8.8#@127.0.0.1\\:%u/", "http://127.0.0.1 :%u/", "http://127.0.0.1%%00:%u/",
		"http://127%%2e0%%2e0%%2e1:%u/", "http://%%31%%32%%37.0.0.1:%u/", "http://\xe2\x91\xa0\xe2\x91\xa1\xe2\x91\xa6.0.0.1:%u/",
		"http://127\xe3\x80\x82""0.0.1:%u/", "http:127.0.0.1:%u/", "http:/127.0.0.1:%u/", "http:///127.0.0.1:%u/", "//127.0.0.1:%u/",
		"127.0.0.1:%u", "HTTP://127.0.0.1:%u/", " http://127.0.0.1:%u/", "http://127.0.0.1:%u/\r\nHost: x", "http://127.0.0.1:%u/\tx",
		"file:///etc/passwd?%u", "gopher://127.0.0.1:%u/_SET", "dict://127.0.0.1:%u/", "ftp://127.0.0.1:%u/", "smtp://127.0.0.1:%u/",
		"telnet://127.0.0.1:%u", "ldap://127.0.0.1:%u/", "javascript:%u", "http://:%u/", "http://[::1:%u/", "http://127.0.0.1:%u0000/",
	};
	struct world w;
	(void)state;
	world_init(&w, OK_ANSWER, false);
	for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
		struct fetch_response rs;
		int rc = ask(&w, (struct fetch_request){.method = "GET"}, urls[i], &rs);
		if ((rc != ERR_DENIED && rc != ERR_INVALID && rc != ERR_UNAVAILABLE) || rs.sent || rs.status)
			fail_msg("%s ends with %s", urls[i], err_name(rc));
		fetch_response_release(&rs);
	}
	assert_int_equal(atomic_load(&w.server.connections), 0);
	world_release(&w);
}

static void a_request_arrives_as_it_was_given(void **state)
{
	struct world w;
	struct fetch_response rs;
	const struct fetch_header headers[] = {{STR("Content-Type"), STR("application/json")}, {STR("X-One"), STR("a b")}, {STR("X-None"), STR("")}};
	const struct fetch_request rq = {.method = "PUT", .headers = headers, .n_headers = ARRAY_LEN(headers), .body = STR("{\"a\":1}")};
	(void)state;
	world_init(&w, "HTTP/1.1 202 Accepted\r\nRetry-After: 7\r\nContent-Length: 5\r\n\r\nhello", true);
	assert_int_equal(ask(&w, rq, "http://127.0.0.1:%u/a/b?c=d", &rs), 0);
	assert_int_equal(rs.status, 202);
	assert_int_equal(rs.retry_after_ms, 7000);
	assert_true(rs.sent && !rs.truncated);
	assert_string_equal(rs.body.p, "hello");
	lock_take(&w.server.mu);
	assert_memory_equal(w.server.last.p, "PUT /a/b?c=d HTTP/1.1\r\n", 23);
	assert_non_null(strstr(w.server.last.p, "\r\nContent-Type: application/json\r\nX-One: a b\r\nX-None:\r\n"));
	assert_non_null(strstr(w.server.last.p, "\r\n\r\n{\"a\":1}"));
	assert_null(strstr(w.server.last.p, "Expect"));
	lock_give(&w.server.mu);
	fetch_response_release(&rs);
	world_release(&w);
}

static void a_retry_after_may_be_a_date(void **state)
{
	static const struct {
		const char *value;
		int64_t least, most;
	} cases[] = {
		{"Retry-After: 0\r\n", 0, 0},
		{"Retry-After: 120\r\n", 120000, 120000},
		{"Retry-After: Fri, 31 Dec 1999 23:59:59 GMT\r\n", 0, 0},
		{"Retry-After: Fri, 31 Dec 2100 23:59:59 GMT\r\n", INT64_C(86400000) * 30, INT64_C(86400000) * 30},
		{"", -1, -1},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct world w;
		struct fetch_response rs;
		char answer[256];
		snprintf(answer, sizeof(answer), "HTTP/1.1 429 Too Many\r\n%sContent-Length: 0\r\n\r\n", cases[i].value);
		world_init(&w, answer, true);
		assert_int_equal(ask(&w, (struct fetch_request){.body = STR("")}, "http://127.0.0.1:%u/", &rs), 0);
		assert_int_equal(rs.status, 429);
		assert_in_range(rs.retry_after_ms + 1, cases[i].least + 1, cases[i].most + 1);
		fetch_response_release(&rs);
		world_release(&w);
	}
}

static void a_redirect_is_an_answer_and_no_way(void **state)
{
	struct world w;
	struct fetch_response rs;
	(void)state;
	world_init(&w, "HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", true);
	assert_int_equal(ask(&w, (struct fetch_request){.body = STR("x")}, "http://127.0.0.1:%u/", &rs), 0);
	assert_int_equal(rs.status, 302);
	assert_int_equal(atomic_load(&w.server.requests), 1);
	fetch_response_release(&rs);
	world_release(&w);
}

static void a_long_answer_is_cut(void **state)
{
	struct world w;
	struct fetch_response rs;
	(void)state;
	world_init(&w, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n0123456789abcdef", true);
	assert_int_equal(ask(&w, (struct fetch_request){.body = STR("x"), .max_response_bytes = 10}, "http://127.0.0.1:%u/", &rs), 0);
	assert_true(rs.truncated);
	assert_string_equal(rs.body.p, "0123456789");
	fetch_response_release(&rs);
	world_release(&w);
}

static void failures_say_whether_it_may_have_happened(void **state)
{
	struct world w;
	struct fetch_response rs;
	(void)state;
	world_init(&w, "", true); /* takes the request and closes */
	assert_int_equal(ask(&w, (struct fetch_request){.body = STR("x")}, "http://127.0.0.1:%u/", &rs), ERR_UNKNOWN_OUTCOME);
	assert_true(rs.sent);
	fetch_response_release(&rs);
	world_release(&w);

	world_init(&w, NULL, true); /* takes the request and is silent */
	struct fetch_request rq = {.body = STR("x"), .deadline_mono_ms = clock_mono_ms() + 2000}; /* it is sent by then on any machine */
	assert_int_equal(ask(&w, rq, "http://127.0.0.1:%u/", &rs), ERR_UNKNOWN_OUTCOME);
	assert_true(rs.sent);
	fetch_response_release(&rs);
	rq.deadline_mono_ms = clock_mono_ms() - 1;
	assert_int_equal(ask(&w, rq, "http://127.0.0.1:%u/", &rs), ERR_TIMEOUT);
	assert_false(rs.sent);
	fetch_response_release(&rs);
	world_release(&w);

	world_init(&w, "SSH-2.0-OpenSSH\r\n\r\n", true);
	assert_int_equal(ask(&w, (struct fetch_request){.body = STR("x")}, "http://127.0.0.1:%u/", &rs), ERR_PROTOCOL);
	fetch_response_release(&rs);
	world_release(&w);
}

static void cancelling_ends_it_at_once(void **state)
{
	struct world w;
	struct fetch_response rs;
	int fd = eventfd(1, EFD_CLOEXEC);
	(void)state;
	world_init(&w, NULL, true);
	struct fetch_request rq = {.body = STR("x"), .cancel_fd = fd, .deadline_mono_ms = clock_mono_ms() + 60000};
	assert_int_equal(ask(&w, rq, "http://127.0.0.1:%u/", &rs), ERR_STOPPING);
	assert_true(rs.ms < 5000);
	fetch_response_release(&rs);
	world_release(&w);
	close(fd);
}

static void a_connection_is_kept_only_when_asked(void **state)
{
	struct world w;
	struct fetch_response rs;
	(void)state;
	for (int reuse = 0; reuse < 2; reuse++) {
		world_init(&w, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", true);
		w.server.keep_alive = reuse;
		for (int i = 0; i < 3; i++) {
			assert_int_equal(ask(&w, (struct fetch_request){.body = STR("x"), .reuse = reuse}, "http://127.0.0.1:%u/", &rs), 0);
			fetch_response_release(&rs);
		}
		assert_int_equal(atomic_load(&w.server.connections), reuse ? 1 : 3);
		world_release(&w);
	}
}

static void headers_cannot_carry_more_headers(void **state)
{
	static const struct fetch_header bad[] = {
		{STR("X-A"), STR("a\r\nX-B: b")}, {STR("X-A"), STR("a\nX-B: b")}, {STR("X-A\r\nX-B"), STR("b")}, {STR("X A"), STR("b")},
		{STR("X:A"), STR("b")}, {STR(""), STR("b")}, {STR("X-A"), STR("a\0b")}, {STR("X-A"), STR("\x7f")},
	};
	struct world w;
	struct fetch_response rs;
	(void)state;
	world_init(&w, OK_ANSWER, true);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		const struct fetch_request rq = {.headers = &bad[i], .n_headers = 1};
		assert_false(fetch_header_ok(bad[i].name, bad[i].value));
		assert_int_equal(ask(&w, rq, "http://127.0.0.1:%u/", &rs), ERR_INVALID);
		fetch_response_release(&rs);
	}
	assert_int_equal(ask(&w, (struct fetch_request){.method = "GET /x"}, "http://127.0.0.1:%u/", &rs), ERR_INVALID);
	assert_int_equal(atomic_load(&w.server.connections), 0);
	world_release(&w);
}

/* ---- signatures ---- */

/* The example of the Standard Webhooks specification. */
static void a_signature_is_the_specification_s(void **state)
{
	struct sign_key key[2];
	struct err err = {0};
	struct buf b = BUF_INIT;
	(void)state;
	assert_int_equal(sign_key_parse(&key[0], STR("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), &err), 0);
	assert_int_equal(key[0].n, 24);
	sign_webhook(key, 1, STR("msg_p5jXN8AQM9LWM0D4loKWxJek"), 1614265330, STR("{\"test\": 2432232314}"), &b);
	assert_string_equal(b.p, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
	key[1] = key[0];
	buf_clear(&b);
	sign_webhook(key, 2, STR("msg_p5jXN8AQM9LWM0D4loKWxJek"), 1614265330, STR("{\"test\": 2432232314}"), &b);
	assert_string_equal(b.p, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE= v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
	buf_release(&b);
}

static void poor_secrets_are_refused(void **state)
{
	static const char *const poor[] = {"", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_MfKQ", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS",
		"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa==", "whsec_!!!!9r8GKYqrTwjUPD8ILPZIo2LaLaSw"};
	struct sign_key key;
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(poor); i++)
		assert_int_equal(sign_key_parse(&key, str_from(poor[i]), NULL), ERR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_global_addresses_are_global),
		cmocka_unit_test(rules_open_what_they_say),
		cmocka_unit_test(broken_rules_are_refused),
		cmocka_unit_test(no_spelling_gets_past_the_guard),
		cmocka_unit_test(a_request_arrives_as_it_was_given),
		cmocka_unit_test(a_retry_after_may_be_a_date),
		cmocka_unit_test(a_redirect_is_an_answer_and_no_way),
		cmocka_unit_test(a_long_answer_is_cut),
		cmocka_unit_test(failures_say_whether_it_may_have_happened),
		cmocka_unit_test(cancelling_ends_it_at_once),
		cmocka_unit_test(a_connection_is_kept_only_when_asked),
		cmocka_unit_test(headers_cannot_carry_more_headers),
		cmocka_unit_test(a_signature_is_the_specification_s),
		cmocka_unit_test(poor_secrets_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
