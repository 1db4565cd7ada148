/* How many entries are asked for next. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/realtime/portion.h"
#include "lib/redis/rparse.h"

#define MOST 200
#define LARGE ((size_t)1 << 20)

/* Notes that all came that was asked for, each of that size. */
static void read_of(struct portion *p, size_t each)
{
	size_t n = portion_count(p);
	portion_note(p, n, n * each);
}

static void test_small_ones_soon_come_as_many_as_allowed(void **state)
{
	(void)state;
	struct portion p = portion_of(MOST);
	assert_int_equal(portion_count(&p), PORTION_FIRST);
	for (unsigned i = 0; i < 3; i++)
		read_of(&p, 200);
	assert_int_equal(portion_count(&p), MOST);
	for (unsigned i = 0; i < 100; i++)
		read_of(&p, i % 2);
	assert_int_equal(portion_count(&p), MOST);
}

static void test_large_ones_come_as_they_fit(void **state)
{
	(void)state;
	struct portion p = portion_of(MOST);
	read_of(&p, LARGE);
	assert_int_equal(portion_count(&p), 1);
	for (unsigned i = 0; i < 100; i++)
		read_of(&p, PORTION_BYTES / 8);
	assert_int_equal(portion_count(&p), 8);
}

/* Every so many is large: behind the first of them no reading brings more than two. */
static void test_large_ones_between_small_ones_are_expected(void **state)
{
	(void)state;
	for (size_t period = 1; period <= 2 * MOST; period++) {
		struct portion p = portion_of(MOST);
		size_t n;
		for (size_t at = 0; at < 10000; at += n) {
			n = portion_count(&p);
			size_t large = (at + n) / period - at / period;
			assert_true(large <= 2 || at < period);
			portion_note(&p, n, large * LARGE + (n - large) * 200);
		}
	}
}

static void test_few_small_ones_say_nothing_of_many(void **state)
{
	(void)state;
	struct portion p = portion_of(MOST);
	for (unsigned i = 0; i < 100; i++) {
		portion_note(&p, 1, 200);
		portion_note(&p, 0, 0);
	}
	assert_int_equal(portion_count(&p), PORTION_FIRST);
}

static redisReply whole(long long n)
{
	return (redisReply){.type = REDIS_REPLY_INTEGER, .integer = n};
}

static void test_the_stream_as_a_whole_tells_what_is_to_come(void **state)
{
	(void)state;
	struct portion p = portion_of(MOST);
	redisReply none = {.type = REDIS_REPLY_NIL}, error = {.type = REDIS_REPLY_ERROR, .str = (char[]){"NOPERM"}, .len = 6};
	redisReply bytes = whole(1000 * (long long)PORTION_BYTES / 20), entries = whole(1000), nothing = whole(0);
	assert_false(portion_wants_size(&p));
	read_of(&p, 200);
	assert_true(portion_wants_size(&p));
	portion_note_size(&p, &none, &nothing);
	portion_note_size(&p, &error, &entries);
	portion_note_size(&p, &bytes, &nothing);
	assert_false(portion_wants_size(&p));
	read_of(&p, 200);
	assert_int_equal(portion_count(&p), 64);
	portion_note_size(&p, &bytes, &entries);
	for (unsigned i = 0; i < 100; i++)
		read_of(&p, 200);
	assert_int_equal(portion_count(&p), 20);
	read_of(&p, LARGE);
	assert_int_equal(portion_count(&p), 1);
}

static size_t weigh(const char *wire, size_t *n)
{
	struct rparse parser;
	redisReply *reply;
	assert_int_equal(rparse_init(&parser), 0);
	assert_int_equal(rparse_feed(&parser, wire, strlen(wire), NULL), 0);
	assert_int_equal(rparse_next(&parser, &reply, NULL), 1);
	size_t bytes = portion_weigh(reply, n);
	rreply_free(reply);
	rparse_release(&parser);
	return bytes;
}

static void test_weighing(void **state)
{
	(void)state;
	size_t n = 7;
	assert_int_equal(weigh("*2\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$5\r\nevent\r\n$6\r\nactive\r\n*2\r\n$3\r\n1-2\r\n*4\r\n$1\r\na\r\n$0\r\n\r\n$1\r\nb\r\n$9\r\n123456789\r\n", &n), 22);
	assert_int_equal(n, 2);
	assert_int_equal(weigh("*-1\r\n", &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(weigh("-WRONGTYPE of another kind\r\n", &n), 0);
	assert_int_equal(n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_small_ones_soon_come_as_many_as_allowed),
		cmocka_unit_test(test_large_ones_come_as_they_fit),
		cmocka_unit_test(test_large_ones_between_small_ones_are_expected),
		cmocka_unit_test(test_few_small_ones_say_nothing_of_many),
		cmocka_unit_test(test_the_stream_as_a_whole_tells_what_is_to_come),
		cmocka_unit_test(test_weighing),
	};
	return cmocka_run_group_tests_name("portion", tests, NULL, NULL);
}
