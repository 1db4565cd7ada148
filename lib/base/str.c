#include "lib/base/str.h"

#include "lib/base/err.h"

bool str_starts(struct str s, struct str prefix)
{
	return s.n >= prefix.n && str_eq(str_sub(s, 0, prefix.n), prefix);
}

bool str_ends(struct str s, struct str suffix)
{
	return s.n >= suffix.n && str_eq(str_sub(s, s.n - suffix.n, suffix.n), suffix);
}

static unsigned char lower(char c)
{
	return (unsigned char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

/* Most letters are of the same case already. */
static bool same_letter(char a, char b)
{
	return a == b || lower(a) == lower(b);
}

bool str_same_letters(const char *a, const char *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!same_letter(a[i], b[i]))
			return false;
	return true;
}

bool str_ieqz(const char *a, const char *b)
{
	while (*a && same_letter(*a, *b)) {
		a++;
		b++;
	}
	return *a == *b;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

struct str str_trim(struct str s)
{
	while (s.n && is_blank(s.p[0]))
		s = str_sub(s, 1, s.n - 1);
	while (s.n && is_blank(s.p[s.n - 1]))
		s.n--;
	return s;
}

struct str str_cut(struct str *rest, char sep)
{
	struct str whole = *rest;
	const char *at = whole.n ? memchr(whole.p, sep, whole.n) : NULL;
	if (!at) {
		*rest = STR_NONE;
		return whole;
	}
	size_t n = (size_t)(at - whole.p);
	*rest = str_sub(whole, n + 1, whole.n - n - 1);
	return str_sub(whole, 0, n);
}

int str_to_u64(struct str s, uint64_t *out)
{
	if (s.n == 0)
		return ERR_INVALID;
	uint64_t v = 0;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return ERR_INVALID;
		if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, (uint64_t)(s.p[i] - '0'), &v))
			return ERR_INVALID;
	}
	*out = v;
	return 0;
}

int str_to_i64(struct str s, int64_t *out)
{
	bool negative = s.n && s.p[0] == '-';
	uint64_t v;
	if (str_to_u64(negative ? str_sub(s, 1, s.n - 1) : s, &v) < 0)
		return ERR_INVALID;
	if (v > (uint64_t)INT64_MAX + negative)
		return ERR_INVALID;
	*out = negative ? (int64_t)(0 - v) : (int64_t)v;
	return 0;
}

/* One row per kind of lead byte: how many bytes follow, and the range of the first of them, which is what rules out
 * overlong forms, surrogates and code points past U+10FFFF (RFC 3629, section 4). */
static const struct {
	unsigned char lead_min, lead_max, more, second_min, second_max;
} utf8_rows[] = {
	{0x00, 0x7f, 0, 0, 0},       {0xc2, 0xdf, 1, 0x80, 0xbf}, {0xe0, 0xe0, 2, 0xa0, 0xbf},
	{0xe1, 0xec, 2, 0x80, 0xbf}, {0xed, 0xed, 2, 0x80, 0x9f}, {0xee, 0xef, 2, 0x80, 0xbf},
	{0xf0, 0xf0, 3, 0x90, 0xbf}, {0xf1, 0xf3, 3, 0x80, 0xbf}, {0xf4, 0xf4, 3, 0x80, 0x8f},
};

size_t str_utf8_length(struct str s)
{
	const unsigned char *p = (const unsigned char *)s.p;
	for (size_t i = 0; s.n && i < ARRAY_LEN(utf8_rows); i++) {
		if (p[0] < utf8_rows[i].lead_min || p[0] > utf8_rows[i].lead_max)
			continue;
		size_t more = utf8_rows[i].more;
		if (more >= s.n)
			return 0;
		if (more && (p[1] < utf8_rows[i].second_min || p[1] > utf8_rows[i].second_max))
			return 0;
		for (size_t k = 2; k <= more; k++)
			if ((p[k] & 0xc0) != 0x80)
				return 0;
		return more + 1;
	}
	return 0;
}

bool str_is_utf8(struct str s)
{
	for (size_t at = 0; at < s.n;) {
		size_t n = str_utf8_length((struct str){s.p + at, s.n - at});
		if (n == 0)
			return false;
		at += n;
	}
	return true;
}
