#include "lib/bullmq/cron.h"

#include "lib/base/buf.h"

#define PATTERN_MAX 1024 /* cron-parser's MAX_EXPRESSION_LENGTH */
#define N_FIELDS 6

enum { FIELD_SECOND, FIELD_MINUTE, FIELD_HOUR, FIELD_DAY, FIELD_MONTH, FIELD_WEEKDAY };

static const struct field {
	const char *name;
	int min, max;
	bool names, last; /* month and day names; "L" */
	const char *fallback; /* when the pattern has fewer fields */
} FIELDS[N_FIELDS] = {
	[FIELD_SECOND] = {"second", 0, 59, false, false, "0"},
	[FIELD_MINUTE] = {"minute", 0, 59, false, false, "*"},
	[FIELD_HOUR] = {"hour", 0, 23, false, false, "*"},
	[FIELD_DAY] = {"day of month", 1, 31, false, true, "*"},
	[FIELD_MONTH] = {"month", 1, 12, true, false, "*"},
	[FIELD_WEEKDAY] = {"day of week", 0, 7, true, true, "*"},
};

static const struct {
	const char *name, *pattern;
} PREDEFINED[] = {
	{"@yearly", "0 0 0 1 1 *"},   {"@annually", "0 0 0 1 1 *"}, {"@monthly", "0 0 0 1 * *"},
	{"@weekly", "0 0 0 * * 0"},   {"@daily", "0 0 0 * * *"},    {"@hourly", "0 0 * * * *"},
	{"@minutely", "0 * * * * *"}, {"@secondly", "* * * * * *"}, {"@weekdays", "0 0 0 * * 1-5"},
	{"@weekends", "0 0 0 * * 0,6"},
};

static const struct {
	const char *name;
	int value;
} NAMES[] = {
	{"jan", 1}, {"feb", 2}, {"mar", 3}, {"apr", 4},  {"may", 5},  {"jun", 6},  {"jul", 7}, {"aug", 8}, {"sep", 9}, {"oct", 10},
	{"nov", 11}, {"dec", 12}, {"sun", 0}, {"mon", 1}, {"tue", 2}, {"wed", 3}, {"thu", 4}, {"fri", 5}, {"sat", 6},
};

/* One field while it is read. */
struct reading {
	const struct field *field;
	uint64_t values;
	uint64_t last; /* values with "L"; bit 0 for a bare one on a day of month */
	bool has_last;
	struct err *err;
};

static int bad(struct reading *r, const char *what, struct str text)
{
	return err_set(r->err, ERR_INVALID, "cron pattern, %s: %s \"%.*s\"", r->field->name, what, STR_ARG(text));
}

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Writes the field with its names replaced by numbers and its wildcards by ranges. */
static int rewrite(struct reading *r, struct str in, struct buf *out)
{
	for (size_t i = 0; i < in.n; i++) {
		char c = in.p[i];
		size_t name = 0;

		if (c == '*' || c == '?') {
			buf_addf(out, "%d-%d", r->field->min, r->field->max);
		} else if (r->field->names && i + 3 <= in.n && is_letter(c) && is_letter(in.p[i + 1]) && is_letter(in.p[i + 2])) {
			while (name < ARRAY_LEN(NAMES) && !str_ieq(str_sub(in, i, 3), str_from(NAMES[name].name)))
				name++;
			if (name == ARRAY_LEN(NAMES))
				return bad(r, "there is no name", str_sub(in, i, 3));
			buf_addi(out, NAMES[name].value);
			i += 2;
		} else if ((c >= '0' && c <= '9') || c == ',' || c == '/' || c == '-' || (c == 'L' && r->field->last)) {
			buf_addc(out, c);
		} else {
			return bad(r, "a character is not allowed in", in);
		}
	}
	return out->failed ? err_set(r->err, ERR_NOMEM, "no memory for a cron pattern") : 0;
}

static int add_value(struct reading *r, int v, struct str text)
{
	if (r->values >> v & 1)
		return bad(r, "a value stands twice in", text);
	r->values |= UINT64_C(1) << v;
	return 0;
}

/* "L" or, on weekdays, "5L" */
static int read_last(struct reading *r, struct str atom)
{
	struct str digits = str_sub(atom, 0, atom.n - 1);
	uint64_t v = 0, bit;

	if (digits.n > 2 || (digits.n > 0 && str_to_u64(digits, &v) < 0))
		return bad(r, "an odd", atom);
	if (digits.n == 0 && r->field->max == 7)
		return bad(r, "a weekday is missing before", atom);
	bit = UINT64_C(1) << (digits.n > 0 ? (digits.p[0] - '0') % 7 : 0);
	if (r->has_last && (r->last & bit))
		return bad(r, "a value stands twice in", atom);
	r->last |= bit;
	r->has_last = true;
	return 0;
}

static int read_single(struct reading *r, struct str atom)
{
	uint64_t v;

	if (atom.n > 0 && atom.p[atom.n - 1] == 'L')
		return read_last(r, atom);
	if (str_to_u64(atom, &v) < 0 || v < (uint64_t)r->field->min || v > (uint64_t)r->field->max)
		return bad(r, "out of range", atom);
	return add_value(r, r->field->max == 7 ? (int)v % 7 : (int)v, atom);
}

/* min to max by step; on weekdays a range that ends on 7 also has 0. */
static int read_range(struct reading *r, struct str range, uint64_t step, struct str atom)
{
	struct str rest = range, from = str_cut(&rest, '-'), to = str_cut(&rest, '-');
	uint64_t min, max;
	int rc = 0;

	if (str_to_u64(from, &min) < 0 || str_to_u64(to, &max) < 0 || min < (uint64_t)r->field->min ||
	    max > (uint64_t)r->field->max || min > max)
		return bad(r, "not a range within the field's", atom);
	if (r->field->max == 7 && max == 7 && min > 0 && (max - min) % step == 0)
		rc = add_value(r, 0, atom);
	for (uint64_t v = min; v <= max && rc == 0; v += step)
		rc = add_value(r, (int)v, atom);
	return rc;
}

static int read_atom(struct reading *r, struct str atom)
{
	struct str step_text = atom, range = str_cut(&step_text, '/');
	struct buf open = BUF_INIT;
	uint64_t step = 1;
	int rc;

	if (atom.n == 0)
		return bad(r, "an empty value in the list", atom);
	if (step_text.p && (str_to_u64(step_text, &step) < 0 || step == 0))
		return bad(r, "not a step", atom);
	if (memchr(range.p, '-', range.n))
		return read_range(r, range, step, atom);
	if (!step_text.p)
		return read_single(r, atom);
	buf_addf(&open, "%.*s-%d", STR_ARG(range), r->field->max);
	rc = read_range(r, buf_str(&open), step, atom);
	buf_release(&open);
	return rc;
}

static int read_field(struct reading *r, struct str text)
{
	struct buf plain = BUF_INIT;
	struct str rest;
	int rc = rewrite(r, text, &plain);

	rest = buf_str(&plain);
	while (rc == 0 && rest.p)
		rc = read_atom(r, str_cut(&rest, ','));
	buf_release(&plain);
	return rc;
}

/* Cuts "#3" off a weekday. */
static int read_nth(struct reading *r, struct str *text, int *nth)
{
	struct str rest = *text, day = str_cut(&rest, '#');
	uint64_t v;

	if (!rest.p)
		return 0;
	if (str_to_u64(rest, &v) < 0 || v < 1 || v > 5)
		return bad(r, "the occurrence is not 1 to 5 in", *text);
	for (size_t i = 0; i < day.n; i++)
		if (day.p[i] == ',' || day.p[i] == '-' || day.p[i] == '/')
			return bad(r, "# goes with one weekday only, not with", *text);
	*text = day;
	*nth = (int)v;
	return 0;
}

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Splits at white space into at most N_FIELDS; fewer are the last ones. */
static int split(struct str pattern, struct str fields[N_FIELDS], struct err *err)
{
	struct str found[N_FIELDS] = {0};
	size_t n = 0, at = 0;

	while (at < pattern.n) {
		size_t from;

		while (at < pattern.n && is_space(pattern.p[at]))
			at++;
		from = at;
		while (at < pattern.n && !is_space(pattern.p[at]))
			at++;
		if (at == from)
			break;
		if (n == N_FIELDS)
			return err_set(err, ERR_INVALID, "cron pattern: more than %d fields", N_FIELDS);
		found[n++] = str_sub(pattern, from, at - from);
	}
	for (size_t i = 0; i < N_FIELDS; i++)
		fields[i] = i < N_FIELDS - n ? str_from(FIELDS[i].fallback) : found[i - (N_FIELDS - n)];
	return 0;
}

static bool is_any(struct str text)
{
	return str_is(text, "*") || str_is(text, "?");
}

/* A day that its only month never has; days of week would rescue it. */
static bool never_comes(const struct cron *c)
{
	static const int longest[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

	if (__builtin_popcountll(c->months) != 1 || c->last_day || !c->any_weekday)
		return false;
	return __builtin_ctzll(c->days) > longest[__builtin_ctzll(c->months) - 1];
}

int cron_parse(struct cron *c, struct str pattern, struct err *err)
{
	uint64_t *const to[N_FIELDS] = {&c->seconds, &c->minutes, &c->hours, &c->days, &c->months, &c->weekdays};
	struct str fields[N_FIELDS];
	int rc;

	*c = (struct cron){0};
	if (pattern.n > PATTERN_MAX)
		return err_set(err, ERR_INVALID, "cron pattern: longer than %d characters", PATTERN_MAX);
	for (size_t i = 0; i < ARRAY_LEN(PREDEFINED); i++)
		if (str_is(pattern, PREDEFINED[i].name))
			pattern = str_from(PREDEFINED[i].pattern);
	rc = split(pattern, fields, err);
	c->any_day = rc == 0 && is_any(fields[FIELD_DAY]);
	c->any_weekday = rc == 0 && is_any(fields[FIELD_WEEKDAY]);
	for (size_t i = 0; i < N_FIELDS && rc == 0; i++) {
		struct reading r = {.field = &FIELDS[i], .err = err};

		if (i == FIELD_WEEKDAY)
			rc = read_nth(&r, &fields[i], &c->nth_weekday);
		if (rc == 0)
			rc = read_field(&r, fields[i]);
		*to[i] = r.values;
		c->last_day = c->last_day || (i == FIELD_DAY && r.has_last);
		if (i == FIELD_WEEKDAY)
			c->last_weekdays = r.last;
	}
	if (rc == 0 && never_comes(c))
		rc = err_set(err, ERR_INVALID, "cron pattern: the day never comes in its month");
	return rc;
}
