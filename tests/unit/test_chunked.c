#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/http/chunked.h"
#include "lib/base/buf.h"
#include "lib/base/err.h"

/* Decodes the text in pieces of so many bytes; what came out is appended. */
static int decode(struct str text, size_t step, struct buf *out)
{
	struct chunked c = {0};
	int rc = CHUNKED_MORE;

	for (size_t at = 0; at < text.n && rc == CHUNKED_MORE; at += step) {
		char piece[256];
		size_t n = text.n - at < step ? text.n - at : step, size = SIZE_MAX;
		memcpy(piece, text.p + at, n);
		rc = chunked_decode(&c, piece, n, &size);
		assert_true(size <= n);
		buf_add(out, piece, size);
	}
	return rc;
}

#define AT_ONCE 256

static void expect(const char *text, int wanted, const char *content)
{
	for (size_t step = 1; step <= AT_ONCE; step = step < 8 ? step + 1 : step * 2) {
		struct buf out = BUF_INIT;
		assert_int_equal(decode(str_from(text), step, &out), wanted);
		assert_string_equal(buf_str(&out).p, content);
		buf_release(&out);
	}
}

static void test_well_formed(void **state)
{
	(void)state;
	expect("0\r\n\r\n", CHUNKED_END, "");
	expect("5\r\nhello\r\n0\r\n\r\n", CHUNKED_END, "hello");
	expect("5\r\nhello\r\n1\r\n!\r\n00\r\n\r\n", CHUNKED_END, "hello!");
	expect("00001A\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\n\r\n", CHUNKED_END, "abcdefghijklmnopqrstuvwxyz");
	expect("1;a=\"b c\"\r\nx\r\n1 \t;y\r\ny\r\n0;last\r\n\r\n", CHUNKED_END, "xy");
	expect("2\r\n\r\n\r\n0\r\n\r\n", CHUNKED_END, "\r\n");
	expect("1\r\nx\r\n0\r\nA: 1\r\nBB: 2\r\n\r\n", CHUNKED_END, "x");
	expect("1\r\nx\r\n0\r\n\r\nGET / HTTP/1.1\r\n", CHUNKED_END, "x"); /* what follows has no say */
}

static void test_not_yet_whole(void **state)
{
	(void)state;
	expect("", CHUNKED_MORE, "");
	expect("5", CHUNKED_MORE, "");
	expect("5\r\nhel", CHUNKED_MORE, "hel");
	expect("5\r\nhello\r", CHUNKED_MORE, "hello");
	expect("5\r\nhello\r\n0\r\n", CHUNKED_MORE, "hello");
	expect("1\r\nx\r\n0\r\nA: 1\r\n", CHUNKED_MORE, "x");
}

static void test_refused(void **state)
{
	static const char *const bad[] = {
		"\r\n", "x\r\n", "-1\r\n", "+1\r\n", "0x1\r\n", " 1\r\n", ";a\r\n",      /* no size */
		"1\nx\r\n", "1;a\nx", "1\rx", "1\r\nx\n", "1\r\nx\r\r", "1\r\nxy\r\n",   /* other line ends, or none where the chunk ends */
		"0\r\n\n", "0\r\nA: 1\n\r\n", "0\r\n\r\r", "0\r\n\nA: 1\r\n\r\n",	 /* the same among the trailer fields */
		"1000000000000000\r\n", "ffffffffffffffff\r\n", "00000000000000001\r\n", /* sizes beyond what is read */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		for (size_t step = 1; step < 20; step++) {
			struct buf out = BUF_INIT;
			assert_int_equal(decode(str_from(bad[i]), step, &out), ERR_PROTOCOL);
			buf_release(&out);
		}
}

/* Extensions and trailer fields without end are not read for ever; content is. */
static void test_noise_has_an_end(void **state)
{
	struct chunked c = {0};
	char filler[4096];
	size_t size, n = 0;

	(void)state;
	memset(filler, 'a', sizeof(filler));
	memcpy(filler, "1;", 2);
	while (chunked_decode(&c, filler, sizeof(filler), &size) == CHUNKED_MORE) {
		memset(filler, 'a', sizeof(filler));
		assert_true(++n < 100);
	}
	struct buf many = BUF_INIT, out = BUF_INIT;
	for (unsigned i = 0; i < 10000; i++)
		buf_addz(&many, "1;some=extension\r\nx\r\n");
	buf_addz(&many, "0\r\n\r\n");
	assert_int_equal(decode(buf_str(&many), 100, &out), CHUNKED_END);
	assert_int_equal(out.n, 10000);
	buf_release(&many);
	buf_release(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_well_formed), cmocka_unit_test(test_not_yet_whole),
					   cmocka_unit_test(test_refused), cmocka_unit_test(test_noise_has_an_end)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
