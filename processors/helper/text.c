#include "processors/helper/text.h"

#include <errno.h>
#include <iconv.h>
#include <unistd.h>

#define REPLACEMENT STR("\xef\xbf\xbd")

void text_out_init(struct text_out *t, int fd, uint64_t max)
{
	memset(t, 0, offsetof(struct text_out, block));
	t->fd = fd;
	t->max = max;
	t->n_block = 0;
}

static void flush(struct text_out *t)
{
	size_t done = 0;
	while (done < t->n_block && !t->failure) {
		ssize_t n = write(t->fd, t->block + done, t->n_block - done);
		if (n >= 0)
			done += (size_t)n;
		else if (errno != EINTR)
			t->failure = errno == ENOSPC || errno == EDQUOT || errno == EFBIG ? ERR_FULL : ERR_IO;
	}
	t->n_block = 0;
}

/* One whole character; false when it no longer fits. */
static bool put(struct text_out *t, struct str c)
{
	if (t->truncated || t->bytes + c.n > t->max) {
		t->truncated = true;
		return false;
	}
	if (t->n_block + c.n > sizeof(t->block))
		flush(t);
	memcpy(t->block + t->n_block, c.p, c.n);
	t->n_block += c.n;
	t->bytes += c.n;
	if ((unsigned char)c.p[0] > ' ')
		t->visible = true;
	return !t->failure;
}

static bool put_replacement(struct text_out *t)
{
	t->replaced = true;
	return put(t, REPLACEMENT);
}

/* The bytes that a character with this first byte has; 0 when none begins so. */
static size_t utf8_length(unsigned char first)
{
	if (first < 0x80)
		return 1;
	if (first < 0xc2 || first > 0xf4)
		return 0;
	return first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

/* Whether n bytes can be the beginning of one character. */
static bool utf8_plausible(const unsigned char *p, size_t n)
{
	static const struct {
		unsigned char first, low, high;
	} second[] = {{0xe0, 0xa0, 0xbf}, {0xed, 0x80, 0x9f}, {0xf0, 0x90, 0xbf}, {0xf4, 0x80, 0x8f}};
	for (size_t i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return false;
	for (size_t i = 0; n > 1 && i < ARRAY_LEN(second); i++)
		if (p[0] == second[i].first && (p[1] < second[i].low || p[1] > second[i].high))
			return false;
	return true;
}

/* Takes one byte: completes, continues or breaks the character that has begun. */
static bool step(struct text_out *t, unsigned char byte)
{
	t->partial[t->n_partial++] = byte;
	size_t want = utf8_length(t->partial[0]);
	if (want == 0) {
		t->n_partial = 0;
		return put_replacement(t);
	}
	if (!utf8_plausible(t->partial, t->n_partial)) { /* what came before is broken; this byte begins anew */
		t->n_partial = 0;
		return put_replacement(t) && step(t, byte);
	}
	if (t->n_partial < want)
		return true;
	t->n_partial = 0;
	return t->partial[0] == '\0' || put(t, (struct str){(const char *)t->partial, want});
}

bool text_out_add(struct text_out *t, const void *p, size_t n)
{
	const unsigned char *bytes = p;
	for (size_t i = 0; i < n; i++)
		if (!step(t, bytes[i]))
			return false;
	return true;
}

int text_out_finish(struct text_out *t)
{
	if (t->n_partial > 0) {
		t->n_partial = 0;
		put_replacement(t);
	}
	flush(t);
	return t->failure;
}

struct mark {
	struct str bytes;
	const char *charset;
};

/* The longer marks first: UTF-32LE begins like UTF-16LE. */
static const struct mark marks[] = {
	{{"\xff\xfe\0\0", 4}, "UTF-32LE"},
	{{"\0\0\xfe\xff", 4}, "UTF-32BE"},
	{{"\xef\xbb\xbf", 3}, "UTF-8"},
	{{"\xff\xfe", 2}, "UTF-16LE"},
	{{"\xfe\xff", 2}, "UTF-16BE"},
};

struct census {
	size_t zeros[2]; /* at even and odd offsets */
	bool c1;         /* bytes 0x80 to 0x9f, which ISO-8859-1 has no printable characters for */
};

static struct census take_census(struct str bytes)
{
	struct census c = {{0, 0}, false};
	for (size_t i = 0; i < bytes.n; i++) {
		unsigned char b = (unsigned char)bytes.p[i];
		c.zeros[i & 1] += b == 0;
		c.c1 |= b >= 0x80 && b < 0xa0;
	}
	return c;
}

const char *text_charset(struct str bytes, size_t *mark)
{
	*mark = 0;
	for (size_t i = 0; i < ARRAY_LEN(marks); i++) {
		if (str_starts(bytes, marks[i].bytes)) {
			*mark = marks[i].bytes.n;
			return marks[i].charset;
		}
	}
	struct census c = take_census(bytes);
	size_t units = bytes.n / 2;
	if (c.zeros[0] + c.zeros[1] > 0) {
		/* Western text in UTF-16 has a zero in nearly every unit, always on the same side. */
		if (bytes.n % 2 == 0 && c.zeros[1] > units * 2 / 5 && c.zeros[0] < units / 10)
			return "UTF-16LE";
		if (bytes.n % 2 == 0 && c.zeros[0] > units * 2 / 5 && c.zeros[1] < units / 10)
			return "UTF-16BE";
		return NULL;
	}
	if (str_is_utf8(bytes))
		return "UTF-8";
	return c.c1 ? "WINDOWS-1252" : "ISO-8859-1";
}

/* Skips what iconv stopped at: a broken unit, or the incomplete one at the end. */
static void skip_broken(char **in, size_t *left, size_t unit, struct text_out *out)
{
	size_t n = *left < unit ? *left : unit;
	*in += n;
	*left -= n;
	put_replacement(out);
}

int text_decode(struct str bytes, const char *charset, struct text_out *out)
{
	iconv_t cd = iconv_open("UTF-8", charset);
	if (cd == (iconv_t)-1)
		return ERR_INVALID;
	size_t unit = strncmp(charset, "UTF-32", 6) == 0 ? 4 : strncmp(charset, "UTF-16", 6) == 0 ? 2 : 1;
	char *in = (char *)(uintptr_t)bytes.p;
	size_t left = bytes.n;
	while (left > 0 && !out->truncated && !out->failure) {
		char chunk[4096], *to = chunk;
		size_t room = sizeof(chunk);
		size_t rc = iconv(cd, &in, &left, &to, &room);
		int why = errno;
		text_out_add(out, chunk, sizeof(chunk) - room);
		if (rc == (size_t)-1 && why != E2BIG)
			skip_broken(&in, &left, unit, out);
	}
	iconv_close(cd);
	return text_out_finish(out);
}
