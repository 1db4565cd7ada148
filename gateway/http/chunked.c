#include "gateway/http/chunked.h"

#include <string.h>

#include "lib/base/err.h"

#define NOISE_MAX 8192 /* one size line with its extensions, or all trailer fields */
#define DIGITS_MAX 15

enum state { SIZE, EXTENSION, SIZE_LF, CONTENT, CONTENT_CR, CONTENT_LF, TRAILER, TRAILER_LINE, TRAILER_LF, LAST_LF, ENDED };

typedef int step_fn(struct chunked *c, char byte);

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int go(struct chunked *c, enum state next)
{
	c->state = next;
	return 0;
}

/* The only byte that may stand here. */
static int expect(struct chunked *c, char byte, char wanted, enum state next)
{
	return byte == wanted ? go(c, next) : ERR_PROTOCOL;
}

static int on_size(struct chunked *c, char byte)
{
	int digit = hex(byte);

	if (digit >= 0) {
		c->left = c->left * 16 + (uint64_t)digit;
		return ++c->digits <= DIGITS_MAX ? 0 : ERR_PROTOCOL;
	}
	if (!c->digits)
		return ERR_PROTOCOL;
	if (byte == ';' || byte == ' ' || byte == '\t')
		return go(c, EXTENSION);
	return expect(c, byte, '\r', SIZE_LF);
}

/* Up to the line's end: a bare LF ends no line. */
static int pass_over(struct chunked *c, char byte, enum state next)
{
	if (byte == '\r')
		return go(c, next);
	return byte == '\n' || byte == '\0' ? ERR_PROTOCOL : 0;
}

static int on_extension(struct chunked *c, char byte)
{
	return pass_over(c, byte, SIZE_LF);
}

static int on_size_lf(struct chunked *c, char byte)
{
	c->noise = c->left ? 0 : c->noise;
	c->digits = 0;
	return expect(c, byte, '\n', c->left ? CONTENT : TRAILER);
}

static int on_content_cr(struct chunked *c, char byte)
{
	return expect(c, byte, '\r', CONTENT_LF);
}

static int on_content_lf(struct chunked *c, char byte)
{
	return expect(c, byte, '\n', SIZE);
}

static int on_trailer(struct chunked *c, char byte)
{
	return byte == '\r' ? go(c, LAST_LF) : pass_over(c, byte, TRAILER_LF) ? ERR_PROTOCOL : go(c, TRAILER_LINE);
}

static int on_trailer_line(struct chunked *c, char byte)
{
	return pass_over(c, byte, TRAILER_LF);
}

static int on_trailer_lf(struct chunked *c, char byte)
{
	return expect(c, byte, '\n', TRAILER);
}

static int on_last_lf(struct chunked *c, char byte)
{
	return expect(c, byte, '\n', ENDED);
}

static step_fn *const steps[] = {
	[SIZE] = on_size,		[EXTENSION] = on_extension,	      [SIZE_LF] = on_size_lf,
	[CONTENT_CR] = on_content_cr,	[CONTENT_LF] = on_content_lf,	      [TRAILER] = on_trailer,
	[TRAILER_LINE] = on_trailer_line, [TRAILER_LF] = on_trailer_lf,	      [LAST_LF] = on_last_lf,
};

/* What there is of the chunk's content at p + from, moved to p + to: how much it was. */
static size_t take_content(struct chunked *c, char *p, size_t n, size_t from, size_t to)
{
	size_t some = n - from < c->left ? n - from : (size_t)c->left;

	memmove(p + to, p + from, some);
	c->left -= some;
	if (c->left == 0)
		c->state = CONTENT_CR;
	return some;
}

int chunked_decode(struct chunked *c, char *p, size_t n, size_t *size)
{
	size_t at = 0;

	*size = 0;
	while (at < n && c->state != ENDED) {
		if (c->state == CONTENT) {
			size_t some = take_content(c, p, n, at, *size);
			at += some;
			*size += some;
			continue;
		}
		if (++c->noise > NOISE_MAX || steps[c->state](c, p[at++]) < 0)
			return ERR_PROTOCOL;
	}
	return c->state == ENDED ? CHUNKED_END : CHUNKED_MORE;
}
