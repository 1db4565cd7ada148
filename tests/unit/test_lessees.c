#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "gateway/realtime/lessees.h"

static void test_each_worker_is_one_however_often_it_asks(void **state)
{
	(void)state;
	struct lessees *l = lessees_new();
	struct lessee *found;
	struct arena a;
	size_t n;

	arena_init(&a, 0);
	for (unsigned i = 0; i < 3; i++)
		lessees_note(l, STR("q"), STR("w-1"), STR("acme"), STR("svc"), i);
	lessees_note(l, STR("q"), STR("w-1"), STR("other"), STR("svc"), 0);
	lessees_note(l, STR("q-2"), STR("w-1"), STR("acme"), STR("svc"), 7);
	assert_int_equal(lessees_count(l, STR("q")), 2);
	assert_int_equal(lessees_count(l, STR("q-2")), 1);
	assert_int_equal(lessees_count(l, STR("nobody")), 0);
	assert_int_equal(lessees_list(l, STR("q"), &a, &found, &n, NULL), 0);
	assert_int_equal(n, 2);
	const struct lessee *mine = str_is(found[0].org, "acme") ? &found[0] : &found[1];
	assert_true(str_is(mine->worker_id, "w-1") && str_is(mine->sub, "svc") && str_is(mine->queue, "q"));
	assert_int_equal(mine->taken, 3);
	assert_true(mine->first_ms <= mine->last_ms);
	arena_release(&a);
	lessees_free(l);
}

/* Names that run into each other are not the same worker. */
static void test_parts_are_apart(void **state)
{
	(void)state;
	struct lessees *l = lessees_new();

	lessees_note(l, STR("q"), STR("ab"), STR("c"), STR("s"), 0);
	lessees_note(l, STR("q"), STR("a"), STR("bc"), STR("s"), 0);
	assert_int_equal(lessees_count(l, STR("q")), 2);
	lessees_free(l);
}

static void test_there_is_a_bound(void **state)
{
	(void)state;
	struct lessees *l = lessees_new();
	char name[32];

	for (unsigned i = 0; i < LESSEES_MAX + 10; i++) {
		int n = snprintf(name, sizeof(name), "w-%u", i);
		lessees_note(l, STR("q"), (struct str){name, (size_t)n}, STR("o"), STR("s"), 0);
	}
	assert_int_equal(lessees_count(l, STR("q")), LESSEES_MAX);
	lessees_note(l, STR("q"), STR("w-0"), STR("o"), STR("s"), 1); /* known ones go on being known */
	assert_int_equal(lessees_count(l, STR("q")), LESSEES_MAX);
	lessees_free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_worker_is_one_however_often_it_asks),
		cmocka_unit_test(test_parts_are_apart),
		cmocka_unit_test(test_there_is_a_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
