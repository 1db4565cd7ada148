#include "lib/bullmq/cron.h"

#define MS_PER_SECOND INT64_C(1000)
#define MS_PER_MINUTE INT64_C(60000)
#define MS_PER_HOUR INT64_C(3600000)
#define MS_PER_DAY INT64_C(86400000)
#define MAX_STEPS 10000 /* cron-parser's LOOP_LIMIT: a pattern that fits no day ends here */
#define STUCK_DAYS 40  /* a pattern that never comes is months ahead by then */
#define ALL_HOURS 24
#define NO_HOUR (-1)

/* A moment and what the wall shows there. */
struct zoned {
	const struct tz *tz;
	int64_t ms;
	int64_t offset_ms;
	int64_t year;
	int month, day, hour, minute, second;
};

/* Where the search stands. */
struct walk {
	const struct cron *cron;
	struct zoned now;
	int skipped_from, landed_on; /* hours left out by clocks put forward, and the one they jumped to */
	int repeated;                /* an hour that comes again after clocks were put back */
	bool all_hours;
};

static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

static int64_t offset_ms(const struct tz *tz, int64_t ms)
{
	return (int64_t)tz_offset_s(tz, ms) * MS_PER_SECOND;
}

static void move_to(struct zoned *z, int64_t ms)
{
	int64_t local, of_day;

	z->ms = ms;
	z->offset_ms = offset_ms(z->tz, ms);
	local = ms + z->offset_ms;
	tz_civil_from_days(floor_div(local, MS_PER_DAY), &z->year, &z->month, &z->day);
	of_day = local - floor_div(local, MS_PER_DAY) * MS_PER_DAY;
	z->hour = (int)(of_day / MS_PER_HOUR);
	z->minute = (int)(of_day / MS_PER_MINUTE % 60);
	z->second = (int)(of_day / MS_PER_SECOND % 60);
}

/* The moment when the wall shows these fields. Of two such moments, the one with the offset that held so far; of none, the
 * one as long after the gap's start as the wall's time is (as luxon, under cron-parser, resolves both). */
static void set_wall(struct zoned *z, int64_t year, int month, int64_t day, int hour, int minute, int second)
{
	int64_t local = (tz_days_from_civil(year, month, 1) + day - 1) * MS_PER_DAY + hour * MS_PER_HOUR + minute * MS_PER_MINUTE +
			second * MS_PER_SECOND;
	int64_t before = z->offset_ms, there = offset_ms(z->tz, local - before), again;

	if (there != before) {
		again = offset_ms(z->tz, local - there);
		if (again != there)
			there = again < there ? again : there;
	}
	move_to(z, local - there);
}

static void set_clock(struct zoned *z, int hour, int minute, int second)
{
	set_wall(z, z->year, z->month, z->day, hour, minute, second);
}

static void next_month(struct zoned *z)
{
	int64_t year = z->month == 12 ? z->year + 1 : z->year;
	int month = z->month == 12 ? 1 : z->month + 1;
	int last = tz_days_in_month(year, month);

	set_wall(z, year, month, z->day < last ? z->day : last, z->hour, z->minute, z->second);
	set_wall(z, z->year, z->month, 1, 0, 0, 0);
}

static void next_day(struct zoned *z)
{
	set_wall(z, z->year, z->month, z->day + 1, z->hour, z->minute, z->second);
	set_clock(z, 0, 0, 0);
}

static bool has(uint64_t values, int v)
{
	return values >> v & 1;
}

/* The next value above v, or -1. */
static int above(uint64_t values, int v)
{
	uint64_t rest = v >= 63 ? 0 : values >> (v + 1) << (v + 1);

	return rest ? __builtin_ctzll(rest) : -1;
}

static int lowest(uint64_t values)
{
	return __builtin_ctzll(values);
}

/* To the next full hour, full minute or second, watching for a change of the clocks. */
static void step(struct walk *w, int64_t unit_ms)
{
	struct zoned *z = &w->now;
	int hour = z->hour, passed;
	int64_t offset = z->offset_ms;

	move_to(z, z->ms + unit_ms);
	if (unit_ms == MS_PER_HOUR)
		set_clock(z, z->hour, 0, 0);
	else if (unit_ms == MS_PER_MINUTE)
		set_clock(z, z->hour, z->minute, 0);
	if (w->all_hours)
		return;
	passed = (z->hour - hour + 24) % 24;
	if (z->offset_ms > offset && passed >= 2) {
		w->skipped_from = (hour + 1) % 24;
		w->landed_on = z->hour;
	} else if (passed == 0 && z->minute == 0 && z->second == 0) {
		w->repeated = z->hour;
	}
}

static bool day_matches(const struct cron *c, const struct zoned *z)
{
	int weekday = (int)((floor_div(z->ms + z->offset_ms, MS_PER_DAY) % 7 + 11) % 7); /* day 0 was a Thursday */
	int last = tz_days_in_month(z->year, z->month);
	bool nth = c->nth_weekday == 0 || (z->day + 6) / 7 == c->nth_weekday;
	bool by_day = has(c->days, z->day) || (c->last_day && z->day == last);
	bool by_weekday = (has(c->weekdays, weekday) && nth) || (has(c->last_weekdays, weekday) && z->day > last - 7);

	if (c->any_day)
		return c->any_weekday || by_weekday;
	return by_day || (!c->any_weekday && by_weekday);
}

/* Do the clocks change on this day? */
static bool is_change_day(const struct zoned *z)
{
	struct zoned start = *z, end;

	set_clock(&start, 0, 0, 0);
	end = start;
	set_wall(&end, end.year, end.month, end.day + 1, 0, 0, 0);
	return offset_ms(z->tz, end.ms - 1) != start.offset_ms;
}

static bool skipped_hour_matches(const struct walk *w)
{
	if (w->skipped_from == NO_HOUR || w->landed_on != w->now.hour)
		return false;
	for (int h = w->skipped_from; h != w->now.hour; h = (h + 1) % 24)
		if (has(w->cron->hours, h))
			return true;
	return false;
}

/* Towards the next hour of the pattern: hour by hour where clocks change, else at once. */
static void seek_hour(struct walk *w)
{
	struct zoned *z = &w->now;
	int next = above(w->cron->hours, z->hour);

	w->skipped_from = w->landed_on = NO_HOUR;
	if (next < 0) {
		next_day(z);
		return;
	}
	if (is_change_day(z)) {
		for (int steps = next - z->hour; steps > 0; steps--) {
			step(w, MS_PER_HOUR);
			if (z->hour >= next)
				break;
		}
	} else {
		set_clock(z, next, z->minute, z->second);
	}
	set_clock(z, z->hour, lowest(w->cron->minutes), z->second);
	set_clock(z, z->hour, z->minute, lowest(w->cron->seconds));
}

static bool hour_matches(struct walk *w)
{
	if (skipped_hour_matches(w))
		return true;
	if (w->repeated == w->now.hour) {
		w->repeated = NO_HOUR;
		step(w, MS_PER_HOUR);
		return false;
	}
	if (has(w->cron->hours, w->now.hour))
		return true;
	seek_hour(w);
	return false;
}

static void seek_minute(struct walk *w)
{
	struct zoned *z = &w->now;
	int next = above(w->cron->minutes, z->minute);

	if (next < 0)
		step(w, MS_PER_HOUR);
	set_clock(z, z->hour, next < 0 ? lowest(w->cron->minutes) : next, z->second);
	set_clock(z, z->hour, z->minute, lowest(w->cron->seconds));
}

static void seek_second(struct walk *w)
{
	struct zoned *z = &w->now;
	int next = above(w->cron->seconds, z->second);

	if (next < 0)
		step(w, MS_PER_MINUTE);
	set_clock(z, z->hour, z->minute, next < 0 ? lowest(w->cron->seconds) : next);
}

/* One step of the search; true when `now` fits the pattern. */
static bool settle(struct walk *w)
{
	const struct cron *c = w->cron;
	struct zoned *z = &w->now;

	if (!has(c->months, z->month))
		next_month(z);
	else if (!day_matches(c, z))
		next_day(z);
	else if (!hour_matches(w))
		return false;
	else if (!has(c->minutes, z->minute))
		seek_minute(w);
	else if (!has(c->seconds, z->second))
		seek_second(w);
	else
		return true;
	return false;
}

/* ERR_LIMIT: the search goes nowhere. */
static int search(const struct cron *c, const struct tz *tz, int64_t after_ms, int64_t end_ms, int64_t *out)
{
	struct walk w = {
		.cron = c,
		.now = {.tz = tz},
		.skipped_from = NO_HOUR,
		.landed_on = NO_HOUR,
		.repeated = NO_HOUR,
		.all_hours = __builtin_popcountll(c->hours) == ALL_HOURS,
	};
	int64_t whole = floor_div(after_ms, MS_PER_SECOND) * MS_PER_SECOND;

	move_to(&w.now, whole);
	if (whole != after_ms)
		step(&w, MS_PER_SECOND);
	for (int steps = 1; steps < MAX_STEPS; steps++) {
		if (end_ms >= 0 && w.now.ms > end_ms)
			return ERR_NOT_FOUND;
		if (!settle(&w))
			continue;
		if (w.now.ms != after_ms) {
			*out = w.now.ms;
			return 0;
		}
		step(&w, MS_PER_SECOND);
	}
	return w.now.ms - after_ms < STUCK_DAYS * MS_PER_DAY ? ERR_LIMIT : ERR_NOT_FOUND;
}

/* Where clocks go back by half an hour, the steps above turn in a circle; cron-parser gives the schedule up there, here it
 * goes on after that day. */
int cron_next(const struct cron *c, const struct tz *tz, int64_t after_ms, int64_t end_ms, int64_t *out)
{
	int rc = search(c, tz, after_ms, end_ms, out);

	if (rc == ERR_LIMIT)
		rc = search(c, tz, after_ms + MS_PER_DAY, end_ms, out);
	return rc == ERR_LIMIT ? ERR_NOT_FOUND : rc;
}
