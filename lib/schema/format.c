#include "lib/schema/format.h"

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_hex(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool is_alnum(char c)
{
	return is_letter(c) || is_digit(c);
}

/* c is one of the bytes of `set`. */
static bool is_one_of(char c, const char *set)
{
	return c != '\0' && strchr(set, c);
}

/* Does s have the shape of `mask`, where 'x' is a hex digit, '9' a digit and any other byte stands for itself? */
static bool has_shape(struct str s, const char *mask)
{
	if (s.n != strlen(mask))
		return false;
	for (size_t i = 0; i < s.n; i++) {
		bool ok = mask[i] == 'x' ? is_hex(s.p[i]) : mask[i] == '9' ? is_digit(s.p[i]) : s.p[i] == mask[i];
		if (!ok)
			return false;
	}
	return true;
}

static bool uuid_ok(struct str s)
{
	return has_shape(s, "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx");
}

static int number_at(struct str s, size_t at, size_t digits)
{
	int v = 0;
	for (size_t i = at; i < at + digits; i++)
		v = v * 10 + (s.p[i] - '0');
	return v;
}

static bool date_ok(int year, int month, int day)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	if (month < 1 || month > 12 || day < 1)
		return false;
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
	return day <= days[month - 1] + (month == 2 && leap);
}

/* The offset from UTC in minutes; false when the text is none. */
static bool read_offset(struct str s, int *minutes)
{
	*minutes = 0;
	if (s.n == 1)
		return s.p[0] == 'Z' || s.p[0] == 'z';
	if (!has_shape(s, "+99:99") && !has_shape(s, "-99:99"))
		return false;
	int h = number_at(s, 1, 2), m = number_at(s, 4, 2);
	*minutes = (s.p[0] == '-' ? -1 : 1) * (h * 60 + m);
	return h < 24 && m < 60;
}

/* RFC 3339, section 5.6; a second 60 only where a leap second can be, at the end of a day in UTC. */
static bool date_time_ok(struct str s)
{
	if (s.n < 20 || (s.p[10] != 'T' && s.p[10] != 't'))
		return false;
	if (!has_shape(str_sub(s, 0, 10), "9999-99-99") || !has_shape(str_sub(s, 11, 8), "99:99:99"))
		return false;
	size_t at = 19;
	if (s.p[at] == '.') {
		while (++at < s.n && is_digit(s.p[at]))
			;
		if (at == 20)
			return false;
	}
	int offset;
	if (!read_offset(str_sub(s, at, s.n - at), &offset))
		return false;
	int hour = number_at(s, 11, 2), minute = number_at(s, 14, 2), second = number_at(s, 17, 2);
	if (hour > 23 || minute > 59 || second > 60)
		return false;
	const int day = 24 * 60;
	if (second == 60 && (hour * 60 + minute - offset + day) % day != day - 1)
		return false;
	return date_ok(number_at(s, 0, 4), number_at(s, 5, 2), number_at(s, 8, 2));
}

/* Letters, digits and inner hyphens, at most 63 (RFC 1123, section 2.1). */
static bool label_ok(struct str s)
{
	if (s.n == 0 || s.n > 63 || !is_alnum(s.p[0]) || !is_alnum(s.p[s.n - 1]))
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!is_alnum(s.p[i]) && s.p[i] != '-')
			return false;
	return true;
}

static bool host_name_ok(struct str s)
{
	if (s.n == 0 || s.n > 253)
		return false;
	while (s.p)
		if (!label_ok(str_cut(&s, '.')))
			return false;
	return true;
}

/* RFC 5321's Mailbox without quoted names and address literals: what a mail server is sent must hold nothing that it could read as more. */
static bool email_ok(struct str s)
{
	struct str local = str_cut(&s, '@');
	if (!s.p || local.n == 0 || local.n > 64 || !host_name_ok(s))
		return false;
	while (local.p) {
		struct str atom = str_cut(&local, '.');
		if (atom.n == 0)
			return false;
		for (size_t i = 0; i < atom.n; i++)
			if (!is_alnum(atom.p[i]) && !is_one_of(atom.p[i], "!#$%&'*+-/=?^_`{|}~"))
				return false;
	}
	return true;
}

/* An absolute URI by the character rules of RFC 3986: a scheme, then allowed characters and %XX. */
static bool uri_ok(struct str s)
{
	struct str scheme = str_cut(&s, ':');
	if (!s.p || s.n == 0 || scheme.n == 0 || !is_letter(scheme.p[0]))
		return false;
	for (size_t i = 0; i < scheme.n; i++)
		if (!is_alnum(scheme.p[i]) && !is_one_of(scheme.p[i], "+-."))
			return false;
	bool fragment = false;
	for (size_t i = 0; i < s.n; i++) {
		bool percent = s.p[i] == '%' && s.n - i > 2 && is_hex(s.p[i + 1]) && is_hex(s.p[i + 2]);
		if (s.p[i] == '#' && fragment)
			return false;
		fragment |= s.p[i] == '#';
		if (!percent && !is_alnum(s.p[i]) && !is_one_of(s.p[i], "-._~:/?#[]@!$&'()*+,;="))
			return false;
	}
	return true;
}

static const struct format formats[] = {
	{"uuid", uuid_ok, "a UUID"},
	{"date-time", date_time_ok, "a date and time such as 2026-01-31T12:00:00Z"},
	{"email", email_ok, "an e-mail address"},
	{"uri", uri_ok, "an absolute URI"},
};

const struct format *format_find(struct str name)
{
	for (size_t i = 0; i < ARRAY_LEN(formats); i++)
		if (str_is(name, formats[i].name))
			return &formats[i];
	return NULL;
}
