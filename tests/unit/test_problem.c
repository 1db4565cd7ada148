#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/http/problem.h"
#include "lib/json/jdoc.h"

static void test_rows(void **state)
{
	(void)state;
	for (enum problem p = 0; p < PROBLEM_COUNT; p++) {
		const struct problem_row *row = problem_row(p);
		assert_in_range(row->status, 400, 599);
		assert_true(strlen(row->text) > 20);
		assert_true(row->slug[strspn(row->slug, "abcdefghijklmnopqrstuvwxyz-")] == '\0');
		assert_ptr_equal(problem_by_slug(str_from(row->slug)), row); /* so each slug is there once */
	}
	assert_null(problem_by_slug(STR("no-such-problem")));
}

static void test_errors(void **state)
{
	(void)state;
	static const struct {
		int code, status;
	} expected[] = {
		{ERR_UNAVAILABLE, 503}, {ERR_UNKNOWN_OUTCOME, 504}, {ERR_FULL, 503},	   {ERR_TAKEN, 409}, {ERR_MISMATCH, 422},
		{ERR_NOT_FOUND, 404},	{ERR_LOCK_LOST, 409},	    {ERR_INVALID, 400},	   {ERR_LIMIT, 413}, {ERR_DENIED, 403},
		{ERR_NOMEM, 500},	{ERR_BUG, 500},		    {ERR_STOPPING, 503}, {0, 500},	     {-1000, 500},
	};
	for (unsigned i = 0; i < ARRAY_LEN(expected); i++)
		assert_int_equal(problem_row(problem_of_error(expected[i].code))->status, expected[i].status);
}

static void test_dump(void **state)
{
	(void)state;
	struct buf b = BUF_INIT;
	struct arena a;
	struct jdoc doc;
	struct jdoc_fault fault;
	arena_init(&a, 0);
	problem_dump(&b);
	assert_int_equal(jdoc_parse(&doc, &a, buf_str(&b), &JDOC_LIMITS, &fault), 0);
	assert_int_equal(doc.nodes[JDOC_ROOT].count, PROBLEM_COUNT);
	arena_release(&a);
	buf_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows), cmocka_unit_test(test_errors), cmocka_unit_test(test_dump)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
