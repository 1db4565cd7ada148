/* Cron patterns and time zones. The table is cron-parser's own answers (cron_vectors.mjs). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/bullmq/cron.h"
#include "tests/unit/cron_vectors.h"

static void steps_as_cron_parser(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(CRON_VECTORS); i++) {
		struct err err = {0};
		struct tz *tz = tz_new(str_from(CRON_VECTORS[i].tz), &err);
		int64_t at = CRON_VECTORS[i].after;
		struct cron c;

		assert_non_null(tz);
		assert_int_equal(cron_parse(&c, str_from(CRON_VECTORS[i].pattern), &err), 0);
		for (size_t n = 0; n < CRON_COUNT; n++) {
			assert_int_equal(cron_next(&c, tz, at, -1, &at), 0);
			if (at != CRON_VECTORS[i].times[n])
				fail_msg("\"%s\" in %s, time %zu: %lld, not %lld", CRON_VECTORS[i].pattern, CRON_VECTORS[i].tz, n,
					 (long long)at, (long long)CRON_VECTORS[i].times[n]);
		}
		tz_free(tz);
	}
}

static void odd_patterns_are_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(CRON_INVALID); i++) {
		struct err err = {0};
		struct cron c;

		if (cron_parse(&c, str_from(CRON_INVALID[i]), &err) != ERR_INVALID || !err.text[0])
			fail_msg("\"%s\" was taken", CRON_INVALID[i]);
	}
}

static void random_values_are_refused(void **state)
{
	struct err err = {0};
	struct cron c;

	(void)state;
	assert_int_equal(cron_parse(&c, STR("H * * * *"), &err), ERR_INVALID);
}

static void an_end_ends(void **state)
{
	struct err err = {0};
	struct tz *tz = tz_new(STR("UTC"), &err);
	struct cron c;
	int64_t at;

	(void)state;
	assert_int_equal(cron_parse(&c, STR("0 0 * * *"), &err), 0);
	assert_int_equal(cron_next(&c, tz, 1, 86399999, &at), ERR_NOT_FOUND);
	assert_int_equal(cron_next(&c, tz, 1, 86400000, &at), 0);
	assert_int_equal(at, 86400000);
	assert_int_equal(cron_parse(&c, STR("0 0 30 2 1"), &err), 0); /* Mondays of February */
	assert_int_equal(cron_next(&c, tz, 1, -1, &at), 0);
	tz_free(tz);
}

/* cron-parser finds no further time there. */
static void half_an_hour_back_is_survived(void **state)
{
	struct err err = {0};
	struct tz *tz = tz_new(STR("Australia/Lord_Howe"), &err);
	struct cron c;
	int64_t at = 1775304000000; /* 2026-04-04T12:00Z, 23:00 there; clocks go back at 2:00 */

	(void)state;
	assert_non_null(tz);
	assert_int_equal(cron_parse(&c, STR("0 3 * * *"), &err), 0);
	assert_int_equal(cron_next(&c, tz, at, -1, &at), 0);
	assert_in_range(at, 1775304000000, 1775304000000 + 2 * 86400000);
	tz_free(tz);
}

static void zones_are_found_by_name(void **state)
{
	static const struct {
		const char *name;
		int64_t ms;
		int32_t offset;
	} zones[] = {
		{"utc", 0, 0},
		{"GMT", 0, 0},
		{"UTC+3", 0, 10800},
		{"utc-03:30", 0, -12600},
		{"Europe/Berlin", 1782864000000, 7200},   /* 2026-07-01 */
		{"Europe/Berlin", 4102444800000, 3600},   /* 2100-01-01, by the rule at the end of the file */
		{"Europe/Berlin", 4118083200000, 7200},   /* 2100-07-01 */
		{"Australia/Sydney", 4102444800000, 39600}, /* summer across the turn of the year */
		{"Europe/Dublin", 1782864000000, 3600},
		{"Asia/Kathmandu", 1782864000000, 20700},
	};
	static const char *const unknown[] = {"No/Where", "../../etc/passwd", "/etc/localtime", "UTC+", "UTC+3:5", "zone.tab"};
	struct err err = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(zones); i++) {
		struct tz *tz = tz_new(str_from(zones[i].name), &err);

		assert_non_null(tz);
		assert_int_equal(tz_offset_s(tz, zones[i].ms), zones[i].offset);
		tz_free(tz);
	}
	for (size_t i = 0; i < ARRAY_LEN(unknown); i++) {
		assert_null(tz_new(str_from(unknown[i]), &err));
		assert_int_equal(err.code, ERR_INVALID);
	}
}

static void days_are_counted(void **state)
{
	(void)state;
	for (int64_t day = -800000; day < 800000; day += 13) {
		int64_t year;
		int month, of_month;

		tz_civil_from_days(day, &year, &month, &of_month);
		assert_in_range(month, 1, 12);
		assert_in_range(of_month, 1, tz_days_in_month(year, month));
		assert_int_equal(tz_days_from_civil(year, month, of_month), day);
	}
	assert_int_equal(tz_days_from_civil(2026, 11, 21), 20778);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(steps_as_cron_parser),  cmocka_unit_test(odd_patterns_are_refused),
		cmocka_unit_test(random_values_are_refused), cmocka_unit_test(an_end_ends),
		cmocka_unit_test(half_an_hour_back_is_survived), cmocka_unit_test(zones_are_found_by_name), cmocka_unit_test(days_are_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
