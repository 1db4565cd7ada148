/* A token bucket per caller, in a table of fixed size.
 *
 * The table is set-associative: a caller's hash names a set of RATE_WAYS buckets; a new caller takes the place of the bucket that has
 * been idle longest. A bucket that was pushed out starts full again, so with far more active callers than places the limit is lenient,
 * and no caller can make another one's bucket emptier. Any thread. */
#ifndef SLUICE_GATEWAY_HTTP_RATELIMIT_H
#define SLUICE_GATEWAY_HTTP_RATELIMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/attr.h"
#include "lib/base/str.h"

struct ratelimit;

struct rate_answer {
	bool allowed;
	int64_t limit;      /* requests a second, also the burst */
	int64_t remaining;  /* whole tokens left */
	int64_t wait_ms;    /* until the next token, when refused */
};

struct ratelimit *ratelimit_new(int64_t per_second); /* NULL: no memory */
void ratelimit_free(struct ratelimit *l);
/* Takes one token of the caller's bucket. */
struct rate_answer ratelimit_take(struct ratelimit *l, struct str caller, int64_t now_mono_ms);

#endif
