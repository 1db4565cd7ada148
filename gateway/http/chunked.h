/* The chunked coding (RFC 9112 7.1), undone as the bytes come, however they are cut.
 *
 *     struct chunked c = {0};
 *     got = read(fd, p, n);
 *     rc = chunked_decode(&c, p, got, &size);       the content now stands at p, `size` bytes of it
 *
 * It takes what every implementation reads the same way: sizes of up to 15 hex digits, lines that end in CR LF. Extensions and trailer
 * fields are passed over. Memory is one struct; any thread. */
#ifndef SLUICE_GATEWAY_HTTP_CHUNKED_H
#define SLUICE_GATEWAY_HTTP_CHUNKED_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/attr.h"

struct chunked {
	unsigned state;  /* of a table in chunked.c */
	unsigned noise;  /* bytes since the last content that are none */
	unsigned digits; /* of the size so far */
	uint64_t left;   /* bytes of the chunk to come */
};

enum chunked_progress { CHUNKED_MORE, CHUNKED_END };

/* Moves the content among the n bytes at p to the front of p and says its size. CHUNKED_MORE; CHUNKED_END: the body is complete, and what may follow
 * it is not looked at; ERR_PROTOCOL. */
int chunked_decode(struct chunked *c, char *p, size_t n, size_t *size) MUST_CHECK;

#endif
