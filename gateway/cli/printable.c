#include "gateway/cli/printable.h"

#include <locale.h>
#include <wchar.h>

#define ELLIPSIS "\xe2\x80\xa6"
#define REPLACEMENT "\xef\xbf\xbd"

struct range {
	uint32_t first, last;
};

/* Unicode's categories Cc and Cf as far as they matter, and the separators of lines and paragraphs. */
static const struct range dangerous[] = {
	{0x0000, 0x001f}, {0x007f, 0x009f}, {0x00ad, 0x00ad}, {0x061c, 0x061c}, {0x180e, 0x180e},   {0x200b, 0x200f},
	{0x2028, 0x202e}, {0x2060, 0x206f}, {0xfeff, 0xfeff}, {0xfff9, 0xfffb}, {0xe0000, 0xe007f},
};

static bool is_dangerous(uint32_t c)
{
	for (size_t i = 0; i < ARRAY_LEN(dangerous); i++)
		if (c >= dangerous[i].first && c <= dangerous[i].last)
			return true;
	return false;
}

/* The character of n well-formed bytes. */
static uint32_t decode(const char *p, size_t n)
{
	static const unsigned char lead[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
	uint32_t c = (unsigned char)p[0] & lead[n];
	for (size_t i = 1; i < n; i++)
		c = c << 6 | ((unsigned char)p[i] & 0x3f);
	return c;
}

static void add_escape(struct buf *out, uint32_t c)
{
	if (c > 0xffff) {
		buf_addf(out, "\\u%04x", 0xd7c0 + (c >> 10));
		c = 0xdc00 + (c & 0x3ff);
	}
	buf_addf(out, "\\u%04x", c);
}

static void add_character(struct buf *out, const char *p, size_t n)
{
	uint32_t c = decode(p, n);
	if (is_dangerous(c))
		add_escape(out, c);
	else
		buf_add(out, p, n);
}

void printable_begin(void)
{
	(void)setlocale(LC_CTYPE, "C.UTF-8");
}

void printable_add(struct buf *out, struct str text)
{
	while (text.n) {
		size_t n = str_utf8_length(text);
		if (n)
			add_character(out, text.p, n);
		else
			buf_addz(out, REPLACEMENT);
		n += !n;
		text = str_sub(text, n, text.n - n);
	}
}

/* Between its values JSON may have newlines and tabs, which do no harm, and carriage returns, which would write over what stands there. */
static bool add_blank(struct buf *out, char c)
{
	if (c != '\n' && c != '\t' && c != '\r')
		return false;
	buf_addc(out, c == '\r' ? ' ' : c);
	return true;
}

void printable_add_json(struct buf *out, struct str json)
{
	while (json.n) {
		size_t n = str_utf8_length(json);
		if (!n)
			buf_addz(out, REPLACEMENT);
		else if (!add_blank(out, json.p[0]))
			add_character(out, json.p, n);
		n += !n;
		json = str_sub(json, n, json.n - n);
	}
}

static size_t character_width(struct str text, size_t *bytes)
{
	size_t n = str_utf8_length(text);
	*bytes = n ? n : 1;
	int width = n ? wcwidth((wchar_t)decode(text.p, n)) : 1;
	return width < 0 ? 1 : (size_t)width;
}

size_t printable_width(struct str text)
{
	size_t width = 0;
	while (text.n) {
		size_t bytes;
		width += character_width(text, &bytes);
		text = str_sub(text, bytes, text.n - bytes);
	}
	return width;
}

size_t printable_fit(struct buf *out, struct str text, size_t columns)
{
	size_t width = printable_width(text);
	if (width <= columns) {
		buf_adds(out, text);
		return width;
	}
	if (columns == 0)
		return 0;
	size_t taken = 0, used = 0;
	for (;;) {
		size_t bytes, more = character_width(str_sub(text, taken, text.n - taken), &bytes);
		if (used + more > columns - 1)
			break;
		taken += bytes;
		used += more;
	}
	buf_add(out, text.p, taken);
	buf_addz(out, ELLIPSIS);
	return used + 1;
}
