#include "gateway/http/uri.h"

#include "lib/base/err.h"

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	int lower = c | 0x20;
	return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* The next decoded byte, *i moved behind it; -1 for a broken escape. */
static int next_byte(struct str raw, size_t *i)
{
	char c = raw.p[(*i)++];
	if (c != '%')
		return (unsigned char)c;
	if (raw.n - *i < 2)
		return -1;
	int high = hex_value(raw.p[*i]), low = hex_value(raw.p[*i + 1]);
	*i += 2;
	return high < 0 || low < 0 ? -1 : high << 4 | low;
}

/* UTF-8 is checked by its structure as the bytes come: the decoded text need not exist. */
struct utf8_run {
	unsigned char min, max; /* bounds of the next continuation byte */
	unsigned left;
};

static bool utf8_step(struct utf8_run *u, unsigned char c)
{
	if (u->left) {
		if (c < u->min || c > u->max)
			return false;
		*u = (struct utf8_run){0x80, 0xbf, u->left - 1};
		return true;
	}
	if (c < 0x80)
		return true;
	if (c < 0xc2 || c > 0xf4)
		return false;
	*u = (struct utf8_run){0x80, 0xbf, c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3};
	if (c == 0xe0)
		u->min = 0xa0;
	if (c == 0xed)
		u->max = 0x9f;
	if (c == 0xf0)
		u->min = 0x90;
	if (c == 0xf4)
		u->max = 0x8f;
	return true;
}

/* Bytes of a request target that need no further look. */
static const bool unremarkable[256] = {['!'... '"'] = true, ['$'] = true, ['&'... '~'] = true};

static const char *text_fault(struct str raw)
{
	struct utf8_run utf8 = {0};
	for (size_t i = 0; i < raw.n;) {
		if (!utf8.left && unremarkable[(unsigned char)raw.p[i]]) {
			i++;
			continue;
		}
		unsigned char plain = (unsigned char)raw.p[i];
		if (plain <= 0x20 || plain >= 0x7f || plain == '#')
			return "the request target has characters that must be percent-encoded";
		int c = next_byte(raw, &i);
		if (c < 0)
			return "the request target has a broken percent escape";
		if (c < 0x20 || c == 0x7f)
			return "the request target has an encoded control character";
		if (!utf8_step(&utf8, (unsigned char)c))
			return "the request target is not UTF-8";
	}
	return utf8.left ? "the request target is not UTF-8" : NULL;
}

static bool is_dots(struct str segment)
{
	unsigned dots = 0;
	for (size_t i = 0; i < segment.n; dots++)
		if (next_byte(segment, &i) != '.')
			return false;
	return dots == 1 || dots == 2;
}

const char *uri_path_fault(struct str raw)
{
	if (raw.n == 0 || raw.p[0] != '/')
		return "the request target is not a path";
	const char *fault = text_fault(raw);
	if (fault)
		return fault;
	struct str rest = str_sub(raw, 1, raw.n - 1);
	while (rest.p) {
		struct str segment = str_cut(&rest, '/');
		if (segment.n == 0 && rest.p)
			return "the path has an empty segment";
		if (is_dots(segment))
			return "the path has a segment of dots";
	}
	return NULL;
}

const char *uri_query_fault(struct str raw)
{
	return text_fault(raw);
}

struct str uri_decode(struct arena *a, struct str raw, bool form)
{
	if (!memchr(raw.p, '%', raw.n) && !(form && memchr(raw.p, '+', raw.n)))
		return raw;
	char *out = arena_alloc(a, raw.n + 1);
	if (!out)
		return STR_NONE;
	size_t n = 0;
	for (size_t i = 0; i < raw.n;) {
		bool blank = form && raw.p[i] == '+';
		int c = next_byte(raw, &i);
		out[n++] = (char)(blank ? ' ' : c);
	}
	out[n] = '\0';
	return (struct str){out, n};
}

bool uri_query_next(struct arena *a, struct str *rest, struct str *name, struct str *value)
{
	if (rest->n == 0)
		return false;
	*value = str_cut(rest, '&');
	*name = uri_decode(a, str_cut(value, '='), true);
	*value = value->p ? uri_decode(a, *value, true) : STR("");
	return true;
}

struct str uri_query_value(struct arena *a, struct str query, const char *name)
{
	struct str key, value;

	while (uri_query_next(a, &query, &key, &value))
		if (key.p && str_is(key, name))
			return value;
	return STR_NONE;
}
