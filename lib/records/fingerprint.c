#include "lib/records/fingerprint.h"

#define HEX_WORD_MIN 8 /* letters and digits of base 16 that are taken for an identifier; there must be a digit among them */

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* What a word is made of. A dot, a colon or a slash inside it belongs to it, as in addresses, times and paths. */
static bool is_word(char c)
{
	return is_digit(c) || is_letter(c) || c == '_' || c == '-' || c == '@' || c == '%' || c == '+' || (unsigned char)c >= 0x80;
}

static bool is_joint(char c)
{
	return c == '.' || c == ':' || c == '/' || c == ',';
}

/* The length of the word at the front: joints at its end are punctuation. */
static size_t word_length(struct str s)
{
	size_t n = 0, end = 0;

	while (n < s.n && (is_word(s.p[n]) || is_joint(s.p[n])))
		if (is_word(s.p[n++]))
			end = n;
	return end;
}

static bool is_hex(struct str w)
{
	bool digit = false;

	for (size_t i = 0; i < w.n; i++) {
		char c = w.p[i];
		digit = digit || is_digit(c);
		if (!is_digit(c) && c != '-' && !(c >= 'a' && c <= 'f') && !(c >= 'A' && c <= 'F'))
			return false;
	}
	return digit && w.n >= HEX_WORD_MIN;
}

/* Does it begin with a number, hold a path, or name a mailbox? Words of a message do not; codes such as E11000 stay. */
static bool varies(struct str w)
{
	bool slash = memchr(w.p, '/', w.n) != NULL;

	return is_digit(w.p[0]) || (w.p[0] == '-' && w.n > 1 && is_digit(w.p[1])) || is_hex(w) || slash || memchr(w.p, '@', w.n) != NULL;
}

/* The length of what stands between quotes at the front, quotes and all; 0 when none closes. */
static size_t quoted_length(struct str s)
{
	const char *close = s.n > 1 ? memchr(s.p + 1, s.p[0], s.n - 1) : NULL;

	return close ? (size_t)(close - s.p) + 1 : 0;
}

static void put_sign(struct buf *out)
{
	if (out->n == 0 || out->p[out->n - 1] != '#')
		buf_addc(out, '#');
}

/* One step: how many bytes of the message it has used up. */
static size_t step(struct buf *out, struct str rest, bool after_word)
{
	char c = rest.p[0];
	size_t n;

	if (is_blank(c)) {
		for (n = 1; n < rest.n && is_blank(rest.p[n]); n++)
			;
		buf_addc(out, ' ');
		return n;
	}
	if ((c == '"' || c == '`' || (c == '\'' && !after_word)) && (n = quoted_length(rest)) > 0) {
		put_sign(out);
		return n;
	}
	n = is_word(c) || c == '/' ? word_length(rest) : 0;
	if (n == 0) {
		buf_addc(out, c);
		return 1;
	}
	struct str word = str_sub(rest, 0, n);
	if (varies(word))
		put_sign(out);
	else
		buf_adds(out, word);
	return n;
}

void fingerprint(struct buf *out, struct str message)
{
	struct buf b = BUF_INIT;
	bool after_word = false;

	message = str_trim(message);
	while (message.n > 0 && b.n < FINGERPRINT_MAX_BYTES && !b.failed) {
		size_t n = step(&b, message, after_word);
		after_word = is_word(message.p[n - 1]);
		message = str_sub(message, n, message.n - n);
	}
	size_t n = b.n < FINGERPRINT_MAX_BYTES ? b.n : FINGERPRINT_MAX_BYTES;
	while (n > 0 && n < b.n && ((unsigned char)b.p[n] & 0xc0) == 0x80)
		n--;
	buf_adds(out, str_sub(buf_str(&b), 0, n));
	out->failed = out->failed || b.failed;
	buf_release(&b);
}
