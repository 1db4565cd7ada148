#include "lib/bullmq/tz_rule.h"

#include "lib/bullmq/tz.h"

#define SECONDS_PER_DAY INT64_C(86400)

/* The readers below take what they read off the front of *s. */
static bool take_char(struct str *s, char c)
{
	if (s->n == 0 || s->p[0] != c)
		return false;
	*s = str_sub(*s, 1, s->n - 1);
	return true;
}

static bool take_number(struct str *s, int max, int *out)
{
	int v = 0;
	size_t digits = 0;

	while (digits < s->n && digits < 4 && s->p[digits] >= '0' && s->p[digits] <= '9')
		v = v * 10 + (s->p[digits++] - '0');
	if (digits == 0 || v > max)
		return false;
	*s = str_sub(*s, digits, s->n - digits);
	*out = v;
	return true;
}

/* "CET", "<+0330>" */
static bool take_name(struct str *s)
{
	size_t n = 0;

	if (s->n > 0 && s->p[0] == '<') {
		while (n < s->n && s->p[n] != '>')
			n++;
		n++;
	} else {
		while (n < s->n && ((s->p[n] | 0x20) >= 'a' && (s->p[n] | 0x20) <= 'z'))
			n++;
	}
	if (n == 0 || n > s->n)
		return false;
	*s = str_sub(*s, n, s->n - n);
	return true;
}

/* [+-]hh[:mm[:ss]] */
static bool take_time(struct str *s, int32_t *out)
{
	int32_t sign = take_char(s, '-') ? -1 : 1;
	int h, m = 0, sec = 0;

	if (sign > 0)
		take_char(s, '+');
	if (!take_number(s, 167, &h))
		return false;
	if (take_char(s, ':') && !take_number(s, 59, &m))
		return false;
	if (take_char(s, ':') && !take_number(s, 59, &sec))
		return false;
	*out = sign * (h * 3600 + m * 60 + sec);
	return true;
}

static bool take_change(struct str *s, struct tz_change *c)
{
	bool ok;

	if (!take_char(s, ','))
		return false;
	c->time_s = 2 * 3600;
	if (take_char(s, 'M')) {
		c->kind = TZ_CHANGE_WEEKDAY;
		ok = take_number(s, 12, &c->month) && take_char(s, '.') && take_number(s, 5, &c->week) && take_char(s, '.') &&
		     take_number(s, 6, &c->day) && c->month > 0 && c->week > 0;
	} else {
		c->kind = take_char(s, 'J') ? TZ_CHANGE_JULIAN : TZ_CHANGE_DAY;
		ok = take_number(s, 365, &c->day);
	}
	if (ok && take_char(s, '/'))
		ok = take_time(s, &c->time_s);
	return ok;
}

bool tz_rule_parse(struct tz_rule *r, struct str text)
{
	int32_t west;

	*r = (struct tz_rule){0};
	if (!take_name(&text) || !take_time(&text, &west))
		return false;
	r->standard = -west;
	if (text.n == 0)
		return true;
	r->has_summer = true;
	r->summer = r->standard + 3600;
	if (!take_name(&text))
		return false;
	if (text.n > 0 && text.p[0] != ',') {
		if (!take_time(&text, &west))
			return false;
		r->summer = -west;
	}
	return take_change(&text, &r->begin) && take_change(&text, &r->end) && text.n == 0;
}

/* Seconds since the epoch of the change in a year, by the clock before it. */
static int64_t change_in(const struct tz_change *c, int64_t year)
{
	int64_t days;

	if (c->kind == TZ_CHANGE_WEEKDAY) {
		int weekday, day;

		days = tz_days_from_civil(year, c->month, 1);
		weekday = (int)(((days + 4) % 7 + 7) % 7); /* 1970-01-01 was a Thursday */
		day = (c->day - weekday + 7) % 7 + (c->week - 1) * 7;
		if (day >= tz_days_in_month(year, c->month))
			day -= 7;
		days += day;
	} else {
		bool past_leap_day = c->kind == TZ_CHANGE_JULIAN && c->day > 59 && tz_days_in_month(year, 2) == 29;

		days = tz_days_from_civil(year, 1, 1) + c->day - (c->kind == TZ_CHANGE_JULIAN) + past_leap_day;
	}
	return days * SECONDS_PER_DAY + c->time_s;
}

int32_t tz_rule_offset(const struct tz_rule *r, int64_t seconds)
{
	int64_t local = seconds + r->standard, year, begin, end;
	int month, day;
	bool summer;

	if (!r->has_summer)
		return r->standard;
	tz_civil_from_days((local >= 0 ? local : local - SECONDS_PER_DAY + 1) / SECONDS_PER_DAY, &year, &month, &day);
	begin = change_in(&r->begin, year) - r->standard;
	end = change_in(&r->end, year) - r->summer;
	if (begin < end)
		summer = seconds >= begin && seconds < end;
	else
		summer = seconds >= begin || seconds < end;
	return summer ? r->summer : r->standard;
}
