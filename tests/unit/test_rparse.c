/* lib/redis: the reader of replies, and what is asked of one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/buf.h"
#include "lib/redis/rmux.h"
#include "lib/redis/rparse.h"

static redisReply *parse_one(struct rparse *p, const char *text)
{
	redisReply *r = NULL;
	assert_int_equal(rparse_feed(p, text, strlen(text), NULL), 0);
	assert_int_equal(rparse_next(p, &r, NULL), 1);
	return r;
}

static void test_rreply_reads_every_type(void **state)
{
	(void)state;
	struct rparse p;
	struct err err = {0};
	int64_t v = 0;
	assert_int_equal(rparse_init(&p), 0);

	redisReply *r = parse_one(&p, "*5\r\n:-7\r\n$2\r\n12\r\n$-1\r\n+OK\r\n-ERR no\r\n");
	assert_true(rreply_int(rreply_at(r, 0), &v) && v == -7);
	assert_true(rreply_int(rreply_at(r, 1), &v) && v == 12);
	assert_true(rreply_is_nil(rreply_at(r, 2)));
	assert_true(str_is(rreply_str(rreply_at(r, 3)), "OK"));
	assert_false(rreply_int(rreply_at(r, 3), &v));
	assert_int_equal(rreply_error(rreply_at(r, 4), &err), ERR_REPLY);
	assert_string_equal(err.text, "ERR no");
	assert_null(rreply_at(r, 5));
	assert_null(rreply_at(rreply_at(r, 0), 0));
	assert_null(rreply_str(rreply_at(r, 0)).p);
	assert_true(rreply_is_nil(NULL));
	assert_null(rreply_str(NULL).p);
	assert_int_equal(rreply_error(NULL, NULL), 0);
	rreply_free(r);
	rparse_release(&p);
}

/* A text of n bytes as Redis sends it: n times a letter that depends on n. */
static void add_text(struct buf *b, size_t n)
{
	buf_addf(b, "$%zu\r\n", n);
	for (size_t i = 0; i < n; i++)
		buf_addc(b, (char)('a' + n % 26));
	buf_addz(b, "\r\n");
}

static void check_text(const redisReply *r, size_t n)
{
	struct str s = rreply_str(r);
	assert_int_equal(s.n, n);
	assert_int_equal(strlen(s.p), n);
	assert_true(n == 0 || (s.p[0] == (char)('a' + n % 26) && s.p[n - 1] == s.p[0]));
}

/* More than a reply's first block foresees: lists in lists, many elements, long texts. What is not read to its end is freed as well. */
static void test_rparse_reads_what_outgrows_a_block(void **state)
{
	(void)state;
	static const size_t sizes[] = {0, 1, 7, 8, 9, 100, 1536, 300000};
	struct rparse p;
	struct buf b = BUF_INIT;
	enum { LISTS = 500 };
	assert_int_equal(rparse_init(&p), 0);

	buf_addf(&b, "*%d\r\n", LISTS);
	for (unsigned i = 0; i < LISTS; i++) {
		buf_addz(&b, "*3\r\n*0\r\n");
		add_text(&b, sizes[i % ARRAY_LEN(sizes)]);
		buf_addf(&b, ":%u\r\n", i);
	}
	redisReply *r = parse_one(&p, b.p);
	assert_int_equal(r->elements, LISTS);
	for (unsigned i = 0; i < LISTS; i++) {
		const redisReply *list = rreply_at(r, i);
		assert_int_equal(list->elements, 3);
		assert_int_equal(rreply_at(list, 0)->elements, 0);
		check_text(rreply_at(list, 1), sizes[i % ARRAY_LEN(sizes)]);
		assert_int_equal(rreply_at(list, 2)->integer, i);
	}
	rreply_free(r);

	for (unsigned i = 0; i < ARRAY_LEN(sizes); i++) {
		buf_clear(&b);
		add_text(&b, sizes[i]);
		r = parse_one(&p, b.p);
		check_text(r, sizes[i]);
		rreply_free(r);
	}
	static const char piece[] = "*2\r\n*1\r\n:1\r\n$5\r\nhal";
	assert_int_equal(rparse_feed(&p, piece, strlen(piece), NULL), 0);
	assert_int_equal(rparse_next(&p, &r, NULL), 0);
	rparse_release(&p);
	buf_release(&b);
}

static void test_rparse_bounds_what_a_peer_may_claim(void **state)
{
	(void)state;
	static const char *const bad[] = {"?garbage\r\n", "*4194305\r\n", "*99999999999\r\n", "$-5\r\n", "HTTP/1.1 400 Bad\r\n",
	                                  "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct rparse p;
		redisReply *r = NULL;
		assert_int_equal(rparse_init(&p), 0);
		assert_int_equal(rparse_feed(&p, bad[i], strlen(bad[i]), NULL), 0);
		if (rparse_next(&p, &r, NULL) >= 0)
			fail_msg("accepted: %s", bad[i]);
		rparse_release(&p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rreply_reads_every_type),
		cmocka_unit_test(test_rparse_reads_what_outgrows_a_block),
		cmocka_unit_test(test_rparse_bounds_what_a_peer_may_claim),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
