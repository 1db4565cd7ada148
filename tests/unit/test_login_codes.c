#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/login_codes.h"

static const struct principal ada = {.sub = "ada", .org = "acme", .roles = ROLE_VIEWER};

static void test_good_once(void **state)
{
	(void)state;
	struct login_codes *l = login_codes_new();
	struct principal who = {0};
	char code[LOGIN_CODE_SIZE];
	login_codes_make(l, &ada, 1000, code);
	assert_false(login_codes_take(l, STR(""), 1000, &who));
	assert_false(login_codes_take(l, STR("00000000000000000000000000000000"), 1000, &who));
	assert_true(login_codes_take(l, str_from(code), 1001, &who));
	assert_string_equal(who.sub, "ada");
	assert_int_equal(who.roles, ROLE_VIEWER);
	assert_false(login_codes_take(l, str_from(code), 1002, &who));
	login_codes_free(l);
}

static void test_good_for_a_while(void **state)
{
	(void)state;
	struct login_codes *l = login_codes_new();
	struct principal who = {0};
	char code[LOGIN_CODE_SIZE];
	login_codes_make(l, &ada, 1000, code);
	assert_false(login_codes_take(l, str_from(code), 1000 + LOGIN_CODE_MS, &who));
	assert_false(login_codes_take(l, str_from(code), 1000, &who)); /* a late try uses it up, too */
	login_codes_free(l);
}

static void test_the_oldest_gives_way(void **state)
{
	(void)state;
	struct login_codes *l = login_codes_new();
	struct principal who = {0};
	char first[LOGIN_CODE_SIZE], code[LOGIN_CODE_SIZE];
	login_codes_make(l, &ada, 0, first);
	for (int i = 0; i < LOGIN_CODES; i++)
		login_codes_make(l, &ada, 0, code);
	assert_false(login_codes_take(l, str_from(first), 1, &who));
	assert_true(login_codes_take(l, str_from(code), 1, &who));
	login_codes_free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_once),
		cmocka_unit_test(test_good_for_a_while),
		cmocka_unit_test(test_the_oldest_gives_way),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
