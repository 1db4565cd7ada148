#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/http/guard.h"
#include "gateway/http/uri.h"
#include "lib/base/err.h"

#define OK PROBLEM_COUNT

struct sample {
	const char *what;
	const char *method, *uri, *query, *version;
	const char *fields[12]; /* name, value, name, value, … */
	enum problem expected;
};

static int check(const struct sample *s, struct guard_facts *facts)
{
	struct guard_header headers[6];
	struct guard_request in = {s->method, s->uri, s->query, s->version, headers, 0};
	for (unsigned i = 0; i < 12 && s->fields[i]; i += 2)
		headers[in.n_headers++] = (struct guard_header){s->fields[i], s->fields[i + 1]};
	return guard_check(&in, facts);
}

#define HOST "Host", "h"

static const struct sample samples[] = {
	{"plain", "GET", "/a", NULL, "1.1", {HOST}, OK},
	{"with a query", "GET", "/a", "x=1&y=%20", "1.1", {HOST}, OK},
	{"1.0 without Host", "GET", "/a", NULL, "1.0", {NULL}, OK},
	{"no Host", "GET", "/a", NULL, "1.1", {NULL}, PROBLEM_BAD_REQUEST},
	{"two Hosts", "GET", "/a", NULL, "1.1", {HOST, HOST}, PROBLEM_BAD_REQUEST},
	{"a Host that is none", "GET", "/a", NULL, "1.1", {"Host", "a/b"}, PROBLEM_BAD_REQUEST},
	{"an empty Host", "GET", "/a", NULL, "1.1", {"Host", ""}, PROBLEM_BAD_REQUEST},
	{"Host with a port", "GET", "/a", NULL, "1.1", {"Host", "[::1]:80"}, OK},
	{"length", "POST", "/a", NULL, "1.1", {HOST, "Content-Length", "3"}, OK},
	{"length with blanks around", "POST", "/a", NULL, "1.1", {HOST, "Content-Length", " 3\t"}, OK},
	{"two lengths", "POST", "/a", NULL, "1.1", {HOST, "Content-Length", "3", "content-length", "3"}, PROBLEM_BAD_REQUEST},
	{"signed length", "POST", "/a", NULL, "1.1", {HOST, "Content-Length", "+3"}, PROBLEM_BAD_REQUEST},
	{"list of lengths", "POST", "/a", NULL, "1.1", {HOST, "Content-Length", "3, 3"}, PROBLEM_BAD_REQUEST},
	{"trailing letters", "POST", "/a", NULL, "1.1", {HOST, "Content-Length", "3abc"}, PROBLEM_BAD_REQUEST},
	{"empty length", "POST", "/a", NULL, "1.1", {HOST, "Content-Length", ""}, PROBLEM_BAD_REQUEST},
	{"hexadecimal length", "POST", "/a", NULL, "1.1", {HOST, "Content-Length", "0x3"}, PROBLEM_BAD_REQUEST},
	{"ten digits", "POST", "/a", NULL, "1.1", {HOST, "Content-Length", "9999999999"}, OK},
	{"eleven digits", "POST", "/a", NULL, "1.1", {HOST, "Content-Length", "10000000000"}, PROBLEM_TOO_LARGE},
	{"1e30", "POST", "/a", NULL, "1.1", {HOST, "Content-Length", "1e30"}, PROBLEM_BAD_REQUEST},
	{"chunked", "POST", "/a", NULL, "1.1", {HOST, "Transfer-Encoding", "Chunked"}, OK},
	{"chunked and length", "POST", "/a", NULL, "1.1", {HOST, "Transfer-Encoding", "chunked", "Content-Length", "3"}, PROBLEM_BAD_REQUEST},
	{"chunked twice", "POST", "/a", NULL, "1.1", {HOST, "Transfer-Encoding", "chunked", "Transfer-Encoding", "chunked"}, PROBLEM_BAD_REQUEST},
	{"identity", "POST", "/a", NULL, "1.1", {HOST, "Transfer-Encoding", "identity"}, PROBLEM_BAD_REQUEST},
	{"gzip, chunked", "POST", "/a", NULL, "1.1", {HOST, "Transfer-Encoding", "gzip, chunked"}, PROBLEM_BAD_REQUEST},
	{"xchunked", "POST", "/a", NULL, "1.1", {HOST, "Transfer-Encoding", "xchunked"}, PROBLEM_BAD_REQUEST},
	{"chunked under 1.0", "POST", "/a", NULL, "1.0", {HOST, "Transfer-Encoding", "chunked"}, PROBLEM_BAD_REQUEST},
	{"two Authorizations", "GET", "/a", NULL, "1.1", {HOST, "Authorization", "a", "authorization", "b"}, PROBLEM_BAD_REQUEST},
	{"two Content-Types", "GET", "/a", NULL, "1.1", {HOST, "Content-Type", "a", "Content-Type", "b"}, PROBLEM_BAD_REQUEST},
	{"a name with a blank", "GET", "/a", NULL, "1.1", {HOST, "X y", "a"}, PROBLEM_BAD_REQUEST},
	{"a value with ESC", "GET", "/a", NULL, "1.1", {HOST, "X", "a\x1b[0m"}, PROBLEM_BAD_REQUEST},
	{"a value with DEL", "GET", "/a", NULL, "1.1", {HOST, "X", "a\x7f"}, PROBLEM_BAD_REQUEST},
	{"CONNECT", "CONNECT", "/a", NULL, "1.1", {HOST}, PROBLEM_NOT_IMPLEMENTED},
	{"any token is a method", "PROPFIND", "/a", NULL, "1.1", {HOST}, OK},
	{"HTTP/2.0", "GET", "/a", NULL, "2.0", {HOST}, PROBLEM_NOT_IMPLEMENTED},
	{"encoded NUL", "GET", "/a%00b", NULL, "1.1", {HOST}, PROBLEM_BAD_REQUEST},
	{"encoded CR LF", "GET", "/a%0d%0ab", NULL, "1.1", {HOST}, PROBLEM_BAD_REQUEST},
	{"encoded DEL", "GET", "/a%7f", NULL, "1.1", {HOST}, PROBLEM_BAD_REQUEST},
	{"broken escape", "GET", "/a%2", NULL, "1.1", {HOST}, PROBLEM_BAD_REQUEST},
	{"no hex", "GET", "/a%zz", NULL, "1.1", {HOST}, PROBLEM_BAD_REQUEST},
	{"dot segment", "GET", "/a/./b", NULL, "1.1", {HOST}, PROBLEM_BAD_REQUEST},
	{"dots at the end", "GET", "/a/..", NULL, "1.1", {HOST}, PROBLEM_BAD_REQUEST},
	{"encoded dots", "GET", "/a/%2e%2E/b", NULL, "1.1", {HOST}, PROBLEM_BAD_REQUEST},
	{"three dots", "GET", "/a/...", NULL, "1.1", {HOST}, OK},
	{"empty segment", "GET", "/a//b", NULL, "1.1", {HOST}, PROBLEM_BAD_REQUEST},
	{"two slashes in front", "GET", "//a", NULL, "1.1", {HOST}, PROBLEM_BAD_REQUEST},
	{"slash at the end", "GET", "/a/", NULL, "1.1", {HOST}, OK},
	{"encoded slash", "GET", "/a%2Fb", NULL, "1.1", {HOST}, OK},
	{"raw UTF-8", "GET", "/\xc3\xa4", NULL, "1.1", {HOST}, PROBLEM_BAD_REQUEST},
	{"encoded UTF-8", "GET", "/%c3%a4", NULL, "1.1", {HOST}, OK},
	{"overlong UTF-8", "GET", "/%c0%af", NULL, "1.1", {HOST}, PROBLEM_BAD_REQUEST},
	{"a surrogate", "GET", "/%ed%a0%80", NULL, "1.1", {HOST}, PROBLEM_BAD_REQUEST},
	{"cut UTF-8", "GET", "/%c3", NULL, "1.1", {HOST}, PROBLEM_BAD_REQUEST},
	{"cut UTF-8 before a letter", "GET", "/%c3a", NULL, "1.1", {HOST}, PROBLEM_BAD_REQUEST},
	{"two of what may repeat", "GET", "/a", NULL, "1.1", {HOST, "Connection", "a", "Connection", "b", "Upgrade", "a", "Upgrade", "b"}, OK},
	{"NUL in the query", "GET", "/a", "x=%00", "1.1", {HOST}, PROBLEM_BAD_REQUEST},
	{"broken escape in the query", "GET", "/a", "x=%", "1.1", {HOST}, PROBLEM_BAD_REQUEST},
	{"absolute, same host", "GET", "http://h/a", NULL, "1.1", {HOST}, OK},
	{"absolute, other host", "GET", "http://x/a", NULL, "1.1", {HOST}, PROBLEM_BAD_REQUEST},
	{"absolute without a path", "GET", "http://h", NULL, "1.1", {HOST}, PROBLEM_BAD_REQUEST},
	{"absolute, a query for a path", "GET", "http://h", ":80/", "1.1", {HOST}, PROBLEM_BAD_REQUEST},
	{"asterisk", "OPTIONS", "*", NULL, "1.1", {HOST}, PROBLEM_BAD_REQUEST},
	{"asterisk with GET", "GET", "*", NULL, "1.1", {HOST}, PROBLEM_BAD_REQUEST},
};

static void test_samples(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(samples); i++) {
		struct guard_facts facts;
		int rc = check(&samples[i], &facts);
		enum problem got = rc == 0 ? OK : facts.problem;
		if (got != samples[i].expected)
			fail_msg("%s: got %s (%s)", samples[i].what, got == OK ? "accepted" : problem_row(got)->slug, facts.reason);
		if (rc < 0) {
			assert_non_null(facts.reason);
			assert_false(facts.keep_alive);
		}
	}
}

/* Values are looked at eight bytes at a time: every byte is found, or passed, at every place of a value of any length. */
static void test_each_byte_of_a_value(void **state)
{
	(void)state;
	char value[26];
	for (size_t n = 1; n < sizeof(value); n++) {
		for (size_t at = 0; at < n; at++) {
			for (int byte = 1; byte < 256; byte++) {
				struct guard_facts facts;
				memset(value, 'a', n);
				value[n] = '\0';
				value[at] = (char)byte;
				const struct sample s = {"", "GET", "/a", NULL, "1.1", {HOST, "X", value}, OK};
				bool allowed = byte == '\t' || (byte >= 0x20 && byte != 0x7f);
				assert_int_equal(check(&s, &facts), allowed ? 0 : ERR_INVALID);
			}
		}
	}
}

static void test_too_many_headers(void **state)
{
	(void)state;
	struct guard_header headers[GUARD_MAX_HEADERS];
	struct guard_facts facts;
	for (unsigned i = 0; i < GUARD_MAX_HEADERS; i++)
		headers[i] = (struct guard_header){i ? "X" : "Host", "h"};
	struct guard_request in = {"GET", "/", NULL, "1.1", headers, GUARD_MAX_HEADERS};
	assert_int_equal(guard_check(&in, &facts), ERR_INVALID);
	assert_int_equal(facts.problem, PROBLEM_HEADERS_TOO_LARGE);
	in.n_headers--;
	assert_int_equal(guard_check(&in, &facts), 0);
}

static void test_facts(void **state)
{
	(void)state;
	struct guard_facts f;
	assert_int_equal(check(&(struct sample){"", "POST", "/a", NULL, "1.1", {HOST, "Content-Length", "17"}, OK}, &f), 0);
	assert_int_equal(f.content_length, 17);
	assert_true(f.keep_alive);
	assert_int_equal(check(&(struct sample){"", "POST", "/a", NULL, "1.1", {HOST, "Transfer-Encoding", "chunked"}, OK}, &f), 0);
	assert_int_equal(f.content_length, -1);
	assert_true(f.chunked);
	assert_int_equal(check(&(struct sample){"", "GET", "http://h/b/c", NULL, "1.1", {HOST, "Connection", "close"}, OK}, &f), 0);
	assert_true(str_is(f.path, "/b/c"));
	assert_false(f.keep_alive);
	assert_int_equal(check(&(struct sample){"", "GET", "/", NULL, "1.0", {HOST}, OK}, &f), 0);
	assert_false(f.keep_alive);
	assert_int_equal(check(&(struct sample){"", "GET", "/", NULL, "1.0", {HOST, "Connection", "x, Keep-Alive"}, OK}, &f), 0);
	assert_true(f.keep_alive);
}

/* The receive buffer as the parser leaves it, and where its parts are. */
static const char *traces(const char *raw, size_t n, size_t method_at, size_t version_at, const size_t (*fields)[2], unsigned n_fields)
{
	static _Alignas(16) char buffer[256];
	struct guard_header headers[4];
	memset(buffer, 0, sizeof(buffer));
	memcpy(buffer, raw, n);
	for (unsigned i = 0; i < n_fields; i++)
		headers[i] = (struct guard_header){buffer + fields[i][0], buffer + fields[i][1]};
	struct guard_request in = {buffer + method_at, "/", NULL, buffer + version_at, headers, n_fields};
	return guard_check_traces(&in, buffer, sizeof(buffer));
}

#define TRACES(raw, method, version, ...) \
	traces(raw, sizeof(raw), method, version, (const size_t[][2]){__VA_ARGS__}, sizeof((const size_t[][2]){__VA_ARGS__}) / sizeof(size_t[2]))

static void test_traces(void **state)
{
	(void)state;
	/* GET / HTTP/1.1 CRLF Host: h CRLF X:y CRLF CRLF, with the parser's NULs */
	assert_null(TRACES("GET\0/\0HTTP/1.1\0\0Host\0 h\0\0X\0y\0\0\r", 0, 11, {16, 22}, {25, 27}));
	assert_non_null(TRACES("\r\nGET\0/\0HTTP/1.1\0\0Host\0 h\0\0\r", 2, 13, {18, 24}));
	/* "Host : h": the blank before the colon became a NUL */
	assert_non_null(TRACES("GET\0/\0HTTP/1.1\0\0Host\0\0 h\0\0\r", 0, 11, {16, 23}));
	/* a folded line after the last field */
	assert_non_null(TRACES("GET\0/\0HTTP/1.1\0\0Host\0 h\0\0 folded", 0, 11, {16, 22}));
	/* bare LF between two fields, and after the last */
	assert_non_null(TRACES("GET\0/\0HTTP/1.1\0\0Host\0 h\0X\0y\0\0\r", 0, 11, {16, 22}, {24, 26}));
	assert_non_null(TRACES("GET\0/\0HTTP/1.1\0\0Host\0 h\0\n", 0, 11, {16, 22}));
}

static void test_query(void **state)
{
	(void)state;
	struct arena a;
	arena_init(&a, 0);
	struct str q = STR("a=1&b=x%20y+z&a=2&c&%64=5");
	assert_true(str_is(uri_query_value(&a, q, "a"), "1"));
	assert_true(str_is(uri_query_value(&a, q, "b"), "x y z"));
	assert_true(str_is(uri_query_value(&a, q, "c"), ""));
	assert_true(str_is(uri_query_value(&a, q, "d"), "5"));
	assert_null(uri_query_value(&a, q, "e").p);
	assert_null(uri_query_value(&a, STR(""), "e").p);
	assert_true(str_is(uri_decode(&a, STR("a%2Fb+c"), false), "a/b+c"));
	arena_release(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_samples), cmocka_unit_test(test_too_many_headers), cmocka_unit_test(test_facts),
		cmocka_unit_test(test_traces),	cmocka_unit_test(test_query),		   cmocka_unit_test(test_each_byte_of_a_value),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
