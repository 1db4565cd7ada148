#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/watch_ring.h"

#define STEP 5000

static struct sample at(int64_t ms, int64_t added, int64_t completed, int64_t failed)
{
	return (struct sample){
		.mono_ms = ms, .wall_ms = 1000000 + ms, .added = added, .completed_total = completed, .failed_total = failed, .waiting = added};
}

static void note(struct ring *r, int64_t ms, int64_t added, int64_t completed, int64_t failed)
{
	struct sample s = at(ms, added, completed, failed);

	ring_note(r, &s, STEP);
}

static void test_rates_are_of_the_last_half_minute(void **state)
{
	(void)state;
	struct ring r = {0};
	struct sample now = at(100000, 1700, 900, 90);

	note(&r, 10000, 0, 0, 0);
	note(&r, 60000, 1000, 500, 50);
	note(&r, 80000, 1300, 700, 70);
	struct watch_rates rates = ring_rates(&r, &now);
	assert_true(rates.in == 20);     /* 400 in 20 s */
	assert_true(rates.out == 11);    /* 200 + 20 in 20 s */
	assert_true(rates.failed == 1);
}

static void test_what_is_not_known_is_negative(void **state)
{
	(void)state;
	struct ring r = {0};
	struct sample now = at(20000, 5, -1, -1);

	assert_true(ring_rates(&r, &now).in < 0); /* nothing to compare with */
	note(&r, 10000, 10, -1, -1);
	assert_true(ring_rates(&r, &now).in < 0);  /* somebody deleted the counter */
	assert_true(ring_rates(&r, &now).out < 0); /* no worker counts */
	now = at(20000, 20, -1, 3);
	assert_true(ring_rates(&r, &now).out == 0.3); /* the first count of failures appeared */
	now = at(10100, 20, 1, 1);
	assert_true(ring_rates(&r, &now).in < 0); /* too soon to tell */
}

static void test_a_sample_that_comes_too_soon_is_not_kept(void **state)
{
	(void)state;
	struct ring r = {0};
	struct watch_point points[WATCH_POINTS];

	note(&r, 0, 0, 0, 0);
	note(&r, 1000, 5, 0, 0);
	note(&r, STEP - 100, 10, 0, 0); /* a little early is in time */
	assert_int_equal(ring_points(&r, points), 1);
	assert_int_equal(points[0].waiting, 10);
	assert_int_equal(points[0].wall_ms, 1000000 + STEP - 100);
}

static void test_the_oldest_make_room(void **state)
{
	(void)state;
	struct ring r = {0};
	struct watch_point points[WATCH_POINTS];

	assert_int_equal(ring_points(&r, points), 0);
	for (int64_t i = 0; i < 3 * WATCH_POINTS; i++)
		note(&r, i * STEP, i * 5, i, 0);
	assert_int_equal(ring_points(&r, points), WATCH_POINTS);
	assert_int_equal(points[WATCH_POINTS - 1].wall_ms, 1000000 + (3 * WATCH_POINTS - 1) * STEP);
	for (size_t i = 0; i < WATCH_POINTS; i++) {
		assert_int_equal(points[i].wall_ms, points[WATCH_POINTS - 1].wall_ms - (int64_t)(WATCH_POINTS - 1 - i) * STEP);
		assert_true(points[i].rates.in == 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rates_are_of_the_last_half_minute),
		cmocka_unit_test(test_what_is_not_known_is_negative),
		cmocka_unit_test(test_a_sample_that_comes_too_soon_is_not_kept),
		cmocka_unit_test(test_the_oldest_make_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
