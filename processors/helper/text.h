/* Text on its way to the store: well-formed UTF-8, without NUL, bounded.
 *
 *     struct text_out out;
 *     text_out_init(&out, HELPER_FD_TEXT, max_bytes);
 *     text_out_add(&out, p, n);          as often as there is something; false: no more is wanted
 *     if (text_out_finish(&out) < 0) …   writing failed: ERR_FULL or ERR_IO
 *
 * One thread at a time. */
#ifndef SLUICE_PROCESSORS_HELPER_TEXT_H
#define SLUICE_PROCESSORS_HELPER_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/attr.h"
#include "lib/base/err.h"
#include "lib/base/str.h"

struct text_out {
	int fd;
	uint64_t max, bytes; /* allowed, written or waiting to be */
	bool truncated;      /* there was more than max */
	bool replaced;       /* something was no character and became U+FFFD */
	bool visible;        /* there was something besides white space */
	int failure;         /* sticky: 0, ERR_FULL or ERR_IO */
	unsigned char partial[4]; /* the beginning of a character that the next call continues */
	size_t n_partial;
	char block[8192];
	size_t n_block;
};

void text_out_init(struct text_out *t, int fd, uint64_t max);
bool text_out_add(struct text_out *t, const void *p, size_t n);
int text_out_finish(struct text_out *t) MUST_CHECK;

/* The encoding of a whole text, as iconv calls it: by byte order mark, by the zeros that UTF-16 has in Western text, UTF-8 if it is
 * well-formed, else Windows-1252 or ISO-8859-1. NULL when it is no text: zeros that fit no encoding. *mark: bytes to skip. */
const char *text_charset(struct str bytes, size_t *mark);

/* Decodes all of `bytes` into out. 0, ERR_INVALID (an encoding that iconv does not know), or what text_out_finish says. */
int text_decode(struct str bytes, const char *charset, struct text_out *out) MUST_CHECK;

#endif
