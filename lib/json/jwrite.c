#include "lib/json/jwrite.h"

#include <math.h>

#include "lib/base/attr.h"
#include "lib/json/jtext.h"

struct jwrite jwrite_into(struct buf *b)
{
	return (struct jwrite){.b = b};
}

/* Puts the comma that is due before a value or a key; one is due behind the value then. */
static void begin(struct jwrite *w)
{
	if (w->comma)
		buf_addc(w->b, ',');
	w->comma = true;
}

void jw_open(struct jwrite *w, char bracket)
{
	begin(w);
	buf_addc(w->b, bracket);
	w->comma = false;
}

void jw_close(struct jwrite *w, char bracket)
{
	buf_addc(w->b, bracket);
	w->comma = true;
}

static void write_escape(struct buf *b, char c)
{
	static const char letters[128] = {
		['"'] = '"', ['\\'] = '\\', ['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't',
	};
	static const char digits[] = "0123456789abcdef";
	unsigned char u = (unsigned char)c;
	if (letters[u]) {
		char two[] = {'\\', letters[u]};
		buf_add(b, two, sizeof(two));
	} else {
		char six[] = {'\\', 'u', '0', '0', digits[u >> 4], digits[u & 15]};
		buf_add(b, six, sizeof(six));
	}
}

/* The content of a string: runs that need nothing are copied whole. */
static void write_content(struct buf *b, struct str s)
{
	const char *p = s.p, *end = s.p + s.n;
	while (p < end) {
		const char *plain = p;
		p = jtext_skip_plain(p, end);
		size_t n = 0;
		while (p < end && (unsigned char)*p >= 0x80 && (n = str_utf8_length((struct str){p, (size_t)(end - p)})) > 0)
			p += n;
		buf_add(b, plain, (size_t)(p - plain));
		if (p == end)
			return;
		if ((unsigned char)*p >= 0x80) {
			buf_addz(b, "\xef\xbf\xbd"); /* U+FFFD */
			p++;
		} else if ((unsigned char)*p < 0x20 || *p == '"' || *p == '\\') {
			write_escape(b, *p++);
		}
	}
}

/* Most strings need no escape, and have room: they are written in one go. `behind` follows the quote, '\\0' for nothing. */
static void write_quoted(struct buf *b, struct str s, char behind)
{
	if (buf_has_room(b, s.n + 3) && s.n && jtext_skip_plain(s.p, s.p + s.n) == s.p + s.n) {
		char *at = b->p + b->n;
		*at++ = '"';
		memcpy(at, s.p, s.n);
		at += s.n;
		*at++ = '"';
		*at = behind;
		b->n += s.n + (behind ? 3 : 2);
		b->p[b->n] = '\0';
		return;
	}
	buf_addc(b, '"');
	write_content(b, s);
	buf_addc(b, '"');
	if (behind)
		buf_addc(b, behind);
}

void jw_keys(struct jwrite *w, struct str name)
{
	begin(w);
	write_quoted(w->b, name, ':');
	w->comma = false;
}

void jw_key(struct jwrite *w, const char *name)
{
	jw_keys(w, str_from(name));
}

void jw_str(struct jwrite *w, struct str s)
{
	if (!s.p) {
		jw_null(w);
		return;
	}
	begin(w);
	write_quoted(w->b, s, '\0');
}

void jw_strz(struct jwrite *w, const char *z)
{
	jw_str(w, str_from(z));
}

void jw_int(struct jwrite *w, int64_t v)
{
	begin(w);
	buf_addi(w->b, v);
}

void jw_double(struct jwrite *w, double v)
{
	if (!isfinite(v)) {
		jw_null(w);
		return;
	}
	char text[32];
	for (int digits = 15; digits <= 17; digits++) {
		(void)snprintf(text, sizeof(text), "%.*g", digits, v);
		if (strtod(text, NULL) == v)
			break;
	}
	begin(w);
	buf_addz(w->b, text);
}

void jw_bool(struct jwrite *w, bool v)
{
	begin(w);
	buf_addz(w->b, v ? "true" : "false");
}

void jw_null(struct jwrite *w)
{
	begin(w);
	buf_addz(w->b, "null");
}

void jw_raw(struct jwrite *w, struct str json)
{
	if (json.n == 0) {
		jw_null(w);
		return;
	}
	begin(w);
	buf_adds(w->b, json);
}

void jw_kstr(struct jwrite *w, const char *key, struct str s)
{
	jw_key(w, key);
	jw_str(w, s);
}

void jw_kstrz(struct jwrite *w, const char *key, const char *z)
{
	jw_key(w, key);
	jw_strz(w, z);
}

void jw_kint(struct jwrite *w, const char *key, int64_t v)
{
	jw_key(w, key);
	jw_int(w, v);
}

void jw_kbool(struct jwrite *w, const char *key, bool v)
{
	jw_key(w, key);
	jw_bool(w, v);
}

void jw_kraw(struct jwrite *w, const char *key, struct str json)
{
	jw_key(w, key);
	jw_raw(w, json);
}
