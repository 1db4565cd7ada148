/* Cron patterns. The input is a moment (four bytes) and a pattern: each next time is one that the pattern names, later than the one
 * before, and none between is passed over. */
#include <stdint.h>
#include <stdlib.h>

#include "lib/base/arena.h"
#include "lib/base/panic.h"
#include "lib/bullmq/cron.h"

#define SECOND_MS 1000
#define DAY_S 86400
#define STEPS 4
#define PROBES 16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct tz *zone(const char *name, struct tz **kept)
{
	if (!*kept)
		*kept = tz_new(str_from(name), NULL);
	bug_on(!*kept);
	return *kept;
}

static bool day_fits(const struct cron *c, int64_t days)
{
	int64_t year;
	int month, day, weekday = (int)((days + 4) % 7); /* 1970-01-01 was a Thursday */
	tz_civil_from_days(days, &year, &month, &day);
	int last = tz_days_in_month(year, month);
	bool by_day = (c->days >> day & 1) || (c->last_day && day == last);
	bool nth = !c->nth_weekday || (day - 1) / 7 + 1 == c->nth_weekday;
	bool by_weekday = ((c->weekdays >> weekday & 1) && nth) || ((c->last_weekdays >> weekday & 1) && day > last - 7);
	if (!(c->months >> month & 1))
		return false;
	return c->any_day ? c->any_weekday || by_weekday : c->any_weekday ? by_day : by_day || by_weekday;
}

/* In UTC, where no clock is put forward or back. */
static bool fits(const struct cron *c, int64_t ms)
{
	int64_t s = ms / SECOND_MS;
	return day_fits(c, s / DAY_S) && (c->hours >> (s % DAY_S / 3600) & 1) && (c->minutes >> (s / 60 % 60) & 1) && (c->seconds >> (s % 60) & 1);
}

static void check_step(const struct cron *c, const struct tz *utc, int64_t from, int64_t next)
{
	int64_t again, span = (next - from) / SECOND_MS;
	bug_on(next <= from || next % SECOND_MS || !fits(c, next));
	bug_on(cron_next(c, utc, next - 1, -1, &again) < 0 || again != next);
	bug_on(cron_next(c, utc, from, next - 1, &again) != ERR_NOT_FOUND);
	for (int64_t i = 1; i < PROBES && i < span; i++)
		bug_on(fits(c, (from / SECOND_MS + span * i / PROBES + 1) * SECOND_MS) && span * i / PROBES + 1 < span);
}

static void check_steps(const struct cron *c, int64_t from)
{
	static struct tz *utc, *berlin;
	int64_t at = from, next;
	for (int i = 0; i < STEPS && cron_next(c, zone("UTC", &utc), at, -1, &next) == 0; i++, at = next)
		check_step(c, utc, at, next);
	at = from;
	for (int i = 0; i < STEPS && cron_next(c, zone("Europe/Berlin", &berlin), at, -1, &next) == 0; i++, at = next)
		bug_on(next <= at);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint32_t from_s;
	struct cron c;
	struct err err = {0};
	if (size < sizeof(from_s))
		return 0;
	memcpy(&from_s, data, sizeof(from_s));
	struct str pattern = {(const char *)data + sizeof(from_s), size - sizeof(from_s)};
	int rc = cron_parse(&c, pattern, &err);
	bug_on(rc != 0 && (rc != ERR_INVALID || !err.text[0]));
	if (rc == 0)
		check_steps(&c, (int64_t)from_s * SECOND_MS);
	return 0;
}
