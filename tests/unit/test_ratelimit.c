#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/http/ratelimit.h"

static unsigned take(struct ratelimit *l, const char *caller, unsigned times, int64_t now)
{
	unsigned allowed = 0;
	for (unsigned i = 0; i < times; i++)
		allowed += ratelimit_take(l, str_from(caller), now).allowed;
	return allowed;
}

static void test_burst_and_refill(void **state)
{
	(void)state;
	struct ratelimit *l = ratelimit_new(10);
	assert_int_equal(take(l, "a", 15, 1000), 10);
	struct rate_answer refused = ratelimit_take(l, STR("a"), 1000);
	assert_int_equal(refused.limit, 10);
	assert_int_equal(refused.remaining, 0);
	assert_int_equal(refused.wait_ms, 100);
	assert_int_equal(take(l, "a", 5, 1099), 0);
	assert_int_equal(take(l, "a", 5, 1100), 1);
	assert_int_equal(take(l, "a", 15, 1500), 4);
	assert_int_equal(take(l, "a", 15, 60000), 10);
	ratelimit_free(l);
}

static void test_callers_are_apart(void **state)
{
	(void)state;
	struct ratelimit *l = ratelimit_new(2);
	assert_int_equal(take(l, "a", 5, 1000), 2);
	assert_int_equal(take(l, "b", 5, 1000), 2);
	ratelimit_free(l);
}

/* A clock that stands still or goes back gives nothing away. */
static void test_clock_goes_back(void **state)
{
	(void)state;
	struct ratelimit *l = ratelimit_new(5);
	assert_int_equal(take(l, "a", 5, 5000), 5);
	assert_int_equal(take(l, "a", 5, 4000), 0);
	assert_int_equal(take(l, "a", 5, 5000), 0);
	ratelimit_free(l);
}

/* Far more callers than places: the table stays as it is, newcomers are let in. */
static void test_many_callers(void **state)
{
	(void)state;
	struct ratelimit *l = ratelimit_new(1);
	for (unsigned i = 0; i < 50000; i++) {
		char name[32];
		snprintf(name, sizeof(name), "caller-%u", i);
		assert_true(ratelimit_take(l, str_from(name), 1000 + i).allowed);
	}
	ratelimit_free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_burst_and_refill), cmocka_unit_test(test_callers_are_apart),
					   cmocka_unit_test(test_clock_goes_back), cmocka_unit_test(test_many_callers)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
