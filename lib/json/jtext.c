#include "lib/json/jtext.h"

#include <endian.h>
#include <stdint.h>

#define ONES UINT64_C(0x0101010101010101)
#define HIGH UINT64_C(0x8080808080808080)

/* The high bit of a byte is set where the byte is a quote, a backslash, a control character or past ASCII. A borrow can set
 * further bits, but only above a byte that is set rightly: the lowest bit that is set is right, and zero means zero. */
static uint64_t stops(uint64_t w)
{
	uint64_t quote = w ^ (ONES * '"');
	uint64_t backslash = w ^ (ONES * '\\');
	return ((quote - ONES) | (backslash - ONES) | (w - ONES * 0x20) | w) & HIGH;
}

/* How many bytes at p come before the first that stops; 8: all. */
static size_t plain_bytes(const char *p)
{
	uint64_t w;
	memcpy(&w, p, sizeof(w));
	uint64_t at = stops(le64toh(w));
	return at ? (size_t)__builtin_ctzll(at) / 8 : sizeof(w);
}

static const bool is_plain[256] = {[' '... '!'] = true, ['#'... '['] = true, [']'... 0x7f] = true};

const char *jtext_skip_plain(const char *p, const char *end)
{
	const char *start = p;
	while (end - p >= 8) {
		size_t n = plain_bytes(p);
		p += n;
		if (n < 8)
			return p;
	}
	if (p < end && end - start >= 8) /* the rest, with bytes ahead of it that are known to be plain */
		return end - 8 + plain_bytes(end - 8);
	while (p < end && is_plain[(unsigned char)*p])
		p++;
	return p;
}

char jtext_escape(char c)
{
	static const char bytes[128] = {
		['"'] = '"',  ['\\'] = '\\', ['/'] = '/',  ['b'] = '\b',
		['f'] = '\f', ['n'] = '\n',  ['r'] = '\r', ['t'] = '\t',
	};
	return (unsigned char)c < sizeof(bytes) ? bytes[(unsigned char)c] : '\0';
}

/* The value of a hex digit, plus one. */
static const unsigned char hex_digits[256] = {
	['0'] = 1,  ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,  ['6'] = 7,  ['7'] = 8,
	['8'] = 9,  ['9'] = 10, ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
	['A'] = 11, ['B'] = 12, ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16,
};

int jtext_hex4(const char *p)
{
	int unit = 0;
	for (int i = 0; i < 4; i++) {
		int digit = hex_digits[(unsigned char)p[i]] - 1;
		if (digit < 0)
			return -1;
		unit = unit * 16 + digit;
	}
	return unit;
}

static size_t encode_utf8(uint32_t code, char *out)
{
	if (code < 0x80) {
		out[0] = (char)code;
		return 1;
	}
	size_t more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
	static const unsigned char leads[] = {0, 0xc0, 0xe0, 0xf0};
	out[0] = (char)(leads[more] | code >> (6 * more));
	for (size_t i = 1; i <= more; i++)
		out[i] = (char)(0x80 | (code >> (6 * (more - i)) & 0x3f));
	return more + 1;
}

/* Decodes the escape at *p (behind the backslash) and moves *p past it; the scanner has found it well-formed. */
static size_t decode_escape(const char **p, char out[4])
{
	char c = *(*p)++;
	if (c != 'u') {
		out[0] = jtext_escape(c);
		return 1;
	}
	uint32_t code = (uint32_t)jtext_hex4(*p);
	*p += 4;
	if (code >= 0xd800 && code <= 0xdbff) {
		code = 0x10000 + ((code - 0xd800) << 10) + ((uint32_t)jtext_hex4(*p + 2) - 0xdc00);
		*p += 6;
	}
	return encode_utf8(code, out);
}

size_t jtext_unescape(struct str raw, char *out)
{
	const char *p = raw.p, *end = raw.p + raw.n;
	char *to = out;
	while (p < end) {
		const char *backslash = memchr(p, '\\', (size_t)(end - p));
		size_t run = (size_t)((backslash ? backslash : end) - p);
		memcpy(to, p, run);
		to += run;
		p += run;
		if (backslash) {
			p++;
			to += decode_escape(&p, to);
		}
	}
	return (size_t)(to - out);
}

bool jtext_equal(struct str raw, struct str plain)
{
	const char *p = raw.p, *end = raw.p + raw.n;
	while (p < end) {
		char piece[4] = {*p++};
		size_t n = piece[0] == '\\' ? decode_escape(&p, piece) : 1;
		if (plain.n < n || memcmp(plain.p, piece, n) != 0)
			return false;
		plain = str_sub(plain, n, plain.n - n);
	}
	return plain.n == 0;
}
