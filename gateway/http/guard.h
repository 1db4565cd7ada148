/* The guard: the first look at a request. It accepts only what every HTTP implementation reads the same way, so that nothing can hide
 * between a proxy's reading and ours (RFC 9112 2.2, 3.2, 5.1, 5.2, 6.1-6.3, 11.2; RFC 9110 5.5, 8.6).
 *
 * A pure function over the parsed request: no memory, no connection, no clock; any thread. On success it leaves what the rest of the
 * server needs to know about the framing, so that nobody reads those headers again. */
#ifndef SLUICE_GATEWAY_HTTP_GUARD_H
#define SLUICE_GATEWAY_HTTP_GUARD_H

#include <stdbool.h>
#include <stdint.h>

#include "gateway/http/problem.h"
#include "lib/base/attr.h"
#include "lib/base/str.h"

/* The parser keeps no more header fields than this and drops the rest without a word, so a full table is refused. */
#define GUARD_MAX_HEADERS 64

struct guard_header {
	const char *name, *value; /* NUL-terminated, in place in the receive buffer */
};

struct guard_request {
	const char *method;
	const char *uri;     /* raw, without the query */
	const char *query;   /* raw, without '?'; NULL when there is none */
	const char *version; /* "1.0" or "1.1" */
	const struct guard_header *headers;
	unsigned n_headers;
};

struct guard_facts {
	struct str path;        /* raw path of the target, without scheme and authority */
	int64_t content_length; /* 0 when there is none, -1 when chunked */
	bool chunked;
	bool keep_alive;        /* the client wants and may have another request on this connection */
	bool http10;
	/* When refused: */
	enum problem problem;
	const char *reason; /* a static sentence */
};

/* 0, or ERR_INVALID with problem and reason set. */
int guard_check(const struct guard_request *in, struct guard_facts *out) MUST_CHECK;

/* What the parser forgave and hid is still visible in the receive buffer, because it only wrote NULs over the separators: white space
 * before the request line or before a colon, folded lines, bare LF. `buffer` is where the receive buffer starts, `size` its size.
 * Returns NULL when every byte is in its place, else the reason (a static sentence). */
const char *guard_check_traces(const struct guard_request *in, const char *buffer, size_t size);

#endif
